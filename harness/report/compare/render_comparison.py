"""A comparison as people and programs read it: one sentence, a small table, JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table

from harness.core.errors import UserError
from harness.core.named_path import named_path
from harness.report.compare.compare_studies import Compared
from harness.report.compare.compared_pair import Side
from harness.report.number_format import difference, interval, places, probability, score
from harness.report.templates import paragraphs
from harness.report.text.headline import comparison_facts, finite
from harness.tracking.schema import Params

__all__ = ["as_json", "sentence", "table", "writable"]


def sentence(compared: Compared) -> str:
    """Return the verdict in one sentence that says no more than the test does."""
    scores = compared.verdicts.scores
    decimals = places(scores[compared.a.name].value)
    ours, theirs = (score(scores[side.name].value, decimals) for side in (compared.a, compared.b))
    (text,) = paragraphs("compare/comparison.md.j2", compared=compared, decimals=decimals, ours=ours, theirs=theirs)
    return text


def table(compared: Compared) -> Group:
    """Return the comparison for a terminal: both scores, their difference, and what the verdict rests on."""
    comparison, verdicts = compared.comparison, compared.verdicts
    better = "higher" if verdicts.higher_is_better else "lower"
    title = f"{verdicts.metric} on {compared.split}, {better} is better, paired by example"
    caption = (
        f"verdict on A: {comparison.verdict}; p = {probability(comparison.difference.p)}; "
        f"{verdicts.examples} examples in common, {verdicts.resamples} resamples"
    )
    rows = Table(box=SIMPLE)
    rows.add_column("", overflow="fold")
    for name in (verdicts.metric, "95% interval", "seeds"):
        rows.add_column(name, justify="right", no_wrap=True)
    decimals = places(verdicts.scores[comparison.a].value)
    for mark, side in (("A", compared.a), ("B", compared.b)):
        estimate, name = verdicts.scores[side.name], f"{mark}  {side.name}"
        rows.add_row(name, score(estimate.value, decimals), interval(estimate, decimals), " ".join(_seeds(side)))
    gain = comparison.difference
    rows.add_row("A minus B", difference(gain.value, decimals), interval(gain, decimals, signed=True), "")
    return Group(title, rows, caption)


def _seeds(side: Side) -> list[str]:
    return [run.params[Params.SEED] for run in side.runs]


def as_json(compared: Compared) -> str:
    """Return the comparison for programs, with the keys of ``verdicts.json``; what is undefined is null."""
    verdicts = compared.verdicts
    sides = {
        side.name: {
            "score": finite(verdicts.scores[side.name].value),
            "low": finite(verdicts.scores[side.name].low),
            "high": finite(verdicts.scores[side.name].high),
            "seeds": _seeds(side),
            "runs": [run.id for run in side.runs],
        }
        for side in (compared.a, compared.b)
    }
    facts: dict[str, Any] = {
        "answer": sentence(compared),
        **comparison_facts(compared.comparison, verdicts.metric),
        "split": compared.split,
        "examples": verdicts.examples,
        "resamples": verdicts.resamples,
        "sides": sides,
    }
    return json.dumps(facts, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def writable(file: Path) -> Path:
    """Return a file that can be written, before any work is done.

    Raises:
        UserError: It is a folder, or its folder does not exist.
    """
    file = named_path(file)
    if file.is_dir() or not file.parent.is_dir():
        reason = "is a folder" if file.is_dir() else f"cannot be written: {file.parent} does not exist"
        raise UserError(f"--out {file} {reason}; name a file in a folder that is there")
    return file
