"""Write the data of the task of plain text: ``python -m tools.world.texts``.

Notes with their summaries, each a document that holds its prompt already; of the data of summarization.
"""

from __future__ import annotations

import gzip
import json

from tools.world.datasets import DATA, read

__all__ = ["documents", "write"]

TASK = "text_generation"
SOURCE = "summarization"
SIZES = {"train": 800, "validation": 100, "test": 100}


def documents(split: str) -> list[str]:
    """Return the documents of a split, the same ones every time."""
    return [f"{row.source}\nTL;DR: {row.target}" for row in read(SOURCE, split)[: SIZES[split]]]


def write() -> None:
    """Write them as rows with the column ``text``."""
    for split in SIZES:
        file = DATA / TASK / f"{split}.jsonl.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in documents(split))
        file.write_bytes(gzip.compress(lines.encode(), compresslevel=9, mtime=0))
        print(f"{TASK}/{split}: {SIZES[split]} documents, {file.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    write()
