"""Tokenization: what a prompt form must do, the seam of prompt and target, and what does not fit.

A causal model reads both as one sequence: tokenized apart and their ids joined, so that training and generation
begin alike, whatever the tokenizer would merge. An encoder-decoder encodes the prompt; the target is its decoder's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import Field
from typing import Any, ClassVar, NamedTuple, Protocol

from harness.core.errors import DataError, EmptyPrompt, LongPrompt, TemplateError
from harness.core.example import Example
from harness.data.decoder_prefix import AnswerTokens
from harness.data.token_embeddings import refuse_without_embedding
from harness.data.token_seam import Ids, prompt_ids, prompt_text, target_ids

__all__ = [
    "SOURCE_TOKENS",
    "Encoded",
    "Ids",
    "Limits",
    "PromptForm",
    "Reader",
    "Row",
    "encode",
    "encode_each",
    "prompt_ids",
    "prompt_limit",
    "prompt_text",
    "target_ids",
]

SOURCE_TOKENS = 256
"""The most tokens of a prompt where neither a study nor its task says."""


class Reader(Protocol):
    """What must be known of a model to write its input; a loaded model is one, but no weights are needed."""

    @property
    def tokenizer(self) -> Any:
        """A transformers tokenizer with an end token."""

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether prompt and target go to two halves."""

    @property
    def is_masked(self) -> bool:
        """Whether it fills masks in a text, and writes none."""

    @property
    def context(self) -> int | None:
        """The most positions of a sequence (of each half); ``None``: no limit."""

    @property
    def embedding_rows(self) -> tuple[int | None, int | None]:
        """Rows of the embeddings that prompts and targets are looked up in; ``None``: not known yet."""

    @property
    def answers(self) -> AnswerTokens:
        """What they begin with, and what they never hold."""


class Limits(NamedTuple):
    """How many tokens a row may take."""

    source: int
    """The most of a prompt, special tokens included; its form shortens it to that."""

    target: int
    """The most of a training target, its end token apart."""

    generated: int = 0
    """The most of a prediction; a causal model's prompt leaves room for it as for a training target."""


class Row(NamedTuple):
    """One example in token ids."""

    id: str
    """The example's."""
    prompt: Ids
    """With the tokenizer's special tokens, but no end token before a causal model's target; a masked model's is all
    of what it reads."""
    target: Ids
    """Ends with the end token, unless the model's context ended before it; of a masked model what its masks hide."""
    truncated: bool
    """Whether the prompt was shortened."""
    shots: int = 0
    """How many demonstrations the prompt holds."""
    opening: int = 0
    """How many tokens of the target stand before a prediction: those of a block's beginning."""
    places: Ids = ()
    """Of a masked model, where in the prompt each token of the target stands."""


