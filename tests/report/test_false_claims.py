"""Whole studies with real training: equal procedures are hardly ever told apart, unequal ones are.

One prompt under two names and in two studies, trained on other final seeds: whatever is claimed of the two is false.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.study_fixture import TASK, WORDS, Place, Places, write_rows

PAIRS = 20
MOST = 3
"""False claims among them: at a nominal 5%, more come by chance in 1.6% of such tests."""

PLANTED = 2
POOL = {"train": 400, "validation": 60, "test": 900}
STUDY = """\
name: pair
task: ./task.py
model: {name: model}
data: {path: data, train: 24, validation: 6, test: 40}
prompts: [{name: one, text: "{{ source }}\\nTL;DR:", shorten: source}]
tuning: [none, head]
training: {epochs: 1, batch_size: 4, max_source_tokens: 48}
generation: {max_new_tokens: 1}
search: {learning_rate: {low: 1.0e-3, high: 1.0e-1}, trials: 1, sampler: random}
final: {seeds: [1, 2, 3], models: none}
generality: {text: null}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder with rows for many studies; each draws its own by its data seed."""
    made = Places(tmp_path_factory.mktemp("claims"))()
    made.study.write_text(STUDY, encoding="utf-8")
    task = TASK.replace('["chrf", "perplexity", "length_ratio"]', '["perplexity", "chrf"]')
    (made.folder / "task.py").write_text(task, encoding="utf-8")
    generator = np.random.default_rng(5)
    for split, size in POOL.items():
        write_rows(made.folder / "data" / f"{split}.jsonl", [_row(split, i, generator) for i in range(size)])
    return made


def _row(split: str, number: int, generator: np.random.Generator) -> dict[str, Any]:
    """Return a row whose target says two of the source's words, in an order that varies."""
    words = [WORDS[int(place)] for place in generator.integers(len(WORDS), size=5)]
    return {"id": f"{split}-{number}", "source": " ".join(words), "target": " ".join(generator.permutation(words)[:2])}


def run(place: Place, name: str, number: int, *, seeds: int, more: tuple[str, ...] = ()) -> None:
    settings = [f"name={name}", f"data.seed={number}", f"final.seeds=[{seeds}, {seeds + 1}, {seeds + 2}]", *more]
    place.run(*(part for setting in settings for part in ("--set", setting)))


def compared(place: Place, a: str, b: str, file: Path) -> dict[str, Any]:
    shown = place.command("compare", a, b, "--out", str(file))
    assert shown.status == 0, shown.err
    told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return told


@pytest.mark.slow
def test_one_prompt_under_two_names_is_hardly_ever_called_better(place: Place, tmp_path: Path) -> None:
    renamed = ('prompts=[{name: two, text: "{{ source }}\\nTL;DR:", shorten: source}]',)
    found = []
    for number in range(PAIRS):
        run(place, f"a{number}", number, seeds=100 + 10 * number)
        run(place, f"b{number}", number, seeds=500 + 10 * number, more=renamed)
        found.append(compared(place, f"a{number}:one/head", f"b{number}:two/head", tmp_path / "pair.json"))
    verdicts = [one["verdict"] for one in found]
    print(f"{len(verdicts) - verdicts.count('undecided')} of {PAIRS} told apart, p {sorted(one['p'] for one in found)}")
    assert len({one["difference"] for one in found}) == PAIRS
    assert len(verdicts) - verdicts.count("undecided") <= MOST


@pytest.mark.slow
def test_a_large_planted_difference_is_called_better(place: Place, tmp_path: Path) -> None:
    """The same prompt, but a range of learning rates at which hardly anything is learned."""
    idle = ("search.learning_rate.low=1.0e-9", "search.learning_rate.high=1.0e-8")
    for number in range(PLANTED):
        run(place, f"c{number}", number, seeds=700 + 10 * number)
        run(place, f"d{number}", number, seeds=900 + 10 * number, more=idle)
        told = compared(place, f"c{number}:one/head", f"d{number}:one/head", tmp_path / "planted.json")
        assert (told["verdict"], told["difference"] < 0) == ("better", True)
        assert f"c{number}:one/head is better than d{number}:one/head" in told["answer"]
