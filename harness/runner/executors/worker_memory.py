"""What a worker takes of the memory, measured before there are several, and how many there is room for.

Measured is the peak of the tuning that trains most, on the longest rows. What is mapped from files, libraries and the
base's weights as far as nothing writes to them, is there once for all workers.
"""

from __future__ import annotations

import gc
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import torch

from harness.core.errors import UserError
from harness.runner.executors.crew import Crew
from harness.runner.executors.worker_messages import Footprint
from harness.runner.planning.probe import longest_prompt, longest_rows, probe_trainer
from harness.study.checked_study import Checked
from harness.study.grid import Cell, cell_space
from harness.study.hyperparameters import Hyperparameters
from harness.study.written_space import RATE
from harness.training.loop import device
from harness.training.step_memory import free_memory
from harness.training.trainer import Trainer

__all__ = ["fitting", "measured"]

MIB = 2**20

CONTEXT = 600 * MIB
"""What a process takes of a GPU beside its tensors."""

STATUS = Path("/proc/self/status")


def measured(checked: Checked) -> Footprint:
    """Train and score a batch of the longest rows; return what that took. This process has done nothing before."""
    place = device(checked.study.training.device)
    free = free_memory(place)
    for one in checked.residents.values():  # a worker has each of several in turn
        _heaviest(one)
        gc.collect()
    if place.type == "cuda":
        taken = Footprint(int(torch.cuda.max_memory_reserved()) + CONTEXT, 0, free + CONTEXT)
    else:
        peak, shared = _peak()
        taken = Footprint(peak - shared, shared, free)
    if place.type == "cuda":
        torch.cuda.empty_cache()
    return taken


def _heaviest(checked: Checked) -> None:
    """Train and score what takes most with a model."""
    cells = checked.cells
    prompt = longest_prompt(checked, list(dict.fromkeys(cell.prompt for cell in cells)))
    trainer = probe_trainer(checked, longest_rows(checked, prompt), replay=False)
    heaviest = max(((trainer.parameters(cell)[0], -order) for order, cell in enumerate(cells)))
    _try(trainer, Cell(prompt, cells[-heaviest[1]].tuning))


def _try(trainer: Trainer, cell: Cell) -> None:
    rates = cell_space(trainer.setup.study, cell).find(RATE)
    lowest = Hyperparameters({RATE: rates.lowest} if rates else {})
    with trainer.run(cell) as run:
        if cell.tuning.trains:
            with closing(run.epochs(lowest, seed=0)) as epochs:
                next(epochs)
                run.score("validation", generate=True)
        else:
            run.score("validation", generate=True)


def _peak() -> tuple[int, int]:
    """Return this process's peak of memory in bytes, and how much of it is mapped from files."""
    with suppress(OSError, KeyError):
        said = dict(_lines(STATUS.read_text()))
        return said["VmHWM"], said["RssFile"]
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, 0


def _lines(status: str) -> Iterator[tuple[str, int]]:
    for name, kib in re.findall(r"^(\w+):\s*(\d+) kB$", status, re.MULTILINE):
        yield name, int(kib) * 2**10


def fitting(taken: Footprint, crew: Crew) -> Crew:
    """Return the workers that memory has room for: fewer than were asked for where that number was ours.

    Raises:
        UserError: It was the user's.
    """
    beside = crew.beside(1)
    room = max(1, (taken.free - taken.shared) // max(1, taken.own))
    if beside <= room:
        return crew
    if crew.is_auto:
        return crew._replace(workers=max(1, crew.workers * room // beside))
    where = "" if crew.device(1) == "cpu" else f" of {crew.device(1)}"
    raise UserError(
        f"{beside} workers take {beside * taken.own / MIB:,.0f} MiB{where} at their peak, {taken.own / MIB:,.0f} MiB "
        f"each, and {taken.shared / MIB:,.0f} MiB that they share, but {taken.free / MIB:,.0f} MiB are free: take at "
        f"most {room} workers, a smaller training.batch_size or shorter rows"
    )
