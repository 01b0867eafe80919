"""From results to files: the page, ``report.md``, ``verdicts.json`` and the tables as csv."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.report.cautions import cautions
from harness.report.claims import digits, probability, verdicts_json
from harness.report.collect import CellResult, Results
from harness.report.figures import draw
from harness.report.findings import Findings, find
from harness.report.page import page
from harness.report.searches import searches
from harness.stats import mean, spread

__all__ = ["RankedRow", "costs_csv", "rank", "reference_rows", "references_csv", "results_csv", "write_report"]

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


def reference_rows(results: Results) -> list[RankedRow]:
    """Return what stands below the ranked table: results that need no model."""
    rows = []
    for row in results.references:
        scores = [_number(row.metrics.get(f"{split}/{results.lead}", math.nan)) for split in ("validation", "test")]
        rows.append(RankedRow("-", f"reference: {row.name}", "-", *scores))
    return rows


def _shown(cell: CellResult, metric: str) -> str:
    return _number(cell.score(metric), spread(cell.values(metric)))


def _number(score: float, deviation: float = math.nan) -> str:
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


def references_csv(results: Results) -> str:
    """Return one row per reference row, with the columns of ``results.csv`` that it can fill."""
    names = [f"{split}/{metric}" for metric in results.metrics for split in ("validation", "test")]
    names = [name for name in names if any(name in row.metrics for row in results.references)]
    rows = [[row.name, *(_exact(row.metrics.get(name)) for name in names)] for row in results.references]
    return _csv(["reference", *(name.replace("/", "_") for name in names)], rows)


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
    findings = find(results)
    draw(results, findings, folder / "figures")
    written = folder / "report.md"
    files = {
        "results.csv": results_csv(results),
        "references.csv": references_csv(results),
        "costs.csv": costs_csv(results),
        "verdicts.json": verdicts_json(findings.answer, findings.verdicts),
        "report.html": page(results, findings, references=reference_rows(results), forecast=_forecast_rows(results)),
        written.name: _page(results, findings),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return written


def _page(results: Results, findings: Findings) -> str:
    sections = [
        f"# {results.study}",
        results.question,
        findings.answer,
        "\n".join(f"- {sentence}" for sentence in cautions(results, findings)),
        f"## Ranked by {results.lead} on validation",
        _ranked(results, findings),
        f"Mean ± standard deviation of {results.lead} over final seeds. The test split was scored by final runs alone. "
        f"Baseline: {results.baseline}.",
        *_differences(findings),
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


def _ranked(results: Results, findings: Findings) -> str:
    """Return the ranked table; with verdicts, each cell's interval, and a mark where it is not told apart."""
    header = [name.replace("_", " ") for name in RankedRow._fields]
    rows: list[list[str]] = [list(row) for row in rank(results)]
    references: list[list[str]] = [list(row) for row in reference_rows(results)]
    if not findings.verdicts:
        return _table(header, [*rows, *references])
    scores = findings.verdicts.scores
    for row in rows:
        name = row[1]
        row[1] += " ●" if name in findings.group else ""
        row.append(
            _interval(scores[name].low, scores[name].high, digits(scores[name].value)) if name in scores else "-"
        )
    table = _table([*header, "95% interval (test)"], [*rows, *([*row, "-"] for row in references)])
    return f"{table}\n\n●: not told apart from {findings.verdicts.best} on test (all pairs, Holm's correction at 5%)."


def _differences(findings: Findings) -> list[str]:
    """Return the comparisons with the baseline, as far as there are any."""
    verdicts = findings.verdicts
    if not verdicts or not verdicts.to_baseline:
        return []
    places = digits(verdicts.scores[verdicts.best].value)
    rows = [
        [
            found.a,
            f"{found.difference.value:+.{places}f}",
            _interval(found.difference.low, found.difference.high, places),
            probability(found.p_adjusted),
            found.verdict,
        ]
        for found in verdicts.to_baseline
    ]
    return [
        "## Differences to the baseline",
        _table(["cell", "difference", "95% interval", "p (Holm)", "verdict"], rows),
        f"Test {verdicts.metric} minus that of {verdicts.baseline}, paired by example; intervals are those of each "
        "comparison alone, p-values and verdicts are corrected for all of them.",
        "![Differences to the baseline with 95% intervals](figures/differences.png)",
    ]


def _interval(low: float, high: float, places: int) -> str:
    return "-" if math.isnan(low) else f"{low:.{places}f} to {high:.{places}f}"


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
    """Set what was predicted beside what it took."""
    rows = _forecast_rows(results)
    if results.forecast is None or not rows:
        return []
    return [
        "## Predicted and actual",
        _table(["seconds of runs", "predicted", "actual", "actual / predicted"], rows),
        f"By `harness plan`, which also counted {results.forecast.recordings_mib:,.1f} MiB of recordings. Loading the "
        "model and writing the report are in neither.",
    ]


def _forecast_rows(results: Results) -> list[list[str]]:
    """Return the cells that were run as they were planned, all of them together, and the peak of memory."""
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
    return [*rows, _beside("peak memory (MiB)", results.forecast.peak_memory_mib, peak)]


def _beside(name: str, predicted: float, actual: float) -> list[str]:
    ratio = f"{actual / predicted:.2f}" if predicted and math.isfinite(actual) else "-"
    return [name, f"{predicted:,.1f}", "-" if math.isnan(actual) else f"{actual:,.1f}", ratio]
