"""Two studies, cells or runs on the same examples, by the tests of the report and from stored predictions alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.core.closest_match import closest
from harness.core.errors import FRESH, UserError
from harness.core.example import SPLITS, Prediction, Split
from harness.core.passwords import masked
from harness.metrics.base import Metric
from harness.metrics.likelihood import LOSS, OF_LIKELIHOODS, PERPLEXITY
from harness.report.compare.compared_pair import Side, find_side
from harness.results.changed_metric import changed_metric
from harness.results.degenerate import unclaimed
from harness.results.predictions import answered_by, named_metric, read_answers, scored_by
from harness.stats import Comparison, Estimate, Verdict
from harness.stats.answers import Answers, Scored, score_answers, units
from harness.stats.verdicts import InStudy, Verdicts, in_study, judge
from harness.tracking.address import StudyAddress
from harness.tracking.prediction_table import KEPT_OFF, read_asked, read_predictions
from harness.tracking.schema import Tags

__all__ = ["Compared", "compare"]

COMPARABLE: tuple[Split, ...] = ("validation", "test")


@dataclass(frozen=True)
class Compared:
    """One comparison."""

    a: Side
    b: Side
    split: Split
    verdicts: Verdicts
    """Of two cells, the second of them the baseline."""

    @property
    def comparison(self) -> Comparison:
        """What A has over B; the only comparison, so that its p-value needs no correction."""
        return self.verdicts.to_baseline[0]

    @property
    def verdict(self) -> Verdict:
        """Of A: better, worse or undecided."""
        return self.comparison.verdict

    @property
    def difference(self) -> Estimate:
        """A minus B, with its interval."""
        return self.comparison.difference

    @property
    def p(self) -> float:
        """The p-value of the difference."""
        return self.comparison.p

    def __repr__(self) -> str:
        return f"Compared({self.comparison!r}, {self.verdicts.metric} on {self.split})"


def compare(
    a: str | StudyAddress, b: str | StudyAddress, *, metric: str | None = None, split: str = "test"
) -> Compared:
    """Compare the stored predictions of two sides, paired by example; no model is asked.

    Sides are called as `harness.report.compare.compared_pair.find_side` reads them; without a metric it is the one
    that leads both studies. The split is ``test``, or ``validation`` where that is all there is.

    Raises:
        UserError: A side is not there, both hold the same run, or data, metrics or splits differ: all of it at once.
    """
    if split not in COMPARABLE:
        raise UserError(f"split is {split!r}; {closest(split, COMPARABLE)}")
    on: Split = "test" if split == "test" else "validation"
    sides = _told_apart(find_side(a, on), find_side(b, on))
    _refuse_same_run(*sides)
    name = metric or _leading(*sides)
    problems = [*_other_data(*sides, on), *_other_metric(name, *sides)]
    if problems:
        raise UserError("\n".join(problems))
    by = _metric(name, sides)
    answers = _answers(sides, on)
    if isinstance(reason := scored_by(by, answers), str):
        raise UserError(f"{reason}; choose another metric")
    if by.name in OF_LIKELIHOODS:
        _refuse_other_answers(by.name, answers)
    if by.name in (LOSS.name, PERPLEXITY.name):
        _refuse_other_tokens(by.name, answers)
    scored = score_answers(answers, by)
    _refuse_changed(by, answers, scored, on)
    one, other = (side.name for side in sides)
    own, unclaimed = _in_their_studies(sides, by, on)
    verdicts = judge(answers, scored, by, best=one, baseline=other, chosen=False, unclaimed=unclaimed, own=own)
    return Compared(*sides, on, verdicts)


def _told_apart(a: Side, b: Side) -> tuple[Side, Side]:
    """Return both sides by names that differ: studies of one name may be in two stores, or experiments of one."""
    if a.name != b.name:
        return a, b
    stores = [masked(side.tracker.uri, side.tracker.uri) for side in (a, b)]
    if len(set(stores)) == 1:
        stores = [f"experiment {side.tracker.pages.experiment}" for side in (a, b)]
    return replace(a, name=f"{a.name} ({stores[0]})"), replace(b, name=f"{b.name} ({stores[1]})")


def _in_their_studies(sides: Sequence[Side], metric: Metric, on: Split) -> tuple[dict[str, InStudy], dict[str, str]]:
    """Return the sides that are cells as the tables of their studies have them, and why nothing is claimed of some."""
    own, reasons = dict[str, InStudy](), dict[str, str]()
    known = dict[tuple[str, str], tuple[dict[str, InStudy], dict[str, str]]]()  # two cells of one study read it once
    for side in sides:
        place = side.tracker.uri, side.tracker.pages.experiment
        if side.cell and place not in known:
            known[place] = _in_study(side, metric, on), unclaimed(side.results)
        cells, why = known.get(place, ({}, {})) if side.cell else ({}, {})
        own |= {side.name: cells[side.cell]} if side.cell in cells else {}
        reasons |= {side.name: why[side.cell]} if side.cell in why else {}
    return own, reasons


def _in_study(side: Side, metric: Metric, on: Split) -> dict[str, InStudy]:
    """Return all cells of a side's study, as its report has them where that is by this metric and split."""
    results, cells = side.results, [cell.id for cell in side.results.cells]
    answers = results.answers if on == "test" else read_answers(side.tracker, side.peers, cells, split=on)[0]
    if answers is None:
        return {}
    scored = score_answers(answers, metric)
    _refuse_changed(metric, answers, scored, on)
    best = results.first_of(answers.cells) if (on, metric.name) == ("test", results.lead) else None
    reasons = {cell: why for cell, why in unclaimed(results).items() if cell in answers.cells}
    return in_study(answers, scored, metric, best=best.id if best else None, unclaimed=reasons)


