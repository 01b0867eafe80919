"""A disk that fills up while two workers train and put their runs by: one sentence, and the same command finishes."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.kill_campaign import hold
from tests.support.put_by_runs import checkpoints
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.study_fixture import Done, Place, Places
from tests.support.worker_processes import gone

pytestmark = pytest.mark.slow

CHANGES = ("prompts=[bare]", "tuning=[none, last_blocks: 1]", "search.sampler=random", "search.trials=4")
CHANGES += ("training.epochs=30", "final.seeds=[11, 12]", "training.checkpoint={every: 2}")
STUDY = tuple(part for change in CHANGES for part in ("--set", change))


@pytest.fixture(scope="module")
def whole(places: Places) -> Place:
    place = places()
    place.run(*STUDY)
    return place


def fills(disk: SmallDisk, place: Place, behind: int, delay: float) -> Done:
    """Run the study on a disk that is full some time after so many checkpoints have been seen."""
    process, seen = place.process("run", "study.yaml", *STUDY, "--workers", "2"), set[Path]()
    end = time.monotonic() + 400
    while len(seen) < behind and process.poll() is None:
        assert time.monotonic() < end
        seen.update(checkpoints(place))
        time.sleep(0.005)
    time.sleep(delay)
    while process.poll() is None:  # what is dropped meanwhile makes room
        with suppress(OSError):
            disk.leave(0)
        time.sleep(0.05)
    out, err = process.communicate(timeout=300)
    return Done(process.returncode, out, err)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_told_in_one_sentence_and_the_same_command_completes(seed: int, tmp_path: Path, whole: Place) -> None:
    draws = random.Random(seed)
    with small_disk(tmp_path / "disk") as disk:
        place = Places(disk.folder)()
        done = fills(disk, place, draws.randint(1, 12), draws.uniform(0.0, 0.5))
        assert done.status == 2, done.out + done.err
        assert len(done.err.strip().splitlines()) == 1, done.err
        assert "no space is left" in done.err
        assert "the same command goes on" in done.err
        assert gone(place)
        disk.clear()
        place.run(*STUDY, "--workers", "2")
        counts = hold(place, whole)
        assert not {name for name in counts if name not in ("gone on with", "interrupted") and counts[name]}, counts
        assert not list(place.folder.rglob("*.new*"))
