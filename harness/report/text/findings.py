"""What a study found out: the verdicts on its cells, or the reason why there are none, and the answer in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from harness.report.templates import paragraphs
from harness.report.text.headline import answer
from harness.report.text.recommendation import Recommendation, recommend
from harness.results.asked_once import asked_once
from harness.results.calibrated_cells import calibrated_pairs
from harness.results.changed_metric import changed_metric
from harness.results.collect import Results
from harness.results.degenerate import nothing_ranks, unclaimed
from harness.results.prompt_transfer import PromptTransfer, prompt_transfer
from harness.results.unfinished import unfinished
from harness.results.unlike_losses import loss_unit
from harness.stats import Comparison
from harness.stats.answers import Scored, score_answers, units
from harness.stats.axis_levels import AxisLevels
from harness.stats.verdicts import Verdicts, judge
from harness.study.axes import featured
from harness.study.further_axes import PER_LABEL, TRAIN_SIZE
from harness.tracking.schema import Params, score_name

__all__ = ["Findings", "find"]


@dataclass(frozen=True)
class Findings:
    """The claims of a report."""

    answer: str
    """What the tests say, in some sentences, or why there are none."""
    verdicts: Verdicts | None = None
    """``None`` where nothing can be claimed of the test split."""
    scored: Scored = field(default_factory=dict)
    """What every test prediction contributes to the leading metric."""
    recommendation: Recommendation | None = None
    """``None`` where nothing can be ranked, or nothing claimed of the first cell."""
    lost: str = ""
    """Why the metric that claims were made by can make none today; empty where it can, or none ever were."""
    unranked: str = ""
    """Why no cell is the first; empty where one is."""
    transfer: PromptTransfer | None = None
    """What final models keep under other prompts, ``None`` where they were not asked or nothing can be claimed."""

    @property
    def advice(self) -> tuple[str, ...]:
        """The recommendation in words, a paragraph each; empty where there is none."""
        return self.recommendation.sentences if self.recommendation else ()

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
    answers, metric, unranked = results.answers, results.metric, nothing_ranks(results)
    if unranked:
        begun = any(cell.ranks_by(results.lead) for cell in results.cells)
        facts = {
            "reason": unranked,
            "unfinished": not begun and unfinished(results),
            "answered": answers is not None and not answers.kept_off,
            "labels": loss_unit(results.cells, answers) == "nats a row",
        }
        return Findings(" ".join(paragraphs("text/unranked.md.j2", **facts)), unranked=unranked)
    if answers is None:
        return Findings(_unclaimed(results, _unanswered(results)))
    if isinstance(metric, str):
        return Findings(_unclaimed(results, metric), lost=metric if results.metric_is_lost else "")
    if units(answers.examples) < 2:
        rows = "example" if len(answers.examples) == 1 else "group of examples"
        return Findings(_unclaimed(results, f"a single test {rows} compares nothing"))
    best = results.first_of(answers.cells)
    if best is None:
        return Findings(_unclaimed(results, "no cell with a score on validation has final runs"))
    scored, final = score_answers(answers, metric), results.settings.get("final", {})
    if changed := changed_metric(metric, answers, scored, "test"):
        return Findings(_unclaimed(results, changed), lost=changed)
    verdicts = judge(
        answers,
        scored,
        metric,
        best=best.id,
        baseline=results.baseline,
        axes=_axis_levels(results),
        pairs=final.get("pairs", False),
        calibrated=calibrated_pairs(results),
        smallest_difference=final.get("smallest_difference"),
        unclaimed={cell: why for cell, why in unclaimed(results).items() if cell in answers.cells},
    )
    said = answer(
        verdicts, cells=len(results.cells) + len(results.absent), reference=_best_reference(results, verdicts)
    )
    transfer = prompt_transfer(results, metric)
    return Findings(said, verdicts, scored, recommend(results, verdicts), transfer=transfer)


def _axis_levels(results: Results) -> AxisLevels:
    """Return where a study's cells lie on its axes."""
    return AxisLevels(
        factors={cell.id: cell.factors for cell in results.cells},
        features=_features(results),
        along=PER_LABEL if PER_LABEL in results.axes else TRAIN_SIZE,
        sizes=_sizes(results),
        unmoved=asked_once(results),
    )


def _sizes(results: Results) -> dict[str, int]:
    """Return how many training examples each cell has where its level counts those of each label."""
    if PER_LABEL not in results.axes:
        return {}
    return {cell.id: int(cell.params[f"{Params.DATA}train"]) for cell in results.cells}


def _unanswered(results: Results) -> str:
    """Return why there are no test predictions to compare."""
    if results.damaged:
        return "all tables of test predictions are damaged"
    is_to_come = unfinished(results) and results.settings.get("final", {}).get("seeds")
    remedy = ", for the study is not finished; run it to its end" if is_to_come else ""
    return f"no final runs were scored on test{remedy}"


def _features(results: Results) -> dict[str, dict[str, dict[str, str]]]:
    """Return, by prompt that has features, its cells with the levels of these and of all axes behind the prompt."""
    found = {}
    for prompt in featured(results.settings.get("prompts", ())):
        levels = prompt.feature_levels()
        cells = [cell for cell in results.cells if cell.prompt in levels]
        behind = {cell.id: {axis: level for axis, level in cell.factors.items() if axis != "prompt"} for cell in cells}
        if cells:
            found[prompt.name] = {cell.id: {**levels[cell.prompt], **behind[cell.id]} for cell in cells}
    return found


def _best_reference(results: Results, verdicts: Verdicts) -> Comparison | None:
    """Return how the best row that needs no model, by validation, compares with the first cell on test."""
    name, sign = score_name("validation", results.lead), 1.0 if results.maximize else -1.0
    scores = {row: sign * metrics.get(name, -sign * math.inf) for row, metrics in results.references.items()}
    rows = [comparison for comparison in verdicts.to_references if comparison.a in scores]
    return max(rows, key=lambda row: scores[row.a], default=None)


def _unclaimed(results: Results, reason: str) -> str:
    first = next(iter(results.ranked()), None)
    best = first.score(score_name("validation", results.lead)) if first else math.nan
    facts = {"reason": reason, "first": first, "best": best, "lead": results.lead}
    return " ".join(paragraphs("text/unclaimed.md.j2", **facts))
