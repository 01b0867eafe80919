"""The ``data`` section of a study file."""

from __future__ import annotations

from encodings.aliases import aliases
from itertools import product
from typing import Any, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from harness.core.closest_match import closest
from harness.core.example import Split
from harness.core.named_path import DataPath
from harness.core.number_types import Amount, Counts, Rows, Seeds, Sizes
from harness.core.yaml_section import Section
from harness.data.split_slices import SplitName, names_file, pieces_of

__all__ = ["CARVED_SHARE", "Data", "Draw", "MixedSource", "Place", "refuse_unknown_encoding"]

CARVED_SHARE = 0.1
"""The share of ``train`` that a missing split takes where the study gives no size."""

LOCAL = ("path", "delimiter", "encoding")
"""Keys of files on this machine."""


def refuse_unknown_encoding(encoding: str, key: str) -> None:
    """See that Python knows an encoding of texts.

    Raises:
        ValueError: It does not; ``key`` is how the message calls where it was named.
    """
    try:
        "".encode(encoding).decode(encoding)
    except (LookupError, UnicodeError):
        hint = closest(encoding, sorted(set(aliases.values())))
        raise ValueError(f"{key} {encoding!r} is none that Python knows; {hint}") from None


class Place(Section):
    """Where rows come from."""

    path: DataPath | None = None
    """A file, or a folder with ``train``, ``validation``, ``test`` as jsonl, json, csv, tsv, parquet, arrow or txt,
    gzip or not; also called ``valid``, ``val``, ``dev`` or ``eval``, in any case, in shards as the Hub names them, in
    folders of these names, or as line-aligned files (``train.en``, ``train.fr``); what ``save_to_disk`` wrote; a clone
    of a data set on the Hub."""
    splits: dict[Split, SplitName] = Field(default_factory=dict)
    """The file of each split: ``{train: a.csv, validation: b.csv}``, in ``path``, else beside the study file; or what
    ``path`` or ``hub`` calls it, or slices of that, as in datasets: ``{test: "train[-500:]"}``."""
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    """Between the columns of csv and tsv files; left out: found, and told."""
    encoding: str | None = None
    """Of files of text, as Python calls it: ``cp1252``; left out: found, and told."""
    hub: str | None = None
    """A data set's Hub id, instead of ``path``."""
    config: str | None = None
    """The Hub data set's configuration, or that of a clone in ``path``."""
    revision: str | None = None
    """The Hub data set's commit, tag or branch."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Names that the task expects, to the names that the file has: ``{source: article, target: summary}``; where no
    column has that very name, ``translation.en`` is ``en`` within ``translation``, ``answers.text.0`` the first of a
    list."""

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
        if encoding is not None:
            refuse_unknown_encoding(encoding, "data.encoding")
        return encoding

    @field_validator("splits")
    @classmethod
    def _of_pieces(cls, splits: dict[Split, str]) -> dict[Split, str]:
        for split, text in splits.items():
            try:
                pieces_of(text)
            except ValueError as error:
                raise ValueError(f"data.splits.{split}: {error}") from None
        return splits

    @model_validator(mode="after")
    def _one_place(self) -> Place:
        if self.hub and (other := next((key for key in LOCAL if getattr(self, key)), None)):
            raise ValueError(f"data names both {other} and hub; keep one")
        files = [piece.name for text in self.splits.values() for piece in pieces_of(text) if names_file(piece.name)]
        if self.hub and files:
            raise ValueError(f"data.splits names the file {files[0]} beside data.hub; name its splits: train[:90%]")
        if self.splits and "train" not in self.splits and len(files) == len(self.splits):
            raise ValueError(f"data.splits names {', '.join(self.splits)}, but no train; name its file too")
        if not self.hub and (self.revision or (self.config and not self.path)):
            raise ValueError(
                "data.config and data.revision belong to data.hub, which is not given; name it, or leave them out"
            )
        return self


class MixedSource(Place):
    """One of several places that rows come from, in shares by weight."""

    weight: Amount = 1.0
    """Of its share: ``2`` beside one of ``1`` gives two rows of three."""

    @model_validator(mode="after")
    def _is_somewhere(self) -> MixedSource:
        if not (self.path or self.hub or self.splits):
            raise ValueError("an entry of data.sources says neither path nor hub; name where its rows are")
        return self


