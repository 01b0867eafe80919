"""Cells whose labels are calibrated: by what, and which others are the same without."""

from __future__ import annotations

from dataclasses import replace

from harness.data.label_words import calibration_of, labels_of, uncalibrated
from harness.data.tokenization import PromptForm
from harness.results.cell_result import CellResult
from harness.results.collect import Results
from harness.tracking.calibration_names import prior_metrics

__all__ = ["calibrated_pairs", "label_priors"]


def label_priors(results: Results) -> dict[str, dict[str, float]]:
    """Return, by calibrated cell, the probability of each label behind inputs that say nothing, over final runs."""
    found = {}
    for cell in results.cells:
        form = _calibrated(results, cell)
        names = [label.name for label in labels_of(form)] if form else []
        metrics = prior_metrics([0.0] * len(names))
        if metrics and all(cell.values(metric) for metric in metrics):
            found[cell.id] = {name: cell.score(metric) for name, metric in zip(names, metrics, strict=True)}
    return found


def calibrated_pairs(results: Results) -> list[tuple[str, str]]:
    """Return each calibrated cell and the one that is the same without calibration, as far as a study has that."""
    pairs = []
    for cell in results.cells:
        form = _calibrated(results, cell)
        plain = next((name for name, other in results.forms.items() if form and _is_without(other, form)), None)
        levels = {**cell.factors, "prompt": plain}
        pairs += [(cell.id, other.id) for other in results.cells if plain and other.factors == levels]
    return pairs


def _calibrated(results: Results, cell: CellResult) -> PromptForm | None:
    form = results.forms.get(cell.prompt)
    return form if form and calibration_of(form) else None


def _is_without(other: PromptForm | None, form: PromptForm) -> bool:
    """Return whether a prompt is another one but for its name and that it is not calibrated."""
    return other is not None and type(other) is type(form) and other == replace(uncalibrated(form), name=other.name)
