"""What the search for duplicates finds of a planted leak, what it flags where there is none, and how long it takes.

5,000 training rows against 500 test rows where the data has them: 5% of the test rows stand in train as they are, 3%
with another case, other punctuation and one word replaced: in the source, or in the source and in the target.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import string
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.core.example import Example
from harness.data.train_test_overlap import Overlap, overlaps

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data"
REPEATS = 5
"""Leaks planted in each data set, with other rows and other words."""


RECALL = ("exact, one word of the source", "near, one word of the source", "near, one of each text")


class Planted(NamedTuple):
    """A training split with a leak in it."""

    train: list[Example]
    exact: set[str]
    near: set[str]


def load(folder: Path, split: str) -> list[Example]:
    with gzip.open(folder / f"{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [Example(row["id"], {"source": row["source"]}, row["target"]) for row in rows]


def disguised(text: str, vocabulary: Sequence[str], rng: random.Random) -> str:
    words = text.split()
    words[rng.randrange(len(words))] = rng.choice(vocabulary)
    text = rng.choice([str.upper, str.lower, str.title])(" ".join(words))
    bare = text.translate(str.maketrans("", "", string.punctuation))
    return rng.choice([bare, re.sub(r"[^\w\s]", " ", text), f"{text} ...", text.replace(" ", ", ", 1)])


def words_of(texts: Sequence[str]) -> list[str]:
    return [word for text in texts for word in text.split() if word.isalpha()]


def plant(train: Sequence[Example], test: Sequence[Example], *, both: bool, seed: int) -> Planted:
    rng = random.Random(seed)
    chosen = rng.sample(test, round(0.08 * len(test)))
    exact, near = chosen[: round(0.05 * len(test))], chosen[round(0.05 * len(test)) :]
    sources, targets = words_of([e.fields["source"] for e in train]), words_of([e.target for e in train])
    leak = [Example(f"exact {e.id}", e.fields, e.target) for e in exact]
    for e in near:
        source = disguised(e.fields["source"], sources, rng)
        leak.append(
            Example(f"near {e.id}", {"source": source}, disguised(e.target, targets, rng) if both else e.target)
        )
    return Planted([*train[len(leak) :], *leak], {e.id for e in exact}, {e.id for e in near})


def across(train: list[Example], test: list[Example]) -> Overlap:
    return next(overlap for overlap in overlaps({"train": train, "test": test}) if overlap.across)


def measured(folder: Path) -> dict[str, Any]:
    splits = {split: load(folder, split) for split in ("train", "validation", "test")}
    train, test = splits["train"], splits["test"]
    start = time.process_time()
    clean = across(train, test)
    seconds = time.process_time() - start
    row: dict[str, Any] = {
        "data": folder.name,
        "train x test": f"{len(train)} x {len(test)}",
        "seconds": seconds,
        "clean test": clean.share,
        "clean validation": across(train, splits["validation"]).share,
    }
    for name, both in (("one word of the source", False), ("one of each text", True)):
        found = {"exact": 0.0, "near": 0.0}
        for seed in range(REPEATS):
            leak = plant(train, test, both=both, seed=seed)
            kinds = {twin.id: twin.kind for twin in across(leak.train, test).twins}
            found["exact"] += sum(kinds.get(id) == "row" for id in leak.exact) / len(leak.exact) / REPEATS
            found["near"] += sum(id in kinds for id in leak.near) / len(leak.near) / REPEATS
        row |= {f"{kind}, {name}": recall for kind, recall in found.items()}
    return row


def main() -> None:
    folders = [REAL / name for name in ("tatoeba_en_fr", "sgd", "self_dialogue", "scitldr_title", "scitldr_a")]
    folders += [ROOT / "tasks" / "data" / name for name in ("translation", "summarization", "reply_generation")]
    rows = [measured(folder) for folder in folders if folder.is_dir()]
    print(f"{'':46} {'recall':>6}")
    print(f"{'data':17} {'train x test':>13} {'s':>6} {'flagged':>9} {'exact':>6} {'source':>6} {'both':>6}")
    for row in rows:
        shown = [f"{row['seconds']:6.2f}", f"{max(row['clean test'], row['clean validation']):9.1%}"]
        shown += [f"{row[name]:6.3f}" for name in RECALL]
        print(f"{row['data']:17} {row['train x test']:>13}", *shown)
    out = ROOT / "benchmarks" / "out"
    out.mkdir(exist_ok=True)
    (out / "overlap.json").write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
