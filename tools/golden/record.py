"""Run the golden studies with a code tree: ``python -m tools.golden.record OUT --tree PATH``.

Under OUT, a folder for each study: its ``results.csv``, ``verdicts.json`` and ``references.csv`` as they are, and
``tree.json``, see `tools.golden.tree`. `tools.golden.compare` holds two such recordings against each other; where the
trees, the packages or the processors differ, so may floating-point results, so record both on one machine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tools.golden.places import STUDIES, environment, harness, write_place
from tools.golden.tree import run_tree

FILES = ("results.csv", "verdicts.json", "references.csv")


def main() -> None:
    """Record all studies, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="a folder; what a study's folder in it holds is replaced")
    parser.add_argument("--tree", type=Path, required=True, help="a checkout of the harness")
    parser.add_argument("--studies", nargs="*", choices=list(STUDIES), default=list(STUDIES))
    asked = parser.parse_args()
    for study in asked.studies:
        start = time.perf_counter()
        record(study, asked.out / study, asked.tree.resolve())
        print(f"{study}: {time.perf_counter() - start:.0f} s", flush=True)


def record(study: str, out: Path, tree: Path) -> None:
    """Run one study in a folder of its own and write what came out."""
    command = harness(tree)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        write_place(study, folder)
        done = subprocess.run(
            [*command, "run", "study.yaml"],
            cwd=folder,
            env=environment(tree),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{study} failed:\n{done.stdout}")
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        for name in FILES:
            shutil.copy(folder / "reports" / study / name, out / name)
        found = run_tree(folder, tree)
    (out / "tree.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
