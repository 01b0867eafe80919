"""What `check` refuses of a search, before any of its trials runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from harness.core.closest_match import closest
from harness.core.errors import UserError
from harness.core.plain_yaml import shown
from harness.study.first_settings import first_settings, option_defaults, strays
from harness.study.grid import Cell, cell_space, neighbor, searched_by
from harness.study.problems import Problems
from harness.study.search_space import Hyperparameters, SearchSpace
from harness.study.spec import StudySpec
from harness.study.tuning_kinds import TUNING_KINDS, example
from harness.study.written_space import OPTIONS, TRAINING

__all__ = ["SearchPlan", "refuse_search", "search_plan"]


THIRDS = 3
"""Trials that see every part of a range."""


class SearchPlan(NamedTuple):
    """What the search of one cell will be."""

    space: SearchSpace
    first: tuple[Hyperparameters, ...]
    trials: int
    """At most: a grid may have fewer points than there are trials. 0 of a cell that another one is searched for."""


def search_plan(cell: Cell, study: StudySpec, cells: Sequence[Cell]) -> SearchPlan:
    """Return what a cell's search will be.

    Raises:
        UserError: It can be none: a grid without room, settings to begin with that make no sense.
    """
    space = cell_space(study, cell)
    first, search = first_settings(study, space), study.search
    if len(first) > search.trials:
        raise UserError(f"search.first has {len(first)} settings, but search.trials is {search.trials}; raise it")
    trials = search.trials
    if search.sampler == "grid":
        any_point = space.at([0.5] * len(space.dimensions))  # a winner that is not known yet takes a place as well
        start = any_point if neighbor(cell, study, cells) else None
        trials = len(space.grid_beside(first, trials, start))
    return SearchPlan(space, tuple(first), trials if searched_by(cell, cells) == cell else 0)


def refuse_search(study: StudySpec, cells: Sequence[Cell], problems: Problems) -> list[str]:
    """See that every cell that trains can be searched; return what is worth a look."""
    trained = [cell for cell in cells if cell.tuning.trains]
    _refuse_ranges(study, problems)
    _refuse_options(study, problems)
    spaces: dict[SearchSpace, list[str]] = {}
    for cell in trained:
        key = "first" if study.search.first else "trials"
        with problems.at("search", key):
            spaces.setdefault(search_plan(cell, study, cells).space, []).append(cell.tuning.name)
    _refuse_length(study, problems)
    _refuse_patience(study, list(spaces), problems)
    _refuse_smoothing(study, list(spaces), problems)
    return [*_left_out(study, spaces, problems), *_slow_sgd(study, trained), *_few_trials(study, trained)]


def _refuse_ranges(study: StudySpec, problems: Problems) -> None:
    """See that a range is that of a tuning that the study trains, or of a kind."""
    known = [name for name in (*TUNING_KINDS, *(tuning.name for tuning in study.tuning)) if name != "none"]
    for name in study.search.ranges or {}:
        if name not in known:
            hint = closest(name, dict.fromkeys(known))
            problems.add(
                f"search.ranges names {name!r}, which the study does not train; {hint}", "search", "ranges", name
            )


def _refuse_options(study: StudySpec, problems: Problems) -> None:
    """See that options of adapters that are searched over are those of tunings that leave them open."""
    for name in [name for name in study.search.dimensions if name in OPTIONS]:
        _, kind, option = name.split(".")
        own = [tuning for tuning in study.tuning if tuning.kind == kind]
        said = [tuning.name for tuning in own if option in tuning.settings.model_dump(exclude_defaults=True)]
        if not own:
            told = f"search.space names {name}, but no tuning is {kind}; add {example(kind)} to tuning, or leave it out"
            problems.add(told, "search", "space", name)
        elif said:
            told = f"search.space names {name}, which tuning {said[0]} says itself; leave one of the two out"
            problems.add(told, "search", "space", name)


def _refuse_length(study: StudySpec, problems: Problems) -> None:
    """See that the length of a run is drawn in the unit that the study counts it in."""
    own, other = ("steps", "epochs") if study.training.steps is not None else ("epochs", "steps")
    if f"{TRAINING}{other}" in study.search.dimensions:
        remedy = "leave training.steps out" if own == "steps" else "set training.steps"
        told = f"search.space names training.{other}, but the study's runs are counted in {own}"
        problems.add(f"{told}; name training.{own}, or {remedy}", "search", "space", f"{TRAINING}{other}")


def _refuse_patience(study: StudySpec, spaces: Sequence[SearchSpace], problems: Problems) -> None:
    """See that patience can stop the shortest run that may be drawn, where its scores are known before its rows."""
    training = study.training
    for key in ("epochs", "steps"):
        for length in filter(None, (space.find(f"{TRAINING}{key}") for space in spaces)):
            shortest = training.model_copy(update={key: int(length.lowest)}).scores()
            if training.patience is not None and shortest and training.patience >= shortest:
                unit = "scores" if training.counts_steps else "epochs"
                told = f"training.patience {training.patience} could stop no run of {shortest} {unit}"
                problems.add(f"{told}, which a search may draw; lower it or leave it out", "training", "patience")


def _refuse_smoothing(study: StudySpec, spaces: Sequence[SearchSpace], problems: Problems) -> None:
    """See that no trial smooths the labels of a loss that has no smoothing; where nothing is drawn, the keys say so."""
    for space in spaces:
        losses, smoothing = space.find(f"{TRAINING}loss"), space.find(f"{TRAINING}label_smoothing")
        drawn = losses.choices if losses else (study.training.loss,)
        most = smoothing.highest if smoothing else study.training.label_smoothing
        others = [str(loss) for loss in drawn if loss != "cross_entropy"]
        if (losses or smoothing) and others and most > 0:
            told = f"a search may draw training.label_smoothing {most:g} with training.loss {others[0]!r}"
            problems.add(f"{told}, but it is of cross entropy alone; leave one of the two out", "search", "space")
            return


def _slow_sgd(study: StudySpec, trained: Sequence[Cell]) -> list[str]:
    """Tell where SGD may train at learning rates that nobody named: those of the kinds are AdamW's."""
    optimizers = study.search.dimensions.get(f"{TRAINING}optimizer")
    uses = "sgd" in (optimizers.choices if optimizers else (study.training.optimizer,))
    if not uses or not any(study.search.leaves_out(cell.tuning) for cell in trained):
        return []
    return [
        "training.optimizer sgd searches the learning rates of AdamW where nothing names others; its own are mostly "
        "10 to 1000 times larger: give search.learning_rate a range"
    ]


