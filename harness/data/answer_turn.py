"""The answer's turn of a chat: where a chat template lets it begin and end, and that it can be told from the prompt.

A template writes a prompt, and a whole conversation. The conversation must begin with the prompt, in its text and in
its ids; what follows is white space, the answer as it is, and a token that ends the turn. Then prompt and answer are
tokenized apart, and joined they are what the template writes. No template's own marks of answers are asked for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.core.errors import TemplateError

if TYPE_CHECKING:
    from harness.data.tokenization import Ids, Reader

__all__ = ["AnswerTurn", "answer_ids", "answer_turn", "bare_ids"]

REMEDY = "correct the model's chat template, or write the prompt as text"


class AnswerTurn(NamedTuple):
    """How a chat template writes an answer's turn."""

    before: str
    """White space between the prompt and the answer."""

    after: str
    """From the answer to the token that ends the turn, that included."""

    end: int
    """Its id."""


def answer_turn(reader: Reader, prompt: str, whole: str, answer: str) -> AnswerTurn:
    """Return how a template writes an answer's turn, by a prompt and the conversation that an answer makes of it.

    Args:
        reader: The model, or what stands for it.
        prompt: As the template writes it, with its generation prompt.
        whole: The conversation, as the template writes it.
        answer: Stripped.

    Raises:
        TemplateError: They cannot be told apart; says why.
    """
    rest = _behind(prompt, whole)
    between, found, tail = rest.partition(answer)
    if not found:
        raise TemplateError(f"it writes the answer {answer!r} as {rest!r}; {REMEDY}")
    if between.strip():
        raise TemplateError(f"it writes {between!r} in front of an answer, so each would have to begin so; {REMEDY}")
    space = tail[: len(tail) - len(tail.lstrip())]
    end = next(iter(bare_ids(reader, tail.lstrip())), None)
    token = None if end is None else _left_out(reader, end)
    if end is None or not token or not tail.lstrip().startswith(token):
        written = f"ends it with {tail!r}, for which the tokenizer has no special token" if tail else "does not end it"
        raise TemplateError(f"behind an answer it {written}, so that no token ends the turn; {REMEDY}")
    return AnswerTurn(between, f"{space}{token}", end)


def answer_ids(reader: Reader, prompt: str, whole: str, turn: str) -> Ids:
    """Return the ids of an answer's turn behind a prompt.

    Args:
        reader: The model, or what stands for it.
        prompt: What it reads before the answer.
        whole: The conversation, as its chat template writes it.
        turn: The text behind the prompt, with the token that ends it.

    Raises:
        TemplateError: The conversation does not hold that text there, or ids merge where the two meet.
    """
    rest = _behind(prompt, whole)
    if not rest.startswith(turn):
        raise TemplateError(f"it writes the answer's turn {turn!r} as {rest[: len(turn) + 20]!r}; {REMEDY}")
    head, ids = bare_ids(reader, prompt), bare_ids(reader, prompt + turn)
    if ids[: len(head)] != head:
        raise TemplateError(
            f"the tokenizer merges {prompt[-20:]!r} and {turn[:20]!r} where prompt and answer meet; {REMEDY}"
        )
    return ids[len(head) :]


def bare_ids(reader: Reader, text: str) -> Ids:
    """Return the ids of a text that has its special tokens, a beginning one too, from a chat template."""
    return tuple(reader.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _behind(prompt: str, whole: str) -> str:
    if whole.startswith(prompt):
        return whole[len(prompt) :]
    start = len(os.path.commonprefix([prompt, whole]))
    shown = f"{whole[start : start + 40]!r} and not {prompt[start : start + 40]!r}"
    raise TemplateError(
        f"the whole conversation does not begin with the prompt: behind {prompt[max(0, start - 20) : start]!r} it has "
        f"{shown}; {REMEDY}"
    )


def _left_out(reader: Reader, token: int) -> str | None:
    """Return the text of a token that predictions leave out; ``None`` of any other."""
    settings: dict[str, Any] = {"clean_up_tokenization_spaces": False}
    skipped, text = (
        reader.tokenizer.batch_decode([[token]], skip_special_tokens=skip, **settings)[0] for skip in (True, False)
    )
    return None if skipped.strip() else text
