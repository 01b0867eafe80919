"""What the driver of a large study does for a trial is the same at its beginning and at its end."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.stand_in import Stamp, growth, stamped
from harness.runner.resume.known_runs import KnownRuns
from harness.runner.study import Study
from harness.tracking.stored_run import Run
from tests.support.study_fixture import Places

PARENTS = [None, "a", "b", "c"]


def run_of(number: int, parent: str | None) -> Run:
    return Run(str(number), f"run {number}", "RUNNING", parent, {}, {}, {}, 0.0, 0.0)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(PARENTS)), max_size=40), st.integers(0, 40))
def test_children_are_those_that_a_look_at_all_runs_finds(kept: list[tuple[int, str | None]], begin: int) -> None:
    all_runs: dict[str, Run] = {}
    runs = KnownRuns(_each(kept[:begin], all_runs))
    for run in _each(kept[begin:], all_runs):
        assert runs.keep(run) is run
    assert list(runs) == list(all_runs.values())
    for parent in ("a", "b", "c", "unheard of"):
        assert runs.below(parent) == [run for run in all_runs.values() if run.parent == parent]


def _each(kept: list[tuple[int, str | None]], all_runs: dict[str, Run]) -> Iterable[Run]:
    for number, parent in kept:
        yield (run := run_of(number, parent))
        all_runs[run.id] = run


def test_growth_is_that_of_the_last_part_to_the_first() -> None:
    even = [Stamp(number, number / 2, 10.0 * number) for number in range(108)]
    assert growth(even, 10, workers=4) == (1.0, 1.0, 1.0)
    slower = [Stamp(number**2, number, 0.5 * number * (number + 1)) for number in range(101)]
    assert growth(slower, 10, workers=1) == ((99**2 - 89**2) / (11**2 - 1), 1.0, (99 * 100 - 89 * 90) / (11 * 12 - 2))


def stamps_of(places: Places, monkeypatch: pytest.MonkeyPatch) -> list[Stamp]:
    """Run 40 cells of 10 trials by an executor that takes no time, 8 jobs at a time."""
    place = places(family="llama")
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.uri)
    prompts = [{"name": f"p{number}", "text": f"{number} {{{{ source }}}}"} for number in range(8)]
    tuning = ["head", "norms", {"last_blocks": 1}, {"last_blocks": 2}, "full"]
    changes = {"prompts": prompts, "tuning": tuning, "search.trials": 10, "final.seeds": []}
    study = Study.load("study.yaml", [f"{key}={yaml.safe_dump(value).strip()}" for key, value in changes.items()])
    return stamped(study.checked, study.workspace, 8)


@pytest.mark.slow
def test_the_last_trials_of_a_large_study_take_what_the_first_did(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statements to the stores count by the number; the clock is the driver's own, and may be disturbed once."""
    for attempt in range(2):
        stamps = stamps_of(places, monkeypatch)
        assert len(stamps) == 401
        more = growth(stamps, 5, workers=8)
        print(f"\n{400 / (stamps[-1].wall - stamps[0].wall):.1f} trials a second; {more}")
        assert more.asked <= 1.05
        if more.busy <= 1.2:
            return
        assert attempt == 0, more
