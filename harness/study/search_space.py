"""The search space and what is drawn from it: the hyperparameters of one training run.

Every key of the study's training section that a search may draw is an entry of `HYPERPARAMETERS`. To search over
something else, add one: where the study gives its range, and how a value acts. All else takes the mapping whole: the
samplers, warm start, the params of runs and what is read back from them, the cell's digest, the report.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.core.absent_value import NONE
from harness.core.errors import UserError
from harness.study.axes import Tuning
from harness.study.dimension import Dimension, Value, format_value, parse_value
from harness.study.hyperparameters import Hyperparameters, shown_value, title
from harness.study.spec import StudySpec
from harness.study.written_space import OPTIONS, RATE, SEARCHED, TRAINING, TUNING

__all__ = [
    "HYPERPARAMETERS",
    "Hyperparameter",
    "Hyperparameters",
    "SearchSpace",
    "applied",
    "drawn_from",
    "format_value",
    "parse_value",
    "shown_value",
    "size_searched",
    "title",
    "tuned",
]


def drawn_from(dimension: Dimension) -> str:
    """Return what is searched over, and between which ends or among which choices, for people.

    >>> drawn_from(Dimension("learning_rate", 1e-5, 1e-2, "log"))
    'learning rates from 1e-05 to 0.01'
    """
    ending = "s" if dimension.name == RATE else ""
    name = f"{title(dimension.name)}{ending}"
    if dimension.choices:
        return f"{name} among {', '.join(map(shown_value, dimension.choices))}"
    return f"{name} from {dimension.low:g} to {dimension.high:g}"


@dataclass(frozen=True)
class Hyperparameter:
    """An entry of the table: what a study may search over."""

    dimension: Callable[[StudySpec], Dimension | None]
    """The range that the study gives it, under the entry's name; ``None``: the study does not search over it."""
    apply: Callable[[StudySpec, Value], StudySpec] | None = None
    """The study that trains with a value; ``None``: `harness.training.loop.fit` takes it, as the rate, or the tuning
    does, see `tuned`."""


def _entry(name: str) -> Hyperparameter:
    """Return the entry of a name that ``search.space`` knows."""
    key = name.removeprefix(TRAINING)

    def apply(study: StudySpec, value: Value) -> StudySpec:
        return study.model_copy(update={"training": study.training.model_copy(update={key: value})})

    is_of_study = name != RATE and name not in OPTIONS
    return Hyperparameter(lambda study: study.search.dimensions.get(name), apply if is_of_study else None)


HYPERPARAMETERS: dict[str, Hyperparameter] = {name: _entry(name) for name in SEARCHED}
"""All that can be searched over, by name."""


def applied(study: StudySpec, hyperparameters: Mapping[str, Value]) -> StudySpec:
    """Return the study that a training run with these values has: its training section may differ.

    What an entry leaves to `fit`, such as the learning rate, is no part of a study.
    """
    for name, value in hyperparameters.items():
        if apply := HYPERPARAMETERS[name].apply:
            study = apply(study, value)
    return study


def tuned(tuning: Tuning, hyperparameters: Mapping[str, Value]) -> Tuning:
    """Return the tuning that a training run with these values has: another one, in the same cell."""
    own = {name: value for name, value in hyperparameters.items() if _is_of(tuning, name)}
    return tuning.with_options({name.rpartition(".")[2]: value for name, value in own.items()}) if own else tuning


def _is_of(tuning: Tuning, name: str) -> bool:
    """Return whether a name is that of an option of a tuning's kind."""
    return name.startswith(f"{TUNING}{tuning.kind}.")


def size_searched(study: StudySpec, tuning: Tuning) -> Dimension | None:
    """Return what of a tuning's search decides how many weights its adapter has, ``None`` where nothing does.

    They are so many for each one of it, be it a rank or a number of tokens, and some more.
    """
    name = f"{TUNING}{tuning.kind}.{tuning.adapter.leading}" if tuning.adapter else ""
    return SearchSpace.of(study, tuning).find(name)