def _few_trials(study: StudySpec, trained: Sequence[Cell]) -> list[str]:
    """Tell where a search never looks at a part of its learning rates, of which its first draws take one each."""
    trials = study.search.trials
    if study.search.sampler != "gp" or trials >= THIRDS or not trained:
        return []
    return [
        f"search.trials is {trials}, and the sampler draws one in each third of a range: some of the learning rates "
        f"are never tried, which may be the best of a tuning; {THIRDS} look at all of them"
    ]


def _left_out(study: StudySpec, spaces: dict[SearchSpace, list[str]], problems: Problems) -> list[str]:
    """Tell of settings that some cells cannot begin with; one that none can is refused."""
    notes = []
    for place, setting in enumerate(study.search.first):
        whole = {**{f"{TRAINING}{key}": value for key, value in study.training}, **option_defaults(), **setting}
        outside = {space: told for space in spaces if (told := strays(whole, space))}
        words = [f"{', '.join(dict.fromkeys(spaces[space]))}: {'; '.join(told)}" for space, told in outside.items()]
        if outside and len(outside) == len(spaces):
            lies = f"search.first {shown(setting)} lies in no cell's space ({'; '.join(words)})"
            problems.add(f"{lies}; widen the range, or name what it leaves out", "search", "first", place)
        elif outside:
            notes.append(f"search.first {shown(setting)} is left out where it lies outside ({'; '.join(words)})")
    return notes
