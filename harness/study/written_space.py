"""``search.space`` as a study file writes it: names, ranges, choices, and what is refused of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from harness.core.closest_match import closest
from harness.core.number_types import Rate
from harness.core.plain_yaml import shown
from harness.core.yaml_section import Section
from harness.study.dimension import Dimension, Value
from harness.study.foreign_keys import foreign_option
from harness.study.training_keys import LOSSES, UNSEARCHED, Training
from harness.study.tuning_kinds import TUNING_KINDS, example
from harness.study.tunings.adapter_form import AdapterForm

__all__ = [
    "OPTIONS",
    "RATE",
    "SEARCHED",
    "TRAINING",
    "TUNING",
    "flattened",
    "space_dimensions",
    "typed_settings",
]

RATE = "learning_rate"

TRAINING = "training."
"""Before a key of the study's training section."""

TUNING = "tuning."
"""Before a kind of adapter, and behind that one of its options."""

OPTIONS = tuple(
    f"{TUNING}{kind}.{option}"
    for kind, facts in TUNING_KINDS.items()
    if facts.adapter
    for option in facts.adapter.searched
)
"""The options of adapters that a study file can search over."""

SEARCHED = (RATE, *(f"{TRAINING}{key}" for key in Training.model_fields if key not in UNSEARCHED), *OPTIONS)
"""All that a study file can search over."""

WHOLE = ("epochs", "steps", "batch_size", "accumulation", "rank", "tokens")
"""The keys that are whole numbers."""

Keys = tuple[str | int, ...]

_RATE = TypeAdapter[float](Rate, config=ConfigDict(allow_inf_nan=False))


class _Fault(ValueError):
    """Something wrong below a name: pydantic's detail of it, and the keys that lead there."""

    def __init__(self, keys: Keys, detail: Mapping[str, Any]) -> None:
        super().__init__()
        self.keys, self.detail = keys, detail


def flattened(space: Any) -> Any:
    """Return a space with dotted names where ``training: {epochs: ...}`` is nested, as ``--set a.b=value`` makes it.

    Raises:
        ValueError: A name stands there in both forms.
    """
    if not isinstance(space, dict):
        return space
    flat: dict[Any, Any] = {}
    for key, value in space.items():
        for name, entry in _unfolded(key, value):
            if name in flat:
                raise ValueError(f"{name} stands twice, once with a dot and once below {key}; keep one")
            flat[name] = entry
    return flat


def _unfolded(key: Any, value: Any) -> list[tuple[Any, Any]]:
    """Return what stands below a section's name, or a kind's of adapters, by dotted names."""
    above = [TRAINING.rstrip("."), TUNING.rstrip("."), *(name.rpartition(".")[0] for name in OPTIONS)]
    if key not in above or not isinstance(value, dict):
        return [(key, value)]
    return [pair for inner, each in value.items() for pair in _unfolded(f"{key}.{inner}", each)]


