"""Studies whose processes are killed at random instants: nothing is lost but what a checkpoint had not yet.

How many kills, and what is to hold behind them: zero orphans, zero runs left running, no finished trial done again,
and the table and all that trials and final runs hold as in a study that nothing disturbed.

``KILLS=20 pytest -m demand tests/runner/test_preempted.py`` kills more seldom.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.kill_campaign import campaign, hold, see
from tests.support.kill_moments import kill_at, look
from tests.support.put_by_runs import checkpoints
from tests.support.study_fixture import Place, Places

EVERY = "training.checkpoint={every: 2, keep: 2}"
STUDY = ("prompts=[bare]", "tuning=[none, last_blocks: 1]", "search.sampler=gp", "search.trials=3", "training.epochs=6")
STUDY += ("training.keep=best", "final.seeds=[11, 12]", "search.pruner=median", EVERY)
ARGUMENTS = tuple(part for change in STUDY for part in ("--set", change))

LASTING = (*ARGUMENTS, "--set", "training.epochs=24")
"""Runs that take longer than to start: most kills come behind a checkpoint."""

ABREAST = (*LASTING, "--set", "search.sampler=random", "--set", "search.pruner=none")
"""The same, with trials that do not wait for each other."""

KILLS = int(os.environ.get("KILLS", "100"))
"""On demand with one worker; half as many with two."""

ALONE, EITHER = ("driver",), ("driver", "worker")
"""Who is killed."""

BRIEF = (*ARGUMENTS, *("--set", "search.trials=1", "--set", "final.seeds=[11]", "--set", "training.checkpoint.every=8"))
"""Two runs of two dozen steps."""


@pytest.fixture(scope="module")
def undisturbed(places: Places) -> Place:
    place = places()
    place.run(*ARGUMENTS)
    return place


def put_by(place: Place) -> bool:
    """Return whether a checkpoint was written."""
    return bool(checkpoints(place))


@pytest.mark.slow
def test_a_kill_behind_a_checkpoint_loses_no_more_than_is_behind_it(undisturbed: Place, places: Places) -> None:
    place = places()
    assert kill_at(place, put_by, 0.0, ARGUMENTS)
    at = max(int(note.stem) for note in checkpoints(place))
    said = place.run(*ARGUMENTS).out
    assert f"trial 0: goes on behind step {at}, from its checkpoint" in said
    see(hold(place, undisturbed) + Counter(kills=1), 1)
    assert len(place.runs("interrupted")) == 1


@pytest.fixture(scope="module")
def lasting(places: Places) -> Place:
    place = places()
    place.run(*LASTING)
    return place


@pytest.mark.slow
def test_ten_kills_in_every_phase(lasting: Place, places: Places) -> None:
    counts = campaign(places, lasting, ("run", "study.yaml", *LASTING), 10, random.Random(10), ALONE)
    see(counts, 10)
    assert counts["gone on with"]


@pytest.mark.demand
def test_a_hundred_kills_in_every_phase(lasting: Place, places: Places) -> None:
    see(campaign(places, lasting, ("run", "study.yaml", *LASTING), KILLS, random.Random(100), ALONE), KILLS)


@pytest.fixture(scope="module")
def abreast(places: Places) -> Place:
    place = places()
    place.run(*ABREAST)
    return place


WORKERS = ("run", "study.yaml", *ABREAST, "--workers", "2")


@pytest.mark.slow
def test_five_kills_with_two_workers(abreast: Place, places: Places) -> None:
    see(campaign(places, abreast, WORKERS, 5, random.Random(5), EITHER), 5)


@pytest.mark.demand
def test_fifty_kills_with_two_workers(abreast: Place, places: Places) -> None:
    see(campaign(places, abreast, WORKERS, KILLS // 2, random.Random(50), EITHER), KILLS // 2)


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
