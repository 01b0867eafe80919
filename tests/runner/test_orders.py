"""Orders to a study: what tags say, who may give them, and what a study that runs does about them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.progress import Progress
from harness.runner import obey_orders
from harness.runner.executors.executor_table import EXECUTORS
from harness.runner.study import Study
from harness.tracking.orders import Orders
from harness.tracking.schema import Tags
from harness.tracking.stored_run import Run
from tests.support.kill_moments import running, trials_told
from tests.support.made_up_side_by_side import MadeUpSideBySide
from tests.support.study_fixture import QUICK, Place, Places

NAMES = st.text("abc-*/", min_size=1, max_size=6)
RANDOM = ["search.metric=perplexity", "search.sampler=random", "tuning=[head]", "final.seeds=[]"]


def summary(**tags: str) -> Run:
    return Run("id", "summary", "RUNNING", None, {}, tags, {}, 0.0, 0.0)


@given(
    orders=st.builds(
        Orders,
        st.sampled_from(["", "pause", "stop"]),
        st.lists(NAMES, max_size=3, unique=True).map(tuple),
        st.integers(0, 10_000),
    )
)
def test_orders_are_read_as_they_were_written(orders: Orders) -> None:
    assert Orders.of(summary(**orders.tags())) == orders


@given(state=st.text(max_size=8), skipped=st.text(max_size=8), more=st.text(max_size=9))
def test_what_somebody_types_into_a_tag_is_an_order_or_none(state: str, skipped: str, more: str) -> None:
    orders = Orders.of(summary(**{Tags.ORDER: state, Tags.SKIPPED: skipped, Tags.MORE: more}))
    assert orders.state in ("", "pause", "stop")
    assert all(pattern and "," not in pattern for pattern in orders.skipped)
    assert 0 <= orders.more <= 1_000_000
    assert Orders.of(summary(**orders.tags())) == orders


class Scene(Progress):
    """Does something when it hears a job's end for the so-many-th time, and keeps what people are told."""

    def __init__(self, after: int, act: Callable[[], object]) -> None:
        self._left, self._act = after, act
        self.told: list[str] = []

    def say(self, text: str) -> None:
        self.told.append(text)

    def done(self, job: str, what: str, *, score: float, best: float, seconds: float) -> None:
        self._left -= 1
        if not self._left:
            self._act()
            time.sleep(0.5)  # the order is heard of meanwhile


@pytest.fixture
def searched(places: Places, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Place, Scene]]:
    """Return what runs searches that train nothing, and gives an order by the command after some jobs."""
    monkeypatch.setattr(obey_orders, "BETWEEN", 0.05)
    made = partial(MadeUpSideBySide, draws=random.Random(0))
    monkeypatch.setitem(EXECUTORS, "made up", made)

    def run(*order: str, after: int = 2, place: Place | None = None) -> tuple[Place, Scene]:
        place = place or places()
        monkeypatch.chdir(place.folder)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", place.uri)

        def give() -> None:
            done = place.command(*order)
            assert done.status == 0, done.err

        scene = Scene(after, give)
        Study.load("study.yaml", [*RANDOM, "search.trials=3"]).run(executor="made up", progress=scene)
        place.clean()
        return place, scene

    return run


def trials(place: Place) -> dict[str, int]:
    cells = [run.data.tags["cell"] for run in place.runs("search")]
    return {cell: cells.count(cell) for cell in cells}


