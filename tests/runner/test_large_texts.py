"""Texts that are large: what a command holds of them does not grow as they do, since they lie in files that are mapped.

Peaks are those of anonymous memory, which cannot be given back: pages of mapped files can.
"""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest

from tests.support.study_fixture import WORDS, Place, Places
from tests.support.text_study import plain_place

MB = 1_000_000

FEW = ("data.validation=8", "data.test=8", "tuning=[full]", "training.epochs=null", "training.steps=8")
"""So that what is scored and told of it is no more of a large text."""

BESIDE = {"check": 0.2, "run": 0.1}
"""Bytes held for each byte of text, at most: numbers and names of blocks, in eight and some fifty bytes each."""

STEADY = 64 * MB
"""What may differ between any two processes, and what is held of a window or of a part, however large a text is."""


def with_text(places: Places, size: int) -> Place:
    """Return a place whose text has so many bytes, most of its words one token each."""
    place, draw = plain_place(places), random.Random(size)
    with (place.folder / "train.txt").open("w") as file:
        for _ in range(size // 70):
            file.write(" ".join(draw.choice(WORDS) for _ in range(12)) + "\n")
    return place


def peak(place: Place, *arguments: str) -> int:
    """Run a command to its end; return the most bytes of anonymous memory that it held."""
    sets = [part for change in FEW if arguments[0] == "run" for part in ("--set", change)]
    process = place.process(*arguments, "study.yaml", "--set", "training.block_tokens=128", *sets)
    status, most = Path(f"/proc/{process.pid}/status"), 0
    while process.poll() is None:
        held = re.search(r"RssAnon:\s*(\d+) kB", status.read_text())
        most = max(most, 1024 * int(held[1]) if held else 0)
        time.sleep(0.02)
    _, err = process.communicate()
    assert process.returncode == 0, err
    return most


@pytest.mark.parametrize(
    "size", [pytest.param(40 * MB, marks=pytest.mark.slow), pytest.param(400 * MB, marks=pytest.mark.demand)]
)
@pytest.mark.parametrize("command", BESIDE)
def test_memory_does_not_grow_with_the_text(places: Places, command: str, size: int) -> None:
    small, large = (peak(with_text(places, one), command) for one in (4 * MB, size))
    print(f"\n{command}: {small / MB:.0f} MB held of a text of 4 MB, {large / MB:.0f} MB of one of {size // MB} MB")
    assert large - small < STEADY + BESIDE[command] * size
