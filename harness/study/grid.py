"""The grid: every combination of the axes' levels is one cell, with an id for people.

With ``search.warm_start: neighbor`` the cells that train form a tree, fixed by the grid alone. A cell starts from one
that differs on a single axis: from the first prompt's cell, all else equal; under the first prompt, from the first
level of the next axis where its own is another; there, from the tuning before it; the first of all from none. Of
several models each has a tree of its own: what suits one says little of another. A parent stands before its children in
grid order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product

from harness.core.closest_match import closest
from harness.core.errors import UserError
from harness.data.data_keys import Draw
from harness.data.demonstrations import shots_of
from harness.data.label_words import head_labels
from harness.data.tokenization import PromptForm
from harness.study.axes import AXES, Tuning
from harness.study.dimension import Dimension
from harness.study.further_axes import DRAWN_BY, GENERATION, MODEL, Level
from harness.study.search_space import SearchSpace, size_searched
from harness.study.spec import StudySpec

__all__ = [
    "Cell",
    "baseline_cell",
    "begins_with",
    "cell_draw",
    "cell_space",
    "cell_study",
    "expand",
    "neighbor",
    "same_answers",
    "searched_by",
    "select",
    "sized_by",
    "with_neighbors",
]


HEADED = "with a classification head"
"""Behind the name of a model, which has no spaces; alone where one model is studied."""


@dataclass(frozen=True)
class Cell:
    """One combination of the grid."""

    prompt: PromptForm
    tuning: Tuning
    further: tuple[tuple[str, Level], ...] = ()
    """Axis and level, for each axis behind these two that has more than one level."""

    @property
    def factors(self) -> Mapping[str, Level]:
        """Axes that show to the cell's levels, in the order of `harness.study.axes.AXES`."""
        return {"prompt": self.prompt, "tuning": self.tuning, **dict(self.further)}

    @property
    def levels(self) -> Mapping[str, str]:
        """The names of its levels, by axis: what its runs carry as params."""
        return {axis: level.name for axis, level in self.factors.items()}

    @property
    def model(self) -> str:
        """What its model is called where several are compared, else empty."""
        return self.levels.get(MODEL, "")

    @property
    def resident(self) -> str:
        """What is in memory for its runs: its model, as a language model or under a classification head."""
        return f"{self.model} {HEADED}".lstrip() if head_labels(self.prompt) else self.model

    @property
    def untrained(self) -> str:
        """What people call it where nothing trains."""
        return "few-shot" if shots_of(self.prompt) else "zero-shot"

    @property
    def id(self) -> str:
        """The name of the cell everywhere, made from its levels and never parsed: ``prompt/tuning``, further ones."""
        return "/".join(self.levels.values())


def expand(study: StudySpec, prompts: Sequence[PromptForm]) -> list[Cell]:
    """Return all cells in grid order: prompts outside, then tunings, further axes inside.

    Args:
        study: The study.
        prompts: Its prompts, looked up.
    """
    _, _, *behind = AXES
    varied = {axis.name: levels for axis in behind if len(levels := axis.levels(study)) > 1}
    return [
        Cell(prompt, tuning, tuple(zip(varied, levels, strict=True)))
        for prompt, tuning in product(prompts, study.tunings())
        for levels in product(*varied.values())
    ]


def cell_study(study: StudySpec, cell: Cell) -> StudySpec:
    """Return the study that a cell runs: with its level of every axis, and the only one of axes that do not show.

    A study with no axis but prompt and tuning is returned as it is, so that cells that run the same one can be told.
    """
    for axis in AXES:
        level = cell.factors.get(axis.name) or next(iter(axis.levels(study)), None)
        if level is not None:
            study = axis.apply(study, level)
    return study


def cell_draw(study: StudySpec, cell: Cell) -> Draw:
    """Return which training rows a cell uses."""
    (draw,) = cell_study(study, cell).data.draws
    return draw


def cell_space(study: StudySpec, cell: Cell) -> SearchSpace:
    """Return what a cell's search draws from."""
    return SearchSpace.of(cell_study(study, cell), cell.tuning)


