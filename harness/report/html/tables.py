"""Rows of the page's tables, ready to print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from harness.report.charts.svg_marks import interval, scale
from harness.report.charts.tradeoffs import generality_kept
from harness.report.number_format import between, decimals, probability, score, signed
from harness.report.text.findings import Findings
from harness.report.text.headline import effect_families
from harness.results.collect import CellResult, Results
from harness.results.cost_table import CostRow, table
from harness.results.row_order import kept_split, tunings
from harness.stats import Comparison, spread

__all__ = [
    "Plain",
    "costs",
    "families",
    "generality",
    "heat",
    "ranked",
    "reference_interval",
    "to_baseline",
    "to_references",
]


DEVIATION = Markup('{} <span class="deviation">± {}</span>')
"""A mean and its standard deviation."""


class _Ranked(NamedTuple):
    """A row of the ranked table."""

    rank: int
    cell: str
    marked: bool
    """Whether it belongs to the group that cannot be told apart."""
    is_baseline: bool
    learning_rate: str
    validation: str | Markup
    test: str | Markup
    interval: str
    seeds: str
    kept: str
    """How much generality; a dash where it was not measured."""
    drawing: Markup


class _Difference(NamedTuple):
    """A row of a table of comparisons."""

    name: str
    difference: str
    interval: str
    p: str
    verdict: str
    drawing: Markup


class _Shade(NamedTuple):
    """A cell of the heat map."""

    text: str
    depth: float
    """0 the worst score, 1 the best."""
    marked: bool


class Plain(NamedTuple):
    """A table of numbers, the name of each row first."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def ranked(results: Results, findings: Findings) -> list[_Ranked]:
    """Return the ranked table, best on validation first."""
    scores = findings.verdicts.scores if findings.verdicts else {}
    on = scale(end for found in scores.values() for end in (found.low, found.value, found.high))
    rows, places = [], decimals(results)
    for number, cell in enumerate(results.ranked(), start=1):
        found = scores.get(cell.id)
        rows.append(
            _Ranked(
                rank=number,
                cell=cell.id,
                marked=cell.id in findings.group,
                is_baseline=cell.id == results.baseline,
                learning_rate="–" if cell.learning_rate is None else f"{cell.learning_rate:.2g}",
                validation=_mean(cell, f"validation/{results.lead}", places),
                test=_mean(cell, f"test/{results.lead}", places),
                interval=between(found, places, sign=False) if found else "–",
                seeds=str(len(cell.finals)),
                kept=_share(generality_kept(cell)),
                drawing=interval(found.low, found.value, found.high, on=on) if found else Markup(""),
            )
        )
    return rows


def _mean(cell: CellResult, metric: str, places: int) -> str | Markup:
    """Return a score with its spread over final runs, where there are several."""
    if math.isnan(cell.score(metric)) and cell.all_diverged and metric.startswith("validation/"):
        return "all diverged"
    deviation = spread(cell.values(metric))
    shown = score(cell.score(metric), places)
    return shown if math.isnan(deviation) else DEVIATION.format(shown, score(deviation, places - 1))


def generality(results: Results) -> Plain:
    """Return what training left of other skills: perplexity on general text, scores on other tasks where named.

    Without rows where nothing was measured.
    """
    name = "generality/perplexity"
    others = _other_tasks(results)
    rows = [
        (
            cell.id,
            *(_share(cell.score(one), 2) for one in (f"{name}_before", name)),
            _share(generality_kept(cell)),
            *(_share(cell.score(one)) for other in others for one in (f"{other}_before", other)),
        )
        for cell in results.ranked()
        if any(name.startswith("generality/") for final in cell.finals for name in final.metrics)
    ]
    tasks = [f"{other.removeprefix('generality/')} {when}" for other in others for when in ("before", "after")]
    return Plain(("cell", "perplexity before", "perplexity after", "generality kept", *tasks), rows)


def _other_tasks(results: Results) -> list[str]:
    """Return the metrics of other tasks, ``generality/<task>/<metric>``, that final runs were scored by."""
    names = [name for cell in results.cells for final in cell.finals for name in final.metrics]
    return [
        n for n in dict.fromkeys(names) if n.startswith("generality/") and n.count("/") == 2 and n[-7:] != "_before"
    ]


def _share(value: float, places: int = 3) -> str:
    return "–" if math.isnan(value) else f"{value:,.{places}f}"


