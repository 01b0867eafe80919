"""Where the time of one trial goes, by kind of operation."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from support import print_table

if TYPE_CHECKING:
    from harness.study.grid import Cell
    from harness.training.trainer import Trainer

GROUPS = {
    "matrix products": ("mm", "linear", "matmul", "mkldnn"),
    "attention": ("scaled_dot_product", "flash"),
    "optimizer, clipping": ("_fused_adam", "_foreach", "linalg_vector_norm", "clip"),
    "loss over the vocabulary": ("log_softmax", "nll_loss", "cross_entropy"),
    "copies, casts, picking rows": (
        *("copy", "to_copy", "cat", "index", "stack", "gather", "select", "clone", "embedding"),
        *("nonzero", "slice", "zero", "fill", "full"),
    ),
    "the rest of the arithmetic": ("aten::", "autograd", "Backward"),
}
"""Kinds, to what the names of their operations contain; the first that fits counts."""


def profile_trial(study: Path) -> None:
    """Run two trials of each cell in this process, the first one to record and warm up, and profile the second."""
    from harness.study.check import check
    from harness.study.load_study import read_study
    from harness.training.trainer import Trainer

    with contextlib.chdir(study.parent):
        checked = check(read_study(study), test=False)
        trainer = Trainer(checked)
        for cell in checked.cells:
            if cell.tuning.trains:
                _trial(trainer, cell)
                print(f"{checked.study.training.precision}, {cell.tuning.name}: one trial")
                print_table(_profiled(trainer, cell))


def _trial(trainer: Trainer, cell: Cell) -> float:
    from harness.study.search_space import Hyperparameters

    start = time.perf_counter()
    with trainer.run(cell) as run:
        for _ in run.epochs(Hyperparameters({"learning_rate": 1e-3}), seed=0):
            run.score("validation", generate=False)
    return time.perf_counter() - start


def _profiled(trainer: Trainer, cell: Cell) -> list[dict[str, object]]:
    from torch.profiler import ProfilerActivity, profile

    plain = _trial(trainer, cell)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        _trial(trainer, cell)
    spent: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        spent[_group(event.key)] += event.self_cpu_time_total / 1e6
    # The profiler slows Python down but not the operations: what they leave of a plain trial is Python's.
    spent["Python between operations"] = max(0.0, plain - sum(spent.values()))
    rows = sorted(spent.items(), key=lambda item: -item[1])
    return [{"group": name, "s": seconds, "%": 100 * seconds / plain} for name, seconds in rows] + [
        {"group": "a trial without the profiler", "s": plain, "%": 100.0}
    ]


def _group(name: str) -> str:
    return next((group for group, parts in GROUPS.items() if any(part in name for part in parts)), "others")
