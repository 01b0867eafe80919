"""Names of tunings: what ids call them, and what a name says where nothing else is at hand, as in old results.

A name is a kind, then the blocks where they are said: ``norms-last-2``. An adapter's has the option that leads first,
and behind its blocks whatever differs from the kind's default: ``lora-8-last-2-alpha-32``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, cast

from harness.study.tuning_kinds import TUNING_KINDS
from harness.study.tunings.block_choice import BlockChoice, blocks_name, how_many, named_blocks

__all__ = ["Blocks", "Named", "depth", "depth_of", "in_words", "name_of", "option_text", "parsed", "words_of"]

Blocks = int | BlockChoice | None
"""What a tuning says of blocks: a number of them, a choice, or nothing."""

PLAIN = r"[A-Za-z0-9_.]+"
"""A value that stands in a name as it is; of another one its digest does."""


class Named(NamedTuple):
    """What a name says."""

    kind: str
    blocks: Blocks
    leading: int | None = None
    """The value of the option that leads, of an adapter."""
    rest: str = ""
    """What follows, as it stands there."""


def name_of(kind: str, blocks: Blocks, options: Mapping[str, Any] | None = None, parts: Sequence[str] = ()) -> str:
    """Return what ids call a tuning that has no name of its own.

    >>> name_of("norms", None), name_of("last_blocks", 2), name_of("blocks", (0, 2, 5))
    ('norms', 'last_blocks-2', 'blocks-0_2_5')
    >>> name_of("lora", "last-2", {"rank": 16}), name_of("lora", None, {"alpha": 32.0}, ["head", "norms"])
    ('lora-16-last-2', 'lora-8-alpha-32-with-head-norms')

    Args:
        kind: One of the table.
        blocks: What it says of blocks.
        options: Of an adapter: those that differ from their defaults.
        parts: Of an adapter: the kinds of what trains beside it.
    """
    words, said, form = [kind], dict(options or {}), TUNING_KINDS[kind].adapter
    if form and form.leading:
        words.append(str(said.pop(form.leading, None) or form.options().model_dump()[form.leading]))
    if blocks is not None:
        words.append(str(blocks) if isinstance(blocks, int) else blocks_name(blocks))
    if kind == "peft":
        words += [str(said.pop("peft_type")).lower(), *([_digest(said)] if said else [])]
    else:
        words += [word for name, value in said.items() for word in (name, _in_name(value))]
    return "-".join([*words, *(["with", *parts] if parts else [])])


def _in_name(value: Any) -> str:
    text = (
        "_".join(value) if isinstance(value, list | tuple) else f"{value:g}" if isinstance(value, float) else str(value)
    )
    return text if re.fullmatch(PLAIN, text) and len(text) <= 40 else _digest(text)


def _digest(value: Any) -> str:
    return sha256(repr(value).encode()).hexdigest()[:6]


def parsed(name: str) -> Named | None:
    """Return what a name that `name_of` made says, ``None`` where it is one of somebody's own.

    >>> parsed("attention-last-2")[:2], parsed("last_blocks-2")[:2], parsed("mine")
    (('attention', 'last-2'), ('last_blocks', 2), None)
    >>> tuple(parsed("lora-8-last-2-alpha-32"))
    ('lora', 'last-2', 8, 'alpha-32')
    """
    kind, dash, rest = name.partition("-")
    if kind not in TUNING_KINDS:
        return None
    if TUNING_KINDS[kind].adapter:
        return _parsed_adapter(kind, rest)
    form, blocks = TUNING_KINDS[kind].blocks, cast(Blocks, None)
    if form == "count":
        blocks = int(rest) if rest.isdigit() else None
    elif form in ("choice", "option"):
        blocks = named_blocks(rest)
    fits = blocks is not None or form in ("none", "option")
    return Named(kind, blocks) if fits and name_of(kind, blocks) == name else None


def _parsed_adapter(kind: str, rest: str) -> Named | None:
    words, form, leading, blocks = rest.split("-") if rest else [], TUNING_KINDS[kind].adapter, None, None
    if form and form.leading:
        if not words or not words[0].isdigit():
            return None
        leading = int(words.pop(0))
    if TUNING_KINDS[kind].blocks == "option":
        for count in (2, 1):
            if (blocks := named_blocks("-".join(words[:count]))) is not None:
                words = words[count:]
                break
    return Named(kind, blocks, leading, "-".join(words))


def depth_of(kind: str, blocks: Blocks, leading: int | None = None) -> tuple[float, float, float]:
    """Return what sorts tunings by how much trains: the kind's place, how many blocks, an adapter's size."""
    facts = TUNING_KINDS[kind]
    size = float(leading or 0)
    if blocks is None:
        return facts.depth, float("inf") if facts.blocks == "option" else 0, size
    return facts.depth, blocks if isinstance(blocks, int) else how_many(blocks), size


def depth(tuning: str) -> tuple[float, float, float]:
    """Return what sorts tunings, by their names, by how much of the network trains; unknown ones come last.

    >>> sorted(["full", "last_blocks-10", "head", "norms", "norms-last-2", "lora-8", "last_blocks-2"], key=depth)
    ['norms-last-2', 'norms', 'lora-8', 'head', 'last_blocks-2', 'last_blocks-10', 'full']
    """
    known = parsed(tuning)
    return depth_of(known.kind, known.blocks, known.leading) if known else (float("inf"), 0, 0)


def option_text(value: Any) -> str:
    """Return an option's value, for people.

    >>> option_text(32.0), option_text(["q_proj", "v_proj"]), option_text({"q_proj": 4})
    ('32', 'q_proj and v_proj', '{"q_proj": 4}')
    """
    if isinstance(value, list | tuple):
        return " and ".join(map(option_text, value))
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def words_of(kind: str, blocks: Blocks, options: Mapping[str, str], parts: Sequence[str]) -> str:
    """Return what trains, for people; empty where the kind has no words.

    >>> words_of("lora", "last-2", {"rank": "8", "alpha": "32"}, ["head", "norms"])
    'LoRA of rank 8 in the last 2 blocks (alpha 32) together with the output layer and the norms'
    >>> words_of("peft", None, {"peft_type": "VERA", "r": "16"}, [])
    "PEFT's VERA (r 16)"

    Args:
        kind: One of the table.
        blocks: What it says of blocks.
        options: Of an adapter: the one that leads, and those that differ from their defaults, as texts.
        parts: Of an adapter: the kinds of what trains beside it.
    """
    told, form = dict(options), TUNING_KINDS[kind].adapter
    leading = told.pop("peft_type" if kind == "peft" else form.leading if form else "", "")
    words = TUNING_KINDS[kind].in_words(blocks, leading, [" ".join(filter(None, option)) for option in told.items()])
    beside = [TUNING_KINDS[part].in_words(None).removesuffix(" alone") for part in parts]
    *most, last = beside or [""]
    return f"{words} together with {' and '.join(filter(None, (', '.join(most), last)))}" if last else words


def in_words(tuning: str) -> str:
    """Return what trains under a tuning's name, for people.

    >>> [in_words(name) for name in ("head", "last_blocks-1", "attention-last-2", "blocks-3-5", "mine")]
    ['the output layer alone', 'the last block', "the last 2 blocks' attention", 'blocks 3 to 5', 'mine']
    >>> in_words("lora-8-last-2-alpha-32-with-head"), in_words("peft-vera-2f1b3c")
    ('LoRA of rank 8 in the last 2 blocks (alpha 32) together with the output layer', "PEFT's VERA (2f1b3c)")
    """
    known = parsed(tuning)
    if known is None:
        return tuning
    told, _, beside = f"-{known.rest}".partition("-with-")
    words, parts = [word for word in told.split("-") if word], [part for part in beside.split("-") if part]
    if known.kind == "peft":
        options = {"peft_type": words[0].upper() if words else "", **dict.fromkeys(words[1:], "")}
    else:
        options = dict(zip(words[::2], [*words[1::2], ""], strict=False))
    form = TUNING_KINDS[known.kind].adapter
    if form and form.leading:
        options = {form.leading: str(known.leading), **options}
    return words_of(known.kind, known.blocks, options, [part for part in parts if part in TUNING_KINDS]) or tuning