@dataclass(frozen=True)
class SearchSpace:
    """The dimensions that a cell's search draws from, in the order of the table."""

    dimensions: tuple[Dimension, ...] = ()
    elsewhere: tuple[str, ...] = ()
    """What cells of other tunings search over, and these do not."""

    @classmethod
    def of(cls, study: StudySpec, tuning: Tuning | None = None) -> SearchSpace:
        """Return the space of the cells of a tuning, given the study that they run; `harness.study.grid.cell_space`.

        Without one, the names are theirs, and the learning rate is that of cells without a range of their own.
        """
        if tuning is not None:
            study = study.model_copy(update={"search": study.search.of_tuning(tuning)})
        ranges = (entry.dimension(study) for entry in HYPERPARAMETERS.values())
        found = [dimension for dimension in ranges if dimension is not None]
        others = [d.name for d in found if tuning is not None and d.name in OPTIONS and not _is_of(tuning, d.name)]
        return cls(tuple(dimension for dimension in found if dimension.name not in others), tuple(others))

    @classmethod
    def from_record(cls, records: Sequence[Mapping[str, Any]] | None, search: Mapping[str, Any]) -> SearchSpace:
        """Return the space that a store holds, from `record`, or of one without it by its study's search section."""
        if records is None:
            rate = search.get("learning_rate")
            return cls((Dimension("learning_rate", rate["low"], rate["high"], "log"),) if rate else ())
        dimensions = tuple(map(Dimension.from_record, records))
        if any(isinstance(choice, str) for d in dimensions if d.name == RATE for choice in d.choices):
            raise ValueError("its learning rates are no numbers")
        return cls(dimensions)

    def with_rates(self, record: Mapping[str, Any] | None) -> SearchSpace:
        """Return the space with other learning rates, from `record`; itself without one."""
        if record is None:
            return self
        return self.replaced(Dimension.from_record(record))

    def replaced(self, dimension: Dimension) -> SearchSpace:
        """Return the space with another dimension in place of the one of its name."""
        return replace(self, dimensions=tuple(dimension if d.name == dimension.name else d for d in self.dimensions))

    def record(self) -> list[dict[str, Any]]:
        """Return the space as JSON values."""
        return [asdict(dimension) for dimension in self.dimensions]

    @property
    def names(self) -> tuple[str, ...]:
        """What is searched over."""
        return tuple(dimension.name for dimension in self.dimensions)

    @property
    def params(self) -> tuple[str, ...]:
        """The params of its runs: what is searched over here or elsewhere in the study."""
        return (*self.names, *self.elsewhere)

    @property
    def beyond_learning_rate(self) -> SearchSpace:
        """The dimensions that a study did not have when the learning rate was the only one."""
        return SearchSpace(tuple(d for d in self.dimensions if d.name != "learning_rate"))

    def find(self, name: str) -> Dimension | None:
        """Return the dimension of a name, if there is one."""
        return next((dimension for dimension in self.dimensions if dimension.name == name), None)

    def nearest(self, hyperparameters: Mapping[str, Value]) -> Hyperparameters:
        """Return the point of the space that is nearest to one of another space; in the middle of what that lacks."""
        return Hyperparameters(
            {
                d.name: d.nearest(hyperparameters[d.name]) if d.name in hyperparameters else d.at(0.5)
                for d in self.dimensions
            }
        )

    def take(self, values: Mapping[str, Value]) -> Hyperparameters:
        """Return a sampler's values as hyperparameters.

        Raises:
            KeyError: One is missing.
        """
        return Hyperparameters({d.name: d.typed(values[d.name]) for d in self.dimensions})

    def at(self, places: Sequence[float]) -> Hyperparameters:
        """Return the point at a place from 0 to 1 in each dimension."""
        pairs = zip(self.dimensions, places, strict=True)
        return Hyperparameters({dimension.name: dimension.at(place) for dimension, place in pairs})

    def format(self, hyperparameters: Mapping[str, Value]) -> dict[str, str]:
        """Return the params of a run with these values; a name that they lack is `NONE`, here or elsewhere."""
        return {name: format_value(hyperparameters[name]) if name in hyperparameters else NONE for name in self.params}

    def parse(self, params: Mapping[str, str]) -> Hyperparameters:
        """Return what `format` made a run's params from, whatever else stands beside them."""
        texts = {name: params.get(name, NONE) for name in self.names}
        return Hyperparameters({name: parse_value(text) for name, text in texts.items() if text != NONE})

    def grid(self, trials: int, given: int = 0) -> list[Hyperparameters]:
        """Return all choices times evenly spaced points of each range, none twice, at most so many.

        Both ends of a range are included; one range may get a single point, its middle. The last dimension changes
        first.

        Args:
            trials: The budget.
            given: How many of these are something else.

        Raises:
            UserError: The choices alone are more, or a second range would get a single point.
        """
        counts = {d.name: 1 for d in self.dimensions if not d.choices}
        fewest, most = math.prod(len(d.choices) for d in self.dimensions if d.choices), trials - given
        least = fewest * 2 ** max(0, len(counts) - 1)
        if least > most:
            ranges = f"{len(counts)} ranges, of which one alone may get a single point"
            choices = f"{fewest} combinations of choices"
            what = choices if fewest > most else ranges if fewest == 1 else f"{choices} and {ranges}"
            raise UserError(f"{most} trials are no grid of {what}; raise search.trials to at least {least + given}")
        while (raised := self._raised(counts, most // fewest)) is not None:
            counts = raised
        points = [dimension.points(counts.get(dimension.name, 1)) for dimension in self.dimensions]
        return [Hyperparameters(dict(zip(self.names, values, strict=True))) for values in itertools.product(*points)]

    def grid_beside(
        self, first: Sequence[Hyperparameters], trials: int, start: Hyperparameters | None = None
    ) -> list[Hyperparameters]:
        """Return a warm start, what is tried first, and as much of a grid as has room behind them, without these."""
        given = [*([] if start is None else [start]), *first]
        if len(given) >= trials:
            return given[:trials]
        return given + [point for point in self.grid(trials, len(given)) if point not in first]

    def _raised(self, counts: Mapping[str, int], most: int) -> dict[str, int] | None:
        """Give the range with the fewest points one more, ``None`` where none can have one."""
        for name in sorted(counts, key=lambda name: counts[name]):
            dimension, more = self.find(name), {**counts, name: counts[name] + 1}
            assert dimension is not None
            is_full = dimension.integer and counts[name] > dimension.high - dimension.low
            if not is_full and math.prod(more.values()) <= most:
                return more
        return None

    def latin_hypercube(self, parts: int, draw: random.Random) -> list[Hyperparameters]:
        """Return one point in each part of every dimension, in a random order.

        McKay, Beckman & Conover 1979, "A Comparison of Three Methods for Selecting Values of Input Variables".

        Args:
            parts: How many, of equal size; as many points are drawn.
            draw: Another dimension behind the others does not change what it draws for these.
        """
        columns = []
        for _ in self.dimensions:
            places = [(part + draw.random()) / parts for part in range(parts)]
            draw.shuffle(places)
            columns.append(places)
        return [self.at(places) for places in zip(*columns, strict=True)]

    def parts_of(self, hyperparameters: Mapping[str, Value], parts: int) -> list[int]:
        """Return which part, counted from 0, of each dimension a point lies in."""
        places = [dimension.place(hyperparameters[dimension.name]) for dimension in self.dimensions]
        return [min(int(parts * place), parts - 1) for place in places]
