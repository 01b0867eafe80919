"""Turns of talk whose topic is one of the four most frequent ones, as rows of a classification.

    python experiments/real/topics_data.py DATA OUT

`DATA` holds `train`, `validation` and `test` as jsonl.gz with `source` (the turns before), `target` (the turn) and
`topic`; `OUT` gets them with the talk as `source` and its topic as `target`.
"""

import gzip
import json
import sys
from collections import Counter
from pathlib import Path

TOPICS = 4


def main(data: Path, out: Path) -> None:
    """Write the three splits; topics are counted in train."""
    splits = {split: _rows(data / f"{split}.jsonl.gz") for split in ("train", "validation", "test")}
    topics = {topic for topic, _ in Counter(row["topic"] for row in splits["train"]).most_common(TOPICS)}
    out.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        with (out / f"{split}.jsonl").open("w") as file:
            for row in rows:
                if row["topic"] in topics:
                    talk = f"{row['source']}\n{row['target']}"
                    file.write(json.dumps({"id": row["id"], "source": talk, "target": row["topic"]}) + "\n")


def _rows(file: Path) -> list[dict[str, str]]:
    """Return the rows of a file."""
    with gzip.open(file, "rt") as lines:
        return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
