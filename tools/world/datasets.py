"""Write the four task data sets of rows: ``python -m tools.world.datasets [--check]``.

Train rows show combinations that are not held out; of validation and test rows, every second one
shows a held-out combination. No source occurs twice.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tools.world.draw import Draw
from tools.world.grammar import sentence
from tools.world.messages import message
from tools.world.notes import note

__all__ = ["DATA", "SIZES", "Row", "evaluation_sources", "make", "read", "write"]

DATA = Path(__file__).parents[2] / "tasks" / "data"
"""Where the data sets lie: ``<task>/<split>.jsonl.gz``."""
SIZES = {"train": 2000, "validation": 200, "test": 200}
"""Rows of each split."""


class Row(NamedTuple):
    """A line of a data set."""

    id: str
    source: str
    target: str


def _summarization(draw: Draw) -> tuple[str, str]:
    made = note(draw)
    return made.text, made.summary


def _translation(draw: Draw) -> tuple[str, str]:
    made = sentence(draw)
    while not 5 <= len(made.en.split()) <= 12:
        made = sentence(draw)
    return made.en, made.de


def _reply_generation(draw: Draw) -> tuple[str, str]:
    made = message(draw)
    return made.text, made.reply


TOPICS = {
    "work": ("repair", "delivery", "meeting", "invoice", "shift"),
    "home": ("doctor", "shopping", "pet", "school"),
    "leisure": ("birthday", "trip", "lunch"),
}
"""What notes of some kinds are about; of the other kinds it is hard to say."""


def _classification(draw: Draw) -> tuple[str, str]:
    """Return a note and its topic; topics are equally frequent, whatever the number of kinds."""
    topic = draw.pick(list(TOPICS))
    made = note(draw)
    while made.pair[0].removesuffix(" note") not in TOPICS[topic]:
        made = note(draw)
    return made.text, topic


TASKS: dict[str, Callable[[Draw], tuple[str, str]]] = {
    "summarization": _summarization,
    "translation": _translation,
    "reply_generation": _reply_generation,
    "classification": _classification,
}
"""How a source and its target are made, by task."""


def make(task: str) -> dict[str, list[Row]]:
    """Return the rows of a task by split, the same ones every time."""
    seen: set[str] = set()
    splits: dict[str, list[Row]] = {}
    for split in reversed(SIZES):  # train last, so that a larger train would leave the others as they are
        rows = splits[split] = []
        attempt = 0
        while len(rows) < SIZES[split]:
            held = split != "train" and len(rows) % 2 == 1
            source, target = TASKS[task](Draw(f"{task}/{split}/{attempt}", held=held))
            attempt += 1
            if source not in seen:
                seen.add(source)
                rows.append(Row(f"{split}-{len(rows):04d}", source, target))
    return splits


def evaluation_sources() -> frozenset[str]:
    """Return every source of validation and test, which the corpus must avoid."""
    made = [make(task) for task in TASKS]
    return frozenset(row.source for splits in made for split in ("validation", "test") for row in splits[split])


def _path(task: str, split: str) -> Path:
    return DATA / task / f"{split}.jsonl.gz"


def write() -> None:
    """Write all the data sets; the bytes depend on the generator alone (and on zlib)."""
    for task in TASKS:
        for split, rows in make(task).items():
            path = _path(task, split)
            path.parent.mkdir(parents=True, exist_ok=True)
            text = "".join(json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in rows)
            path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
            print(f"{task}/{split}: {len(rows)} rows, {path.stat().st_size / 1024:.0f} KiB")


def read(task: str, split: str) -> list[Row]:
    """Return the rows of a written data set."""
    with gzip.open(_path(task, split), "rt", encoding="utf-8") as lines:
        return [Row(**json.loads(line)) for line in lines]


def stale() -> list[str]:
    """Name the written data sets that are missing or differ from what the generator makes."""
    return [
        f"{task}/{split}"
        for task in TASKS
        for split, rows in make(task).items()
        if not _path(task, split).exists() or read(task, split) != rows
    ]


def main() -> int:
    """Write the data sets, or with ``--check`` compare what is there."""
    parser = argparse.ArgumentParser(prog="python -m tools.world.datasets", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the files are not the generator's")
    if not parser.parse_args().check:
        write()
        return 0
    names = stale()
    print(f"stale: {', '.join(names)}; run python -m tools.world.datasets" if names else "data sets: as generated")
    return 1 if names else 0


if __name__ == "__main__":
    raise SystemExit(main())
