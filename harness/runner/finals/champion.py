"""Which final run's model a study offers, and which version of a registered model is the champion.

A study offers the middle run of the cell that ranks first, not the best of all: of runs that differ by their seed alone
that is the luckiest. A later version becomes the champion only if it beats the present one by a paired test, the one of
the verdicts, on validation; why, `docs/decisions/champions.md` says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.core.errors import NewerError
from harness.core.example import Example, fingerprint
from harness.core.progress import Progress
from harness.metrics.base import Metric
from harness.results.changed_metric import changed_metric
from harness.results.predictions import answered_by
from harness.runner.objective import Objective
from harness.stats import Comparison
from harness.stats.answers import Answered, Answers, score_answers, units
from harness.stats.verdicts import compare_two
from harness.study.spec import StudySpec
from harness.tracking.prediction_table import is_whole, read_asked, read_predictions
from harness.tracking.schema import Metrics, Params, Tags, VersionTags, score_name
from harness.tracking.store_protocols import Tracker, Version
from harness.tracking.stored_run import Run

__all__ = ["CHALLENGER", "CHAMPION", "Contest", "middle_run", "reason_for"]

CHAMPION = "champion"
CHALLENGER = "challenger"


def middle_run(finals: Sequence[Run], objective: Objective) -> Run | None:
    """Return the middle one of a cell's final runs by validation, of an even number the poorer of the two.

    Among equals the one of lower loss is the better, then the earlier. Runs whose score or loss is no number
    take no part; ``None`` where none is left.
    """
    metric, sign = score_name("validation", objective.lead), 1.0 if objective.lead_maximize else -1.0
    needs = (metric, Metrics.VALIDATION_LOSS)
    scored = [
        run
        for run in finals
        if run.status == "FINISHED" and all(math.isfinite(run.metrics.get(name, math.nan)) for name in needs)
    ]
    ordered = sorted(scored, key=lambda run: (-sign * run.metrics[metric], run.metrics[Metrics.VALIDATION_LOSS]))
    return ordered[len(ordered) // 2] if ordered else None


def reason_for(run: Run, runs: int, lead: str) -> str:
    """Return why a run's model is the one that a study offers.

    Args:
        run: The final run.
        runs: How many its cell has.
        lead: The metric that ranks.
    """
    first = f"{run.tags[Tags.CELL]} ranks first on validation"
    if not run.params[Params.SEED].isdigit():
        return f"{first}; nothing was trained, so it is {run.params[Params.MODEL]} itself, by reference"
    among = f"of its {runs} final runs by validation {lead}, of equals by loss"
    place = {1: "its only final run", 2: f"the poorer one {among}"}.get(
        runs, f"the middle one {among}" if runs % 2 else f"the poorer of the middle two {among}"
    )
    return f"{first}, and seed {run.params[Params.SEED]} is {place}"


class _Decision(NamedTuple):
    alias: str
    reason: str
    numbers: dict[str, str]
    """What the test said, as tags."""


@dataclass(frozen=True)
class Contest:
    """The contest for the champion of a registered model."""

    study: StudySpec
    metric: Metric
    """The one that ranks."""
    validation: Sequence[Example]
    tracker: Tracker
    progress: Progress

    def promote(self, best: Run, uri: str, why: str) -> None:
        """Register the stored model of a final run and decide whether it becomes the champion; done once for each run.

        The registry is told why it is this run's.

        The decision is written before the alias is set: a kill in between leaves what the next command needs to go on.
        """
        name, registry = self.study.registered_as, self.tracker.models.registry
        if name is None:
            return
        versions = [version for version in registry.made_by(best.id, name) if version.uri == uri]
        version = versions[0] if versions else registry.register(name, best.id, uri)
        if VersionTags.SETTLED in version.tags:
            return
        alias = version.tags.get(VersionTags.DECISION)
        if alias is None:
            made = self._decide(best, registry.aliased(name, CHAMPION))
            alias = made.alias
            self.progress.say(f"{name} version {version.number} is the {alias}: {made.reason}")
            text = f"{best.name} of study {self.study.name}: {why}.\n\n**{alias}**: {made.reason}"
            registry.describe(version, text, {**self._basis(), **made.numbers, VersionTags.DECISION: alias})
        registry.point(alias, version)
        registry.tag(version, {VersionTags.SETTLED: "true"})

    def _basis(self) -> dict[str, str]:
        """Return what two versions must share to be compared."""
        by = {VersionTags.METRIC: self.metric.name, VersionTags.SIGNATURE: self.metric.signature()}
        return {**by, Tags.data_digest("validation"): fingerprint(self.validation)}

    def _decide(self, best: Run, champion: Version | None) -> _Decision:
        if champion is None or champion.run == best.id:
            return _Decision(CHAMPION, "the first version", {})
        if not self.tracker.models.holds(champion.uri):
            return _Decision(CHAMPION, f"the files of version {champion.number} are gone", {})
        try:
            return self._held_against(champion, best)
        except NewerError as error:  # its runs are not for this version to read
            return _Decision(CHALLENGER, f"not comparable with version {champion.number}: {error}", {})

    def _held_against(self, champion: Version, best: Run) -> _Decision:
        if best.id in {run.id for run in self.tracker.models.registry.siblings(champion.run)}:
            return _Decision(CHAMPION, f"of the same final runs as version {champion.number}", {})
        other = [
            f"{what} was {champion.tags.get(what, 'not recorded')} there and is {now} here"
            for what, now in self._basis().items()
            if champion.tags.get(what) != now
        ]
        answers = "; ".join(other) or self._answers(best, champion)
        if isinstance(answers, str):
            return _Decision(CHALLENGER, f"not comparable with version {champion.number}: {answers}", {})
        scored = score_answers(answers, self.metric)
        if changed := changed_metric(self.metric, answers, scored, "validation"):
            return _Decision(CHALLENGER, f"not comparable with version {champion.number}: {changed}", {})
        return _judged(compare_two(answers, scored, self.metric, one=CHALLENGER, other=CHAMPION), champion, answers)

    def _answers(self, best: Run, champion: Version) -> Answers | str:
        """Return what both cells answered on validation, or why they cannot be compared."""
        tracker, registry = self.tracker, self.tracker.models.registry
        said: dict[str, Answered] = {}
        asked: list[Run] = []
        for name, run in ((CHAMPION, champion.run), (CHALLENGER, best.id)):
            runs = [sibling for sibling in registry.siblings(run) if is_whole(tracker, sibling, "validation")]
            if not runs:
                return f"the runs of the {name} are gone, or what they answered is damaged"
            predictions = [read_predictions(tracker, each, "validation") for each in runs]
            said[name] = answered_by(runs, predictions)
            asked.append(runs[-1])
        orders = {tuple(each.id for each in run) for cell in said.values() for run in cell.runs}
        if len(orders) > 1:
            return "their runs answered other examples"
        answers = Answers(read_asked(tracker, asked[::-1], "validation"), said, {})
        if units(answers.examples) < 2:
            return f"one {'example' if len(answers.examples) == 1 else 'group of examples'} is no sample"
        if answers.lacks(self.metric):
            return f"{self.metric.name} is scored from texts, which were kept off the store"
        return answers


def _judged(found: Comparison, champion: Version, answers: Answers) -> _Decision:
    value, low, high, *_ = found.difference
    seeds = {name: len(cell.runs) for name, cell in answers.cells.items()}
    beats = found.verdict == "better"
    reason = (
        f"{'beats' if beats else 'does not beat'} version {champion.number} on validation by the paired test: "
        f"difference {value:+.4f}, 95% interval {low:+.4f} to {high:+.4f}, p = {found.difference.p:.3g} "
        f"({seeds[CHALLENGER]} and {seeds[CHAMPION]} runs, {len(answers.examples)} examples)"
    )
    interval = {VersionTags.DIFFERENCE: value, VersionTags.LOW: low, VersionTags.HIGH: high}
    numbers = {**interval, VersionTags.P: found.difference.p}
    texts = {name: repr(float(number)) for name, number in numbers.items()}
    return _Decision(CHAMPION if beats else CHALLENGER, reason, {**texts, VersionTags.AGAINST: champion.number})
