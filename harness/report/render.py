"""From results to files: the ranked table, ``report.md``, ``results.csv`` and ``costs.csv``."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.report.collect import CellResult, Results
from harness.report.figures import draw
from harness.report.searches import searches
from harness.stats import mean, spread

__all__ = ["RankedRow", "costs_csv", "rank", "results_csv", "write_report"]

COSTS = ("train_seconds", "validation_seconds", "test_seconds", "tokens", "peak_memory_mib")


class RankedRow(NamedTuple):
    """One line of the ranked table, ready to print."""

    rank: str
    cell: str
    learning_rate: str
    validation: str
    test: str


def rank(results: Results) -> list[RankedRow]:
    """Return the table, best on validation first."""
    rows = []
    for number, cell in enumerate(results.ranked(), start=1):
        failed = cell.tuning != "none" and cell.learning_rate is None and bool(cell.trials)
        rows.append(
            RankedRow(
                rank=str(number),
                cell=cell.id,
                learning_rate="-" if cell.learning_rate is None else f"{cell.learning_rate:.2g}",
                validation="all diverged" if failed else _shown(cell, f"validation/{results.lead}"),
                test=_shown(cell, f"test/{results.lead}"),
            )
        )
    return rows


def _shown(cell: CellResult, metric: str) -> str:
    score, deviation = cell.score(metric), spread(cell.values(metric))
    if math.isnan(score):
        return "-"
    digits = 4 if abs(score) < 1.5 else 2
    return f"{score:.{digits}f}" + ("" if math.isnan(deviation) else f" ± {deviation:.{digits}f}")


def results_csv(results: Results) -> str:
    """Return one row per cell in grid order, floats in full, empty where undefined; results alone, no times."""
    header = ["cell", "prompt", "tuning", "learning_rate", "seeds"]
    for metric in results.metrics:
        header += [f"validation_{metric}", f"validation_{metric}_sd", f"test_{metric}", f"test_{metric}_sd"]
    rows: list[list[str]] = []
    for cell in results.cells:
        row = [cell.id, cell.prompt, cell.tuning, _exact(cell.learning_rate), str(len(cell.finals))]
        for metric in results.metrics:
            for name in (f"validation/{metric}", f"test/{metric}"):
                row += [_exact(cell.score(name)), _exact(spread(cell.values(name)))]
        rows.append(row)
    return _csv(header, rows)


def costs_csv(results: Results) -> str:
    """Return what each cell took: trials, final runs, seconds, tokens trained on, peak memory of the process."""
    header = ["cell", "trainable_parameters", "trials", "pruned", "diverged", "finals", *COSTS]
    rows: list[list[str]] = []
    for cell in results.cells:
        costs = [*(trial.costs for trial in cell.trials), *(final.costs for final in cell.finals)]
        states = [trial.state for trial in cell.trials]
        counts = [len(cell.trials), states.count("pruned"), states.count("diverged"), len(cell.finals)]
        totals = [_total(name, [cost[name] for cost in costs if name in cost]) for name in COSTS]
        trainable = cell.params.get("trainable_parameters", "")
        rows.append([cell.id, trainable, *map(str, counts), *totals])
    return _csv(header, rows)


def _total(name: str, values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{max(values) if name.startswith('peak') else sum(values):.3f}"


def _exact(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else repr(value)


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def write_report(results: Results, folder: Path) -> Path:
    """Write all files of a report into a folder and return ``report.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    draw(results, folder / "figures")
    (folder / "results.csv").write_text(results_csv(results), encoding="utf-8")
    (folder / "costs.csv").write_text(costs_csv(results), encoding="utf-8")
    page = folder / "report.md"
    page.write_text(_page(results), encoding="utf-8")
    return page


def _page(results: Results) -> str:
    rows = rank(results)
    sections = [
        f"# {results.study}",
        results.question,
        f"## Ranked by {results.lead} on validation",
        _table([name.replace("_", " ") for name in RankedRow._fields], rows),
        f"Mean ± standard deviation of {results.lead} over final seeds. The test split was scored by final runs alone. "
        f"Baseline: {results.baseline}.",
        "## Prompts by depth",
        f"![{results.lead} of each prompt at each depth](figures/depths.png)",
        "## Score over learning rate",
        f"![{results.objective} over the learning rate, by prompt and depth](figures/learning_rates.png)",
        "## Search",
        searches(results),
        "## Data",
        _pairs(results.data),
        "## Cost",
        _cost_line(results),
        *_forecast(results),
        "## Provenance",
        _pairs(results.provenance),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _pairs(facts: Mapping[str, object]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _seconds(costs: Mapping[str, float]) -> float:
    return sum(cost for name, cost in costs.items() if name.endswith("_seconds"))


def _cost_line(results: Results) -> str:
    trials = [trial for cell in results.cells for trial in cell.trials]
    finals = [final for cell in results.cells for final in cell.finals]
    spent = [_seconds(trial.costs) for trial in trials]
    seconds, per_trial = sum(spent) + sum(_seconds(final.costs) for final in finals), mean(spent)
    text = f"{len(trials)} trials and {len(finals)} final runs took {seconds:.0f} seconds of training and scoring"
    return text + ("." if math.isnan(per_trial) else f", {per_trial:.1f} a trial. By cell: `costs.csv`.")


def _forecast(results: Results) -> list[str]:
    """Set what was predicted beside what it took, for the cells that were run as they were planned."""
    planned = results.forecast.cells if results.forecast else {}
    done = [
        (planned[cell.id].seconds, cell)
        for cell in results.cells
        if cell.id in planned and planned[cell.id][:2] == (len(cell.trials), len(cell.finals))
    ]
    if results.forecast is None or not done:
        return []
    rows = [_beside(cell.id, predicted, cell.seconds) for predicted, cell in done]
    rows.append(_beside("all (s)", sum(predicted for predicted, _ in done), sum(cell.seconds for _, cell in done)))
    costs = [trial.costs for _, cell in done for trial in cell.trials]
    costs += [final.costs for _, cell in done for final in cell.finals]
    peak = max((cost["peak_memory_mib"] for cost in costs if "peak_memory_mib" in cost), default=math.nan)
    rows.append(_beside("peak memory (MiB)", results.forecast.peak_memory_mib, peak))
    return [
        "## Predicted and actual",
        _table(["seconds of runs", "predicted", "actual", "actual / predicted"], rows),
        f"By `harness plan`, which also counted {results.forecast.recordings_mib:,.1f} MiB of recordings. Loading the "
        "model and writing the report are in neither.",
    ]


def _beside(name: str, predicted: float, actual: float) -> list[str]:
    ratio = f"{actual / predicted:.2f}" if predicted and math.isfinite(actual) else "-"
    return [name, f"{predicted:,.1f}", "-" if math.isnan(actual) else f"{actual:,.1f}", ratio]
