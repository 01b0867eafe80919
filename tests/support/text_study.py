"""A study of plain text, in a place of its own, and text to train on."""

from __future__ import annotations

import math
import random
from pathlib import Path

from tests.support.study_fixture import WORDS, Place, Places

__all__ = ["PLAIN", "perplexity", "plain_place", "prose", "pseudo_perplexity", "stream_of"]

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


def perplexity(place: Place, folder: Path) -> float:
    """Return a model's on the last four blocks of a place's text, by plain transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = stream_of(place.folder / "model", (place.folder / "train.txt").read_text())
    blocks = torch.tensor(ids[: len(ids) // 32 * 32]).view(-1, 32)[-4:]
    with torch.no_grad():
        return math.exp(model(input_ids=blocks, labels=blocks).loss.item())


def pseudo_perplexity(place: Place, folder: Path) -> float:
    """Return a masked model's on the last four blocks of a place's text, by plain transformers, token by token."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(place.folder / "model")
    ids = tokenizer((place.folder / "train.txt").read_text(), verbose=False, add_special_tokens=False)["input_ids"]
    blocks = [[1, *ids[start : start + 30], 2] for start in range(0, len(ids) - 29, 30)][-4:]
    total = 0.0
    for block in blocks:
        copies = torch.tensor([block] * 30)
        places = torch.arange(30), torch.arange(1, 31)
        copies[places] = 4
        with torch.no_grad():
            told = torch.log_softmax(model(input_ids=copies).logits[places], -1)
        total -= told[torch.arange(30), torch.tensor(block[1:-1])].sum().item()
    return math.exp(total / 120)
