"""A study of plain text through the harness and through the search of ``transformers.Trainer``, one after the other.

Blocks of 128 tokens, of which every one but the first is a label; by default the last block of 6 trains, four trials of
three epochs. The ratio cannot be what it is with short targets: the last block and the head see all positions here, on
both sides, and the head counts the more, the wider the vocabulary. The last table shows the limit that the count of
operations allows, at the rates that this machine reaches for these very products:

    python benchmarks/bench_plain_text.py --vocabulary 2000,8000,32000

Both sides are processes of their own with all cores; search seconds are those of ``bench_study_speed.py``.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from floor import Machine, operations, trial
from support import (
    STATES,
    Shape,
    finish,
    print_table,
    run_harness,
    save_model,
    searches,
    write_json,
)

NAME = "plain"
TEST = 4
"""Blocks that nobody reads: a study without final runs keeps them shut."""
LEARNING_RATE = {"low": 1.0e-4, "high": 1.0e-2}


def main() -> None:
    options = _options()
    found = [_side_by_side(int(vocabulary), options) for vocabulary in options.vocabulary.split(",")]
    print("search seconds of all trials, the ratio that is possible, and the seconds of the products by themselves")
    print_table(found)
    write_json("plain_text", {"options": vars(options), "found": found})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=128, help="blocks to train on; a quarter as many validate")
    parser.add_argument("--block-tokens", type=int, default=128)
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--vocabulary", default="8000", help="one or several, with commas between")
    options = parser.parse_args()
    if options.blocks % (4 * options.batch):
        parser.error(f"--blocks must be a multiple of {4 * options.batch}, so that both sides have the same batches")
    return options


def _side_by_side(vocabulary: int, options: argparse.Namespace) -> dict[str, Any]:
    shape = Shape(vocabulary=vocabulary, source=0, target=options.block_tokens)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        study = _write(place, shape, options)
        run_harness(study)
        (ours,) = searches(place, NAME).values()
        rates = sorted(ours.losses)
        held = [options.blocks // 4, TEST]
        request = {
            "rates": {"last_blocks-1": rates},
            "epochs": options.epochs,
            "batch_size": options.batch,
            "precision": options.precision,
            "device": "cpu",
            "blocks": {"tokens": options.block_tokens, "held_out": held},
        }
        (place / "rival.json").write_text(json.dumps(request))
        finish([sys.executable, Path(__file__).with_name("trainer_search.py")], place, GOMP_SPINCOUNT="3000")
        (rival,) = json.loads((place / "rival_found.json").read_text()).values()
    losses = dict(rival["losses"])
    apart = max(abs(loss / losses[rate] - 1) for rate, loss in ours.losses.items())
    return _row(shape, ours.seconds, rival["seconds"], apart, options)


def _write(folder: Path, shape: Shape, options: argparse.Namespace) -> Path:
    """Write a model, a text whose words are tokens, and a study of it."""
    save_model(folder / "model", shape)
    count = options.blocks + options.blocks // 4 + TEST
    draw, state, words = random.Random(0), 0, list[str]()
    for _ in range(count * options.block_tokens):
        state = (state * 7 + 3) % STATES if draw.random() < 0.8 else draw.randrange(STATES)
        words.append(f"w{state}")
    (folder / "train.txt").write_text(" ".join(words), encoding="utf-8")
    study = {
        "name": NAME,
        "task": "text_generation",
        "model": {"name": "model"},
        "data": {"path": "train.txt", "validation": options.blocks // 4, "test": TEST},
        "tuning": [{"last_blocks": 1}],
        "training": {
            "epochs": options.epochs,
            "batch_size": options.batch,
            "block_tokens": options.block_tokens,
            "precision": options.precision,
        },
        "search": {"learning_rate": LEARNING_RATE, "trials": options.trials, "sampler": "grid"},
        "final": {"seeds": []},
        "generality": "none",
    }
    file = folder / f"{NAME}.yaml"
    file.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return file


def _row(shape: Shape, ours: float, rival: float, apart: float, options: argparse.Namespace) -> dict[str, Any]:
    """Return both sides, and how far the ratio may go: what the products of each take with its library."""
    counts = {
        whole: trial(
            shape,
            trained=1,
            batch=options.batch,
            examples=(options.blocks, options.blocks // 4),
            epochs=options.epochs,
            whole=whole,
        )
        for whole in (False, True)
    }
    floor = Machine(options.precision, "cpu", ours=True).seconds(counts[False])
    its = Machine(options.precision, "cpu", ours=False).seconds(counts[True])
    limit = its / floor
    return {
        "vocabulary": shape.vocabulary,
        "search s": ours,
        "rival s": rival,
        "ratio": rival / ours,
        "limit": limit,
        "share of it %": 100 * rival / ours / limit,
        "floor s": options.trials * floor,
        "its floor s": options.trials * its,
        "by operations alone": operations(counts[True]) / operations(counts[False]),
        "most apart %": 100 * apart,
    }


if __name__ == "__main__":
    main()