class PromptForm(Protocol):
    """What turns an example into the ids of a prompt and a target; `harness.data.prompt_forms` lists what there is.

    A form owns three things: how fields become a prompt, the truncation contract (what may be shortened to fit, and
    what never is), and the seam (prompt and target ids, joined as training sees them and as generation begins). It is
    a frozen dataclass: its fields are what study files write, and what stored models and cell digests hold.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def name(self) -> str:
        """How study files, ids and tables call it."""

    @property
    def text(self) -> str:
        """Its Jinja2 text, for people and for the Prompt Registry."""

    def contract(self) -> dict[str, str]:
        """Return what tells prompts of one text apart, as tags of a registered version: its truncation contract."""

    def names(self) -> frozenset[str]:
        """Return the fields that it uses.

        Raises:
            TemplateError: It cannot be read.
        """

    def validate(self, fields: Collection[str]) -> None:
        """Check it against the names of fields that examples have; not each needs to have all of them.

        Raises:
            TemplateError: It uses a field that none has, or breaks a rule of its own.
        """

    def render(self, fields: Mapping[str, Any], shots: Sequence[Example] = ()) -> str:
        """Return the prompt as people read it, behind some demonstrations, with nothing shortened.

        Raises:
            TemplateError: A field is undefined.
        """

    def is_plain(self) -> bool:
        """Return whether it is plain text and fields alone, so that it renders alike wherever it is rendered.

        Raises:
            TemplateError: It cannot be read.
        """

    def reads(self, fields: Mapping[str, Any], reader: Reader, shots: Sequence[Example] = ()) -> str:
        """Return the prompt as the model reads it, behind some demonstrations, with nothing shortened.

        Raises:
            TemplateError: A field is undefined, or the model cannot be prompted so.
        """

    def ids(self, text: str, reader: Reader) -> Ids:
        """Return the ids of what `reads` gave."""

    def ahead(self, example: Example, text: str, reader: Reader) -> tuple[list[str], list[str]]:
        """Return what `tokenize` has tokenized for an example that fits: with special tokens, and without.

        Args:
            example: With the fields, and the target.
            text: What `reads` gave of it.
            reader: The model, or what stands for it.

        Raises:
            TemplateError: The target cannot be written behind the prompt.
        """

    def ends(self, reader: Reader) -> Ids:
        """Return the tokens that end an answer, beside the model's own.

        Raises:
            TemplateError: The model cannot be prompted so.
        """

    def tokenize(self, example: Example, reader: Reader, *, limit: int) -> tuple[Row, str]:
        """Return an example in token ids, its target whole, and the prompt as the model reads it.

        Args:
            example: With the fields, and the target.
            reader: The model, or what stands for it.
            limit: The most tokens of the prompt, special tokens included.

        Raises:
            TemplateError: The prompt cannot be made to fit.
        """


class Encoded(NamedTuple):
    """The rows of one split for one prompt."""

    rows: Sequence[Row]
    """In the order of the examples."""

    texts: list[str]
    """Their prompts as the model reads them."""

    truncation_rate: float
    """The share of rows whose prompt was shortened."""

    dropped: int
    """How many training examples were left out since their target is too long."""


def encode(
    examples: Sequence[Example], prompt: PromptForm, reader: Reader, *, limits: Limits, drop_long_targets: bool = False
) -> Encoded:
    """Render and tokenize the examples of one split; takes and raises what `encode_each` does."""
    each = list(encode_each(examples, prompt, reader, limits=limits, drop_long_targets=drop_long_targets))
    rows = [row for _, row, _ in each]
    rate = sum(row.truncated for row in rows) / max(len(rows), 1)
    return Encoded(rows, [text for _, _, text in each], rate, dropped=len(examples) - len(rows))


def encode_each(
    examples: Iterable[Example], prompt: PromptForm, reader: Reader, *, limits: Limits, drop_long_targets: bool = False
) -> Iterator[tuple[Example, Row, str]]:
    """Yield each example of one split, what it is in token ids, and its prompt as the model reads it.

    Spaces at the end of a causal model's prompt are stripped; its target then starts with one, unless the prompt
    ends in a newline. Targets are stripped, as predictions are.

    Args:
        examples: What to encode.
        prompt: Renders the prompts, and shortens those that are too long.
        reader: The model, or what stands for it.
        limits: The most tokens.
        drop_long_targets: For training: leave out examples whose target exceeds its limit. Elsewhere a target is kept
            as far as the model's context reaches.

    Raises:
        DataError: A prompt or a target cannot fit the model's context or holds a token without a row in its
            embeddings, a prompt renders to nothing, or no row is left.
    """
    limit, met, left = prompt_limit(reader, limits), 0, 0
    for example in examples:
        met += 1
        row, text = _tokenized(example, prompt, reader, limit)
        if not drop_long_targets or len(row.target) <= limits.target + 1:
            left += 1
            yield example, _within(reader, row), text
    if met and not left:
        raise DataError(
            f"each of the {met} training targets takes more than {limits.target} tokens; "
            "raise training.max_target_tokens"
        )


def prompt_limit(reader: Reader, limits: Limits) -> int:
    """Return the most tokens of a prompt, such that what follows it in a causal model has room.

    Raises:
        DataError: Targets or predictions of these lengths cannot fit the model's context at all.
    """
    if reader.context is None:
        return limits.source
    if reader.is_masked:  # whose targets stand in their prompts
        return min(limits.source, reader.context)
    wanted = max(limits.target + 1, limits.generated)
    left = reader.context if reader.is_encoder_decoder else reader.context - wanted
    if left < 1 or wanted > reader.context:
        raise DataError(
            f"targets or predictions of {wanted} tokens cannot fit the model's context of {reader.context}; "
            "lower training.max_target_tokens or generation.max_new_tokens"
        )
    return min(limits.source, left)


def _within(reader: Reader, row: Row) -> Row:
    """Return the row with its target cut where the model's context ends; one that is longer by itself is refused."""
    if reader.context is None or reader.is_masked:
        return row
    if len(row.target) > reader.context - (0 if reader.is_encoder_decoder else 1):
        raise DataError(
            f"example {row.id!r}: its target takes {len(row.target)} tokens with the end token, which the model's "
            f"context of {reader.context} cannot hold; shorten the target or leave the example out"
        )
    room = reader.context if reader.is_encoder_decoder else reader.context - len(row.prompt)
    return row._replace(target=row.target[:room])


def _tokenized(example: Example, prompt: PromptForm, reader: Reader, limit: int) -> tuple[Row, str]:
    try:
        row, text = prompt.tokenize(example, reader, limit=limit)
        own = prompt.render(example.fields) if example.shots else text
    except TemplateError as error:
        limited = isinstance(error, LongPrompt) and reader.context is not None
        context = f" (the model's context is {reader.context})" if limited else ""
        raise DataError(f"example {example.id!r}: {error}{context}") from error
    if not row.prompt or not own.strip():
        raise EmptyPrompt(f"example {example.id!r}: prompt {prompt.name!r} renders to {own!r}; it must not be empty")
    refuse_without_embedding(reader, row, prompt)
    return row, text