class Draw(NamedTuple):
    """Which rows of the training split are used."""

    train: int | None
    """How many; ``None``: all, or as many of each label as are said."""
    per_label: int | None
    """How many of each label; ``None``: it is not counted by labels."""
    seed: int
    """Decides which."""

    def __str__(self) -> str:
        each = f"{self.per_label} of each label" if self.per_label is not None else str(self.train)
        return f"{each} by seed {self.seed}" if self.seed else each


class Data(Place):
    """Where examples come from, and how many of them are used."""

    sources: tuple[MixedSource, ...] = ()
    """Several places instead of one, ``[{path: a, weight: 2}, {hub: owner/b}]``: each split mixes theirs by the
    weights, as many rows as there are without taking one twice; ids begin with the name of a row's source."""
    group: str | None = None
    """The file's column that says which rows belong together: a group stays in one split, and is resampled as one.
    ``null``, where it is written, says that none does, and ends the question of ``check``."""
    turns: Literal["last", "all"] | None = None
    """Of chats, a column ``messages`` or ``conversations``: which turn of an assistant is the target, the ``last`` one,
    or ``all`` of them, each with the turns before it; left out: the last, where rows have no target."""
    labels: dict[str, tuple[str, ...]] | None = None
    """Of prompts that are answered by a label: its words, ``{good: [" good", " great"], bad: [" bad"]}``, of which the
    likeliest counts; left out: the task's, else the distinct targets of train, each its own word."""
    train: Sizes | None = None
    """Rows used; left out: all. A list, ``[50, 200, 800]``, is one more axis, ``train_size``: each size is a part of
    the next larger one, and all are validated and tested on the same rows. Where prompts are answered by a label, each
    has its share of them within one row."""
    per_label: Counts | None = None
    """Training rows used of each label, instead of ``train``: ``4`` for a few-shot study; a smaller number takes some
    of the rows of a larger one. A list, ``[4, 16]``, is one more axis, ``per_label``."""
    validation: Rows | None = None
    """Rows used; left out: all, of a split that is carved out of train a tenth of its rows."""
    test: Rows | None = None
    """Rows used; left out: all, of a split that is carved out of train a tenth of its rows."""
    seed: Seeds = 0
    """Decides which rows are used, and which are carved out where the source lacks a split. A list, ``[0, 1]``, is one
    more axis, ``data_seed``: each draws other training rows; validation and test are those of the first."""
    on_overlap: Literal["warn", "drop", "error"] = "warn"
    """Of duplicates across splits; ``drop``: from train, else from validation, never from test."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of train that are compared, as they are written; none where there is one, or all rows are used."""
        return self.train if isinstance(self.train, tuple) else ()

    @property
    def counts_by_label(self) -> tuple[int, ...]:
        """How many rows of each label are compared, likewise."""
        return self.per_label if isinstance(self.per_label, tuple) else ()

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that are compared, as they are written; none where there is one."""
        return self.seed if isinstance(self.seed, tuple) else ()

    @property
    def first_seed(self) -> int:
        """The seed that decides what validation and test are."""
        return self.seed[0] if isinstance(self.seed, tuple) else self.seed

    @property
    def draws(self) -> tuple[Draw, ...]:
        """All draws of training rows; more than one where sizes or seeds are compared."""
        trains, counts, seeds = _levels(self.train), _levels(self.per_label), self.seeds or (self.first_seed,)
        return tuple(Draw(*each) for each in product(trains, counts, seeds))

    @property
    def compares_draws(self) -> bool:
        """Whether cells use different training rows."""
        return len(self.draws) > 1

    def of(self, draw: Draw) -> Data:
        """Return the section of a study of one of the draws alone."""
        return self.model_copy(update=draw._asdict())

    @model_validator(mode="after")
    def _one_size(self) -> Data:
        if self.train is not None and self.per_label is not None:
            raise ValueError("data names both train and per_label, two sizes of one split; keep one")
        if self.seeds and self.train is None and self.per_label is None:
            told = f"data.seed compares {len(self.seeds)} draws of training rows, and all of them are used"
            raise ValueError(f"{told}; set data.train to fewer than there are, or name one seed")
        return self

    @model_validator(mode="after")
    def _one_or_several(self) -> Data:
        clash = next((key for key in Place.model_fields if key in self.model_fields_set and getattr(self, key)), None)
        if self.sources and clash:
            remedy = "write it into each of its entries" if clash in ("columns", *LOCAL[1:]) else "keep one"
            raise ValueError(f"data names both {clash} and sources; {remedy}")
        return self


def _levels(size: int | tuple[int, ...] | None) -> tuple[int | None, ...]:
    """Return the sizes that are compared, or the one that there is."""
    return size if isinstance(size, tuple) else (size,)
