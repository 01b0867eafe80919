"""Shortening: the one field that a prompt may cut loses words until the prompt fits, whatever the prompt's form.

The contract: the field that ``shorten`` names may lose words. The instruction, every other field, what a chat template
writes around them, and the target are never cut. Demonstrations take what the row's own prompt leaves of the limit:
they are whole, or left out, the nearest last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from harness.core.errors import LongPrompt
from harness.core.example import Example, as_text

__all__ = ["REACH", "Cut", "Fitted", "Keep", "fitted"]

Keep = Literal["start", "end"]

REACH = 2**16
"""Characters of a field that are tried first where it has more: a tokenizer takes some 300 bytes for each."""

LONG = 32
"""Characters a token, from which on a longer prompt is not counted: its demonstrations do not fit."""


class Cut(Protocol):
    """What a prompt says of its cutting."""

    @property
    def name(self) -> str:
        """The prompt's."""

    @property
    def shorten(self) -> str | None:
        """The one field that may be shortened to fit; ``None``: nothing may."""

    @property
    def keep(self) -> Keep:
        """Which part of that field stays: its start (articles) or its end (dialogues)."""


class Fitted(NamedTuple):
    """A prompt that fits."""

    fields: Mapping[str, Any]
    """The example's, one of them shortened if need be."""

    text: str
    """The prompt that is made of them."""

    truncated: bool
    """Whether a field was shortened."""

    shots: tuple[Example, ...] = ()
    """The demonstrations that it holds."""


def fitted(
    cut: Cut,
    example: Example,
    *,
    limit: int,
    write: Callable[[Mapping[str, Any], Sequence[Example]], str],
    count: Callable[[str], int],
) -> Fitted:
    """Make a prompt within a number of tokens, shortening the one field that may be, then with demonstrations that fit.

    Whole words are dropped where the field has spaces, characters where a single word is too long.

    Args:
        cut: The prompt.
        example: With its fields and demonstrations.
        limit: The most tokens that the prompt may take.
        write: Makes the prompt of fields and demonstrations.
        count: Tokens in such a prompt, special tokens included.

    Raises:
        LongPrompt: The prompt does not fit even with that field empty.
    """

    def fits(text: str) -> bool:
        return len(text) <= max(REACH, LONG * limit) and count(text) <= limit

    if example.shots and fits(text := write(example.fields, example.shots)):
        return Fitted(example.fields, text, truncated=False, shots=example.shots)
    best = _alone(cut, example.fields, limit=limit, write=lambda fields: write(fields, ()), count=count)
    low, high = 1, len(example.shots)
    while low <= high:
        middle = (low + high) // 2
        nearest = example.shots[-middle:]
        if fits(text := write(best.fields, nearest)):
            low, best = middle + 1, best._replace(text=text, shots=nearest)
        else:
            high = middle - 1
    return best


def _alone(
    cut: Cut,
    fields: Mapping[str, Any],
    *,
    limit: int,
    write: Callable[[Mapping[str, Any]], str],
    count: Callable[[str], int],
) -> Fitted:
    """Make a prompt without demonstrations; takes and raises what `fitted` does."""

    def shortened(size: int) -> Fitted:
        fewer = _shortened(cut, fields, size)
        return Fitted(fewer, write(fewer), truncated=True)

    whole = Fitted(fields, write(fields), truncated=False)
    end = len(as_text(fields.get(cut.shorten))) if cut.shorten else 0
    low, high, best, reach = 0, end - 1, None, REACH
    while reach < end:  # a long text is never counted far beyond what fits
        candidate = shortened(reach)
        if count(candidate.text) > limit:
            high = reach - 1
            break
        low, best, reach = reach + 1, candidate, 2 * reach
    else:
        if count(whole.text) <= limit:
            return whole
    while low <= high:
        middle = (low + high) // 2
        candidate = shortened(middle)
        if count(candidate.text) <= limit:
            low, best = middle + 1, candidate
        else:
            high = middle - 1
    if best is None:
        raise _too_long(cut, limit, least=count((shortened(0) if end else whole).text))
    return best


def _too_long(cut: Cut, limit: int, *, least: int) -> LongPrompt:
    rule = f"even with {cut.shorten!r} empty" if cut.shorten else "and names no field to shorten"
    return LongPrompt(
        f"prompt {cut.name!r} takes {least} tokens {rule}, over the limit of {limit}; "
        "raise training.max_source_tokens or shorten the instruction"
    )


def _shortened(cut: Cut, fields: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Return the fields with the one that may be cut at most ``size`` characters long, at a word's edge if any."""
    assert cut.shorten is not None
    value = as_text(fields[cut.shorten])
    if cut.keep == "start":
        piece = value[:size]
        if not (value[size : size + 1].isspace() or piece[-1:].isspace()):
            piece = piece.rsplit(None, 1)[0] if len(piece.split()) > 1 else piece
        piece = piece.rstrip()
    else:
        piece = value[len(value) - size :]
        if not (value[: len(value) - size][-1:].isspace() or piece[:1].isspace()):
            piece = piece.split(None, 1)[1] if len(piece.split()) > 1 else piece
        piece = piece.lstrip()
    return {**fields, cut.shorten: piece}
