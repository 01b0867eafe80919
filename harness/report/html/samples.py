"""What the cells said to the same inputs: where the first cell gained most over the baseline, and lost most."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from harness.core.example import Example
from harness.metrics.base import Metric
from harness.report.text.findings import Findings
from harness.results.collect import Results
from harness.stats import mean
from harness.study.tuning_kinds import depth

__all__ = ["Answer", "First", "Sample", "Samples", "first_examples", "samples"]

LONGEST = 1500
"""Characters of a text that are shown."""


class Answer(NamedTuple):
    """One cell's prediction, that of its first final run."""

    cell: str
    text: str
    score: float
    """Of this prediction alone."""


class Sample(NamedTuple):
    """One test example."""

    id: str
    source: str
    references: tuple[str, ...]
    gain: float
    """How much better the one cell did than the other, mean over final runs; negative: worse."""
    said: tuple[Answer, ...]
    """All cells, the two that are compared first."""


class Samples(NamedTuple):
    """Examples on which two cells differ most."""

    a: str
    b: str
    wins: tuple[Sample, ...]
    """Where ``a`` gained, most first."""
    losses: tuple[Sample, ...]
    """Where ``a`` lost, most first."""


class First(NamedTuple):
    """One test example under every prompt, and at every depth."""

    id: str
    source: str
    references: tuple[str, ...]
    tuning: str
    """That of the first cell on validation."""
    prompts: tuple[Answer, ...]
    """Every prompt with that tuning."""
    prompt: str
    """Likewise."""
    depths: tuple[Answer, ...]
    """That prompt at every depth, shallow ones first."""


def samples(results: Results, findings: Findings, *, most: int = 4) -> Samples | None:
    """Return the examples that tell the first cell from the baseline, or from the second where it is the baseline.

    Args:
        results: The study.
        findings: From `find`.
        most: How many wins, and how many losses.
    """
    verdicts, metric = findings.verdicts, results.metric
    if verdicts is None or isinstance(metric, str):
        return None
    ranked = [cell.id for cell in results.ranked() if cell.id in verdicts.scores and cell.id != verdicts.best]
    others = [verdicts.baseline, *ranked] if verdicts.baseline in ranked else ranked
    if not others:
        return None
    a, b = verdicts.best, others[0]
    sign = 1.0 if metric.higher_is_better else -1.0
    gains = sign * (_by_example(findings, metric, a) - _by_example(findings, metric, b))
    order = [int(place) for place in np.argsort(-gains, kind="stable")]
    cells = list(dict.fromkeys([a, b, *ranked]))
    wins = [place for place in order if gains[place] > 0][:most]
    losses = [place for place in reversed(order) if gains[place] < 0][:most]
    shown = [tuple(_sample(place, gains[place], cells, results, findings) for place in one) for one in (wins, losses)]
    return Samples(a, b, *shown)


def first_examples(results: Results, findings: Findings, *, most: int = 3) -> list[First]:
    """Return the first test examples with what every prompt, and what every depth made of them.

    Args:
        results: The study.
        findings: From `find`.
        most: How many examples.
    """
    verdicts = findings.verdicts
    if verdicts is None or results.answers is None:
        return []
    cells = [cell for cell in results.cells if cell.id in verdicts.scores]
    best = next(cell for cell in cells if cell.id == verdicts.best)
    prompts = [cell.id for cell in cells if cell.tuning == best.tuning]
    deep = sorted((cell for cell in cells if cell.prompt == best.prompt), key=lambda cell: depth(cell.tuning))
    shown = []
    for place, example in enumerate(results.answers.examples[:most]):
        by_prompt = _all_said(place, prompts, results, findings)
        by_depth = _all_said(place, [cell.id for cell in deep], results, findings)
        source, references = _texts(example)
        shown.append(First(example.id, source, references, best.tuning, by_prompt, best.prompt, by_depth))
    return shown


def _by_example(findings: Findings, metric: Metric, cell: str) -> np.ndarray:
    """Return a cell's score on each example alone, mean over final runs."""
    runs = findings.scored[cell]
    return np.array([mean([metric.reduce([run[place]]) for run in runs]) for place in range(len(runs[0]))])


def _sample(place: int, gain: float, cells: list[str], results: Results, findings: Findings) -> Sample:
    assert results.answers is not None
    example = results.answers.examples[place]
    return Sample(example.id, *_texts(example), float(gain), _all_said(place, cells, results, findings))


def _all_said(place: int, cells: list[str], results: Results, findings: Findings) -> tuple[Answer, ...]:
    """Return what the first final run of each cell said to an example, and how that scores alone."""
    answers, metric = results.answers, results.metric
    assert answers is not None
    assert not isinstance(metric, str)
    scored = findings.scored
    return tuple(
        Answer(cell, _cut(answers.cells[cell].runs[0][place].text), metric.reduce([scored[cell][0][place]]))
        for cell in cells
    )


def _texts(example: Example) -> tuple[str, tuple[str, ...]]:
    return _cut(example.fields["source"]), tuple(_cut(text) for text in example.references)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
