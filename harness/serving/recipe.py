"""The recipe of a stored model: how it answers, all but weights and tokenizer, as ``harness.json`` holds it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.core.bounded_files import read_json
from harness.core.errors import DataError, ModelError, TemplateError
from harness.core.example import Example, field_names
from harness.core.format_versions import FORMAT, refuse_newer
from harness.core.stored_values import of_kind
from harness.data.chat_turns import MESSAGES, chat_column, read_turns, source_text, to_answer
from harness.data.demonstrations import shots_of
from harness.data.known_columns import Instructions, instruction_source, source_of_instructions
from harness.data.nested_names import has, value_at
from harness.data.prompt_forms import restored, stored_fields
from harness.data.tokenization import Limits, PromptForm
from harness.models.base_of_delta import Base
from harness.serving.stored_files import MODEL_FORMAT, SETTINGS
from harness.study.axes import Tuning
from harness.study.decoding_settings import Decoding
from harness.study.packaged_files import model_location
from harness.study.spec import Precision

if TYPE_CHECKING:  # what trains is no part of what answers, which a stored model carries
    from harness.data.data_keys import Data
    from harness.study.grid import Cell
    from harness.training.setup import TrainingSetup

__all__ = ["Recipe", "Store", "recipe_of_run", "set_decoding"]

Store = Literal["full", "delta"]

EARLY: Mapping[str, Any] = {"languages": {}, "adapter": None, "frozen": "float32"}
"""What early models do not say of their base."""


@dataclass(frozen=True)
class Recipe:
    """How a model answers: everything but weights and tokenizer."""

    prompt: PromptForm
    limits: Limits
    decoding: Decoding
    precision: Precision
    tuning: Tuning
    base: Base
    store: Store
    weights: str
    """Digest of the tensors that trained."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """The study's ``data.columns`` of the prompt's fields: rows that look like the study's own are answered too."""
    ends: tuple[int, ...] = ()
    """Tokens that end an answer beside the model's own: of a chat the one that ends the assistant's turn."""
    of_turns: bool = False
    """Whether the field ``source`` is the text of a chat's turns."""
    instructions: Instructions | None = None
    """The columns of an instruction and what it is about, where the field ``source`` is made of these."""
    compared: tuple[str, ...] = ()
    """The fields, in their order, that rows are compared by where the prompt picks demonstrations."""

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        base = self.base._asdict()
        for name in [name for name in ("languages", "adapter") if not base[name]]:
            del base[name]  # as in the digests of those who name none, early ones among them
        if base["frozen"] == "float32":
            del base["frozen"]  # likewise
        parts = {"prompt": stored_fields(self.prompt), "tuning": self.tuning.model_dump(), "base": base}
        settings = {"limits": self.limits._asdict(), "decoding": self.decoding.as_json()}
        own = {"precision": self.precision, "store": self.store, "weights": self.weights}
        later = {
            "columns": dict(self.columns),
            "ends": list(self.ends),
            "of_turns": self.of_turns,
            "instructions": self.instructions and list(self.instructions),
            "compared": list(self.compared),
        }
        return {**parts, **settings, **own, **{key: value for key, value in later.items() if value}}  # as it was before

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Recipe:
        """Return what `as_json` made.

        Raises:
            LookupError: A part is missing.
            ValueError: A part is not what it should be.
            TemplateError: The prompt is of no form known here.
        """
        return cls(
            prompt=restored(found["prompt"]),
            limits=of_kind(Limits, found["limits"]),
            decoding=of_kind(Decoding, found["decoding"]),
            precision=of_kind(Precision, found["precision"]),
            tuning=of_kind(Tuning, found["tuning"]),
            base=of_kind(Base, {**EARLY, **found["base"]}),
            store=of_kind(Store, found["store"]),
            weights=of_kind(str, found["weights"]),
            columns=of_kind(dict[str, str], found.get("columns", {})),
            ends=of_kind(tuple[int, ...], found.get("ends", ())),
            of_turns=of_kind(bool, found.get("of_turns", False)),
            instructions=of_kind(Instructions | None, found.get("instructions")),
            compared=of_kind(tuple[str, ...], found.get("compared", ())),
        )

    @property
    def fields(self) -> tuple[str, ...]:
        """What it reads of a row: the fields of its prompt, behind those that rows are compared by."""
        return _read(self.prompt, self.compared)

    def with_turns(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a row that is a chat with the fields ``messages`` and ``source`` of the turns that it is to answer.

        One that is an instruction gets its ``source`` likewise.

        Raises:
            DataError: It looks like a chat, and is none.
        """
        if (names := self.instructions) and names.instruction in row and "source" not in self.columns_of(row):
            return {**row, self.columns.get("source", "source"): instruction_source(row, names)}
        reads_turns = MESSAGES in self.fields
        if not reads_turns and not (self.of_turns and "source" in self.fields):
            return row
        named = self.columns.get(MESSAGES)
        column = named if named and has(row, named) else chat_column([row])
        if column is None and reads_turns and row.get(MESSAGES) is not None:
            column = MESSAGES  # whatever it holds, it is to be turns
        if column is None:
            return row
        rest = {name: value for name, value in row.items() if name != column}
        turns = read_turns(value_at(row, column), column)
        if not self.of_turns:  # its rows had a target of their own, and all turns before it
            return {**rest, MESSAGES: turns}
        asked = to_answer(turns)
        if not any(turn["role"] in ("user", "tool") for turn in asked):
            raise DataError(f"column {column!r} has no turn to answer; put a user's before its end")
        return {**rest, MESSAGES: asked, self.columns.get("source", "source"): source_text(asked)}

    def columns_of(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Return the name under which a row has each of the fields that it has, by the study's name first."""
        names = {name: (self.columns.get(name, name), name) for name in self.fields}
        found = {name: next((column for column in both if has(row, column)), None) for name, both in names.items()}
        return {name: column for name, column in found.items() if column is not None}

    @classmethod
    def read(cls, folder: Path) -> Recipe:
        """Read a folder's.

        Raises:
            ModelError: It cannot be read.
            NewerError: A newer version of the harness wrote it.
        """
        try:
            found = read_json(folder / SETTINGS)
            refuse_newer(f"model {folder}", found.get(FORMAT), MODEL_FORMAT)
            return cls.from_json(found)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, TemplateError) as error:
            raise ModelError(
                f"model {folder}: {SETTINGS} cannot be read: {error!r}; bring it back, or run its study again"
            ) from error


