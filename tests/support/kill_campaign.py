"""Kills in every phase of a study, at random instants of each, of its driver or of a worker; and what is to hold then.

A phase is told by what it writes. How often a study is killed in which, when and who is killed is drawn with a seed.
The same command goes on each time; when it is done, its store is held against that of a study which nobody disturbed.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from harness.tracking.step_names import RESUMED_AFTER
from tests.support.kill_moments import PATIENCE, look
from tests.support.put_by_runs import checkpoints, trials
from tests.support.study_fixture import Place, Places
from tests.support.worker_processes import worker_processes

__all__ = ["PHASES", "campaign", "hold", "orphans", "see"]

Sight = Callable[[Place], set[Any]]
"""What there is of a place; a phase is there when there is more."""

MUST_NOT = (
    "orphans",
    "left running",
    "finished trials done again",
    "results that differ",
    "trials that differ",
    "checkpoints left",
    "checkpoints lost",
)


def rows(query: str) -> Sight:
    return lambda place: set(look(place.folder / "mlflow.db", query))


def names(folder: str) -> Sight:
    return lambda place: set(map(str, (place.folder / folder).rglob("*")))


def begun(phase: str) -> Sight:
    return rows(f"select run_uuid from tags where key = 'phase' and value = '{phase}'")


class Phase(NamedTuple):
    """A part of a life."""

    sight: Sight | None
    """What tells that it is there; ``None``: it begins with the life."""
    lasts: float
    """Seconds behind that in which a kill may come."""
    most: int
    """How often a study is killed in it."""
    has_workers: bool = True
    """Whether workers have jobs then."""


PHASES = {
    "check": Phase(None, 2.0, 2, False),
    "cache": Phase(names(".harness/.recordings"), 0.05, 1, False),
    "training": Phase(begun("search"), 1.5, 3),
    "validation": Phase(rows("select run_uuid, step from metrics where key = 'validation/chrf'"), 0.3, 2),
    "checkpoint": Phase(names(".harness/tiny/checkpoints"), 0.02, 3),
    "final": Phase(begun("final"), 1.5, 2),
    "storing": Phase(rows("select model_id, status from logged_models"), 0.1, 1, False),
    "report": Phase(names("reports"), 0.05, 1, False),
}
"""In the order in which a study comes to them."""


class Life:
    """A study in a place, which one command after the other works on."""

    def __init__(self, place: Place, command: Sequence[str]) -> None:
        self.place, self._command = place, command
        self.is_over = False
        """Whether a command came to its end."""
        self.put_by: dict[tuple[str, str], int] = {}
        """Jobs, by the names of their folders, to the step behind which a kill of the driver found them put by."""
        self._process: subprocess.Popen[str] | None = None
        self._was_struck = False
        """Whether a worker of this process was killed; a job that costs a second one fails."""

    def strike(self, phase: Phase, delay: float, victim: str) -> str:
        """Kill its driver or a worker in a phase; return who was killed, empty where it was over before."""
        place = self.place
        end, before = time.monotonic() + PATIENCE, phase.sight(place) if phase.sight else set()
        if self._process is None:
            self._process, self._was_struck = place.process(*self._command), False
        process = self._process
        while process.poll() is None and phase.sight and not phase.sight(place) - before:
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(delay)
        workers = [] if self._was_struck or not phase.has_workers else worker_processes(place)
        if process.poll() is None and victim == "worker" and workers:
            workers[int(1000 * delay) % len(workers)].kill()
            self._was_struck = True
            return "worker"
        process.send_signal(signal.SIGKILL)
        if self.finish():
            return ""
        for note in checkpoints(place):
            job = note.parent.parent.name, note.parent.name
            self.put_by[job] = max(self.put_by.get(job, 0), int(note.stem))
        return "driver"

    def lost(self) -> int:
        """Return how many runs went on from an earlier step than they were put by behind."""
        steps = {}
        for run in [*self.place.runs("search"), *self.place.runs("final")]:
            cell, name = run.data.tags["cell"], run.info.run_name
            job = cell.replace("/", "--"), name.removeprefix(f"{cell} ").replace(" ", "-")
            steps[job] = int(run.data.tags.get(RESUMED_AFTER, 0))
        return sum(steps[job] < step for job, step in self.put_by.items() if steps.get(job))

    def finish(self) -> bool:
        """Wait for the command that works on it; return whether it came to its end."""
        process = self._process or self.place.process(*self._command)
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode in (0, -signal.SIGKILL), err
        self._process, self.is_over = None, process.returncode == 0
        return self.is_over


def campaign(
    places: Places, undisturbed: Place, command: Sequence[str], kills: int, draws: random.Random, victims: Sequence[str]
) -> Counter[str]:
    """Kill studies until there were so many kills, and return the counts.

    Args:
        places: Makes their places.
        undisturbed: The same study, which nobody killed.
        command: Runs it.
        kills: How many there are to be.
        draws: Phases, instants and victims.
        victims: What is drawn from: ``driver`` and ``worker``.
    """
    counts = Counter[str]()
    while counts["kills"] < kills:
        life = Life(places(), command)
        ways = [name for name, phase in PHASES.items() for _ in range(draws.randint(0, phase.most))]
        for name in ways[: kills - counts["kills"]]:
            phase = PHASES[name]
            killed = life.strike(phase, draws.uniform(0.0, phase.lasts), draws.choice(victims))
            counts.update({"kills", f"in {name}", f"of a {killed}"} if killed else ())
            if life.is_over:
                break
        assert life.is_over or life.finish()
        counts += hold(life.place, undisturbed) + Counter({"checkpoints lost": life.lost()})
        counts["studies"] += 1
    return counts


def orphans(place: Place) -> list[int]:
    """Return processes that still work in a place."""
    found = []
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] and Path(process.info["cwd"]).is_relative_to(place.folder):
            found.append(process.pid)
    return found


def hold(place: Place, undisturbed: Place) -> Counter[str]:
    """Count what must not be there behind kills, and compare all else."""
    finished = Counter(run.info.run_name for run in place.runs("search"))
    pairs = list(zip(trials(place), trials(undisturbed), strict=True))
    ended = [*place.runs("search"), *place.runs("final")]
    counts = Counter(
        {
            "orphans": len(orphans(place)),
            "left running": sum(run.info.status == "RUNNING" for run in place.runs()),
            "finished trials done again": finished.total() - len(finished) + len(place.runs("superseded")),
            "results that differ": int(place.results() != undisturbed.results()),
            "trials that differ": sum(one != other for one, other in pairs),
            "checkpoints left": len(checkpoints(place)),
            "gone on with": sum(RESUMED_AFTER in run.data.tags for run in ended),
            "interrupted": len(place.runs("interrupted")),
        }
    )
    place.clean()
    return counts


def see(counts: Counter[str], kills: int) -> None:
    """Print what was counted, and see that nothing is there that must not be."""
    print("\n" + ", ".join(f"{name}: {number}" for name, number in counts.items()))
    assert counts["kills"] == kills
    assert {name: counts[name] for name in MUST_NOT} == dict.fromkeys(MUST_NOT, 0)
