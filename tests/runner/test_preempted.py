"""Studies whose processes are killed at random instants: nothing is lost but what a checkpoint had not yet.

How many kills, and what is to hold behind them: zero orphans, zero runs left running, no finished trial done again,
and the table and all that trials and final runs hold as in a study that nothing disturbed.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.support.kill_moments import kill_at, look
from tests.support.put_by_runs import checkpoints, trials
from tests.support.random_signals import seconds_of
from tests.support.study_fixture import Place, Places

EVERY = "training.checkpoint={every: 2, keep: 2}"
STUDY = ("prompts=[bare]", "tuning=[none, last_blocks: 1]", "search.sampler=gp", "search.trials=3", "training.epochs=6")
STUDY += ("training.keep=best", "final.seeds=[11, 12]", "search.pruner=median", EVERY)
ARGUMENTS = tuple(part for change in STUDY for part in ("--set", change))


BRIEF = (*ARGUMENTS, *("--set", "search.trials=1", "--set", "final.seeds=[11]", "--set", "training.checkpoint.every=8"))
"""Two runs of two dozen steps."""


@pytest.fixture(scope="module")
def undisturbed(places: Places) -> Place:
    place = places()
    place.run(*ARGUMENTS)
    return place


def orphans(place: Place) -> list[int]:
    """Return processes that still work in a place."""
    found = []
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] and Path(process.info["cwd"]).is_relative_to(place.folder):
            found.append(process.pid)
    return found


def put_by(place: Place) -> bool:
    """Return whether a checkpoint was written."""
    return bool(checkpoints(place))


def hold(place: Place, undisturbed: Place) -> Counter[str]:
    """Count what must not be there behind kills, and compare all else."""
    finished = Counter(run.info.run_name for run in place.runs("search"))
    pairs = list(zip(trials(place), trials(undisturbed), strict=True))
    counts = Counter(
        {
            "orphans": len(orphans(place)),
            "left running": sum(run.info.status == "RUNNING" for run in place.runs()),
            "finished trials done again": finished.total() - len(finished) + len(place.runs("superseded")),
            "results that differ": int(place.results() != undisturbed.results()),
            "trials that differ": sum(one != other for one, other in pairs),
            "checkpoints left": len(checkpoints(place)),
        }
    )
    place.clean()
    return counts


def preempted(places: Places, undisturbed: Place, kills: int, draws: random.Random) -> Counter[str]:
    """Kill studies again and again, each until it is done, until there were so many kills; return the counts."""
    whole = seconds_of(lambda: places().process("run", "study.yaml", *ARGUMENTS).communicate())
    counts = Counter[str]()
    while counts["kills"] < kills:
        place = places()
        while counts["kills"] < kills:
            process = place.process("run", "study.yaml", *ARGUMENTS)
            time.sleep(draws.uniform(0.0, 1.1 * whole))
            process.send_signal(signal.SIGKILL)
            out, _ = process.communicate()
            counts["gone on with"] += "goes on behind step" in out
            if process.returncode != -signal.SIGKILL:
                break
            counts["kills"] += 1
        counts["gone on with"] += "goes on behind step" in place.run(*ARGUMENTS).out
        counts += hold(place, undisturbed)
        counts["studies"] += 1
    return counts


def see(counts: Counter[str], kills: int) -> None:
    print("\n" + ", ".join(f"{name}: {number}" for name, number in counts.items()))
    must_not = ("orphans", "left running", "finished trials done again", "results that differ", "trials that differ")
    assert counts["kills"] == kills
    assert {name: counts[name] for name in (*must_not, "checkpoints left")} == dict.fromkeys(
        (*must_not, "checkpoints left"), 0
    )


@pytest.mark.slow
def test_a_kill_behind_a_checkpoint_loses_no_more_than_is_behind_it(undisturbed: Place, places: Places) -> None:
    place = places()
    assert kill_at(place, put_by, 0.0, ARGUMENTS)
    at = max(int(note.stem) for note in checkpoints(place))
    said = place.run(*ARGUMENTS).out
    assert f"trial 0: goes on behind step {at}, from its checkpoint" in said
    see(hold(place, undisturbed) + Counter(kills=1), 1)
    assert len(place.runs("interrupted")) == 1


@pytest.mark.slow
def test_ten_kills_at_random_instants(undisturbed: Place, places: Places) -> None:
    see(preempted(places, undisturbed, 10, random.Random(10)), 10)


@pytest.mark.demand
def test_a_hundred_kills_at_random_instants(undisturbed: Place, places: Places) -> None:
    see(preempted(places, undisturbed, 100, random.Random(100)), 100)


@pytest.fixture(scope="module")
def brief(places: Places) -> Place:
    place = places()
    place.run(*BRIEF)
    return place


@pytest.mark.slow
def test_a_signal_loses_no_step(brief: Place, places: Places) -> None:
    """What is told that it ends, as a machine that is taken away is, puts its run by at once."""
    place, rare = places(), (*BRIEF, "--set", "training.checkpoint.every=1h")
    process = place.process("run", "study.yaml", *rare)
    end, query = time.monotonic() + 120, "select step from metrics where key = 'train/loss'"
    while not (scored := look(place.folder / "mlflow.db", query)):
        assert time.monotonic() < end
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    assert process.returncode == 143, err
    (note,) = checkpoints(place)
    per_epoch = 4
    assert int(note.stem) >= per_epoch * len(scored)
    assert f"goes on behind step {int(note.stem)}" in place.run(*rare).out
    see(hold(place, brief) + Counter(kills=1), 1)


@pytest.mark.slow
def test_a_machine_that_is_always_taken_away_gets_on(brief: Place, places: Places) -> None:
    """Each process is killed at the first checkpoint that is its own."""
    place, lives, seen = places(), 0, set[Path]()
    while kill_at(place, lambda place: bool(set(checkpoints(place)) - seen), 0.0, BRIEF):
        seen.update(checkpoints(place))
        lives += 1
        assert lives < 12
    assert lives >= 4
    place.run(*BRIEF)
    see(hold(place, brief) + Counter(kills=1), 1)
