"""Time and memory of one cell's search as examples, tokens and trials grow, each from the same middle.

Every line is a process of its own: `harness run` on a small random model, one block of which trains, tuned on loss.
Time is the search's alone; memory is the most that the whole process held, libraries included.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

from support import Shape, print_table, run_harness, searches, write_json, write_place, write_study

SHAPE = Shape(blocks=4, width=128, inner=256, heads=4, vocabulary=4_000)
MIDDLE = {"examples": 128, "tokens": 128, "trials": 4}
GROWING = {"examples": (64, 128, 256, 512, 1024), "tokens": (64, 128, 256, 512), "trials": (2, 4, 8, 16)}
LABELS = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=1024, help="leave out what is larger than this")
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as place:  # one for all: a new store takes seconds
        for what, sizes in GROWING.items():
            for size in (size for size in sizes if size <= options.largest):
                chosen = {**MIDDLE, what: size}
                found.append(
                    {"grows": what, **chosen, **measure(Path(place), f"{what}-{size}", chosen, options.epochs)}
                )
    print_table(found)
    write_json("scale", {"options": vars(options), "searches": found})


def measure(folder: Path, name: str, sizes: Mapping[str, int], epochs: int) -> dict[str, float]:
    """Run a study of one search and return what it took."""
    shape = SHAPE._replace(source=sizes["tokens"] - LABELS, target=LABELS)
    rows = {"train": sizes["examples"], "validation": sizes["examples"] // 4, "test": 8}
    write_place(folder, shape, rows, data=f"data-{name}")
    study = write_study(
        folder,
        name,
        data={"path": f"data-{name}"},
        tuning=[{"last_blocks": 1}],
        training={"epochs": epochs, "batch_size": 16, "max_source_tokens": shape.source, "device": "cpu"},
        search={"trials": sizes["trials"], "sampler": "grid", "metric": "loss"},
    )
    process = run_harness(study)
    (cell,) = searches(folder, name).values()
    trained = sizes["examples"] * sizes["trials"] * epochs
    return {
        "search s": cell.seconds,
        "ms a trained row": 1000 * cell.seconds / trained,
        "process s": process.seconds,
        "peak MiB": process.peak_mib,
    }


if __name__ == "__main__":
    main()
