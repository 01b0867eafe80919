"""Verdicts in words and for programs: two sentences that say no more than the tests do, and ``verdicts.json``."""

from __future__ import annotations

import json
import math
from typing import Any

from harness.report.number_format import difference, interval, places, probability, score
from harness.report.text.effects import effects_by_name
from harness.report.text.sentence_parts import count, listed
from harness.stats import Comparison, Estimate
from harness.stats.verdicts import Verdicts

__all__ = [
    "MARKED",
    "answer",
    "comparison_facts",
    "comparison_in_words",
    "examples_to_see",
    "interval_in_words",
    "p_in_words",
    "verdicts_json",
]

MARKED = "all pairs, and the baseline's own comparisons, each with Holm's correction at 5%"
"""By which tests cells are told apart from the best."""

NAMED = 6
"""The most cells that a sentence lists by name."""


def answer(verdicts: Verdicts, *, cells: int) -> str:
    """Return two sentences: what ranks first and whether it beats the baseline; what cannot be told apart from it.

    Args:
        verdicts: On the cells that have final runs.
        cells: How many the study has in all.
    """
    scored = len(verdicts.scores)
    among = "" if scored == cells else f" among the {scored} of {cells} cells that have final runs"
    return f"{_of_the_best(verdicts, among)} {_of_the_others(verdicts)}"


def _of_the_best(verdicts: Verdicts, among: str) -> str:
    best, estimate = verdicts.best, verdicts.scores[verdicts.best]
    decimals = places(estimate.value)
    runs = count(verdicts.seeds[best], "final run")
    rank = (
        f"{best} ranks first on validation{among} and scores {score(estimate.value)} {verdicts.metric} on test "
        f"({interval_in_words(estimate, decimals)}; {verdicts.examples} examples, {runs})"
    )
    return f"{rank}; {_against_baseline(verdicts, decimals)}{_scope(verdicts)}."


def _against_baseline(verdicts: Verdicts, decimals: int) -> str:
    if verdicts.best == verdicts.baseline:
        return "it is the baseline itself"
    comparison = verdicts.against_baseline(verdicts.best)
    if comparison is None:
        return f"the baseline {verdicts.baseline} has no final runs to hold it against"
    if math.isnan(comparison.p_adjusted):
        return f"its difference to the baseline {comparison.b} is not defined"
    baseline = f"the baseline {comparison.b}"
    return comparison_in_words(comparison, decimals, a="it", b=baseline, note=" after Holm's correction")


def comparison_in_words(comparison: Comparison, decimals: int, *, a: str, b: str, note: str) -> str:
    """Return one comparison in words.

    Args:
        comparison: Whose adjusted p-value and verdict count.
        decimals: Of the difference.
        a: How its first side is called here.
        b: How its second side is.
        note: What is said of the p-value, right behind it.
    """
    if math.isnan(comparison.p_adjusted):
        return f"the difference of {a} and {b} is not defined"
    words = {
        "better": f"{a} is better than {b}",
        "worse": f"{a} is worse than {b}",
        "undecided": f"whether {a} is better or worse than {b} is undecided",
    }
    estimate = comparison.difference
    size = f"difference {difference(estimate.value, decimals)}, {interval_in_words(estimate, decimals, signed=True)}"
    return f"{words[comparison.verdict]} ({size}, {p_in_words(comparison.p_adjusted)}{note})"


def p_in_words(value: float) -> str:
    """Return a p-value with its name."""
    return "p < 0.001" if value < 0.001 else f"p = {probability(value)}"


def _scope(verdicts: Verdicts) -> str:
    """Say where the first sentence cannot speak of other seeds."""
    return (
        ""
        if _speaks(verdicts)
        else "; with one final run a cell this holds for these trained models, not for other seeds"
    )


def _speaks(verdicts: Verdicts) -> bool:
    """Return whether what is said of the best cell holds for other seeds too."""
    comparison = verdicts.against_baseline(verdicts.best)
    return verdicts.scores[verdicts.best].covers_seeds and (comparison is None or comparison.difference.covers_seeds)


def _scope_of_others(verdicts: Verdicts) -> str:
    """Say where the second sentence cannot, unless the first has said so."""
    if not _speaks(verdicts) or all(estimate.covers_seeds for estimate in verdicts.scores.values()):
        return ""
    return "of a cell with one final run this holds for that trained model, not for other seeds"


def examples_to_see(verdicts: Verdicts) -> str:
    """Return how many examples would decide between the best cell and the baseline; empty where nothing is asked."""
    if verdicts.needed is None:
        return ""
    comparison, examples = verdicts.needed
    size = difference(comparison.difference.value, places(verdicts.scores[comparison.a].value))
    wish = f"If {comparison.a} truly differs from {comparison.b} by as much as was seen ({size})"
    if examples is None:
        return f"{wish}, no number of test examples up to 100,000 would likely show it: it takes more seeds."
    return (
        f"{wish}, about {examples:,} test examples (there are {verdicts.examples:,}) with as many seeds would show it "
        "in four of five studies, at 5% and before any correction."
    )


