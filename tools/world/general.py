"""Write the text that tells whether the embedded model forgets: ``python -m tools.world.general``.

Documents as the corpus has them, from another seed, without the sources of validation and test: the model knows the
words and the forms, and has never seen these very documents.
"""

from __future__ import annotations

import json
from pathlib import Path

from tools.world.corpus import corpus
from tools.world.datasets import evaluation_sources

__all__ = ["FILE", "documents", "write"]

FILE = Path(__file__).parents[2] / "tasks" / "general" / "world.jsonl"
"""Where they lie, one a line."""
COUNT = 100
SHORTEST = 80
"""Characters; a form or a list with less is left out."""


def documents() -> list[str]:
    """Return the documents, the same ones every time."""
    drawn = (text for _, text in corpus(2 * COUNT, seed="general", avoid=evaluation_sources()))
    return [text for text in drawn if len(text) >= SHORTEST][:COUNT]


def write() -> None:
    """Write them as rows with the column ``text``."""
    lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in documents()]
    FILE.write_text("".join(lines), encoding="utf-8")
    print(f"{FILE.name}: {len(lines)} documents, {FILE.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    write()
