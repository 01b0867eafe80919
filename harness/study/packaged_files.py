"""Where that is which travels with the harness: tasks, their data, the embedded model."""

from __future__ import annotations

from pathlib import Path

__all__ = ["EMBEDDED", "model_location", "packaged"]

EMBEDDED = "base_model"
"""The embedded model's folder, in `packaged`."""


def packaged() -> Path:
    """Return the folder of all of it.

    It is ``harness/tasks`` in an installed wheel and ``tasks`` beside the package in a checkout.
    """
    package = Path(__file__).parents[1]
    return package / "tasks" if (package / "tasks").is_dir() else package.parent / "tasks"


def model_location(name: str) -> str:
    """Return what `from_pretrained` takes: the embedded model's folder, or the name as it is."""
    return str(packaged() / EMBEDDED) if name == "embedded" else name
