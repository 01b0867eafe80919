"""A tuning as a study names it: a kind of the table, which blocks, an adapter's options, maybe a name of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from harness.core.number_types import Count
from harness.core.plain_yaml import shown
from harness.core.workspace import LONGEST_NAME
from harness.core.yaml_section import Section
from harness.study.tuning_kinds import TUNING_KINDS, example, forms
from harness.study.tuning_names import depth_of, name_of, option_text, words_of
from harness.study.tunings.adapter_form import AdapterForm, AdapterOptions
from harness.study.tunings.block_choice import ALL, LARGEST, block_choice, blocks_name, blocks_needed
from harness.study.written_tuning import tuning_of, unknown_kind

__all__ = ["Tuning", "tuning_of"]

BlockNumber = Annotated[int, Field(ge=0, le=LARGEST)]


def _said(blocks: Any) -> Any:
    """Return a number of blocks as it is, and a choice as it is kept."""
    return blocks if blocks is None or isinstance(blocks, int) else block_choice(blocks)


class Tuning(Section):
    """Which weights move: a kind of the table, which blocks, and what an adapter's kind is told beside."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)  # records have the names, files the alias

    kind: str
    """One of `harness.study.tuning_kinds.TUNING_KINDS`."""
    blocks: Annotated[Count | str | tuple[BlockNumber, ...] | None, BeforeValidator(_said)] = None
    """How many blocks, or which, for a kind that takes blocks; see `harness.study.tunings.block_choice`."""
    options: str = ""
    """Of an adapter, as JSON: the options that differ from their defaults, in the order of its form; see `settings`."""
    parts: tuple[str, ...] = ()
    """Of an adapter: the kinds of what trains beside it."""
    named: str | None = Field(
        default=None, alias="name", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=LONGEST_NAME
    )
    """The name that it has instead of the one that is made of these."""

    @model_validator(mode="before")
    @classmethod
    def _as_kept(cls, value: Any) -> Any:
        """Leave out ``blocks: all`` where no choice means all, and options that say their defaults."""
        facts = TUNING_KINDS.get(str(value.get("kind"))) if isinstance(value, Mapping) else None
        if facts is None:
            return value
        kept = dict(value)
        if facts.blocks == "option" and kept.get("blocks") == ALL:
            kept["blocks"] = None
        if facts.adapter and isinstance(given := kept.get("options"), Mapping):
            kept["options"] = _kept(facts.adapter.options.model_validate(given))
        return kept

    @model_validator(mode="after")
    def _is_known(self) -> Tuning:
        if self.kind not in TUNING_KINDS:
            raise ValueError(unknown_kind(self.kind))
        form, is_number = TUNING_KINDS[self.kind].blocks, isinstance(self.blocks, int)
        if form == "none" and self.blocks is not None:
            raise ValueError(f"{self.kind} takes no {'number' if is_number else 'blocks'}; {forms()}")
        if form in ("count", "choice") and self.blocks is None:
            raise ValueError(f"{self.kind} needs {'a number' if form == 'count' else 'blocks'}; {forms()}")
        if self.blocks is not None and is_number is not (form == "count"):
            raise ValueError(f"{self.kind} has blocks {shown(self.blocks)}; write {example(self.kind)}")
        if (self.options or self.parts) and not self.adapter:
            raise ValueError(f"{self.kind} is no adapter, and takes no options; {forms()}")
        if self.named and self.named != (own := self.identity):
            taken = self.named.partition("-")[0]
            if taken in TUNING_KINDS:
                raise ValueError(f"tuning {own} is called {self.named!r}, as one of kind {taken} is; call it otherwise")
        return self

    @model_serializer(mode="wrap")
    def _as_stored(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what it has not, as records of studies and models were before there was any."""
        fields: dict[str, Any] = dump(self)
        later = ("options", "parts", "named")
        return {key: value for key, value in fields.items() if key not in later or value}

    @property
    def adapter(self) -> AdapterForm | None:
        """The form of its kind, if that trains an adapter."""
        return TUNING_KINDS[self.kind].adapter

    @property
    def settings(self) -> AdapterOptions:
        """What an adapter's kind is told, defaults included."""
        assert self.adapter is not None
        return self.adapter.options.model_validate(self._differing)

    @property
    def rates(self) -> tuple[float, float]:
        """The ends of the learning rates that are searched where none are named: its kind's, or its method's."""
        method = str(self._differing.get("peft_type")).lower()
        return TUNING_KINDS[method if self.kind == "peft" and method in TUNING_KINDS else self.kind].rates

    @property
    def virtual_tokens(self) -> int:
        """How many virtual tokens it puts before each prompt."""
        return int(self.adapter.config(self.settings).get("num_virtual_tokens") or 0) if self.adapter else 0

    def stored_as(self, store: Literal["full", "delta"]) -> Literal["full", "delta"]:
        """Return how a model is stored: as the study says, or by what changed where that is no weights of its own."""
        is_whole = self.trains and (self.adapter is None or self.adapter.merges)
        return store if is_whole else "delta"

    @property
    def _differing(self) -> dict[str, Any]:
        return dict(json.loads(self.options)) if self.options else {}

    @property
    def identity(self) -> str:
        """What it is, whatever it is called: the name that is made of its kind, its blocks and its options."""
        return name_of(self.kind, self.blocks, self._differing, self.parts)

    @property
    def name(self) -> str:
        """The name in ids and params: ``none``, ``head``, ``last_blocks-2``, ``lora-8-last-2``, or its own."""
        return self.named or self.identity

    @property
    def depth(self) -> tuple[float, float, float]:
        """What sorts tunings by how much of the network trains."""
        return depth_of(self.kind, self.blocks, self.leading)

    @property
    def leading(self) -> int | None:
        """Of an adapter, the value that ids name first, if its kind has such an option."""
        name = self.adapter.leading if self.adapter else ""
        return getattr(self.settings, name) if name else None

    def with_options(self, options: Mapping[str, Any]) -> Tuning:
        """Return the adapter with other values of some options; a name of its own stays."""
        assert self.adapter is not None
        settings = self.adapter.options.model_validate({**self._differing, **options})
        return self.model_copy(update={"options": _kept(settings)})

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
        return self.words_with({})

    def words_with(self, options: Mapping[str, str]) -> str:
        """Return what trains, for people, where some of an adapter's options are others, as texts."""
        own = dict(self._differing)
        if self.adapter and self.adapter.leading:
            own = {self.adapter.leading: self.leading, **own}
        texts = {name: option_text(value) for name, value in own.items()} | dict(options)
        return words_of(self.kind, self.blocks, texts, self.parts) or self.name

    def written(self, options: Mapping[str, Any] = MappingProxyType({})) -> str | dict[str, Any]:
        """Return it as a study file writes it, in the shortest form.

        Args:
            options: Of an adapter, what is written of them although it says no more than their defaults.
        """
        below: Any = list(self.blocks) if isinstance(self.blocks, tuple) else self.blocks
        if below is not None and TUNING_KINDS[self.kind].blocks == "option":
            below = {"blocks": below}
        if differing := {**options, **self._differing}:
            below = {**differing, **(below or {})}
        named = {"name": self.named} if self.named else {}
        parts = {"with": list(self.parts)} if self.parts else {}
        if named or parts:
            return {**named, self.kind: below, **parts}
        return self.kind if below is None else {self.kind: below}


def _kept(options: AdapterOptions) -> str:
    """Return the options that differ from their defaults as JSON; of PEFT's own configuration all."""
    differing = options.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(differing, ensure_ascii=False) if differing else ""
