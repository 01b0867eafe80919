"""Every model family, tiny and random, through the harness and against plain transformers, a row at a time.

Walks each class of transformers' causal and sequence-to-sequence auto mappings: check, show, three steps at each tuning
with replay on and off, generation, store, reload, predict. What was found is kept class by class, and a second call
goes on from there. The table goes to `reports/kept/families.md`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from families.family_table import write_table
from families.family_walk import Outcome, walk
from families.random_family import Family, families
from support import OUT

RESULTS = OUT / "families.jsonl"
LIMIT = 120.0
"""Seconds that one class may take."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="classes or model types, separated by commas; done again")
    parser.add_argument("--again", action="store_true", help="do all again, not only what is missing")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--table", type=Path, help="write the table here instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    OUT.mkdir(exist_ok=True)
    if options.again:
        RESULTS.unlink(missing_ok=True)
    known = families()
    only = set(options.only.split(",")) if options.only else set()
    done = {} if only else read_results()
    waiting = [
        family for family in known if family.key not in done and (not only or only & {family.name, family.model_type})
    ]
    walk_all(waiting, options.jobs)
    results = read_results()
    write_table([results[family.key] for family in known if family.key in results], options.table)


def read_results() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the last outcome of each class."""
    if not RESULTS.exists():
        return {}
    lines = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    return {(line["name"], line["model_type"]): line for line in lines}


def walk_all(waiting: Sequence[Family], jobs: int) -> None:
    """Walk families, each in a process of its own, and print each outcome."""
    start, left, running = time.perf_counter(), list(waiting), list[tuple[Family, Any, float]]()
    while left or running:
        while left and len(running) < jobs:
            family = left.pop(0)
            process = multiprocessing.get_context("fork").Process(target=walk_alone, args=(family,))
            process.start()
            running.append((family, process, time.perf_counter()))
        time.sleep(0.05)
        for member in list(running):
            family, process, began = member
            if process.is_alive() and time.perf_counter() - began < LIMIT:
                continue
            if process.is_alive():
                process.kill()
            process.join()
            if process.exitcode:
                record(lost(family, process.exitcode, time.perf_counter() - began))
            running.remove(member)
            count = len(waiting) - len(left) - len(running)
            found = read_results()[family.key]
            print(f"{count}/{len(waiting)} {time.perf_counter() - start:.0f} s  {brief(found)}", flush=True)


def walk_alone(family: Family) -> None:
    """Walk one family, and keep its outcome."""
    with tempfile.TemporaryDirectory() as folder:
        record(walk(family, Path(folder)))


def lost(family: Family, status: int, seconds: float) -> Outcome:
    """Return the outcome of a process that did not come back."""
    sentence = f"the process ended with {status} after {seconds:.0f} s"
    return Outcome(family.name, family.model_type, family.mapping, "traceback", "unknown", sentence, seconds=seconds)


def record(outcome: Outcome) -> None:
    """Append an outcome, in one write."""
    with RESULTS.open("ab", buffering=0) as file:
        file.write((json.dumps(outcome.as_json(), ensure_ascii=False) + "\n").encode())


def brief(found: dict[str, Any]) -> str:
    """Return an outcome in a line."""
    detail = "; ".join([found["sentence"][:200], *found["faults"][:3]]) if found["ended"] != "equal" else ""
    partly = f" (without {', '.join(found['refused'])})" if found["refused"] and found["ended"] != "refused" else ""
    stage = "" if found["ended"] == "equal" else f" at {found['stage']}"
    return (
        f"{found['seconds']:5.1f} s  {found['name']} ({found['model_type']}): {found['ended']}{stage}{partly} {detail}"
    )


if __name__ == "__main__":
    main()