@pytest.mark.slow
def test_cells_are_left_out_and_stay_so(searched: Callable[..., tuple[Place, Scene]]) -> None:
    place, _ = searched("skip", "tiny", "cue/*")
    assert trials(place) == {"bare/head": 3}
    report = (place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert "Left out by hand since the study was written: cue/none, cue/head." in report
    assert '"state": "finished"' in place.command("status", "tiny", "--json").out
    _, scene = searched(after=99, place=place)
    assert any("cells cue/* are left out" in line for line in scene.told)
    assert trials(place) == {"bare/head": 3}
    assert place.command("skip", "tiny", "cue/*", "--undo").status == 0
    searched(after=99, place=place)
    assert trials(place) == {"bare/head": 3, "cue/head": 3}


@pytest.mark.slow
def test_trials_are_added_in_every_cell_and_are_those_of_a_longer_study(
    searched: Callable[..., tuple[Place, Scene]], places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, scene = searched("more", "tiny", "--trials", "2", after=4)
    assert trials(place) == {"bare/head": 5, "cue/head": 5}
    assert any("2 trials more than the study file says" in line for line in scene.told)
    report = (place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert "2 trials of each cell were added by hand" in report
    longer = places()
    monkeypatch.chdir(longer.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", longer.uri)
    Study.load("study.yaml", [*RANDOM, "search.trials=5"]).run(executor="made up")
    assert place.results() == longer.results()
    searched(after=99, place=place)
    assert trials(place) == {"bare/head": 5, "cue/head": 5}


def test_an_order_to_nobody_or_for_nothing_is_refused(finished: Place, places: Places) -> None:
    place = places.copy(finished)
    for order, words in [
        (("pause", "tiny"), "study 'tiny' is not being run"),
        (("stop", "tiny"), "study 'tiny' is not being run"),
        (("resume", "tiny"), "does not pause"),
        (("skip", "tiny", "bear/*"), "matches no cell"),
        (("skip", "tiny", "bare/*", "--undo"), "is not left out"),
        (("more", "tiny", "--trials", "-1"), "--trials is -1"),
        (("more", "tinny", "--trials", "1"), "no study"),
    ]:
        done = place.command(*order)
        assert (done.status, len(done.err.splitlines())) == (2, 1), order
        assert words in done.err
    assert Tags.ORDER not in place.runs("summary")[0].data.tags


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_a_study_pauses_goes_on_and_stops(workers: tuple[str, ...], places: Places) -> None:
    place, whole = places(), places()
    arguments = ("run", "study.yaml", "--set", "search.metric=perplexity", "--set", "search.trials=6", *workers)
    process = place.process(*arguments)
    try:
        until(lambda: trials_told(1)(place))
        assert place.command("pause", "tiny").status == 0
        time.sleep(4)
        ended = [run.info.run_id for run in place.runs() if run.info.status == "FINISHED"]
        time.sleep(3)
        assert process.poll() is None
        assert [run.info.run_id for run in place.runs() if run.info.status == "FINISHED"] == ended
        assert place.command("resume", "tiny").status == 0
        until(lambda: len(place.runs()) > len(ended) + 4 and running("search", 1)(place))
        assert place.command("stop", "tiny").status == 0
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 1, err
    assert "stopped, as it was told by `harness stop`" in err
    place.clean()
    for one in (place, whole):
        again = one.process(*arguments)
        _, err = again.communicate(timeout=300)
        assert again.returncode == 0, err
    place.clean()
    assert place.results() == whole.results()


FIXED = {
    "the points of a grid": ("search.sampler=grid",),
    "where a widened range begins": ("search.edges=extend", "search.learning_rate={low: 1.0e-5, high: 1.0e-2}"),
}


@pytest.mark.slow
@pytest.mark.parametrize("moved", FIXED)
def test_what_more_trials_would_move_is_not_made_longer(moved: str, places: Places) -> None:
    place = places()
    keys = ["search.trials=2", "search.sampler=random", "tuning=[head]", "final.seeds=[]", *FIXED[moved]]
    run = (*QUICK, *(word for key in keys for word in ("--set", key)))
    place.run(*run)
    told = place.command("more", "tiny", "--trials", "2")
    assert told.status == 2
    assert f"more trials move {moved}" in told.err
    before = trials(place)
    summary_run = place.runs("summary")[0].info.run_id
    place.client().set_tag(summary_run, Tags.MORE, "2")  # as somebody may in MLflow's pages
    again = place.run(*run)
    assert "0 runs to do" in again.out
    assert "trials more than" not in again.out
    assert trials(place) == before
    report = (place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert "added by hand" not in report