def _of_the_others(verdicts: Verdicts) -> str:
    best = verdicts.best
    others = [cell for cell in verdicts.scores if cell != best]
    if not others:
        return "No other cell has final runs."
    parts = [_versus_baseline(verdicts)]
    group = [cell for cell in verdicts.group if cell != best]
    parts.append(
        f"{count(len(group), 'cell')} cannot be told apart from {best} ({listed(group, NAMED)})"
        if group
        else f"each of the other {count(len(others), 'cell')} is told apart from {best}"
    )
    above = _beating(verdicts)
    if above:
        parts.append(
            f"{count(len(above), 'cell')} that validation ranks lower scored better on test ({listed(above, NAMED)})"
        )
    parts.append(_scope_of_others(verdicts))
    text = "; ".join(part for part in parts if part) + "."
    return text[0].upper() + text[1:] if not group and not parts[0] else text


def _versus_baseline(verdicts: Verdicts) -> str:
    rest = [comparison.verdict for comparison in verdicts.to_baseline if comparison.a != verdicts.best]
    if not rest:
        return ""
    counts = ", ".join(f"{rest.count(word)} {word}" for word in ("better", "worse", "undecided") if word in rest)
    return f"Against the baseline {verdicts.baseline}, the {count(len(rest), 'other cell')}: {counts}"


def _beating(verdicts: Verdicts) -> list[str]:
    """Return the cells that test puts above the one that validation chose."""
    above = [pair.a for pair in verdicts.pairs if pair.b == verdicts.best and pair.verdict == "better"]
    return above + [pair.b for pair in verdicts.pairs if pair.a == verdicts.best and pair.verdict == "worse"]


def interval_in_words(estimate: Estimate, decimals: int, *, signed: bool = False) -> str:
    """Return an interval with what it is."""
    if math.isnan(estimate.low):
        return "no interval"
    return f"95% interval {interval(estimate, decimals, signed=signed)}"


def verdicts_json(answer: str, verdicts: Verdicts | None) -> str:
    """Return the same claims for programs.

    Every pair of cells stands there once: pairs with the baseline as ``family: baseline``, the others as
    ``family: pairs``; ``family: references`` holds the reference rows against the best cell. Each family's p-values
    are adjusted on their own (all pairs of cells count in the second). ``effects`` holds those of
    `harness.report.text.effects.effects_by_name`, likewise, with names of levels as ``a`` and ``b``.

    Args:
        answer: In two sentences.
        verdicts: ``None`` where nothing can be claimed: there are no comparisons then.
    """
    comparisons: list[dict[str, Any]] = []
    if verdicts:
        rest = [
            pair for pair in verdicts.pairs if not verdicts.to_baseline or verdicts.baseline not in (pair.a, pair.b)
        ]
        families = {"baseline": verdicts.to_baseline, "pairs": rest, "references": verdicts.to_references}
        comparisons = [
            comparison_facts(comparison, verdicts.metric) | {"family": family}
            for family, members in families.items()
            for comparison in members
        ]
    facts: dict[str, Any] = {"format": 1, "answer": answer}
    if verdicts:
        facts |= {
            "best": verdicts.best,
            "baseline": verdicts.baseline,
            "not_distinguishable": list(verdicts.group),
            "split": "test",
            "examples": verdicts.examples,
            "resamples": verdicts.resamples,
            "examples_needed": verdicts.needed.examples if verdicts.needed else None,
            "effects": {
                family: [comparison_facts(comparison, verdicts.metric) for comparison in members]
                for family, members in effects_by_name(verdicts).items()
            },
        }
    return json.dumps(facts | {"comparisons": comparisons}, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def comparison_facts(comparison: Comparison, metric: str) -> dict[str, Any]:
    """Return one comparison for programs; what is undefined is null.

    ``speaks_of`` is the ``procedure``, other seeds included, or these trained ``models`` alone.
    """
    numbers = {
        "difference": comparison.difference.value,
        "low": comparison.difference.low,
        "high": comparison.difference.high,
        "p": comparison.difference.p,
        "p_adjusted": comparison.p_adjusted,
    }
    defined = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
    speaks_of = "procedure" if comparison.difference.covers_seeds else "models"
    return {
        "a": comparison.a,
        "b": comparison.b,
        "metric": metric,
        **defined,
        "verdict": comparison.verdict,
        "speaks_of": speaks_of,
    }