def typed_settings(settings: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Return settings with each value as its key has it: YAML reads ``2e-5`` as a text, and a key takes it as a number.

    Names that no search knows are left to `harness.study.first_settings`.

    Raises:
        ValidationError: Of all values that a key does not take, each with its place.
    """
    typed: list[dict[str, Any]] = []
    problems: list[InitErrorDetails] = []
    for place, setting in enumerate(settings):
        typed.append(dict(setting))
        for name in [name for name in setting if name in SEARCHED]:
            try:
                typed[-1][name] = _typing(name)(setting[name], name)
            except _Fault as fault:
                problems.append(_details(fault, (place,)))
    if problems:
        raise ValidationError.from_exception_data("first", problems)
    return tuple(typed)


def space_dimensions(space: Mapping[str, Any]) -> dict[str, Dimension]:
    """Return the dimensions of a space by name.

    Raises:
        ValidationError: Of all that is wrong with it, each with its place.
    """
    found: dict[str, Dimension] = {}
    problems: list[InitErrorDetails] = []
    for name, entry in space.items():
        try:
            found[name] = _dimension(name, entry)
        except _Fault as fault:
            problems.append(_details(fault, (name,)))
        except ValueError as error:
            problems.append(InitErrorDetails(type="value_error", loc=(name,), input=entry, ctx={"error": error}))
    if problems:
        raise ValidationError.from_exception_data("space", problems)
    return found


def _details(fault: _Fault, above: Keys) -> InitErrorDetails:
    """Return what pydantic is told of a fault, with the keys that lead to it."""
    kind = PydanticCustomError(fault.detail["type"], fault.detail["msg"], fault.detail.get("ctx"))
    return InitErrorDetails(type=kind, loc=(*above, *fault.keys), input=fault.detail["input"])


def _dimension(name: str, entry: Any) -> Dimension:
    _refuse_unsearched(name)
    typed = _typing(name)
    if isinstance(entry, list | tuple):
        if not entry:
            raise ValueError(f"search.space.{name} has no choice; name some, or leave it out")
        choices = tuple(typed(value, index) for index, value in enumerate(entry))
        if name == f"{TRAINING}loss" and (own := [str(choice) for choice in choices if choice not in LOSSES]):
            raise ValueError(
                f"search.space.{name} has {own[0]!r}; its choices are {', '.join(LOSSES)}: a loss of your own is set "
                f"as training.loss, in a study that is compared with others"
            )
        if name == f"{TRAINING}steps" and None in choices:
            raise ValueError(f"search.space.{name} has null, which is no number of steps; leave it out")
        return Dimension(name, choices=choices)
    form = "{low: 1, high: 4}" if name.rpartition(".")[2] in WHOLE else "{low: 0.1, high: 1.0}"
    if not isinstance(entry, dict):
        raise ValueError(f"search.space.{name} is {shown(entry)}; write a range, {form}, or a list of choices")
    if unknown := [key for key in entry if key not in ("low", "high", "scale")]:
        hint = closest(str(unknown[0]), ["low", "high", "scale"])
        raise ValueError(f"unknown key {unknown[0]!r} in search.space.{name}; {hint}")
    if missing := [key for key in ("low", "high") if entry.get(key) is None]:
        raise ValueError(f"search.space.{name} has no {missing[0]}; write a range, {form}")
    scale = entry.get("scale", "log" if name == RATE else "linear")
    if scale not in ("log", "linear"):
        raise ValueError(f"search.space.{name}.scale is {shown(scale)}; it must be one of 'log', 'linear'")
    low, high = typed(entry["low"], "low"), typed(entry["high"], "high")
    if isinstance(low, str) or isinstance(high, str) or low is None or high is None:
        raise ValueError(f"search.space.{name} is no number; list the choices")
    written = all(isinstance(entry[end], int) for end in ("low", "high")) and name != RATE
    integer = written or name.rpartition(".")[2] in WHOLE
    return Dimension(name, low, high, scale, integer=integer)


def _refuse_unsearched(name: Any) -> None:
    """See that a study can search over something of this name."""
    if name in SEARCHED:
        return
    text = str(name)
    section, _, key = text.partition(".")
    if section == "training" and key in UNSEARCHED:
        raise ValueError(f"search.space.{text} cannot be searched over: {UNSEARCHED[key]}; set {text} instead")
    if section == "tuning" and key.partition(".")[0] in TUNING_KINDS:
        kind, _, option = key.partition(".")
        if option and (form := TUNING_KINDS[kind].adapter):
            _refuse_option(text, kind, option, form)
        levels = f"{{{kind}: 1}}, {{{kind}: 2}}" if TUNING_KINDS[kind].blocks == "count" else example(kind)
        raise ValueError(
            f"search.space.{text} cannot be searched over: how much trains is an axis, whose levels are compared and "
            f"tested, each with a search of its own; write tuning: [{levels}]"
        )
    raise ValueError(f"search.space has the unknown name {text!r}; {closest(text, SEARCHED)}")


def _refuse_option(text: str, kind: str, option: str, form: AdapterForm) -> None:
    """Refuse an option that a kind of adapter does not have, or that is no number to search over."""
    if option in form.options.model_fields:
        raise ValueError(
            f"search.space.{text} cannot be searched over; what can of {kind} is "
            f"{', '.join(form.searched) or 'nothing'}: name tunings that differ in {option}, each is searched by itself"
        )
    hint = foreign_option(option, form.searched) or closest(option, form.searched)
    raise ValueError(f"search.space has the unknown name {text!r}; {hint}")


def _typing(name: str) -> Callable[[Any, str | int], Value]:
    """Return what checks one value as the study file's own key does, and gives it that key's type."""

    def typed(value: Any, place: str | int) -> Value:
        try:
            if name == RATE:
                return float(_RATE.validate_python(value))
            section, key = _section(name)
            made: Value = getattr(section.model_validate({key: value}), key)
            return made
        except ValidationError as error:
            raise _Fault((place,), error.errors()[0]) from None

    return typed


def _section(name: str) -> tuple[type[Section], str]:
    """Return the section that a name's values are checked by, and the name's key there."""
    if name not in OPTIONS:
        return Training, name.removeprefix(TRAINING)
    _, kind, option = name.split(".")
    form = TUNING_KINDS[kind].adapter
    assert form is not None
    return form.options, option
