"""A tuning as a study file writes it: ``head``, ``{last_blocks: 2}``, ``{lora: {rank: 8}, with: [head]}``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.core.closest_match import closest
from harness.core.plain_yaml import shown
from harness.study.foreign_keys import foreign_option
from harness.study.tuning_kinds import TUNING_KINDS, example, forms, stands_at_weights
from harness.study.tunings.block_choice import block_choice

__all__ = ["BESIDE", "tuning_of", "unknown_kind"]

BESIDE = ("head", "norms", "embeddings")
"""The kinds of what may train beside an adapter: modules that train whole, which PEFT stores with it."""


def tuning_of(value: Any) -> Any:
    """Turn what a study file writes into the fields of a `harness.study.tuning.Tuning`, which comes as it is.

    Raises:
        ValueError: It is no tuning.
    """
    if value is None:
        return {"kind": "none"}
    if isinstance(value, str):
        return {"kind": value}
    if not isinstance(value, dict):
        return value if hasattr(value, "kind") else _refuse(value)
    written = dict(value)
    beside = {"name": written.pop("name")} if "name" in written else {}
    if "with" in written:
        beside["parts"] = _parts(written.pop("with"))
    if len(written) != 1:
        _refuse(value)
    ((kind, given),) = written.items()
    if kind not in TUNING_KINDS:
        raise ValueError(unknown_kind(kind))
    if beside.get("parts") and not TUNING_KINDS[kind].adapter:
        raise ValueError(f"with: names what trains beside an adapter, and {kind} trains none; leave it out")
    if TUNING_KINDS[kind].adapter:
        written = _adapter(kind, given)
        if beside.get("parts") and not stands_at_weights(kind, written["options"]):
            raise ValueError(f"{kind} keeps nothing but its tokens, and no part of the model beside; leave with: out")
        return {"kind": kind, **written, **beside}
    return {"kind": kind, "blocks": _blocks(kind, given), **beside}


def unknown_kind(kind: object) -> str:
    """Return what is wrong with a name of no kind."""
    return f"unknown tuning {kind!r}; {closest(str(kind), TUNING_KINDS)}; {forms()}"


def _refuse(value: Any) -> Any:
    raise ValueError(f"a tuning cannot be {shown(value)}; {forms()}")


def _parts(given: Any) -> tuple[str, ...]:
    """Return the kinds of what trains beside an adapter, in the order of the table."""
    named: Sequence[Any] = [given] if isinstance(given, str) else given
    if not isinstance(named, list | tuple) or not named:
        raise ValueError(f"with: is {shown(given)}; name what trains beside the adapter, as in with: [head, norms]")
    for part in named:
        if part not in BESIDE:
            raise ValueError(f"with: names {shown(part)}; beside an adapter may train {', '.join(BESIDE)}")
    return tuple(part for part in BESIDE if part in named)


def _adapter(kind: str, given: Any) -> dict[str, Any]:
    """Return the fields of what stands below an adapter's kind.

    Raises:
        ValueError: It is not what the kind takes.
    """
    facts = TUNING_KINDS[kind]
    assert facts.adapter is not None
    if kind == "peft" and not isinstance(given, dict):
        is_file = isinstance(given, str)
        remedy = (
            "it is read where a study file names it; give its keys here" if is_file else "name its file, or its keys"
        )
        raise ValueError(f"peft is {shown(given)}; {remedy}: {{peft: {{peft_type: LOHA, r: 8}}}}")
    if not isinstance(given, dict | None):
        raise ValueError(f"{kind} is {shown(given)}; write {kind}, or {example(kind)}")
    options = dict(given or {})
    blocks = {"blocks": block_choice(options.pop("blocks"))} if facts.blocks == "option" and "blocks" in options else {}
    known = [*facts.adapter.options.keys(), *(["blocks"] if facts.blocks == "option" else [])]
    if kind != "peft" and (unknown := [key for key in options if key not in known]):
        raise ValueError(f"unknown key {str(unknown[0])!r} in tuning {kind}; {_meant(str(unknown[0]), kind, known)}")
    return {**blocks, "options": options}


def _meant(key: str, kind: str, known: Sequence[str]) -> str:
    """Return what is said of a key that a kind of adapter does not have."""
    if key == "blocks":
        return f"{kind} comes before all blocks, and stands in none; leave it out"
    if key == "with":
        return f"it stands beside the kind: {{{kind}: {{...}}, with: [head]}}"
    return foreign_option(key, known) or closest(key, known)


def _blocks(kind: str, given: Any) -> Any:
    """Return the blocks of what stands below a kind of the model's own weights.

    Raises:
        ValueError: It is not what the kind takes.
    """
    form = TUNING_KINDS[kind].blocks
    if form == "count" and (not isinstance(given, int) or isinstance(given, bool) or given < 1):
        raise ValueError(f"{kind} is {shown(given)}; it must be a whole number of at least 1")
    if form == "choice":
        return block_choice(given)
    if form == "count":
        return given
    if given is None or given == {}:
        return None
    if form == "none":
        raise ValueError(f"{kind} takes no {'number' if isinstance(given, int) else 'blocks'}; {forms()}")
    if not isinstance(given, dict):
        raise ValueError(f"{kind} is {shown(given)}; write {kind}, or {example(kind)}")
    if unknown := [key for key in given if key != "blocks"]:
        raise ValueError(f"unknown key {str(unknown[0])!r} in tuning {kind}; {closest(str(unknown[0]), ['blocks'])}")
    return block_choice(given["blocks"])
