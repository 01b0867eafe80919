"""The cell that ranks first, and its stored model at work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.core.errors import DataError, ModelError
from harness.core.failures import in_words
from harness.core.permissions import Permissions
from harness.core.workspace import HERE, Workspace
from harness.data.memory_rows import each_row
from harness.results.cell_result import CellResult
from harness.tracking.address import StudyAddress
from harness.tracking.study_record import KeptModels

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from harness.serving.generator import Generator

__all__ = ["BestCell"]


@dataclass(frozen=True)
class BestCell:
    """The first cell of a study. Its model is loaded at first use, which runs no code that comes with it.

    Whoever trusts such code says so by the environment, as a server does, see `Permissions.of_environment`.
    """

    cell: CellResult
    address: StudyAddress
    """Where the study is."""
    _kept: KeptModels
    """Which of the study's models are stored."""
    workspace: Workspace = HERE

    def __repr__(self) -> str:
        rate = f", learning rate {self.learning_rate:.3g}" if self.learning_rate is not None else ""
        return f"BestCell({self.id!r}, study {self.address.study!r}{rate})"

    @property
    def id(self) -> str:
        """Its cell's id."""
        return self.cell.id

    @property
    def learning_rate(self) -> float | None:
        """The winner's; ``None`` where nothing trains."""
        return self.cell.learning_rate

    @in_words()
    def predict(self, rows: Sequence[str | Mapping[str, Any]]) -> list[str]:
        """Return an answer to each row, as the command ``harness predict`` gives it.

        Args:
            rows: Mappings with the columns that the prompt uses, or a frame or data set of such; or texts, where that
                is a single one.

        Raises:
            DataError: A row is malformed, or a text where the prompt uses several columns.
            ModelError: The study keeps no model of it.
        """
        answers = self._generator(self._each(rows, "predict"))
        return [answer for answer in answers if answer is not None]  # all of them: none was skipped

    @in_words()
    def probabilities(self, rows: Sequence[str | Mapping[str, Any]]) -> list[Mapping[str, float]]:
        """Return the probability of every label for each row; takes and raises what `predict` does.

        Raises:
            DataError: The model writes texts.
        """
        answers = self._generator.probabilities(self._each(rows, "probabilities"))
        return [answer for answer in answers if answer is not None]

    @in_words()
    def prompt(self, row: str | Mapping[str, Any]) -> str:
        """Return what the model is asked of a row: the prompt filled in, with nothing shortened.

        Raises:
            DataError: The row is a text where the prompt uses several columns.
            ModelError: The study keeps no model of it.
        """
        return self._generator.recipe.prompt.render(self._columns(row))

    @in_words()
    def model(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Return the stored model and its tokenizer, for work of one's own; `prompt` gives the text that it knows.

        Raises:
            ModelError: The study keeps no model of it.
        """
        loaded = self._generator.loaded
        return loaded.model, loaded.tokenizer

    @cached_property
    def _generator(self) -> Generator:
        from harness.serving.find_model import stored_model
        from harness.serving.generator import Generator  # torch

        if self._kept.model and self._kept.cell not in (None, self.id):
            kept = f"study {self.address.study!r} keeps the model of {self._kept.cell}, which ranked first before"
            raise ModelError(f"{kept}, and none of {self.id}: run the study to its end")
        with self.workspace.in_force(), stored_model(self.address) as folder:
            return Generator(folder, Permissions.of_environment())

    def _each(self, rows: Sequence[str | Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
        if isinstance(rows, str | Mapping):
            raise DataError(f"{name} takes a list of rows, but was given one: {str(rows)[:40]!r}; put it into a list")
        return [self._columns(row) for row in each_row(rows, name)]

    def _columns(self, row: str | Mapping[str, Any]) -> Mapping[str, Any]:
        if isinstance(row, Mapping):
            return row
        if not isinstance(row, str):
            kind = f"{type(row).__name__} {str(row)[:40]!r}"
            raise DataError(f"predict was given the row {kind}; a row is a mapping of columns to values, or a text")
        fields = self._generator.fields
        if len(fields) != 1:
            many = f"the prompt of {self.id} uses {', '.join(fields) or 'no column'}"
            raise DataError(f"{many}, so a row must be a mapping of columns to values, but is the text {row[:40]!r}")
        return {fields[0]: row}
