"""The ``data`` section of a study file."""

from __future__ import annotations

from encodings.aliases import aliases
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from harness.core.closest_match import closest
from harness.core.example import Split
from harness.core.named_path import DataPath
from harness.core.number_types import Rows, Seed
from harness.core.yaml_section import Section

__all__ = ["Data"]

LOCAL = ("path", "splits", "delimiter", "encoding")
"""Keys of files on this machine."""


class Data(Section):
    """Where examples come from, and how many of them are used."""

    path: DataPath | None = None
    """A file, or a folder with ``train``, ``validation``, ``test`` as jsonl, json, csv, tsv, parquet or txt, gzip or
    not; also called ``valid``, ``val``, ``dev`` or ``eval``, in any case, and in shards as the Hub names them."""
    splits: dict[Split, DataPath] = Field(default_factory=dict)
    """The file of each split: ``{train: a.csv, validation: b.csv}``, in ``path``, else beside the study file."""
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    """Between the columns of csv and tsv files; left out: found, and told."""
    encoding: str | None = None
    """Of files of text, as Python calls it: ``cp1252``; left out: found, and told."""
    hub: str | None = None
    """A data set's Hub id, instead of ``path``."""
    config: str | None = None
    """The Hub data set's configuration."""
    revision: str | None = None
    """The Hub data set's commit, tag or branch."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Names that the task expects, to the names that the file has: ``{source: article, target: summary}``."""
    group: str | None = None
    """The file's column that says which rows belong together: a group stays in one split, and is resampled as one.
    ``null``, where it is written, says that none does, and ends the question of ``check``."""
    turns: Literal["last", "all"] | None = None
    """Of chats, a column ``messages`` or ``conversations``: which turn of an assistant is the target, the ``last`` one,
    or ``all`` of them, each with the turns before it; left out: the last, where rows have no target."""
    train: Rows | None = None
    """Rows used; left out: all."""
    validation: Rows | None = None
    """Rows used; left out: all, of a split that is carved out of train a tenth of its rows."""
    test: Rows | None = None
    """Rows used; left out: all, of a split that is carved out of train a tenth of its rows."""
    seed: Seed = 0
    """Decides which rows are used, and which are carved out where the source lacks a split."""
    on_overlap: Literal["warn", "drop", "error"] = "warn"
    """Of duplicates across splits; ``drop``: from train, else from validation, never from test."""

    @field_validator("delimiter", mode="before")
    @classmethod
    def _stands_between(cls, delimiter: Any) -> Any:
        if delimiter in ("\\t", "tab"):
            raise ValueError(f'data.delimiter is {delimiter}; YAML reads a tab in double quotes alone: "\\t"')
        if delimiter in ('"', "\n", "\r"):
            raise ValueError(
                f"data.delimiter is {delimiter!r}, which ends cells or lines; name what is between columns"
            )
        return delimiter

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str | None) -> str | None:
        try:
            "".encode(encoding or "utf-8").decode(encoding or "utf-8")
        except (LookupError, UnicodeError):
            hint = closest(str(encoding), sorted(set(aliases.values())))
            raise ValueError(f"data.encoding {encoding!r} is none that Python knows; {hint}") from None
        return encoding

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        if self.hub and (other := next((key for key in LOCAL if getattr(self, key)), None)):
            raise ValueError(f"data names both {other} and hub; keep one")
        if self.splits and "train" not in self.splits:
            raise ValueError(f"data.splits names {', '.join(self.splits)}, but no train; name its file too")
        if not self.hub and (self.config or self.revision):
            raise ValueError(
                "data.config and data.revision belong to data.hub, which is not given; name it, or leave them out"
            )
        return self
