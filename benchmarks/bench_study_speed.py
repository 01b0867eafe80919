"""The same study through the harness and through the search of ``transformers.Trainer``, one after the other.

By default a small part of it, about ten minutes. The whole of it, more than an hour on two cores:

    python benchmarks/bench_study_speed.py --rows 512 --trials 8 --rival-trials 8

Both sides are processes of their own with all cores. Search seconds are wall time from the end of one cell's search
to the end of the next, recordings, drawing and logging included; the rival's are those of its ``hyperparameter_search``
calls. Fewer ``--rival-trials`` than trials: the rival runs the learning rates that did best here, so that the best
losses can still be compared, and its time is scaled (marked ``~``). ``--profile`` instead shows where the time of
one trial goes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from floor import Machine, operations, trial
from support import (
    Cell,
    Finished,
    Shape,
    finish,
    print_table,
    run_harness,
    searches,
    write_json,
    write_place,
    write_study,
)

SHAPES = {
    "llama": Shape(),
    "gpt2": Shape("gpt2", blocks=12, width=768, inner=3072, heads=12, vocabulary=50_257),
    # That of SmolLM2-135M.
    "smollm2": Shape(blocks=30, width=576, inner=1536, heads=9, key_heads=3, vocabulary=49_152, source=256),
    "tiny": Shape(blocks=3, width=32, inner=64, heads=4, vocabulary=1_000),
}
BATCH = 8
LEARNING_RATE = {"low": 1.0e-4, "high": 1.0e-2}


class Side(NamedTuple):
    """One side's run of the study in one precision."""

    cells: dict[str, Cell]
    process: Finished


def main() -> None:
    options = _options()
    shape = SHAPES[options.model]
    tunings = [_tuning(name) for name in options.depths.split(",")]
    found = {}
    for precision in options.precision.split(","):
        with tempfile.TemporaryDirectory() as place:
            study = _write(Path(place), shape, tunings, precision, options)
            if options.profile:
                from profile_trial import profile_trial

                profile_trial(study)
                continue
            ours = _ours(study)
            rival = _rival(study, ours, precision, options)
        found[precision] = _compared(ours, rival, shape, precision, options)
    if found:
        write_json("study_speed", {"options": vars(options), **found})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=128, help="training rows; a quarter as many validate")
    parser.add_argument("--trials", type=int, default=8, help="trials a cell")
    parser.add_argument("--rival-trials", type=int, default=1, help="how many of them the rival runs")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--precision", default="fp32,bf16")
    parser.add_argument("--depths", default="1,2,full", help="blocks that train, full, or lora-2")
    parser.add_argument("--model", choices=list(SHAPES), default="llama")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--profile", action="store_true", help="show where one trial's time goes")
    options = parser.parse_args()
    if options.rows % (4 * BATCH):
        parser.error(f"--rows must be a multiple of {4 * BATCH}, so that both sides have the same batches")
    return options


def _tuning(depth: str) -> str | dict[str, Any]:
    kind, _, blocks = depth.rpartition("-")
    if kind == "lora":
        return {"lora": {"blocks": f"last-{blocks}"}}
    return depth if depth == "full" else {"last_blocks": int(depth)}