def _refuse_changed(metric: Metric, answers: Answers, scored: Scored, on: Split) -> None:
    if changed := changed_metric(metric, answers, scored, on):
        raise UserError(changed)


def _refuse_same_run(a: Side, b: Side) -> None:
    others = {run.id for run in b.runs}
    for run in a.runs:
        if run.id in others:
            raise UserError(
                f"run {run.id} ({run.name}) stands on both sides, {a.name} and {b.name}; "
                "name two cells or two runs of them"
            )


def _leading(a: Side, b: Side) -> str:
    first, second = a.record.lead, b.record.lead
    if first != second:
        choice = ", ".join(metric for metric in a.record.metrics if metric in b.record.metrics) or "none"
        raise UserError(f"{a.name} is led by {first}, {b.name} by {second}; choose the metric among: {choice}")
    return first


def _other_data(a: Side, b: Side, on: Split) -> list[str]:
    """Return a sentence for each split that the sides do not share: to learn from, to be chosen by, or to compare."""
    problems = []
    for split in SPLITS if on == "test" else SPLITS[:-1]:
        ours, theirs = (side.runs[0].tags.get(Tags.data_digest(split), "unknown") for side in (a, b))
        if ours != theirs:
            digests = f"digest {ours} of {a.name}, {theirs} of {b.name}"
            problems.append(f"{split} data differ: {digests}; run both studies on the same rows")
    return problems


def _other_metric(name: str, a: Side, b: Side) -> list[str]:
    """Return what keeps two sides from being scored by the same metric."""
    missing = [
        f"study {side.study!r} has no metric {name!r}; {closest(name, side.record.metrics)}"
        for side in (a, b)
        if name not in side.record.metrics
    ]
    signed = [side.record.signatures.get(name) for side in (a, b)]
    if not missing and signed[0] != signed[1]:
        missing.append(
            f"{name} is not the same metric: {signed[0]} of {a.name}, {signed[1]} of {b.name}; "
            "give both tasks one version of it and run the studies again"
        )
    return list(dict.fromkeys(missing))


def _metric(name: str, sides: Sequence[Side]) -> Metric:
    """Return the metric, as the first task that still has it makes it."""
    if name == LOSS.name:
        return LOSS
    first, second = (named_metric(name, side.record) for side in sides)
    metric = second if isinstance(first, str) else first
    if isinstance(metric, str):
        raise UserError(f"{first}; restore it, or run the study again")
    return metric


def _answers(sides: Sequence[Side], on: Split) -> Answers:
    """Return both sides' stored predictions in one order of the examples."""
    found = [read_asked(side.tracker, side.runs, on) for side in sides]
    examples = next((asked for asked in found if asked[0].target != KEPT_OFF), found[0])
    if units(examples) < 2:
        what = "example" if len(examples) == 1 else "group of examples"
        raise UserError(f"{on} holds one {what}; a comparison takes two or more")
    order, cells = [example.id for example in examples], {}
    for side in sides:
        runs = tuple(_ordered(read_predictions(side.tracker, run, on), order, side) for run in side.runs)
        cells[side.name] = answered_by(side.runs, runs)
    return Answers(examples, cells, {})


def _ordered(run: Sequence[Prediction], order: Sequence[str], side: Side) -> tuple[Prediction, ...]:
    """Return predictions in the order of the examples; other examples mean that the store was tampered with."""
    predictions = {prediction.id: prediction for prediction in run}
    odd = sorted(predictions.keys() ^ set(order))
    if odd:
        raise UserError(
            f"stored predictions of {side.name} do not fit its data: example {odd[0]!r} is in one of them alone; "
            f"start the study over: {FRESH}"
        )
    return tuple(predictions[identity] for identity in order)


def _refuse_other_answers(metric: str, answers: Answers) -> None:
    """Refuse likelihoods where one side chose among labels and the other wrote texts."""
    of_labels = {name: side.runs[0][0].probabilities is not None for name, side in answers.cells.items()}
    if len(set(of_labels.values())) > 1:
        one, other = sorted(of_labels, key=of_labels.__getitem__)
        raise UserError(
            f"{metric} of {other} is of labels that were chosen from, that of {one} of texts, so neither says anything "
            "beside the other; choose a metric of texts"
        )


def _refuse_other_tokens(metric: str, answers: Answers) -> None:
    """Refuse likelihoods per token where the two sides do not count the same tokens."""
    (a, ours), (b, theirs) = answers.cells.items()
    for first, second in zip(ours.runs[0], theirs.runs[0], strict=True):
        if first.tokens != second.tokens:
            raise UserError(
                f"{metric} is per token, and the tokenizers differ: example {first.id!r} has {first.tokens} tokens for "
                f"{a}, {second.tokens} for {b}; choose a metric of texts"
            )