def sized_by(study: StudySpec, cell: Cell) -> Dimension | None:
    """Return what of a cell's search decides how many weights train, see `size_searched`."""
    return size_searched(cell_study(study, cell), cell.tuning)


def baseline_cell(study: StudySpec, cells: Sequence[Cell]) -> Cell:
    """Return the cell that others are compared with: the one that is named, else the first ``full``.

    Else it is the first that trains; where nothing does, the first of all.

    Args:
        study: The study, checked.
        cells: The whole grid.
    """
    baseline = study.final.baseline
    named = baseline.levels if baseline else {"tuning": "full"}
    shown = {(axis, level) for axis, level in named.items() if axis in cells[0].levels}
    trained = next((cell for cell in cells if cell.tuning.trains), cells[0])
    return next((cell for cell in cells if shown <= cell.levels.items()), trained)


def select(cells: Sequence[Cell], pattern: str | None) -> list[Cell]:
    """Return the cells whose id matches a shell pattern such as ``cue/*``.

    Raises:
        UserError: None does.
    """
    chosen = [cell for cell in cells if pattern is None or fnmatchcase(cell.id, pattern)]
    if not chosen:
        ids = [cell.id for cell in cells]
        raise UserError(f"pattern {pattern!r} matches no cell; {closest(str(pattern), ids)}")
    return chosen


def neighbor(cell: Cell, study: StudySpec, cells: Sequence[Cell]) -> Cell | None:
    """Return the cell whose best learning rate is the first trial of this one, ``None`` where it draws all its own.

    Args:
        cell: One of the cells.
        study: Says whether cells start from one another at all.
        cells: The whole grid.
    """
    if study.search.warm_start == "none" or not cell.tuning.trains or searched_by(cell, cells) != cell:
        return None
    trained = [other for other in cells if other.tuning.trains and other.model == cell.model]
    for axis, first in trained[0].levels.items():
        if axis != "tuning" and cell.levels[axis] != first:
            nearer = {**cell.levels, axis: first}
            return next(other for other in trained if other.levels == nearer)
    line = [other for other in trained if {**other.levels, "tuning": cell.tuning.name} == cell.levels]
    place = [other.tuning for other in line].index(cell.tuning)
    return line[place - 1] if place else None


def searched_by(cell: Cell, cells: Sequence[Cell]) -> Cell:
    """Return the cell whose search finds a cell's winner, and whose weights answer: that of generation's first setting.

    Args:
        cell: One of the cells.
        cells: The whole grid.
    """
    if GENERATION not in cell.levels:
        return cell
    return next(other for other in cells if _but(other, [GENERATION]) == _but(cell, [GENERATION]))


def begins_with(cell: Cell, study: StudySpec, cells: Sequence[Cell]) -> Cell | None:
    """Return the cell whose search must be over before a cell's: that it is searched by, else its `neighbor`."""
    searched = searched_by(cell, cells)
    return neighbor(cell, study, cells) if searched == cell else searched


def same_answers(cell: Cell, cells: Sequence[Cell]) -> list[Cell]:
    """Return those of some cells that one final run answers for: where training rows enter nothing, all draws of them.

    They enter where something trains, and where demonstrations are shown.
    """
    if cell.tuning.trains or shots_of(cell.prompt):
        return [cell]
    return [other for other in cells if _but(other, DRAWN_BY) == _but(cell, DRAWN_BY)]


def _but(cell: Cell, axes: Collection[str]) -> dict[str, str]:
    """Return the levels of a cell on all axes but some."""
    return {axis: level for axis, level in cell.levels.items() if axis not in axes}


def with_neighbors(chosen: Sequence[Cell], study: StudySpec, cells: Sequence[Cell]) -> list[Cell]:
    """Return, in grid order, some cells and all those that they start from or are searched by, directly or not."""
    wanted, line = {cell.id for cell in chosen}, list(chosen)
    while line:
        if (parent := begins_with(line.pop(), study, cells)) and parent.id not in wanted:
            wanted.add(parent.id)
            line.append(parent)
    return [cell for cell in cells if cell.id in wanted]
