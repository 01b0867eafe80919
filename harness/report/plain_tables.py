"""What page and Markdown show alike in numbers: costs, what is left of other skills, plan against actual."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import NamedTuple

from harness.report.number_format import UNDEFINED, amount, percent, places, score, significant
from harness.report.templates import paragraphs
from harness.results.collect import Results
from harness.results.cost_table import CostRow, cost_table, plan_vs_actual, total_costs
from harness.results.degenerate import empty_shares
from harness.study.axes import Prompt
from harness.tracking.schema import Metrics, score_name

__all__ = ["PlainTable", "all_scores", "cost_sentences", "costs", "forecast", "generality", "wordings"]


class PlainTable(NamedTuple):
    """A table of numbers as text, the name of each row first."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def generality(results: Results) -> PlainTable:
    """Return what training left of perplexity on general text and of other tasks; no rows if nothing was measured."""
    name = Metrics.PERPLEXITY
    others = _other_tasks(results)
    rows = [
        [
            cell.id,
            *(amount(cell.score(metric), 2) for metric in (f"{name}{Metrics.BEFORE}", name)),
            amount(cell.generality_kept, 3),
            *(amount(cell.score(metric), 3) for other in others for metric in (f"{other}{Metrics.BEFORE}", other)),
        ]
        for cell in results.ranked()
        if any(name.startswith(Metrics.GENERALITY) for final in cell.finals for name in final.metrics)
    ]
    tasks = [f"{other.removeprefix(Metrics.GENERALITY)} {when}" for other in others for when in ("before", "after")]
    return PlainTable(["cell", "perplexity before", "perplexity after", "generality kept", *tasks], rows)


def wordings(prompt: Prompt) -> PlainTable:
    """Return the wordings of each feature of a prompt."""
    each = [(part, level, text) for part, levels in prompt.wordings.items() for level, text in levels.items()]
    rows = [[part, level, json.dumps(text, ensure_ascii=False) if text else "nothing"] for part, level, text in each]
    return PlainTable(["part", "level", "wording"], rows)


def _other_tasks(results: Results) -> list[str]:
    """Return the metrics of other tasks, ``generality/<task>/<metric>``, that final runs were scored by."""
    names = [name for cell in results.cells for final in cell.finals for name in final.metrics]
    measured = [name for name in dict.fromkeys(names) if name.startswith(Metrics.GENERALITY) and name.count("/") == 2]
    return [name for name in measured if not name.endswith(Metrics.BEFORE)]


def all_scores(results: Results) -> PlainTable:
    """Return every metric of the task on validation and test, by cell and reference row, means over final runs.

    Empty predictions on test have a column where there are any.
    """
    names = [score_name(split, metric) for metric in results.metrics for split in ("validation", "test")]
    values = {cell.id: [cell.score(name) for name in names] for cell in results.ranked()}
    values |= {
        f"reference: {row}": [metrics.get(name, math.nan) for name in names]
        for row, metrics in results.references.items()
    }
    columns = [map(abs, filter(math.isfinite, column)) for column in zip(*values.values(), strict=True)]
    largest = [max(column, default=0.0) for column in columns]
    decimals = [places(max(largest[place - place % 2 :][:2])) for place in range(len(largest))]  # a metric's two alike
    rows = {name: [score(*one) for one in zip(row, decimals, strict=True)] for name, row in values.items()}
    empty = empty_shares(results)
    header = [f"{metric} {split}" for metric in results.metrics for split in ("validation", "test")]
    if any(empty.values()):
        header.append("empty on test")
        rows = {name: [*row, percent(empty.get(name, math.nan))] for name, row in rows.items()}
    known = [place for place in range(len(header)) if {row[place] for row in rows.values()} - {UNDEFINED}]
    return PlainTable(
        ["cell", *(header[place] for place in known)],
        [[name, *(row[place] for place in known)] for name, row in rows.items()],
    )


def costs(results: Results) -> PlainTable:
    """Return what each cell took; a column that the store knows nothing of is left out.

    Of memory the store knows the most that the process had held by the end of a run, which is no cell's own.
    """
    rows = cost_table(results)
    columns = {
        "trainable parameters": [amount(row.trainable_parameters) for row in rows],
        "of weights": [amount(cell.parameters) for cell in results.cells],
        "trials": [_trials(row) for row in rows],
        "final runs": [str(row.finals) for row in rows],
        "seconds": [amount(row.seconds, 1) for row in rows],
        "of it training": [amount(row.train_seconds, 1) for row in rows],
        "scoring": [amount(row.validation_seconds + row.test_seconds, 1) for row in rows],
        "recording": [amount(row.recording_seconds, 1) for row in rows],
        "label tokens": [amount(row.tokens) for row in rows],
        "TFLOP": [significant(row.tflop) for row in rows],
        "TFLOP saved": [significant(row.tflop_saved) for row in rows],
        "energy (kJ)": [significant(row.energy_kj) for row in rows],
    }
    known = {name: values for name, values in columns.items() if set(values) - {UNDEFINED}}
    names = [row.cell for row in rows]
    return PlainTable(["cell", *known], list(zip(names, *known.values(), strict=True)))


def _trials(row: CostRow) -> str:
    lost = [f"{number} {state}" for number, state in ((row.pruned, "pruned"), (row.diverged, "diverged")) if number]
    return f"{row.trials} ({', '.join(lost)})" if lost else str(row.trials)


def cost_sentences(results: Results) -> str:
    """Return in sentences how long all runs took, and what replaying the frozen part saved them."""
    facts = {
        "trials": sum(len(cell.trials) for cell in results.cells),
        "finals": sum(len(cell.finals) for cell in results.cells),
        "seconds": sum(cell.seconds for cell in results.cells),
        "total": total_costs(results.cells),
    }
    return " ".join(paragraphs("text/cost_sentences.md.j2", **facts))


def forecast(results: Results) -> PlainTable:
    """Return what was predicted beside what it took; without rows where nothing was planned."""
    rows = [
        [row.name, amount(row.predicted, 1), amount(row.actual, 1), score(row.ratio, 2)]
        for row in plan_vs_actual(results)
    ]
    return PlainTable(["seconds of runs", "predicted", "actual", "actual / predicted"], rows)
