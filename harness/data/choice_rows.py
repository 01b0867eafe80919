"""Choice rows: examples with the words of each label behind their prompt, in token ids.

Words that share all tokens but the last are read in one row: where each word is one token, a prompt is read once. The
score of a word is the mean log-probability of its tokens (as Brown et al. 2020, "Language Models are Few-Shot
Learners", section 2.4, normalize completions of unequal length), that of a label the best of its words'; what stands
before and behind each word alike, a sentinel or an end token, is left out.

A masked model reads a word where the prompt's mask stands, behind as many masks as that has tokens, filled in one pass;
words of as many tokens are read in one row. A prompt without a mask has one at its end (the null prompt of Logan et
al. 2021, "Cutting Down on Prompts and Parameters").

A classification head reads the prompt and no word: such a choice is one row without a target.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, overload

from harness.core.errors import DataError
from harness.core.example import Example
from harness.data.label_words import Label, head_labels, is_labelled, labels_of, with_words
from harness.data.template import Template
from harness.data.tokenization import Encoded, Ids, Limits, PromptForm, Reader, Row, encode_each

__all__ = [
    "ANY",
    "UNKNOWN",
    "Choice",
    "ChoiceRows",
    "Word",
    "choice_of",
    "counted_in",
    "each_row",
    "encode_choices",
    "examples_in",
    "word_ids",
]

UNKNOWN = -1
"""Stands for the right label of a row that has none."""

ANY = "-"
"""Stands for the target of a row that is read without one."""


class Word(NamedTuple):
    """One word of a label behind a prompt."""

    label: int
    """The label's place among all."""
    row: int
    """The place of the row that it is read in."""
    tokens: Ids
    """As many as that row's target ends with, or as its masks are."""


class Choice(NamedTuple):
    """One example with the words of all labels."""

    rows: tuple[Row, ...]
    words: tuple[Word, ...]
    """None where a classification head chooses."""
    right: int
    """The place of the example's label; `UNKNOWN` of a row that is to be answered."""

    @property
    def id(self) -> str:
        """The example's."""
        return self.rows[0].id


class ChoiceRows(Sequence[Row]):
    """The rows of choices, one choice after the other."""

    def __init__(self, choices: Sequence[Choice]) -> None:
        self.choices = choices
        self._rows = [row for choice in choices for row in choice.rows]

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        return self._rows[place]


def counted_in(rows: Sequence[Row]) -> int:
    """Return how many labels the mean loss of some rows is taken over: tokens, or choices."""
    return len(rows.choices) if isinstance(rows, ChoiceRows) else sum(len(row.target) for row in rows)


def examples_in(rows: Sequence[Row]) -> Sequence[Row]:
    """Return one row for each example of some rows: of a choice the first."""
    return [choice.rows[0] for choice in rows.choices] if isinstance(rows, ChoiceRows) else rows


def encode_choices(examples: Sequence[Example], prompt: PromptForm, reader: Reader, *, limits: Limits) -> Encoded:
    """Return a split in token ids for a prompt that is answered by a label; raises what `encode_each` does."""
    made = [choice_of(example, prompt, reader, limits) for example in examples]
    rate = sum(choice.rows[0].truncated for choice, _ in made) / max(len(made), 1)
    return Encoded(ChoiceRows([choice for choice, _ in made]), [text for _, text in made], rate, dropped=0)


def each_row(
    examples: Iterator[Example], prompt: PromptForm, reader: Reader, *, limits: Limits, drop_long_targets: bool
) -> Iterator[tuple[Example, Row, str]]:
    """Yield what `encode_each` does; of examples whose prompt is answered by a label the first row."""
    if not is_labelled(prompt):
        yield from encode_each(examples, prompt, reader, limits=limits, drop_long_targets=drop_long_targets)
        return
    for example in examples:
        choice, text = choice_of(example, prompt, reader, limits)
        yield example, choice.rows[0], text


def word_ids(example: Example, prompt: PromptForm, reader: Reader, limits: Limits, word: str) -> Ids:
    """Return the tokens of a word behind an example's prompt, and nothing that stands around it."""
    row, _ = _behind(example, prompt, reader, limits, word)
    return row.target[_lead(prompt, reader) :]


def choice_of(example: Example, prompt: PromptForm, reader: Reader, limits: Limits) -> tuple[Choice, str]:
    """Return an example with the words of a prompt's labels, and the prompt as the model reads it."""
    labels, lead = labels_of(prompt), _lead(prompt, reader)
    example = replace(example, shots=with_words(example.shots, labels))
    if head_labels(prompt):
        row, text = _whole(example, prompt, reader, limits)
        return Choice((row,), (), _right(example, labels)), text
    places = dict[Ids, int]()  # of rows, by what their words have in common
    rows, words, text = list[Row](), list[Word](), ""
    for place, word in ((place, word) for place, label in enumerate(labels) for word in label.words):
        row, text = _behind(example, prompt, reader, limits, word)
        shared = row.prompt if reader.is_masked else row.target[:-1]
        if places.setdefault(shared, len(rows)) == len(rows):
            rows.append(row)
        words.append(Word(place, places[shared], row.target[lead:]))
    return Choice(tuple(rows), tuple(words), _right(example, labels)), text


def _whole(example: Example, prompt: PromptForm, reader: Reader, limits: Limits) -> tuple[Row, str]:
    """Return an example as a classification head reads it, without a target, and its prompt.

    Raises:
        DataError: The text has another end token than the one behind it, at which an encoder-decoder's head is asked.
    """
    ((_, row, text),) = encode_each([replace(example, target=ANY)], prompt, reader, limits=limits)
    count = row.prompt.count(reader.tokenizer.eos_token_id)
    if reader.is_encoder_decoder and count != 1:
        raise DataError(
            f"example {example.id!r}: its prompt has {count} end tokens ({reader.tokenizer.eos_token!r}), but the head "
            "of an encoder-decoder is asked at the one behind the text; take it out of the text"
        )
    return row._replace(target=()), text


def _behind(example: Example, prompt: PromptForm, reader: Reader, limits: Limits, word: str) -> tuple[Row, str]:
    """Return an example with a word for its target, without the token that ends it, and its prompt."""
    form = _with_mask(prompt) if reader.is_masked else prompt
    ((_, row, text),) = encode_each([replace(example, target=word)], form, reader, limits=limits)
    return row if reader.is_masked else row._replace(target=row.target[:-1]), text


def _with_mask(prompt: PromptForm) -> PromptForm:
    """Return a text prompt with a mask at its end, where it has none."""
    if not isinstance(prompt, Template) or prompt.has_mask:
        return prompt
    space = "" if prompt.text.endswith("\n") else " "
    return replace(prompt, text=f"{prompt.text.rstrip(' ')}{space}{{{{ mask }}}}")


def _lead(prompt: PromptForm, reader: Reader) -> int:
    """Return how many tokens stand before each answer: what a decoder begins with, and the sentinel of a cloze."""
    return len(reader.answers.prefix) + bool(getattr(prompt, "is_cloze", False)) if reader.is_encoder_decoder else 0


def _right(example: Example, labels: Sequence[Label]) -> int:
    return next((place for place, label in enumerate(labels) if label.name == example.target), UNKNOWN)
