"""A chat as a model's own chat template writes it: the prompt, and the answer's turn behind it.

That the two can be told apart is tried on made-up turns once for each tokenizer, and seen again on every row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from harness.core.errors import TemplateError
from harness.data.answer_turn import REMEDY, AnswerTurn, answer_ids, answer_turn
from harness.data.chat_template import chat_template, written

if TYPE_CHECKING:
    from harness.core.example import Example
    from harness.data.chat import Chat
    from harness.data.shortening import Fitted
    from harness.data.tokenization import Ids, Reader

__all__ = ["THINKING", "answered", "is_dated", "prompt_of", "target_of", "turn_of"]

PROBE, YES = "Is it?", "Yes"
"""A turn and an answer by which a template is tried."""

DAYS = date(1999, 12, 31), date(2004, 7, 8)
"""By which it is seen whether a template writes a date."""

THINKING = "enable_thinking"
"""The argument by which templates of models that think leave the thoughts out."""

_TURNS: WeakKeyDictionary[Any, dict[Chat, AnswerTurn]] = WeakKeyDictionary()
"""By tokenizer."""


def turn_of(chat: Chat, reader: Reader) -> AnswerTurn:
    """Return how a model's chat template writes an answer's turn.

    Raises:
        TemplateError: It has none, or one that does not let prompt and answer be told apart; says why.
    """
    known = _TURNS.setdefault(reader.tokenizer, {})
    if chat not in known:
        known[chat] = _tried(chat, reader)
    return known[chat]


def prompt_of(chat: Chat, fields: Mapping[str, Any], reader: Reader, shots: Sequence[Example] = ()) -> str:
    """Return a chat with its fields filled in, behind some demonstrations, as the model reads it before it answers.

    Raises:
        TemplateError: A field is undefined, or the model cannot be prompted so.
    """
    turn, begins = turn_of(chat, reader), chat.beginning(fields)
    return _written(chat, reader, chat.filled(fields, shots)) + (f"{turn.before}{begins}" if begins else "")


def answered(chat: Chat, fields: Mapping[str, Any], target: str, reader: Reader) -> tuple[str, str]:
    """Return what the assistant says, with what begins it, and what of its turn stands behind the prompt.

    As behind a text prompt, a target begins with a space where something other than a new line stands before it.
    """
    turn, begins = turn_of(chat, reader), chat.beginning(fields)
    said = chat.says(fields, target)
    behind = said.removeprefix(begins) if begins else f"{turn.before}{target}"
    return said, f"{behind}{turn.after}"


def target_of(chat: Chat, made: Fitted, target: str, reader: Reader) -> Ids:
    """Return the ids of a target behind a prompt, up to the token that ends the assistant's turn.

    Args:
        chat: The prompt.
        made: The text that `prompt_of` made, and what of.
        target: Stripped.
        reader: The model, or what stands for it.

    Raises:
        TemplateError: The template does not write this answer as it is, or ids merge where prompt and answer meet.
    """
    content, turn = answered(chat, made.fields, target, reader)
    turns = [*chat.filled(made.fields, made.shots), {"role": "assistant", "content": content}]
    whole = _written(chat, reader, turns, generation_prompt=False)
    with _told(chat, reader):
        return answer_ids(reader, made.text, whole, turn)


def is_dated(chat: Chat, reader: Reader) -> bool:
    """Return whether the model's chat template writes a date, which is then the chat's and not today's."""
    one, other = (_written(chat, reader, _probe(chat), day=day) for day in DAYS)
    return one != other


def _tried(chat: Chat, reader: Reader) -> AnswerTurn:
    if reader.is_encoder_decoder:
        raise TemplateError(
            f"prompt {chat.name!r} is a chat, which is read as one sequence with its answer, but this model reads "
            "prompts with an encoder; write the prompt as text"
        )
    if chat_template(reader.tokenizer, chat.template_args) is None:
        raise TemplateError(
            f"prompt {chat.name!r} is a chat, but the model's tokenizer has no chat template; name the model's "
            "instruction-tuned version, or write the prompt as text"
        )
    prompt = _written(chat, reader, _probe(chat))
    turns = [*_probe(chat), {"role": "assistant", "content": YES}]
    whole = _written(chat, reader, turns, generation_prompt=False)
    with _told(chat, reader):
        found = answer_turn(reader, prompt, whole, YES)
        answer_ids(reader, prompt, whole, f"{found.before}{YES}{found.after}")
        _refuse_other_writing(chat, reader, prompt)
    return found


def _refuse_other_writing(chat: Chat, reader: Reader, prompt: str) -> None:
    """See that transformers, where it is at hand, writes the same; but it would write today's date."""
    own = getattr(reader.tokenizer, "apply_chat_template", None)
    if own is None or is_dated(chat, reader):
        return
    other = own(_probe(chat), tokenize=False, add_generation_prompt=True, **chat.template_args)
    if other != prompt:
        raise TemplateError(f"this transformers writes it otherwise, {other!r} and not {prompt!r}; {REMEDY}")


def _probe(chat: Chat) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": PROBE} for turn in chat.turns]


def _written(
    chat: Chat,
    reader: Reader,
    turns: Sequence[Mapping[str, str]],
    *,
    generation_prompt: bool = True,
    day: date | None = None,
) -> str:
    day = day or date.fromisoformat(chat.date)
    with _told(chat, reader):
        return written(reader.tokenizer, turns, chat.template_args, day, generation_prompt=generation_prompt)


@contextmanager
def _told(chat: Chat, reader: Reader) -> Iterator[None]:
    try:
        yield
    except TemplateError as error:
        template, arguments = chat_template(reader.tokenizer, chat.template_args) or "", chat.template_args
        thinks = THINKING in template and arguments.get(THINKING) is not False
        hint = f"; try template_args: {{{THINKING}: false}}" if thinks else ""
        raise TemplateError(
            f"prompt {chat.name!r} does not go with the model's chat template: {error}{hint}"
        ) from error
