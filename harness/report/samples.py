"""What the cells answered to the same inputs: where the first cell gained most over the baseline, and lost most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness.metrics.base import Metric
from harness.report.text.findings import Findings
from harness.results.cell_result import CellResult
from harness.results.collect import Results
from harness.results.row_order import alike
from harness.stats import mean

__all__ = ["Answer", "Sample", "Samples", "first_examples", "samples"]

LONGEST = 1500
"""Characters of a text that are shown."""


class Answer(NamedTuple):
    """One cell's prediction, that of its first final run."""

    cell: str
    text: str
    score: float
    """Of this prediction alone; nan where the metric cannot be had."""


class Sample(NamedTuple):
    """One test example."""

    id: str
    source: str
    references: tuple[str, ...]
    answers: dict[str, tuple[Answer, ...]]
    """By what the cells are, such as ``every prompt, full``."""
    gain: float = 0.0
    """How much better the one of two cells did than the other, mean over final runs; negative: worse."""


class Samples(NamedTuple):
    """Examples on which two cells differ most, with the answers of all cells, those two first."""

    a: str
    b: str
    wins: list[Sample]
    """Where ``a`` gained, most first."""
    losses: list[Sample]
    """Where ``a`` lost, most first."""


def samples(results: Results, findings: Findings, *, most: int = 4) -> Samples | None:
    """Return what tells the first cell from the baseline, or where it is that the second: so many wins and losses."""
    verdicts, metric = findings.verdicts, results.metric
    if verdicts is None or isinstance(metric, str) or (results.answers and results.answers.kept_off):
        return None
    ranked = [cell.id for cell in results.ranked() if cell.id in verdicts.scores and cell.id != verdicts.best]
    if not ranked:
        return None
    a, b = verdicts.best, verdicts.baseline if verdicts.baseline in ranked else ranked[0]
    gains = _by_example(findings, metric, a) - _by_example(findings, metric, b)
    gains = gains if metric.higher_is_better else -gains
    seen = set(_continued(results))
    order = [number for number in map(int, np.argsort(-gains, kind="stable")) if number in seen]
    cells = {"every cell": list(dict.fromkeys([a, b, *ranked]))}

    def shown(numbers: list[int]) -> list[Sample]:
        return [_sample(number, cells, results)._replace(gain=float(gains[number])) for number in numbers]

    wins = [number for number in order if gains[number] > 0]
    losses = [number for number in reversed(order) if gains[number] < 0]
    return Samples(a, b, shown(wins[:most]), shown(losses[:most]))


def first_examples(results: Results, findings: Findings, *, most: int = 3) -> list[Sample]:
    """Return the first test examples with what every prompt, depth and level of further axes made of them.

    Those are of the first cell; where none may be called so, of the one that would be, or else that answered first.
    """
    answers = results.answers
    if answers is None or answers.kept_off or not any(cell.id in answers.cells for cell in results.cells):
        return []
    ranked = [cell.id for cell in results.ranked() if cell.id in answers.cells]
    first = findings.first or next(iter([*ranked, *answers.cells]))
    best = next(cell for cell in results.cells if cell.id == first)
    groups = {}
    for axis in results.axes:
        cells = [cell.id for cell in alike(best, results, but=axis) if cell.id in answers.cells]
        if len(cells) > 1:
            groups[_group(axis, best)] = cells
    groups = groups or {best.id: [best.id]}
    return [_sample(number, groups, results) for number in _continued(results)[:most]]


def _continued(results: Results) -> Sequence[int]:
    """Return the test examples whose predictions can be looked at: of blocks of text those that are continued."""
    assert results.answers is not None
    examples = range(len(results.answers.examples))
    if not results.is_text:
        return examples
    runs = [run for answered in results.answers.cells.values() for run in answered.runs]
    return [number for number in examples if any(run[number].text for run in runs)]


def _group(axis: str, best: CellResult) -> str:
    """Return what the cells are called that differ from the best on one axis."""
    shown = {"prompt": f"prompt {best.prompt}", "tuning": best.tuning}
    same = [shown.get(other, f"{other} {level}") for other, level in best.factors.items() if other != axis]
    return ", ".join([f"every {'depth' if axis == 'tuning' else axis}", *same])


def _by_example(findings: Findings, metric: Metric, cell: str) -> np.ndarray:
    """Return a cell's score on each example alone, mean over final runs."""
    runs = findings.scored[cell]
    return np.array([mean([metric.reduce([run[number]]) for run in runs]) for number in range(len(runs[0]))])


def _sample(number: int, groups: dict[str, list[str]], results: Results) -> Sample:
    """Return an example with what the first final run of each cell answered, and how that scores alone."""
    answers, metric = results.answers, results.metric
    assert answers is not None
    example = answers.examples[number]

    def answer(cell: str) -> Answer:
        said = answers.cells[cell].runs[0][number]
        alone = math.nan if isinstance(metric, str) else metric.reduce([metric.contribution(said, example)])
        return Answer(cell, _cut(said.text), alone)

    references = tuple(_cut(text) for text in example.references)
    by_group = {name: tuple(answer(cell) for cell in cells) for name, cells in groups.items()}
    return Sample(example.id, _cut(example.source), references, by_group)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
