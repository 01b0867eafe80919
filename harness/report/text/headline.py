"""Verdicts in words and for programs: sentences that say no more than the tests do, and ``verdicts.json``.

The words are in ``answer.md.j2``, those of one comparison in ``phrases.md.j2``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.templates import paragraphs
from harness.report.text.effects import effects_by_name
from harness.stats import Comparison
from harness.stats.verdicts import Verdicts

__all__ = ["MARKED", "answer", "comparison_facts", "examples_to_see", "finite", "untested", "verdicts_json"]

MARKED = "each cell against the first, all of them tested together at 5%"
"""By which tests cells are told apart from the best."""


def answer(verdicts: Verdicts, *, cells: int, reference: Comparison | None = None) -> str:
    """Return what the tests say of a study of so many cells, with final runs or without.

    The first sentence: what ranks first and whether it beats the baseline; the second: what cannot be told apart from
    it; the third, where there is one, how the best reference row compares.
    """
    beating = [comparison.a for comparison in verdicts.with_best if comparison.verdict == "better"]
    beating = [cell for cell in beating if cell not in verdicts.disputed]
    facts = {"verdicts": verdicts, "cells": cells, "beating": beating, "reference": reference}
    return " ".join(paragraphs("text/answer.md.j2", **facts))


def examples_to_see(verdicts: Verdicts) -> str:
    """Return how many examples would decide between the best cell and the baseline; empty where nothing is asked."""
    return "".join(paragraphs("text/examples_to_see.md.j2", verdicts=verdicts))


def untested(verdicts: Verdicts | None) -> str:
    """Return that nothing is tested, and why; empty where something is, or without verdicts."""
    return f"Nothing is tested: {verdicts.untestable}." if verdicts and verdicts.untestable else ""


def verdicts_json(
    answer: str,
    verdicts: Verdicts | None,
    *,
    cautions: Sequence[str] = (),
    recommendation: Mapping[str, Any] | None = None,
    transfer: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the same claims for programs.

    Comparisons name their family: ``baseline``, ``best`` (each cell against the first), ``references`` (reference rows
    against the first cell), ``calibration`` (calibrated cells against the same without) and, where they were asked for,
    ``pairs``. P-values and intervals are adjusted within a family. ``effects`` holds those of
    `harness.report.text.effects.effects_by_name`, one family, with names of levels as ``a`` and ``b``. Where nothing
    can be claimed there are no comparisons.
    """
    facts: dict[str, Any] = {"format": 2, "answer": answer}
    facts |= {"recommendation": recommendation, "cautions": list(cautions)}
    comparisons: list[dict[str, Any]] = []
    if verdicts:
        families = {
            "baseline": verdicts.to_baseline,
            "best": verdicts.with_best,
            "references": verdicts.to_references,
            "pairs": verdicts.pairs,
            "calibration": verdicts.calibrated,
        }
        comparisons = [
            comparison_facts(comparison, verdicts.metric) | {"family": family}
            for family, members in families.items()
            for comparison in members
        ]
        facts |= {
            "best": verdicts.best,
            "baseline": verdicts.baseline,
            "not_distinguishable": list(verdicts.group),
            "split": "test",
            "examples": verdicts.examples,
            "resamples": verdicts.resamples,
            "examples_needed": verdicts.needed.examples if verdicts.needed else None,
            "smallest_difference": verdicts.needed.difference if verdicts.needed else None,
            "transfer": list(transfer),
            "effects": {
                family: [comparison_facts(comparison, verdicts.metric) for comparison in members]
                for family, members in effects_by_name(verdicts).items()
            },
        }
    head = json.dumps(facts, ensure_ascii=False, indent=1, allow_nan=False).removesuffix("\n}")
    lines = [json.dumps(one, ensure_ascii=False, separators=(",", ":"), allow_nan=False) for one in comparisons]
    listed = ",\n".join(lines)  # a line each: there are tens of thousands where each cell is compared with each
    return f'{head},\n "comparisons": [\n{listed}\n ]\n}}\n'


def comparison_facts(comparison: Comparison, metric: str) -> dict[str, Any]:
    """Return one comparison for programs; what is undefined is null.

    ``speaks_of`` is the ``procedure``, other seeds included, or these trained ``models`` alone.
    """
    estimate = comparison.difference
    return {
        "a": comparison.a,
        "b": comparison.b,
        "metric": metric,
        "difference": finite(estimate.value),
        "low": finite(estimate.low),
        "high": finite(estimate.high),
        "p": finite(estimate.p),
        "p_adjusted": finite(comparison.p_adjusted),
        "verdict": comparison.verdict,
        "reason": comparison.reason or None,
        "speaks_of": "procedure" if estimate.covers_seeds else "models",
    }


def finite(value: float) -> float | None:
    """Return a number that JSON can hold."""
    return value if math.isfinite(value) else None
