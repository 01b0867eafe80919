"""A study of plain text, in a place of its own, and text to train on."""

from __future__ import annotations

import random
from pathlib import Path

from tests.support.study_fixture import WORDS, Place, Places

__all__ = ["PLAIN", "plain_place", "prose"]

PLAIN = """\
# How deep must a network learn a text?
name: tiny
task: text_generation
model: {name: model}
data: {path: train.txt}
tuning: [full, {last_blocks: 1}]
training: {epochs: 2, batch_size: 4, block_tokens: 32}
search: {trials: 1}
final: {seeds: [11]}
"""


def prose(words: int, seed: int = 0) -> str:
    """Return sentences, a line each."""
    draw = random.Random(seed)
    lines, left = list[str](), words
    while left > 0:
        count = draw.randint(4, 14)
        lines.append(" ".join(draw.choice(WORDS) for _ in range(count)).capitalize() + ".")
        left -= count
    return "\n".join(lines) + "\n"


def plain_place(places: Places, *, family: str = "gpt2", words: int = 1200, study: str = PLAIN) -> Place:
    """Return a place with a study of plain text and its train.txt."""
    place = places(family)
    place.study.write_text(study, encoding="utf-8")
    (place.folder / "train.txt").write_text(prose(words), encoding="utf-8")
    return place


def stream_of(folder: Path, text: str) -> list[int]:
    """Return a text's tokens as transformers gives them at once."""
    from transformers import AutoTokenizer

    ids: list[int] = AutoTokenizer.from_pretrained(folder)(text, verbose=False)["input_ids"]
    return ids
