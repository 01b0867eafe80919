"""The model that an adapter was made on, as its folder says, and whether a study's model is that one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.core.bounded_files import read_json
from harness.core.errors import UserError
from harness.core.named_path import named_path
from harness.study.adapter_files import ADAPTER_CONFIG
from harness.study.packaged_files import model_location
from harness.study.spec import Model

__all__ = ["MadeOn", "base_to_compare", "made_on", "refuse_other_base", "unsure_base"]

RECIPE = "harness.json"
"""What a folder that a study stored says of itself."""


class MadeOn(NamedTuple):
    """What an adapter's folder says of its base."""

    name: str | None
    """A folder, a Hub id or ``embedded``; ``None`` where nothing says."""
    revision: str | None = None
    """On the Hub: a branch, tag or commit."""
    adapter: str | None = None
    """Where the adapter was that had been merged into it."""
    dtype: str | None = None
    """What its weights were loaded as; ``None`` where a study did not store the adapter."""
    weights: str | None = None
    """Digest of its weights as loaded, likewise; ``None`` too where they were held in bfloat16."""

    def __str__(self) -> str:
        """Return it for messages."""
        own = f"{self.name}{f' at {self.revision}' if self.revision else ''}"
        return f"{own} with the adapter {self.adapter} merged in" if self.adapter else own


def made_on(folder: Path) -> MadeOn:
    """Return what an adapter's folder says of its base: a study's own record, else PEFT's configuration.

    Raises:
        UserError: One of the two cannot be read.
    """
    recipe = folder / RECIPE
    own = _read(recipe).get("base") if recipe.is_file() else None
    if not isinstance(own, Mapping):
        config = _read(folder / ADAPTER_CONFIG)
        return MadeOn(_text(config.get("base_model_name_or_path")), _text(config.get("revision")))
    named = own.get("folder") or own.get("name")
    commit, adapter, dtype, weights = (_text(own.get(key)) for key in ("commit", "adapter", "dtype", "weights"))
    return MadeOn(_text(named), commit, adapter, dtype, weights if own.get("frozen", "float32") == "float32" else None)


def refuse_other_base(model: Model) -> None:
    """See that the adapter that a study starts from was not stored on this very model with another one merged in.

    Raises:
        UserError: It was: its base's weights are known to be others.
    """
    base = made_on(named_path(model.adapter)) if model.adapter else None
    if base and base.adapter and _is_same(base.name or "", model.name):
        raise UserError(
            f"model.adapter {model.adapter!r} was made on {base}, and model.name is that model without it; name a "
            "model that has it merged in, as a study stores with final.store: full"
        )


def unsure_base(model: Model) -> list[str]:
    """Say that the adapter that a study starts from may have been made on another model, where nothing settles it.

    What a folder says is a name, and two names may be of one model.
    """
    told, base = _other(model)
    return [f"{told}; see that the two are one."] if told and not _is_compared(base, model) else []


def base_to_compare(model: Model) -> list[str]:
    """Say the same where a study stored the adapter: the weights themselves are compared when they are loaded."""
    told, base = _other(model)
    return (
        [f"{told}; whether the weights are the same is seen on loading."] if told and _is_compared(base, model) else []
    )


def _other(model: Model) -> tuple[str, MadeOn]:
    """Return what an adapter's folder says of another model than the study's, or no words, and what it says."""
    base = made_on(named_path(model.adapter)) if model.adapter else MadeOn(None)
    name = model.name + (f" at {model.revision}" if model.revision else "")
    if not model.adapter:
        return "", base
    if base.name is None:
        return f"Adapter {model.adapter} does not say which model it was made on, and the study's is {name}", base
    if _is_same(base.name, model.name) and base.revision in (None, model.revision or base.revision):
        return "", base
    return f"Adapter {model.adapter} was made on {base}, and the study's model is {name}", base


def _is_compared(base: MadeOn, model: Model) -> bool:
    return base.weights is not None and base.dtype == model.dtype


def _is_same(one: str, other: str) -> bool:
    """Return whether two names lead to one model: one folder, or one Hub id."""
    places = [named_path(model_location(name)) for name in (one, other)]
    if any(place.is_dir() for place in places):
        return places[0].resolve() == places[1].resolve()
    return one.casefold() == other.casefold()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _read(file: Path) -> Mapping[str, Any]:
    try:
        found = read_json(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read: {error}; bring it back") from error
    if not isinstance(found, dict):
        raise UserError(f"{file} holds no object; bring it back")
    return found
