"""What is told of draws of training rows that a study compares: how they lie in each other, how long each trains."""

from __future__ import annotations

from harness.study.spec import StudySpec

__all__ = ["draws_compared", "size_notes"]

ASKED_ONCE = "Zero-shot cells know nothing of training rows: one run of the untrained model stands for all of them."


def _sizes(study: StudySpec) -> str:
    """Return what the training sizes of a study have in common, in words; empty where one is studied."""
    data = study.data
    if not (sizes := data.sizes or data.counts_by_label):
        return ""
    rows = "rows" if data.sizes else "rows of each label"
    nested = f"{', '.join(f'{size:,}' for size in sizes)} {rows}, each a part of the next larger"
    if study.training.counts_steps:
        return f"{nested}; equal steps, so the rows of a smaller one are seen more often"
    return f"{nested}; equal epochs, so a larger one takes more steps"


def _seeds(study: StudySpec) -> str:
    """Return what the seeds of a study have in common, likewise."""
    if not (seeds := study.data.seeds):
        return ""
    return f"{', '.join(map(str, seeds))}, each of other training rows; validation and test are those of {seeds[0]}"


def draws_compared(study: StudySpec) -> dict[str, str]:
    """Return what is compared of training rows, in words, by what it is."""
    return {what: told for what, told in (("training sizes", _sizes(study)), ("data seeds", _seeds(study))) if told}


def size_notes(study: StudySpec) -> list[str]:
    """Tell how draws of training rows are compared, and what would compare sizes otherwise."""
    notes = []
    if told := _sizes(study):
        other = (
            "training.epochs gives equal epochs" if study.training.counts_steps else "training.steps gives equal steps"
        )
        key = "train" if study.data.sizes else "per_label"
        notes.append(f"data.{key} compares {told}; {other}.")
    if told := _seeds(study):
        notes.append(f"data.seed compares {told}.")
    return [*notes, ASKED_ONCE] if notes else []
