"""What final models of a study answered under other prompts than their own, as its records have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from harness.metrics.base import Metric
from harness.results.collect import Results
from harness.results.row_order import prompts
from harness.stats import Runs
from harness.stats import runs as ready
from harness.stats.answers import Answers, groups_of, score_answers, units
from harness.stats.transfer_estimates import Asked, Transferred, transferred
from harness.stats.verdicts import SEED
from harness.tracking.schema import score_name
from harness.tracking.transfer_names import transfer_part

__all__ = ["PromptTransfer", "TransferRow", "prompt_transfer", "score_under"]

RUNS = 150_000
"""Scores of resamples that all cells together may take, some seconds for a corpus metric; 500 resamples at least."""


class TransferRow(NamedTuple):
    """One cell whose models answered under several prompts."""

    cell: str
    prompt: str
    """That it trained with."""
    scores: Mapping[str, float]
    """Its mean score on test by the metric that leads, by the prompt that it was asked under; its own among them."""
    kept: Transferred | None
    """``None`` where nothing is claimed by example."""


class PromptTransfer(NamedTuple):
    """All of them."""

    prompts: tuple[str, ...]
    """Under which models were asked, in the study's order."""
    rows: tuple[TransferRow, ...]
    """In grid order."""


def score_under(prompt: str, own: str, metric: str) -> str:
    """Return the metric of runs that holds a cell's score under a prompt.

    >>> score_under("cue", "bare", "chrf"), score_under("cue", "cue", "chrf")
    ('transfer/cue/chrf', 'test/chrf')
    """
    return score_name("test" if prompt == own else transfer_part(prompt), metric)


def prompt_transfer(results: Results, metric: Metric | None) -> PromptTransfer | None:
    """Return what cells scored under each prompt; ``None`` where none was asked under another than its own.

    Args:
        results: The study's.
        metric: By which claims are made, and intervals taken; ``None``: there are none.
    """
    asked = [name for name in prompts(results) if results.transfer.get(name)]
    cells = [cell for cell in results.cells if any(cell.id in results.transfer[name].cells for name in asked)]
    if not cells:
        return None
    kept = _kept(results, asked, metric) if metric else {}
    rows = []
    for cell in cells:
        scores = {name: cell.score(score_under(name, cell.prompt, results.lead)) for name in asked}
        rows.append(TransferRow(cell.id, cell.prompt, scores, kept.get(cell.id)))
    return PromptTransfer(tuple(asked), tuple(rows))


def _kept(results: Results, asked: Sequence[str], metric: Metric) -> dict[str, Transferred]:
    """Return the estimates of the cells that answered under all the other prompts, each with all its final runs."""
    own = results.answers
    if own is None or units(own.examples) < 2:
        return {}
    tables = {"": own, **{name: results.transfer[name] for name in asked}}
    scored = {name: _ready(table, metric) for name, table in tables.items() if _alike(table, own)}
    found = {}
    for cell in results.cells:
        others = [name for name in asked if name != cell.prompt]
        parts = [scored.get(name, {}).get(cell.id) for name in others]
        whole = [part for part in parts if part and len(part.scorers) == len(cell.finals)]
        base = scored[""].get(cell.id)
        if cell.tuning != "none" and base and others and len(whole) == len(others):
            found[cell.id] = Asked(base, whole, _untrained(results, cell.factors, others, scored[""]))
    runs = sum(len(cell.own.scorers) * 2 * (1 + len(cell.others)) for cell in found.values())
    return transferred(found, seed=SEED, resamples=max(500, min(5000, RUNS // max(1, runs)))) if found else {}


def _untrained(
    results: Results, factors: Mapping[str, str], others: Sequence[str], scored: Mapping[str, Runs]
) -> tuple[Runs, list[Runs]] | None:
    """Return the runs of the untrained model under a cell's own prompt and under others, if all are there."""
    levels = [{**factors, "tuning": "none", "prompt": name} for name in (factors["prompt"], *others)]
    cells = [next((cell.id for cell in results.cells if cell.factors == one), "") for one in levels]
    found = [scored[cell] for cell in cells if cell in scored]
    return (found[0], found[1:]) if len(found) == len(levels) else None


def _ready(answers: Answers, metric: Metric) -> dict[str, Runs]:
    statistics, groups = score_answers(answers, metric), groups_of(answers.examples)
    return {
        name: ready(statistics[name], metric.reduce, seeded=cell.seeded, groups=groups)
        for name, cell in answers.cells.items()
    }


def _alike(one: Answers, other: Answers) -> bool:
    return [example.id for example in one.examples] == [example.id for example in other.examples]
