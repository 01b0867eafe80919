"""Where a number came from: versions, commit, machine."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["processor", "provenance"]

PACKAGES = ("prompt-depth-harness", "torch", "transformers", "tokenizers", "datasets", "optuna", "mlflow", "numpy")

PROCESSORS = Path("/proc/cpuinfo")
"""Where Linux says who made them."""

SAID = re.compile(r"^(?:vendor_id|cpu (family)|model name)[ \t]*: (.*)$", re.MULTILINE)


def provenance(folder: Path) -> dict[str, str]:
    """Return versions, the commit of a folder's repository (``none`` outside of one) and the machine, as tags."""
    found = {"commit": _commit(folder), "python": platform.python_version(), "platform": platform.platform()}
    found |= {"processor": processor() or "unknown", "cpus": str(os.cpu_count())}
    for package in PACKAGES:
        try:
            found[f"version.{package}"] = version(package)
        except PackageNotFoundError:
            found[f"version.{package}"] = "none"
    return found


def processor() -> str:
    """Return the processor's maker, family and name in the system's words, as far as it says them."""
    try:
        entries = SAID.findall(PROCESSORS.read_text())
    except OSError:
        entries = []
    return " ".join(dict.fromkeys(" ".join(entry).strip() for entry in entries)) or platform.processor()


def _commit(folder: Path) -> str:
    try:
        head = _git(folder, "rev-parse", "HEAD")
        return f"{head}+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else head
    except (OSError, subprocess.SubprocessError):
        return "none"


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
