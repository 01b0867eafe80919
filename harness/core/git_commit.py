"""The commit of a folder's repository, asked without running a thing that the repository names.

A repository's own configuration names programs: file system monitors, hooks, filters, pagers. It came with the folder
and nobody allowed it. So git compares the working tree in the light of an empty repository, which has the user's own
configuration, lends the objects and the index of the other one, and knows a few harmless settings of it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

__all__ = ["commit_of"]

HARMLESS = ("core.autocrlf", "core.eol", "core.filemode", "core.ignorecase", "core.symlinks")
"""Settings that say when a file is unchanged, and run nothing."""

PATIENCE = 10
"""Seconds that git may take."""


def commit_of(folder: Path) -> str:
    """Return the commit, with ``+changes`` behind it where tracked files differ; ``none`` outside of a repository."""
    try:
        head = _git(folder, "rev-parse", "--verify", "HEAD")
    except (OSError, subprocess.SubprocessError):
        return "none"
    try:
        changed = _has_changes(folder, head)
    except (OSError, subprocess.SubprocessError):
        changed = True  # as far as can be known
    return f"{head}+changes" if changed else head


def _has_changes(folder: Path, head: str) -> bool:
    asked = ("--show-toplevel", "--absolute-git-dir", "--git-common-dir")
    top, own, common = (folder / line for line in _git(folder, "rev-parse", *asked).splitlines())
    with tempfile.TemporaryDirectory() as name:
        empty = Path(name)
        (empty / "refs").mkdir()
        (empty / "HEAD").write_text(f"{head}\n")
        if len(head) == 64:
            (empty / "config").write_text("[core]\nrepositoryformatversion = 1\n[extensions]\nobjectFormat = sha256\n")
        lent = {"GIT_DIR": name, "GIT_WORK_TREE": str(top), "GIT_INDEX_FILE": str(own / "index")}
        lent["GIT_OBJECT_DIRECTORY"] = str(common / "objects")
        quiet = ("--no-optional-locks", "-c", "core.fsmonitor=false", *_settings(common / "config"))
        status = ("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty")
        return bool(_git(top, *quiet, *status, env=lent))


def _settings(config: Path) -> list[str]:
    """Return the harmless settings of a repository, as options."""
    pattern = f"^({'|'.join(HARMLESS)})$".replace(".", r"\.")
    asked = ("config", "--file", str(config), "--no-includes", "--get-regexp", pattern)
    try:
        found = _git(config.parent, *asked)
    except subprocess.CalledProcessError:  # it has none of them
        return []
    return [part for line in found.splitlines() for part in ("-c", "=".join(line.split(None, 1)))]


def _git(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        ["git", "--no-pager", *arguments],
        cwd=folder,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    return done.stdout.strip()