def set_decoding(folder: Path, decoding: Decoding) -> None:
    """Let a folder that `harness.serving.stored_model.save_model` wrote answer by other settings of generation."""
    said = {**read_json(folder / SETTINGS), "decoding": decoding.as_json()}
    (folder / SETTINGS).write_text(json.dumps(said, ensure_ascii=False, indent=2), encoding="utf-8")


def recipe_of_run(cell: Cell, setup: TrainingSetup) -> Recipe:
    """Return the recipe of a model that is being trained, as it stands."""
    from harness.models.content_digests import architecture_digest  # torch
    from harness.models.delta import can_be_whole, trained_digest

    spec, loaded = setup.study.model, setup.loaded
    compared = _compared(cell.prompt, setup.demonstrations_of(setup.draw_of(cell)).rows)
    place = Path(model_location(spec.name)).expanduser()
    base = Base(
        name=setup.written.model.name,
        folder=str(place.resolve()) if loaded.commit is None and spec.name != "embedded" else None,
        commit=loaded.commit,
        dtype=spec.dtype,
        trust_remote_code=spec.trust_remote_code,
        allow_pickle=spec.allow_pickle,
        weights=loaded.digest,
        architecture=architecture_digest(loaded.model),
        languages=spec.languages,
        adapter=str(Path(spec.adapter).expanduser().resolve()) if spec.adapter else None,
        frozen=spec.frozen,
    )
    return Recipe(
        prompt=cell.prompt,
        limits=setup.limits,
        decoding=setup.decoding,
        precision=setup.study.training.precision,
        tuning=cell.tuning,
        base=base,
        store=cell.tuning.stored_as(setup.study.final.store) if can_be_whole(loaded, cell.tuning) else "delta",
        weights=trained_digest(loaded, cell.tuning),
        columns=_columns(_read(cell.prompt, compared), setup.written.data),
        ends=cell.prompt.ends(loaded),
        of_turns=all(map(_is_of_turns, setup.examples("validation"))),
        instructions=source_of_instructions([example.fields for example in setup.examples("validation")]),
        compared=compared,
    )


def _is_of_turns(example: Example) -> bool:
    turns = example.fields.get(MESSAGES)
    return isinstance(turns, list) and example.fields.get("source") == source_text(turns)


def _read(prompt: PromptForm, compared: Sequence[str]) -> tuple[str, ...]:
    return (*compared, *sorted(prompt.names() - set(compared)))


def _compared(prompt: PromptForm, rows: Sequence[Example]) -> tuple[str, ...]:
    """Return the fields that `Example.source` is made of; none where a prompt picks no demonstrations."""
    if not shots_of(prompt):
        return ()
    return ("source",) if all("source" in row.fields for row in rows) else tuple(field_names(rows))


def _columns(names: Sequence[str], data: Data) -> dict[str, str]:
    """Return the mapping of some fields; a name that the environment holds is not kept with a model."""
    kept = {*names, MESSAGES}
    return {name: column for name, column in data.columns.items() if name in kept and "${" not in column}
