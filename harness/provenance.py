"""Where a number came from: versions, commit, machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["provenance"]

PACKAGES = ("prompt-depth-harness", "torch", "transformers", "tokenizers", "datasets", "optuna", "mlflow", "numpy")


def provenance(folder: Path) -> dict[str, str]:
    """Return versions, the commit of a folder's repository and the machine, as tags.

    Args:
        folder: The study file's folder; no repository around it gives the commit ``none``.
    """
    found = {"commit": _commit(folder), "python": platform.python_version(), "platform": platform.platform()}
    found["cpus"] = str(os.cpu_count())
    for package in PACKAGES:
        try:
            found[f"version.{package}"] = version(package)
        except PackageNotFoundError:
            found[f"version.{package}"] = "none"
    return found


def _commit(folder: Path) -> str:
    try:
        head = _git(folder, "rev-parse", "HEAD")
        return f"{head}+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else head
    except (OSError, subprocess.SubprocessError):
        return "none"


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
