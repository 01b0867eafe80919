"""The commit of a study's folder: the same words as plain git's, and nothing run that the repository names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.core.git_commit import commit_of
from tests.support.canary import Canaries

CONFIG = {
    "core.fsmonitor": "fsmonitor",
    "core.hooksPath": "",
    "core.pager": "pager",
    "core.sshCommand": "ssh",
    "core.editor": "editor",
    "diff.external": "external",
    "filter.evil.clean": "clean",
    "filter.evil.smudge": "smudge",
    "filter.evil.process": "process",
    "diff.evil.textconv": "textconv",
    "diff.evil.command": "command",
    "credential.helper": "!credential",
    "alias.status": "!alias",
    "alias.rev-parse": "!alias",
    "gpg.program": "gpg",
}


def git(folder: Path, *arguments: str) -> str:
    settings = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "protocol.file.allow=always")
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, env={**settings, **own}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "study folder"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "study.yaml").write_text("name: a\n")
    (folder / ".gitattributes").write_text("*.yaml filter=evil diff=evil\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


@pytest.mark.parametrize("touched", ["nothing", "times", "content"])
def test_nothing_runs_that_the_repository_names(touched: str, repository: Path, tmp_path: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    canaries = Canaries(tmp_path / "sang")
    for key, name in CONFIG.items():
        if name:
            mark = "!" if name.startswith("!") else ""
            git(repository, "config", key, f"{mark}{canaries.command(name.removeprefix('!'))}")
    hooks = repository / ".git" / "hooks"
    for name in ("post-index-change", "fsmonitor-watchman", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\n{canaries.command(name)}\n")
        (hooks / name).chmod(0o755)
    git(repository, "config", "core.hooksPath", str(hooks))
    if touched == "times":
        os.utime(repository / "study.yaml", (1, 1))
    if touched == "content":
        (repository / "study.yaml").write_text("name: b\n")
    found = commit_of(repository)
    assert canaries.sang() == []
    assert found == (f"{head}+changes" if touched == "content" else head)
    subprocess.run(["git", "status"], cwd=repository, capture_output=True, check=False)
    assert "fsmonitor" in canaries.sang(), "these canaries do not sing at all"


def test_a_submodule_runs_nothing_either(repository: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "--quiet")
    git(inner, "commit", "--quiet", "--allow-empty", "-m", "inner")
    git(repository, "submodule", "--quiet", "add", str(inner), "part")
    git(repository, "commit", "--quiet", "-m", "second")
    canaries = Canaries(tmp_path / "sang")
    git(repository / "part", "config", "core.fsmonitor", canaries.command("inner"))
    assert commit_of(repository) == git(repository, "rev-parse", "HEAD")
    assert canaries.sang() == []


def test_changes_are_what_plain_git_calls_changes(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    (repository / "untracked").write_text("x")
    assert commit_of(repository) == head
    below = repository / "below"
    below.mkdir()
    assert commit_of(below) == head
    (repository / "crlf.txt").write_bytes(b"a\r\nb\r\n")
    git(repository, "config", "core.autocrlf", "true")
    git(repository, "add", "crlf.txt")
    assert commit_of(repository) == f"{head}+changes"  # staged
    git(repository, "commit", "--quiet", "-m", "second")
    os.utime(repository / "crlf.txt", (1, 1))
    assert git(repository, "status", "--porcelain", "--untracked-files=no") == ""
    os.utime(repository / "crlf.txt", (2, 2))
    assert commit_of(repository) == git(repository, "rev-parse", "HEAD")
    (repository / "study.yaml").unlink()
    assert commit_of(repository).endswith("+changes")


def test_a_worktree_has_its_own_commit(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "--quiet", "-b", "other", str(tmp_path / "other"))
    (tmp_path / "other" / "study.yaml").write_text("name: c\n")
    git(tmp_path / "other", "commit", "--quiet", "-am", "other")
    assert commit_of(tmp_path / "other") == git(tmp_path / "other", "rev-parse", "HEAD")
    assert commit_of(repository) == git(repository, "rev-parse", "HEAD") != commit_of(tmp_path / "other")


def test_no_repository_and_no_commit(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == "none"
    git(tmp_path, "init", "--quiet")
    assert commit_of(tmp_path) == "none"
