"""What a search tries before it draws anything, ``search.first``: published settings, inside the budget.

What a setting leaves out has the value of the study's training section. A cell whose space lacks a setting goes
without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.core.closest_match import closest
from harness.core.errors import UserError
from harness.study.dimension import Dimension, Value, format_value
from harness.study.search_space import Hyperparameters, SearchSpace
from harness.study.spec import StudySpec
from harness.study.tuning_kinds import TUNING_KINDS
from harness.study.written_space import RATE, TRAINING, TUNING

__all__ = ["first_settings", "option_defaults", "strays"]


def first_settings(study: StudySpec, space: SearchSpace) -> list[Hyperparameters]:
    """Return the settings that lie in the space of a cell.

    Raises:
        UserError: One stands twice, names what is not searched over, or leaves out what nothing else says.
    """
    settings = [_whole(setting, study, space) for setting in study.search.first]
    twice = next((setting for place, setting in enumerate(settings) if setting in settings[:place]), None)
    if twice is not None:
        raise UserError(f"search.first has {twice.in_words()} twice; keep one of the two")
    return [space.nearest(setting) for setting in settings if not strays(setting, space)]


def strays(setting: Mapping[str, Value], space: SearchSpace) -> list[str]:
    """Return what a setting has that the space of a cell lacks, in words."""
    return [
        f"{dimension.name} {format_value(setting[dimension.name])} is not {_extent(dimension)}"
        for dimension in space.dimensions
        if not dimension.has(setting[dimension.name])
    ]


def _whole(setting: Mapping[str, Any], study: StudySpec, space: SearchSpace) -> Hyperparameters:
    """Return a setting with a value for each dimension."""
    for name in setting:
        if name not in space.names and name not in study.search.dimensions:
            hint = closest(name, space.names)
            raise UserError(f"search.first has {name!r}, which is not searched over; set it elsewhere, or {hint}")
    if RATE not in setting:
        raise UserError(f"search.first has a setting without a {RATE}, which nothing else says; add it")
    own = {f"{TRAINING}{key}": value for key, value in study.training} | option_defaults()
    values = {name: setting.get(name, own.get(name)) for name in space.names}
    return Hyperparameters(values)


def option_defaults() -> dict[str, Any]:
    """Return the defaults of adapters' options, by their names in a space."""
    forms = {kind: facts.adapter for kind, facts in TUNING_KINDS.items() if facts.adapter and facts.adapter.searched}
    return {
        f"{TUNING}{kind}.{option}": value
        for kind, form in forms.items()
        for option, value in form.options().model_dump().items()
    }


def _extent(dimension: Dimension) -> str:
    if dimension.choices:
        return f"among {', '.join(map(format_value, dimension.choices))}"
    return f"from {dimension.low:g} to {dimension.high:g}"