def _write(folder: Path, shape: Shape, tunings: list[Any], precision: str, options: argparse.Namespace) -> Path:
    write_place(folder, shape, {"train": options.rows, "validation": options.rows // 4, "test": BATCH})
    # One precision is left out of the file: it is the default of every version.
    chosen = {} if precision == "fp32" else {"precision": precision}
    return write_study(
        folder,
        "speed",
        tuning=tunings,
        training={
            "epochs": options.epochs,
            "batch_size": BATCH,
            "max_source_tokens": shape.source,
            "device": options.device,
            **chosen,
        },
        search={"learning_rate": LEARNING_RATE, "trials": options.trials, "sampler": "grid", "metric": "loss"},
    )


def _ours(study: Path) -> Side:
    process = run_harness(study)
    return Side(searches(study.parent, "speed"), process)


def _rival(study: Path, ours: Side, precision: str, options: argparse.Namespace) -> Side:
    request = {
        "rates": {name: _best_rates(cell, options.rival_trials) for name, cell in ours.cells.items()},
        "epochs": options.epochs,
        "batch_size": BATCH,
        "precision": precision,
        "device": options.device,
    }
    folder = study.parent
    (folder / "rival.json").write_text(json.dumps(request))
    # The harness sets this itself for its process.
    process = finish([sys.executable, Path(__file__).with_name("trainer_search.py")], folder, GOMP_SPINCOUNT="3000")
    found = json.loads((folder / "rival_found.json").read_text())
    return Side({name: Cell(cell["seconds"], dict(cell["losses"])) for name, cell in found.items()}, process)


def _best_rates(cell: Cell, number: int) -> list[float]:
    return sorted(sorted(cell.losses, key=cell.losses.__getitem__)[:number])


def _compared(
    ours: Side, rival: Side, shape: Shape, precision: str, options: argparse.Namespace
) -> dict[str, list[dict[str, Any]]]:
    """Print and return what both sides took, and how far from what cannot be avoided they are."""
    speed = [_row(name, ours.cells[name], rival.cells[name]) for name in ours.cells]
    print(f"{precision}: best losses and search seconds (~ scaled from fewer trials)")
    print_table(speed)
    whole = _whole(speed, ours, rival)
    print(f"{precision}: the whole study")
    print_table(whole)
    machines = [Machine(precision, options.device, ours=ours) for ours in (True, False)]
    floors = [_floor(row, shape, machines, options) for row in speed if not row["tuning"].startswith("lora")]
    print(f"{precision}: matrix products of one trial, and the time that they take by themselves")
    print_table(floors)
    return {"speed": speed, "whole": whole, "floor": floors}


def _row(name: str, ours: Cell, rival: Cell) -> dict[str, Any]:
    trials, ran = len(ours.losses), len(rival.losses)
    seconds = rival.seconds * trials / ran
    best, other = min(ours.losses.values()), min(rival.losses.values())
    apart = max(abs(ours.losses[_nearest(rate, ours.losses)] / loss - 1) for rate, loss in rival.losses.items())
    return {
        "tuning": name,
        "search s": ours.seconds,
        "rival s": seconds,
        "scaled": "" if ran == trials else f"~ from {ran} of {trials}",
        "ratio": seconds / ours.seconds,
        "best loss": best,
        "rival best": other,
        "apart %": 100 * abs(best / other - 1),
        "most apart %": 100 * apart,
    }


def _nearest(rate: float, losses: Mapping[float, float]) -> float:
    return min(losses, key=lambda each: abs(each - rate))


def _whole(rows: list[dict[str, Any]], ours: Side, rival: Side) -> list[dict[str, Any]]:
    """Return both sides' searches and processes; what the rival did not run is added to its process as well."""
    mine, its = sum(row["search s"] for row in rows), sum(row["rival s"] for row in rows)
    process = rival.process.seconds + its - sum(cell.seconds for cell in rival.cells.values())
    return [
        {"side": "harness", "searches s": mine, "process s": ours.process.seconds, "peak MiB": ours.process.peak_mib},
        {"side": "rival", "searches s": its, "process s": process, "peak MiB": rival.process.peak_mib},
        {
            "side": "ratio",
            "searches s": its / mine,
            "process s": process / ours.process.seconds,
            "peak MiB": rival.process.peak_mib / ours.process.peak_mib,
        },
    ]


def _floor(
    row: Mapping[str, Any], shape: Shape, machines: Sequence[Machine], options: argparse.Namespace
) -> dict[str, Any]:
    """Return how far both sides are from the time of their products, each with its library: ours, the rival's."""
    blocks = row["tuning"].partition("-")[2]
    counts = {
        whole: trial(
            shape,
            trained=int(blocks) if blocks else shape.blocks + 1,
            batch=BATCH,
            examples=(options.rows, options.rows // 4),
            epochs=options.epochs,
            whole=whole,
        )
        for whole in (False, True)
    }
    floor, products = machines[0].seconds(counts[False]), machines[1].seconds(counts[True])
    ours, rival = row["search s"] / options.trials, row["rival s"] / options.trials
    tokens = options.rows * options.epochs * shape.tokens
    return {
        "tuning": row["tuning"],
        "Gflop": operations(counts[False]) / 1e9,
        "Gflop/s": operations(counts[False]) / floor / 1e9,
        "floor s": floor,
        "trial s": ours,
        "/ floor": ours / floor,
        "tokens/s": tokens / ours,
        "rival Gflop": operations(counts[True]) / 1e9,
        "its floor s": products,
        "rival trial s": rival,
        "/ its floor": rival / products,
        "limit of the ratio": rival / floor,
    }


if __name__ == "__main__":
    main()
