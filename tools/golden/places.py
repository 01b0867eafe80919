"""Folders with a study in them, and the command of a code tree run there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tools.golden.material import rows, write_csv, write_jsonl, write_model

__all__ = ["HERE", "STUDIES", "environment", "harness", "write_place"]

HERE = Path(__file__).parent
"""The folder of studies' files."""


def write_place(study: str, folder: Path) -> None:
    """Write a study's file, task, model and data into a folder."""
    shutil.copytree(HERE / "studies" / study, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    STUDIES[study](folder)


def _quickstart(folder: Path) -> None:
    """Write nothing: task, data and model travel with the harness."""


def _warm_start(folder: Path) -> None:
    """Two rows of train stand in test too, and one in validation: ``on_overlap: drop`` has something to drop."""
    write_model("gpt2", folder / "model")
    write_jsonl(folder / "data" / "train.jsonl", rows("train", 32))
    write_jsonl(folder / "data" / "validation.jsonl", rows("validation", 12, repeated=1))
    write_jsonl(folder / "data" / "test.jsonl", rows("test", 14, repeated=2))


def _proxy(folder: Path) -> None:
    write_model("gpt2-dropout", folder / "model", seed=1)
    write_jsonl(folder / "data" / "train.jsonl", rows("train", 48))
    write_jsonl(folder / "data" / "validation.jsonl", rows("validation", 12))
    write_jsonl(folder / "data" / "test.jsonl", rows("test", 12, repeated=1))
    passages = [" ".join(row["source"] for row in rows("train", 40)[first::8]) for first in range(8)]
    (folder / "general.txt").write_text("\n".join(passages) + "\n", encoding="utf-8")


def _encoder_decoder(folder: Path) -> None:
    """No validation file: it is carved out of train."""
    write_model("t5", folder / "model", seed=2)
    columns = {"id": "id", "source": "text", "target": "summary"}
    write_csv(folder / "data" / "train.csv", rows("train", 40), columns)
    write_csv(folder / "data" / "test.csv", rows("test", 12), columns)


STUDIES: dict[str, Callable[[Path], None]] = {
    "quickstart": _quickstart,
    "warm_start": _warm_start,
    "proxy": _proxy,
    "encoder_decoder": _encoder_decoder,
}
"""The golden studies, each with what writes its model and data."""


def environment(tree: Path) -> dict[str, str]:
    """Return the environment in which the harness of a tree runs: one thread, the default stores."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return {**kept, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}


def harness(tree: Path) -> list[str]:
    """Return how the harness of a tree is started, whichever entry point it has.

    Raises:
        SystemExit: Python finds another harness than this tree's.
    """
    ask = [sys.executable, "-c", "import harness; print(harness.__file__)"]
    env = environment(tree)
    found = subprocess.run(ask, cwd="/", env=env, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(found).resolve().is_relative_to(tree.resolve()):
        raise SystemExit(f"asked for the harness in {tree}, but Python finds {found}")
    if (tree / "harness" / "__main__.py").is_file():
        return [sys.executable, "-m", "harness"]
    return [sys.executable, "-c", "from harness.cli import main; main()"]
