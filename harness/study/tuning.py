"""A tuning as a study names it: a kind of the table, which blocks, and a name of its own where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from harness.core.closest_match import closest
from harness.core.number_types import Count
from harness.core.plain_yaml import shown
from harness.core.workspace import LONGEST_NAME
from harness.core.yaml_section import Section
from harness.study.tuning_kinds import TUNING_KINDS, depth_of, example, forms, name_of
from harness.study.tunings.block_choice import ALL, LARGEST, block_choice, blocks_name, blocks_needed

__all__ = ["Tuning", "tuning_of"]

BlockNumber = Annotated[int, Field(ge=0, le=LARGEST)]


def _said(blocks: Any) -> Any:
    """Return a number of blocks as it is, and a choice as it is kept."""
    return blocks if blocks is None or isinstance(blocks, int) else block_choice(blocks)


class Tuning(Section):
    """Which weights move: a kind of the table, and which blocks."""

    kind: str
    """One of `harness.study.tuning_kinds.TUNING_KINDS`."""
    blocks: Annotated[Count | str | tuple[BlockNumber, ...] | None, BeforeValidator(_said)] = None
    """How many blocks, or which, for a kind that takes blocks; see `harness.study.tunings.block_choice`."""
    named: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=LONGEST_NAME)
    """The name that it has instead of the one that is made of these."""

    @model_validator(mode="before")
    @classmethod
    def _without_default(cls, value: Any) -> Any:
        """Leave out ``blocks: all`` where no choice means all: what is the same has one name."""
        facts = TUNING_KINDS.get(str(value.get("kind"))) if isinstance(value, Mapping) else None
        if facts and facts.blocks == "option" and value.get("blocks") == ALL:
            return {**value, "blocks": None}
        return value

    @model_validator(mode="after")
    def _is_known(self) -> Tuning:
        if self.kind not in TUNING_KINDS:
            raise ValueError(_unknown(self.kind))
        form, is_number = TUNING_KINDS[self.kind].blocks, isinstance(self.blocks, int)
        if form == "none" and self.blocks is not None:
            raise ValueError(f"{self.kind} takes no {'number' if is_number else 'blocks'}; {forms()}")
        if form in ("count", "choice") and self.blocks is None:
            raise ValueError(f"{self.kind} needs {'a number' if form == 'count' else 'blocks'}; {forms()}")
        if self.blocks is not None and is_number is not (form == "count"):
            raise ValueError(f"{self.kind} has blocks {shown(self.blocks)}; write {example(self.kind)}")
        if self.named and self.named != (own := name_of(self.kind, self.blocks)):
            taken = self.named.partition("-")[0]
            if taken in TUNING_KINDS:
                raise ValueError(f"tuning {own} is called {self.named!r}, as one of kind {taken} is; call it otherwise")
        return self

    @model_serializer(mode="wrap")
    def _as_stored(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the name that it has not, as records of studies and models were before there was any."""
        fields: dict[str, Any] = dump(self)
        return {key: value for key, value in fields.items() if key != "named" or value is not None}

    @property
    def name(self) -> str:
        """The name in ids and params: ``none``, ``head``, ``last_blocks-2``, ``norms-last-2``, or its own."""
        return self.named or name_of(self.kind, self.blocks)

    @property
    def depth(self) -> tuple[float, float]:
        """What sorts tunings by how much of the network trains."""
        return depth_of(self.kind, self.blocks)

    def misfit(self, there: str, count: int) -> str | None:
        """Say why it fits no model of so many blocks, ``None`` if it does.

        Args:
            there: What has them, for the message.
            count: How many blocks there are.
        """
        blocks = self.blocks or ALL
        if isinstance(blocks, int):
            return f"{self.kind} is {blocks}, but {there} has {count} blocks; lower it" if blocks > count else None
        if blocks_needed(blocks) <= count:
            return None
        return (
            f"{self.kind} names blocks {blocks_name(blocks)}, but {there} has {count} blocks, counted from 0; "
            "name some of those"
        )

    @property
    def trains(self) -> bool:
        """Whether anything is trained."""
        return self.kind != "none"

    @property
    def words(self) -> str:
        """What trains, for people."""
        return TUNING_KINDS[self.kind].in_words(self.blocks) or self.name

    def written(self) -> str | dict[str, Any]:
        """Return it as a study file writes it, in the shortest form."""
        below: Any = list(self.blocks) if isinstance(self.blocks, tuple) else self.blocks
        if below is not None and TUNING_KINDS[self.kind].blocks == "option":
            below = {"blocks": below}
        if self.named:
            return {"name": self.named, self.kind: below}
        return self.kind if below is None else {self.kind: below}


def tuning_of(value: Any) -> Any:
    """Turn what a study file writes, as ``head``, ``{last_blocks: 2}``, ``{norms: {blocks: last-2}}``, into fields."""
    if isinstance(value, Tuning):
        return value
    if value is None:
        return {"kind": "none"}
    if isinstance(value, str):
        return {"kind": value}
    written = dict(value) if isinstance(value, dict) else {}
    named = {"named": written.pop("name")} if "name" in written else {}
    if len(written) != 1:
        raise ValueError(f"a tuning cannot be {shown(value)}; {forms()}")
    ((kind, given),) = written.items()
    if kind not in TUNING_KINDS:
        raise ValueError(_unknown(kind))
    return {"kind": kind, "blocks": _given(kind, given), **named}


def _given(kind: str, given: Any) -> Any:
    """Return the blocks of what stands below a kind.

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


def _unknown(kind: object) -> str:
    return f"unknown tuning {kind!r}; {closest(str(kind), TUNING_KINDS)}; {forms()}"
