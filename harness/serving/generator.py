"""A model folder that knows its prompt: written after a final run, loaded to answer rows of fields.

With ``final.store: full`` the folder is what ``from_pretrained`` reads, with ``harness.json`` beside the weights; with
``delta`` it holds the trained tensors, and ``harness.json`` says on which base.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import torch

from harness.core.closest_match import closest
from harness.core.errors import DataError, ModelError, TemplateError
from harness.core.example import Example, as_text, digest
from harness.core.permissions import Permissions
from harness.data.choice_rows import Choice, ChoiceRows, encode_choices
from harness.data.content_free import content_free_rows
from harness.data.label_words import calibration_of, head_labels, is_labelled, labels_of
from harness.data.nested_names import names_in, value_at
from harness.data.tokenization import Row, encode
from harness.serving.abandoned_answers import Wanted, always, each_while_wanted, while_wanted
from harness.serving.recipe import Recipe
from harness.serving.stored_files import (
    READING,
    SETTINGS,
    model_folder,
    verify_files,
)
from harness.serving.stored_model import load_stored
from harness.serving.stored_rows import read_demonstrations
from harness.study.decoding_settings import Decoding
from harness.training.batching import loss_batches, prompt_batches
from harness.training.choosing import chosen, label_prior
from harness.training.evaluation import generate
from harness.training.head_proofs import scores_depend_on_others
from harness.training.loop import device
from harness.training.loss import ForwardPass
from harness.training.precision import scoring
from harness.training.proofs import losses_depend_on_others, texts_depend_on_others

__all__ = ["SETTINGS", "Answer", "Generator", "model_folder"]

LISTED = 5
"""The most malformed rows that one message names."""


class Answer(NamedTuple):
    """What a model says to a row."""

    text: str
    probabilities: Mapping[str, float] | None = None
    """Of each label, where the text is one of these."""

    def as_json(self) -> dict[str, Any]:
        """Return what a file of answers says of it."""
        return {
            "prediction": self.text,
            **({} if self.probabilities is None else {"probabilities": self.probabilities}),
        }


class Generator:
    """Answers rows as the study's final run did.

    Args:
        folder: What `save_model` wrote, or MLflow's model around it.
        allowed: What the model may do; left out, what the environment says. What the folder says counts for nothing.

    Raises:
        ModelError: The folder is no such model, or its model writes no text; a file of it or the base of its delta has
            changed.
    """

    def __init__(self, folder: Path, allowed: Permissions | None = None) -> None:
        folder = model_folder(folder)
        self.recipe = Recipe.read(folder)
        verified = verify_files(folder)
        self.digest = digest({**self.recipe.as_json(), **verified})
        """Of weights, tokenizer, prompt and settings together."""
        self._one_at_a_time = Lock()  # a server asks from several threads; generation settings are the model's own
        self.loaded = load_stored(
            folder, self.recipe, verified.get(READING, {}), allowed or Permissions.of_environment()
        )
        """The model and its tokenizer."""
        if self.loaded.is_masked and not is_labelled(self.recipe.prompt):
            name = type(self.loaded.model).__name__
            remedy = "load its folder by transformers' AutoModelForMaskedLM"
            raise ModelError(f"model {folder}: {name} fills masks and writes no text, so it answers no rows; {remedy}")
        self._demonstrations = read_demonstrations(folder, self.loaded, self.recipe)
        torch.nn.Module.to(self.loaded.model, device("auto"))
        self._decoding: Decoding | None = None
        self._forward: ForwardPass | None = None
        self._prior: tuple[float, ...] | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that the prompt uses, and its demonstrations are picked by."""
        return tuple(sorted(self.recipe.fields))

    def row(self, id: str, columns: Mapping[str, Any]) -> Row | Choice:
        """Return a row in token ids, with the words of all labels where it is answered by one.

        Args:
            id: For messages.
            columns: With those that the prompt uses.

        Raises:
            DataError: A column is missing that the prompt cannot do without, nothing of the prompt is left, or it
                cannot be made to fit.
        """
        columns = self.recipe.with_turns(columns)
        found = self.recipe.columns_of(columns)
        fields = {name: _value(column, value_at(columns, column)) for name, column in found.items()}
        example = Example(id=id, fields=fields, target="-")
        try:
            if self.recipe.compared and not found.keys() & set(self.recipe.compared):
                raise DataError("nothing says which demonstrations are like it")
            shown = self._demonstrations.attached(self.recipe.prompt, [example])
            encodes = encode_choices if is_labelled(self.recipe.prompt) else encode  # a text is no block
            rows = encodes(shown, self.recipe.prompt, self.loaded, limits=self.recipe.limits).rows
            return rows.choices[0] if isinstance(rows, ChoiceRows) else rows[0]
        except (DataError, TemplateError) as error:
            for name in self.fields:
                if name not in found:
                    column = self.recipe.columns.get(name, name)
                    also = "" if column == name else f" (or {name!r}, as the prompt calls it)"
                    hint = closest(column, names_in([columns]))
                    raise DataError(f"column {column!r}{also} is missing; {hint}") from error
            raise DataError(str(error)) from error

    def answer(self, rows: Sequence[Row | Choice]) -> list[Answer]:
        """Return one answer per row, in their order."""
        choices = [row for row in rows if isinstance(row, Choice)]
        written = [row for row in rows if isinstance(row, Row)]
        with self._one_at_a_time, scoring(self.loaded.model, self.recipe.precision):
            return [*self._chosen(choices), *map(Answer, self._written(written))]  # of one kind, all of them

    def _chosen(self, choices: Sequence[Choice]) -> list[Answer]:
        """Return the likeliest label of each row."""
        rows, recipe = ChoiceRows(choices), self.recipe
        if not choices:
            return []
        if self._forward is None:
            whole = ForwardPass(self.loaded.model, precision=recipe.precision)
            some, has_head = rows[: recipe.decoding.batch_size], head_labels(recipe.prompt)
            depend = scores_depend_on_others if has_head else partial(losses_depend_on_others, limits=recipe.limits)
            alone = depend(self.loaded, whole, some)
            self._forward = replace(whole, alone=alone)
        if self._prior is None:
            self._prior = self._prior_of(self._forward) if calibration_of(recipe.prompt) else ()
        batches = loss_batches(rows, self.loaded, batch_size=recipe.decoding.batch_size)
        said = chosen(self._forward, batches, labels_of(recipe.prompt), prior=self._prior)
        return [Answer(one.text, one.probabilities) for one in said]

    def _prior_of(self, forward: ForwardPass) -> tuple[float, ...]:
        """Return what the probabilities of labels are divided by, found when a row is first asked."""
        recipe = self.recipe
        free = content_free_rows(recipe.prompt, self.loaded, self._demonstrations, limits=recipe.limits)
        return label_prior(forward, loss_batches(free, self.loaded, batch_size=recipe.decoding.batch_size))

    def _written(self, rows: Sequence[Row]) -> list[str]:
        """Return the text that follows each row."""
        if rows:
            decoding = self._decoding = self._decoding or self._proved(rows)
            batches = prompt_batches(rows, self.loaded, batch_size=decoding.batch_size, room=decoding.max_new_tokens)
            return generate(self.loaded, batches, decoding, ends=self.recipe.ends)
        return []

    def _proved(self, rows: Sequence[Row]) -> Decoding:
        """Return how rows are answered: one at a time where prompts move each other's texts, as in a study."""
        limits, decoding = self.recipe.limits, self.recipe.decoding
        if decoding.batch_size > 1 and texts_depend_on_others(self.loaded, rows, limits, self.recipe.precision):
            return decoding._replace(batch_size=1)
        return decoding

    def __call__(
        self, columns: Sequence[Mapping[str, Any]], *, skip: bool = False, wanted: Wanted = always
    ) -> list[str | None]:
        """Return one text per row, that of a label where the prompt is answered by one; takes what `answers` does."""
        return [None if answer is None else answer.text for answer in self.answers(columns, skip=skip, wanted=wanted)]

    def probabilities(
        self, columns: Sequence[Mapping[str, Any]], *, skip: bool = False, wanted: Wanted = always
    ) -> list[Mapping[str, float] | None]:
        """Return the probability of each label per row; takes and raises what `answers` does.

        Raises:
            DataError: The model writes texts.
        """
        if not is_labelled(self.recipe.prompt):
            raise DataError("probabilities are of labels, but this model writes texts; leave probabilities out")
        answers = self.answers(columns, skip=skip, wanted=wanted)
        return [None if answer is None else answer.probabilities for answer in answers]

    def answers(
        self, columns: Sequence[Mapping[str, Any]], *, skip: bool = False, wanted: Wanted = always
    ) -> list[Answer | None]:
        """Return one answer per row.

        Args:
            columns: The rows, each with the prompt's fields.
            skip: Whether a malformed row gets ``None``, and the others are answered.
            wanted: Asked before each row that is read, and each token that is made.

        Raises:
            DataError: Some rows are malformed and none is to be skipped: none is answered; names them, counted from 1.
            Abandoned: It is not wanted any more.
        """
        rows: list[Row | Choice | None] = []
        problems = []
        for number, each in enumerate(each_while_wanted(columns, wanted), start=1):
            try:
                rows.append(self.row(f"row-{number}", each))
            except DataError as error:
                rows.append(None)
                problems.append(f"row {number}: {error}")
        if problems and not skip:
            more = [f"and {len(problems) - LISTED} more"] if len(problems) > LISTED else []
            raise DataError("; ".join(problems[:LISTED] + more))
        with while_wanted(self.loaded.model, wanted):
            said = iter(self.answer([row for row in rows if row is not None]))
        return [None if row is None else next(said) for row in rows]


def _value(name: str, value: Any) -> Any:
    """Return a field's value; a table has a number that is none in an empty place."""
    try:
        as_text(value).encode()
    except UnicodeEncodeError:
        raise DataError(f"column {name!r} holds half of a character ({ascii(value)[:40]}); write it whole") from None
    return None if isinstance(value, float) and math.isnan(value) else value
