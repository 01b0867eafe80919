"""The ``data`` section of a study file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from harness.core.number_types import Rows, Seed
from harness.core.yaml_section import Section

__all__ = ["Data"]


class Data(Section):
    """Where examples come from, and how many of them are used."""

    path: str | None = None
    """A file, or a folder with ``train``, ``validation``, ``test`` as jsonl, csv, parquet or txt, gzip or not."""
    hub: str | None = None
    """A data set's Hub id, instead of ``path``."""
    config: str | None = None
    """The Hub data set's configuration."""
    revision: str | None = None
    """The Hub data set's commit, tag or branch."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Names that the task expects, to the names that the file has: ``{source: article, target: summary}``."""
    group: str | None = None
    """The file's column that says which rows belong together: a group stays in one split, and is resampled as one."""
    train: Rows | None = None
    """Rows used; left out: all."""
    validation: Rows | None = None
    """Rows used; left out: all."""
    test: Rows | None = None
    """Rows used; left out: all."""
    seed: Seed = 0
    """Decides which rows are used, and which are carved out where the source lacks a split."""
    on_overlap: Literal["warn", "drop", "error"] = "warn"
    """Of duplicates across splits; ``drop``: from train, else from validation, never from test."""

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        if self.path and self.hub:
            raise ValueError("data names both path and hub; keep one")
        if not self.hub and (self.config or self.revision):
            raise ValueError("data.config and data.revision belong to data.hub, which is not given")
        return self
