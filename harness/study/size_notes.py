"""What is told of training sizes that a study compares: how they lie in each other, and how long each is trained on."""

from __future__ import annotations

from harness.study.spec import StudySpec

__all__ = ["size_notes", "training_of_sizes"]


def training_of_sizes(study: StudySpec) -> str:
    """Return what the training sizes of a study have in common, in words; empty where one is studied."""
    if not study.data.sizes:
        return ""
    sizes = ", ".join(f"{size:,}" for size in study.data.sizes)
    nested = f"{sizes} rows, each a part of the next larger"
    if study.training.counts_steps:
        return f"{nested}; equal steps, so the rows of a smaller one are seen more often"
    return f"{nested}; equal epochs, so a larger one takes more steps"


def size_notes(study: StudySpec) -> list[str]:
    """Tell how training sizes are compared, and what would compare them otherwise."""
    if not (told := training_of_sizes(study)):
        return []
    other = "training.epochs gives equal epochs" if study.training.counts_steps else "training.steps gives equal steps"
    return [f"data.train compares {told}; {other}."]
