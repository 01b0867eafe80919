"""What a study found out: the verdicts on its cells, or the reason why there are none, and the answer in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from harness.report.templates import paragraphs
from harness.report.text.headline import answer
from harness.results.collect import Results
from harness.stats.verdicts import Scored, Verdicts, judge, score_answers
from harness.tracking.schema import score_name

__all__ = ["Findings", "find"]


@dataclass(frozen=True)
class Findings:
    """The claims of a report."""

    answer: str
    """Two sentences."""
    verdicts: Verdicts | None = None
    """``None`` where nothing can be claimed of the test split."""
    scored: Scored = field(default_factory=dict)
    """What every test prediction contributes to the leading metric."""

    @property
    def first(self) -> str | None:
        """The first on validation of those that have test answers; ``None`` without verdicts."""
        return self.verdicts.best if self.verdicts else None

    @property
    def group(self) -> tuple[str, ...]:
        """The first on validation and the cells that cannot be told apart from it; empty without verdicts."""
        return self.verdicts.group if self.verdicts else ()


def find(results: Results) -> Findings:
    """Compare the cells of a study by what their final runs answered."""
    answers, metric = results.answers, results.metric
    if answers is None:
        reason = (
            "all tables of test predictions are damaged" if results.damaged else "no final runs were scored on test"
        )
        return Findings(_unclaimed(results, reason))
    if isinstance(metric, str):
        return Findings(_unclaimed(results, metric))
    if len(answers.examples) < 2:
        return Findings(_unclaimed(results, "a single test example compares nothing"))
    best = next(cell.id for cell in results.ranked() if cell.id in answers.cells)
    scored = score_answers(answers, metric)
    factors = {cell.id: cell.factors for cell in results.cells}
    verdicts = judge(
        answers,
        scored,
        metric,
        best=best,
        baseline=results.baseline,
        factors=factors,
        pairs=results.final.get("pairs", False),
        smallest_difference=results.final.get("smallest_difference"),
    )
    return Findings(answer(verdicts, cells=len(results.cells) + len(results.absent)), verdicts, scored)


def _unclaimed(results: Results, reason: str) -> str:
    first = next(iter(results.ranked()), None)
    best = first.score(score_name("validation", results.lead)) if first else math.nan
    facts = {"reason": reason, "first": first, "best": best, "lead": results.lead}
    return " ".join(paragraphs("text/unclaimed.md.j2", **facts))
