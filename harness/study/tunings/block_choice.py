"""Which blocks of a model: ``all``, ``first-2``, ``last-2``, ``3-5`` or ``[0, 2, 5]``.

Blocks are counted from 0, an encoder's before the decoder's. A list names exactly those, in any order; one of
neighbors becomes the range that it is, so that no choice has two names, save that ``first-2`` is ``0-1`` as well.
"""

from __future__ import annotations

import re
from typing import Any

from harness.core.plain_yaml import shown

__all__ = [
    "ALL",
    "FORM",
    "LARGEST",
    "BlockChoice",
    "block_choice",
    "block_numbers",
    "blocks_in_words",
    "blocks_name",
    "blocks_needed",
    "how_many",
    "named_blocks",
]

BlockChoice = str | tuple[int, ...]
"""``all``, ``first-2``, ``last-2``, ``3-5``, or numbers in order that are no range."""

ALL = "all"

LARGEST = 1_000_000
"""Number of a block, and count of blocks."""

FORM = r"^(all|(first|last)-[1-9]\d{0,6}|(0|[1-9]\d{0,6})-(0|[1-9]\d{0,6}))$"
"""Of a choice that is no list, as a regular expression."""


def block_choice(written: Any) -> BlockChoice:
    """Return a choice as it is kept.

    >>> block_choice("last-2"), block_choice([5, 4, 3]), block_choice([5, 0, 2])
    ('last-2', '3-5', (0, 2, 5))

    Raises:
        ValueError: It is none.
    """
    if isinstance(written, list | tuple):
        return _of_list(written)
    if not isinstance(written, str) or re.fullmatch(FORM, written, re.ASCII) is None:
        raise ValueError(f"blocks are {shown(written)}; write all, first-2, last-2, 3-5 or [0, 2], counted from 0")
    numbers = [int(number) for number in written.split("-") if number.isdigit()]
    if numbers != sorted(numbers):
        raise ValueError(f"blocks are {shown(written)}, from the last to the first; write {numbers[1]}-{numbers[0]}")
    if max(numbers, default=0) > LARGEST:
        raise ValueError(f"blocks are {shown(written)}; numbers of blocks go up to {LARGEST:,}: lower it")
    return written


def _of_list(written: list[Any] | tuple[Any, ...]) -> BlockChoice:
    """Return the choice of some numbers."""
    if not written:
        raise ValueError("blocks are []; name some, as in [0, 2], or leave the tuning out")
    wrong = [n for n in written if not isinstance(n, int) or isinstance(n, bool) or not 0 <= n <= LARGEST]
    if wrong:
        rule = f"a list has whole numbers from 0 to {LARGEST:,}"
        raise ValueError(f"blocks are {shown(written)}; {rule}, which {shown(wrong[0])} is not; correct it")
    numbers = sorted(set(written))
    if len(numbers) < len(written):
        raise ValueError(f"blocks are {shown(written)}; each stands there once: leave the repeated ones out")
    is_range = numbers[-1] - numbers[0] == len(numbers) - 1
    return f"{numbers[0]}-{numbers[-1]}" if is_range else tuple(numbers)


def blocks_name(choice: BlockChoice) -> str:
    """Return what a choice is called in ids.

    >>> blocks_name("last-2"), blocks_name((0, 2, 5))
    ('last-2', '0_2_5')
    """
    return choice if isinstance(choice, str) else "_".join(map(str, choice))


def named_blocks(name: str) -> BlockChoice | None:
    """Return the choice that an id calls so, ``None`` where it is no name of one.

    >>> named_blocks("0_2_5"), named_blocks("last-2"), named_blocks("mine")
    ((0, 2, 5), 'last-2', None)
    """
    written = [int(number) for number in name.split("_")] if re.fullmatch(r"\d{1,7}(_\d{1,7})+", name) else name
    try:
        choice = block_choice(written)
    except ValueError:
        return None
    return choice if blocks_name(choice) == name else None


def blocks_needed(choice: BlockChoice) -> int:
    """Return how many blocks a model must have at least.

    >>> [blocks_needed(choice) for choice in ("all", "last-2", "3-5", (0, 2, 5))]
    [1, 2, 6, 6]
    """
    if not isinstance(choice, str):
        return choice[-1] + 1
    if choice == ALL:
        return 1
    number = int(choice.rpartition("-")[2])
    return number if choice.startswith(("first", "last")) else number + 1


def block_numbers(choice: BlockChoice, count: int) -> tuple[int, ...]:
    """Return the numbers of the chosen blocks of a model with so many, at least as many as `blocks_needed`.

    >>> block_numbers("last-2", 6), block_numbers("3-5", 6)
    ((4, 5), (3, 4, 5))
    """
    if not isinstance(choice, str):
        return choice
    if choice == ALL:
        return tuple(range(count))
    first, _, last = choice.partition("-")
    if first == "first":
        return tuple(range(int(last)))
    return tuple(range(count - int(last), count) if first == "last" else range(int(first), int(last) + 1))


def how_many(choice: BlockChoice) -> float:
    """Return how many blocks are chosen; infinity for all."""
    if choice == ALL:
        return float("inf")
    return len(block_numbers(choice, blocks_needed(choice)))


def blocks_in_words(choice: BlockChoice) -> str:
    """Return which blocks are chosen, for people.

    >>> [blocks_in_words(choice) for choice in ("all", "first-1", "last-2", "3-3", "3-5", (0, 2, 5))]
    ['all blocks', 'the first block', 'the last 2 blocks', 'block 3', 'blocks 3 to 5', 'blocks 0, 2 and 5']
    """
    if not isinstance(choice, str):
        *most, last = map(str, choice)
        return f"blocks {', '.join(most)} and {last}"
    if choice == ALL:
        return "all blocks"
    first, _, last = choice.partition("-")
    if first in ("first", "last"):
        return f"the {first} block" if last == "1" else f"the {first} {last} blocks"
    return f"block {first}" if first == last else f"blocks {first} to {last}"
