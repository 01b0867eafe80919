"""What a cell says label by label: how often each is right, and what it is taken for."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from harness.core.example import Example, Prediction
from harness.report.number_format import UNDEFINED, score
from harness.report.plain_tables import PlainTable
from harness.report.text.findings import Findings
from harness.results.collect import Results

__all__ = ["Labels", "labelled_answers", "labels_of_first"]

MOST = 20
"""Labels of which a table of confusions can be read."""


class Labels(NamedTuple):
    """One cell, label by label."""

    cell: str
    scores: PlainTable
    confusion: PlainTable
    """Without rows where there are too many labels."""


def labels_of_first(results: Results, findings: Findings) -> Labels | None:
    """Return what the first-ranked cell says label by label; ``None`` where it chooses from none, or texts are gone."""
    pairs, cell = labelled_answers(results, findings), findings.first
    if not pairs or cell is None or results.answers is None:
        return None
    labels = list(pairs[0][0].probabilities or {})
    counts = Counter((example.target, said.text) for said, example in pairs)
    runs = len(results.answers.cells[cell].runs)
    return Labels(cell, _scores(labels, counts, runs), _confusion(labels, counts, runs))


def labelled_answers(results: Results, findings: Findings) -> list[tuple[Prediction, Example]]:
    """Return the answers of the first-ranked cell's final runs to test rows, where these are labels; else nothing."""
    answers, first = results.answers, findings.first
    if answers is None or answers.kept_off or first is None or first not in answers.cells:
        return []
    pairs = [pair for run in answers.cells[first].runs for pair in zip(run, answers.examples, strict=True)]
    return pairs if all(said.probabilities for said, _ in pairs) else []


def _scores(labels: list[str], counts: Counter[tuple[str, str]], runs: int) -> PlainTable:
    rows = []
    for label in labels:
        hits = counts[label, label]
        right = sum(count for (target, _), count in counts.items() if target == label)
        said = sum(count for (_, text), count in counts.items() if text == label)
        shares = [_share(hits, said), _share(hits, right), _share(2 * hits, right + said)]
        rows.append([label, f"{right // runs}", *shares])
    return PlainTable(["label", "test rows", "precision", "recall", "F1"], rows)


def _share(part: int, of: int) -> str:
    return score(part / of, 3) if of else UNDEFINED


def _mean_count(count: int, runs: int) -> str:
    """Return how many there are on average.

    >>> _mean_count(3, 2), _mean_count(12_000, 3), _mean_count(0, 3)
    ('1.5', '4,000', '0')
    """
    return f"{count / runs:,.1f}".removesuffix(".0")


def _confusion(labels: list[str], counts: Counter[tuple[str, str]], runs: int) -> PlainTable:
    """Return how many rows of each label are taken for which, on average over final runs."""
    shown = labels if len(labels) <= MOST else []
    rows = [[label, *(_mean_count(counts[label, said], runs) for said in labels)] for label in shown]
    return PlainTable(["is", *(f"said {label}" for label in labels)], rows)