def reference_interval(label: str, results: Results, findings: Findings) -> str:
    """Return the interval of a reference row, given its label in the ranked table."""
    found = findings.verdicts.references.get(label.removeprefix("reference: ")) if findings.verdicts else None
    return between(found, decimals(results), sign=False) if found else "–"


def to_baseline(results: Results, findings: Findings) -> list[_Difference]:
    """Return every cell's difference to the baseline, the best first."""
    if findings.verdicts is None:
        return []
    sign = -1.0 if findings.verdicts.higher_is_better else 1.0
    ordered = sorted(findings.verdicts.to_baseline, key=lambda found: sign * found.difference.value)
    return _differences(ordered, decimals(results))


def to_references(results: Results, findings: Findings) -> list[_Difference]:
    """Return every reference row's difference to the best cell."""
    return _differences(findings.verdicts.to_references, decimals(results)) if findings.verdicts else []


def _differences(comparisons: Sequence[Comparison], places: int) -> list[_Difference]:
    on = scale([0.0, *(end for found in comparisons for end in (found.difference.low, found.difference.high))])
    rows = []
    for found in comparisons:
        one = found.difference
        drawing = interval(one.low, one.value, one.high, on=on, zero=True, tone=found.verdict)
        value, ends = signed(one.value, places), between(one, places, sign=True)
        rows.append(_Difference(found.a, value, ends, probability(found.p_adjusted), found.verdict, drawing))
    return rows


def families(results: Results, findings: Findings) -> list[tuple[str, str, list[_Difference]]]:
    """Return the effects: what is compared, with what, and its rows."""
    families, places = effect_families(results.baseline, findings.verdicts), decimals(results)
    return [(title, head, _differences(members, places)) for title, head, members in families]


def heat(results: Results, findings: Findings) -> dict[str, list[_Shade | None]]:
    """Return the scores by prompt, shallow tunings first."""
    split = kept_split(results)
    scores = {(cell.prompt, cell.tuning): cell.score(f"{split}/{results.lead}") for cell in results.cells}
    known = [value for value in scores.values() if not math.isnan(value)] or [0.0]
    low, high = min(known), max(known)
    rows: dict[str, list[_Shade | None]] = {}
    for prompt in dict.fromkeys(cell.prompt for cell in results.cells):
        rows[prompt] = []
        for tuning in tunings(results):
            value = scores.get((prompt, tuning), math.nan)
            share = (value - low) / (high - low) if high > low else 0.5
            marked = f"{prompt}/{tuning}" in findings.group
            depth = share if results.maximize else 1 - share
            rows[prompt].append(
                None if math.isnan(value) else _Shade(score(value, decimals(results)), round(depth, 3), marked)
            )
    return rows


def costs(results: Results) -> Plain:
    """Return what each cell took; a column that the store knows nothing of is left out."""
    found = table(results)
    columns = {
        "trainable parameters": [_whole(row.trainable_parameters) for row in found],
        "trials": [_trials(row) for row in found],
        "final runs": [str(row.finals) for row in found],
        "seconds": [_amount(row.seconds, 1) for row in found],
        "of it training": [_amount(row.train_seconds, 1) for row in found],
        "recording": [_amount(row.recording_seconds, 1) for row in found],
        "label tokens": [_amount(row.tokens, 0) for row in found],
        "TFLOP": [_digits(row.tflop) for row in found],
        "TFLOP saved": [_digits(row.tflop_saved) for row in found],
        "energy (kJ)": [_digits(row.energy_kj) for row in found],
        "peak memory (MiB)": [_amount(row.peak_memory_mib, 0) for row in found],
    }
    known = {name: values for name, values in columns.items() if set(values) - {"–"}}
    names = [row.cell for row in found]
    return Plain(("cell", *known), list(zip(names, *known.values(), strict=True)))


def _trials(row: CostRow) -> str:
    lost = [f"{number} {what}" for number, what in ((row.pruned, "pruned"), (row.diverged, "diverged")) if number]
    return f"{row.trials} ({', '.join(lost)})" if lost else str(row.trials)


def _whole(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _amount(value: float, decimals: int) -> str:
    return "–" if math.isnan(value) else f"{value:,.{decimals}f}"


def _digits(value: float) -> str:
    """Return three digits of a number that may be of any size."""
    return "–" if math.isnan(value) else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
