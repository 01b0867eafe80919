"""What a reader should know before believing a report: the weak spots of a study, each in a sentence."""

from __future__ import annotations

from harness.report.number_format import difference, places
from harness.report.text.findings import Findings
from harness.report.text.sentence_parts import count, listed, times
from harness.results.collect import CellResult, Results
from harness.results.search_budget import generalization_gap, rank_flip
from harness.study.dimension import Dimension
from harness.study.search_space import title

__all__ = ["EDGE", "RANK_FLIP", "at_edge", "caption_on_test", "cautions"]

EDGE = 0.05
"""Share of a hyperparameter's range, on its scale, that counts as its edge at either end."""

RANK_FLIP = 0.1
"""Chance of another first place from which on it is a caution: twice the 5% that a verdict may err with, since a rank
is shown and not claimed. It is never more than one in the number of trials, so more than ten are free of it."""


def cautions(results: Results, findings: Findings) -> list[str]:
    """Return one sentence for each weak spot, the gravest first."""
    return [
        *_edited(results),
        *_other_rows(results),
        *_leaks(results),
        *results.cautions,
        *_without_finals(results, findings),
        *_survivors(results),
        *_flattered(results, findings),
        *_diverged(results),
        *_few_seeds(findings),
        *_edges(results),
        *_unsettled(results),
    ]


def caption_on_test(results: Results) -> str:
    """Return how often the test split was scored for a study, and by what."""
    scorings = results.test_access.scorings
    if not scorings:
        return "The test split was not scored."
    return (
        f"The test split was scored {times(scorings)} for this study, by final runs and reference rows alone, each "
        "once; superseded, interrupted and deleted ones count, repetitions by harness reproduce do not."
    )


def at_edge(cell: CellResult, dimension: Dimension) -> str:
    """Return the end of a range, ``low`` or ``high``, that a cell's best value lies at; else nothing."""
    if dimension.choices or dimension.name not in cell.hyperparameters:
        return ""
    place = dimension.place(cell.hyperparameters[dimension.name])
    return "low" if place <= EDGE else "high" if place >= 1 - EDGE else ""


def _edited(results: Results) -> list[str]:
    if not results.test_access.before_edit:
        return []
    return [
        f"Test had been scored {times(results.test_access.before_edit)} before this study was last edited: what "
        "changed since (cells, data, search, training, trials, seeds or baseline) may have been chosen by it, so "
        "p-values promise too much; fresh test rows would settle it."
    ]


def _other_rows(results: Results) -> list[str]:
    if not results.test_access.other_rows:
        return []
    looks = count(results.test_access.other_rows, "look")
    return [
        f"The test rows were changed after {looks} at other ones: if some were left out or edited in the light of "
        "those scores, p-values promise too much; rows that were never scored before are beyond that."
    ]


def _leaks(results: Results) -> list[str]:
    return [
        f"Rows stand in two splits: {leak}; scores may reward memory (data.on_overlap: drop)." for leak in results.leaks
    ]


def _flattered(results: Results, findings: Findings) -> list[str]:
    """Say so where the best cell's validation score is beyond what test finds likely."""
    if findings.verdicts is None:
        return []
    best = next(cell for cell in results.cells if cell.id == findings.verdicts.best)
    estimate, gap = findings.verdicts.scores[best.id], generalization_gap(best, results)
    ahead = gap if results.maximize else -gap
    if not ahead > (estimate.high - estimate.low) / 2:  # nan as well
        return []
    return [
        f"{best.id} was chosen on validation, so its validation score flatters it: validation minus test is "
        f"{difference(gap, places(estimate.value))} {results.lead}, more than half of its test score's interval."
    ]


def _unsettled(results: Results) -> list[str]:
    flip = rank_flip(results)
    if flip is None or flip.chance < RANK_FLIP:
        return []
    sampler = results.search["sampler"]
    unlike = sampler in ("gp", "tpe") or any(trial.warm_start for cell in results.cells for trial in cell.trials)
    caveat = (
        "; these trials are not exchangeable (later ones tend to be better), so one more may matter more than that"
        if unlike
        else ""
    )
    return [
        f"{flip.leader} leads the searches by its best trial, but had each been one trial shorter, another cell would "
        f"lead with a chance of {flip.chance:.0%} (one trial of each cell left out at random){caveat}: one more trial "
        "may change the first place, so give the searches more."
    ]


def _edges(results: Results) -> list[str]:
    sentences = []
    for dimension in results.space.dimensions:
        for end, limit, more in (("low", dimension.low, "lower"), ("high", dimension.high, "higher")):
            cells = [cell.id for cell in results.cells if at_edge(cell, dimension) == end]
            if cells:
                best = f"The best {title(dimension.name)} lies at the {end} end of the range ({limit:g})"
                sentences.append(
                    f"{best} for {listed(cells)}: {more} ones might do better, so widen the range before trusting "
                    "these cells' scores."
                )
    return sentences


def _without_finals(results: Results, findings: Findings) -> list[str]:
    if findings.verdicts is None:
        return []
    missing = [cell.id for cell in results.cells if cell.id not in findings.verdicts.scores] + list(results.absent)
    return [f"No claim includes {listed(missing)}: no final run on these test examples."] if missing else []


def _survivors(results: Results) -> list[str]:
    return [
        f"{cell.diverged_finals} of {cell.diverged_finals + len(cell.finals)} final runs of {cell.id} diverged: "
        + ("its score is the survivors' and flatters the procedure." if cell.finals else "it has no test score.")
        for cell in results.cells
        if cell.diverged_finals
    ]


def _diverged(results: Results) -> list[str]:
    trials = [cell.id for cell in results.cells for trial in cell.trials if trial.state == "diverged"]
    if not trials:
        return []
    return [f"{count(len(trials), 'trial')} diverged, in {listed(sorted(set(trials)))}."]


def _few_seeds(findings: Findings) -> list[str]:
    scores = findings.verdicts.scores if findings.verdicts else {}
    single = [cell for cell, score in scores.items() if not score.covers_seeds]
    pairs = [cell for cell, number in findings.verdicts.seeds.items() if number == 2] if findings.verdicts else []
    sentences = []
    if single:
        hold = f"intervals of {listed(single)} hold for these models alone"
        sentences.append(f"One final run says nothing of other seeds: {hold}.")
    if pairs:
        badly = "intervals are too narrow where seeds differ much, and false claims likelier than 5%"
        sentences.append(
            f"Two final runs estimate the spread between seeds badly ({listed(pairs)}): {badly}; take three or more."
        )
    return sentences
