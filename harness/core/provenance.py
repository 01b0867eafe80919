"""Where a number came from: versions, commit, machine."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.core.git_commit import commit_of

__all__ = ["processor", "provenance"]

PACKAGES = (
    *("prompt-depth-harness", "torch", "transformers", "peft", "tokenizers", "datasets", "optuna", "mlflow", "numpy"),
)

PROCESSORS = Path("/proc/cpuinfo")
"""Where Linux says who made them."""

SAID = re.compile(r"^(?:vendor_id|cpu (family)|model name)[ \t]*: (.*)$", re.MULTILINE)


def provenance(folder: Path) -> dict[str, str]:
    """Return versions, the commit of a folder's repository (``none`` outside of one) and the machine, as tags."""
    found = {"commit": commit_of(folder), "python": platform.python_version(), "platform": platform.platform()}
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
