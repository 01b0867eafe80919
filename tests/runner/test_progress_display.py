"""A run that is watched moves: steps, a sign of life, totals that stay, an estimate from the first trial on."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from harness.core.progress import CellWork, Step
from harness.runner import progress_display
from harness.runner.progress_display import PlainProgress, ProgressTable
from harness.runner.time_left import TimeLeft
from tests.support.study_fixture import QUICK, Places

NAN = float("nan")


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def cell(trials: int, finals: int, *, there: int = 0, tuning: str = "head", weight: float = 1.0) -> CellWork:
    return CellWork({"prompt": "p", "tuning": tuning}, trials, finals, there, weight)


def train(
    watch: TimeLeft, clock: Clock, job: str, name: str, *, final: bool, epochs: int, step: float
) -> Iterator[None]:
    """Do a run of four steps and a score of as long as one for each epoch; stop after each step and score."""
    began = clock()
    watch.began(job, name, final=final)
    for epoch in range(1, epochs + 1):
        for done in range(5):
            watch.at(job, Step("step", done, 4, epoch, epochs))
            if done < 4:
                clock.now += step
                yield
        clock.now += step
        yield
    watch.done(job, job, score=0.5, best=0.5, seconds=clock() - began)


def test_a_run_that_counts_steps_says_so_and_is_estimated_from_score_to_score() -> None:
    clock = Clock()
    watch = TimeLeft(clock)
    watch.start({"p/head": cell(1, 0)})
    watch.began("p/head trial 0", "p/head", final=False)
    for part in (1, 2, 3):  # a score behind every four of twelve steps, as long as two of them
        for done in range(4 * part - 4, 4 * part + 1):
            step = Step("step", done, 12, part)
            assert (str(step), step.trained) == (f"step {done}/12", done / 12)
            watch.at("p/head trial 0", step)
            if part > 1:
                assert watch.seconds_left() == pytest.approx(18.0 - clock(), abs=1e-9)
                assert "about" in watch.left_in_words()
            clock.now += done < 4 * part
        watch.at("p/head trial 0", Step("validation loss", 1, 1, part))
        clock.now += 2


@settings(max_examples=30, deadline=None)
@given(trials=st.integers(1, 4), finals=st.integers(0, 3), epochs=st.integers(2, 4), cells=st.integers(1, 3))
def test_totals_stay_and_the_estimate_stands_from_the_first_run_on(
    trials: int, finals: int, epochs: int, cells: int
) -> None:
    clock = Clock()
    watch = TimeLeft(clock)
    names = [f"p{number}/head" for number in range(cells)]
    watch.start({name: cell(trials, finals) for name in names})
    assert watch.left_in_words() == "time left not known yet"
    jobs = [(name, False) for name in names for _ in range(trials)] + [(n, True) for n in names for _ in range(finals)]
    whole, total, seen = len(jobs) * epochs * 5.0, len(jobs), 0
    for number, (name, final) in enumerate(jobs):
        for _ in train(watch, clock, f"{name} {number}", name, final=final, epochs=epochs, step=1.0):
            seen += 1
            assert watch.runs(*names) == (number, total)
            true, estimate = whole - clock(), watch.seconds_left()
            if number == 0 and 3 <= seen <= 5:  # from the second step on; nothing was scored
                assert "at least" in watch.left_in_words()
                assert 0.75 * whole <= clock() + estimate <= whole
            elif seen > 5:
                assert "about" in watch.left_in_words()
                assert estimate == pytest.approx(true, rel=0.01)
    assert watch.runs(*names) == (total, total)
    assert watch.seconds_left() == 0.0


@given(first=st.integers(1, 4), further=st.lists(st.integers(1, 4), max_size=3), finals=st.integers(0, 3))
def test_what_is_done_never_goes_back_where_a_search_is_given_more_trials(
    first: int, further: list[int], finals: int
) -> None:
    watch, seen, number = TimeLeft(Clock()), [(0, first + finals)], 0
    watch.more("a", 3)  # of a search that was widened before, whose trials the start counts
    watch.start({"a": cell(first, finals)})
    for trials in [first, *further]:
        if number:
            watch.more("a", trials)
            seen.append(watch.runs("a"))
        for _ in range(trials):
            watch.began(f"a {number}", "a", final=False)
            watch.done(f"a {number}", "trial", score=0.1, best=0.1, seconds=1)
            seen.append(watch.runs("a"))
            number += 1
    watch.settle("a", finals)
    seen.append(watch.runs("a"))
    assert seen == sorted(seen)
    assert seen[-1] == (number, number + finals)


def test_kinds_not_seen_yet_go_by_their_weight_and_final_runs_by_trials_until_they_are_seen() -> None:
    clock = Clock()
    watch = TimeLeft(clock)
    watch.start({"a": cell(1, 2, weight=1.0), "b": cell(1, 1, tuning="full", weight=5.0)})
    watch.began("a 0", "a", final=False)
    clock.now += 10
    watch.done("a 0", "trial", score=0.1, best=0.1, seconds=10)
    assert watch.seconds_left() == pytest.approx(2 * 10 + 2 * 50)
    watch.began("b 0", "b", final=False)
    watch.done("b 0", "trial", score=0.1, best=0.1, seconds=30)
    assert watch.seconds_left() == pytest.approx(2 * 10 + 30), "as measured, whatever its weight"
    watch.began("a 1", "a", final=True)
    watch.done("a 1", "seed", score=0.1, best=NAN, seconds=20)
    assert watch.seconds_left() == pytest.approx(20 + 40), "a final run takes 10 s more than a trial"
    watch.settle("b", 0)
    assert watch.runs("b") == (2, 2)


LEVELS = {"head": 1.0, "full": 5.0, "none": 0.5}
"""Tunings to weights."""


def by_each(cells: Mapping[str, CellWork], took: Sequence[tuple[str, bool, float]], name: str, final: bool) -> float:
    """Return what a run is expected to take, by a look at every run that ended."""
    trials, finals = ([one for one in took if one[1] == phase] for phase in (False, True))

    def is_alike(one: str, other: str) -> bool:
        return cells[one].factors["tuning"] == cells[other].factors["tuning"]

    def by_weight(name: str, ended: Sequence[tuple[str, bool, float]]) -> float:
        alike = [
            seconds for cell, _, seconds in ended if cells[cell].factors["tuning"] == cells[name].factors["tuning"]
        ]
        weights = sum(cells[cell].weight for cell, *_ in ended)
        rate = sum(seconds for *_, seconds in ended) / weights if weights else NAN
        return fmean(alike) if alike else cells[name].weight * rate

    if not final or not finals:
        return by_weight(name, trials or finals)
    if alike := [seconds for cell, _, seconds in finals if is_alike(cell, name)]:
        return fmean(alike)
    more = fmean(seconds - by_weight(cell, trials or finals) for cell, _, seconds in finals)
    return max(0.0, by_weight(name, trials or finals) + more)


@given(
    tunings=st.lists(st.sampled_from(list(LEVELS)), min_size=1, max_size=6),
    ends=st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.floats(0.5, 50)), max_size=20),
)
def test_runs_that_are_added_up_say_what_a_look_at_each_says(
    tunings: list[str], ends: list[tuple[int, bool, float]]
) -> None:
    watch, took = TimeLeft(Clock()), list[tuple[str, bool, float]]()
    cells = {
        f"p{n}/{t}": CellWork({"prompt": f"p{n}", "tuning": t}, 30, 30, 0, LEVELS[t]) for n, t in enumerate(tunings)
    }
    watch.start(cells)
    left = {(name, final): 30 for name in cells for final in (False, True)}
    for number, (place, final, seconds) in enumerate(ends):
        name = list(cells)[place % len(cells)]
        watch.began(f"job {number}", name, final=final)
        watch.done(f"job {number}", "", score=0.0, best=0.0, seconds=seconds)
        took.append((name, final, seconds))
        left[name, final] -= 1
        expected = sum(count * by_each(cells, took, *key) for key, count in left.items())
        assert watch.seconds_left() == pytest.approx(expected, rel=1e-9)
        assert watch.runs() == watch.runs(*cells) == (number + 1, 60 * len(cells))


def test_a_log_shows_the_time_of_day_and_the_step_also_while_one_step_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    console = Console(file=io.StringIO(), width=200)
    monkeypatch.setattr(progress_display, "BEAT", 0.05)
    lines = PlainProgress(console)
    with lines.beating():
        lines.stage("loading model m")
        time.sleep(0.2)
        lines.start({"cue/full": cell(2, 1, there=1)})
        lines.began("cue/full trial 1", "cue/full", final=False)
        lines.at("cue/full trial 1", Step("step", 3, 9, 2, 3))
        time.sleep(0.2)
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    stamp = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "
    assert re.search(stamp + r"loading model m \(\d+ s so far\)$", said, re.MULTILINE)
    assert "1 cells, 3 runs to do, 1 of 4 are there" in said
    assert re.search(
        r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d cue/full trial 1: epoch 2/3, step 3/9 \(1/4 runs, ", said, re.MULTILINE
    )
    assert not any(thread.name == "harness heartbeat" for thread in threading.enumerate())


@pytest.mark.parametrize("height", [8, 40])
def test_a_terminal_shows_the_step_and_keeps_the_summary_in_sight(height: int) -> None:
    console = Console(file=io.StringIO(), width=120, height=height)
    table = ProgressTable(console)
    table.start({"done": cell(0, 0, there=3), **{f"cell-{number}": cell(2, 1) for number in range(20)}})
    table.began("cell-15 trial 0", "cell-15", final=False)
    table.at("cell-15 trial 0", Step("validation answers", 1, 4, 1, 3))
    console.print(table.render())
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue().splitlines()
    assert any("cell-15" in line and "trial 0: epoch 1/3, validation answers 1/4" in line for line in said)
    assert said[-1].startswith("3/63 runs, ")
    assert len(said) <= height
    assert any(line.split()[:4] == ["done", "3/3", "done", "before"] for line in said) is (height == 40)


def test_what_is_said_stays_above_the_table_and_a_stage_goes() -> None:
    console = Console(file=io.StringIO(), width=120, height=40)
    table = ProgressTable(console)
    table.stage("loading model m")
    table.say("caution: odd weights")
    console.print(table.render())
    table.start({"c": cell(2, 1)})
    table.stage("scoring reference row r")
    table.began("c trial 0", "c", final=False)
    console.print(table.render())
    assert isinstance(console.file, io.StringIO)
    before, _, under_way = console.file.getvalue().partition("loading model m")
    assert before.splitlines()[0] == "caution: odd weights"
    assert "reference" not in under_way


STEPS = r"^\S+ \d\d:\d\d:\d\d bare/head trial 0: epoch 1/1, (step|validation loss|validation answers) \d/\d"


@pytest.mark.slow
def test_totals_of_a_real_study_stay_from_the_start_also_when_it_grows(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places()
    monkeypatch.setattr(progress_display, "BEAT", 0.02)

    def counts(trials: int) -> tuple[str, list[str]]:
        said = place.run("--set", "prompts=[bare]", *QUICK, "--set", f"search.trials={trials}").out
        return said, re.findall(r"^\S+ \S+ \[(\d+/\d+)\] ", said, re.MULTILINE)

    said, first = counts(1)
    assert first == [f"{done}/5" for done in range(1, 6)]
    assert re.search(STEPS, said, re.MULTILINE), "the first trial is seen to move"
    said, more = counts(2)
    assert {count.partition("/")[2] for count in more} == {"7"}
    said, again = counts(2)
    assert not again
    assert "3 cells, 0 runs to do, 7 of 7 are there" in said


def test_jobs_side_by_side_are_all_shown_and_share_the_time() -> None:
    clock, table = Clock(), ProgressTable(Console(width=200))
    table.start({"a": cell(2, 0), "b": cell(2, 0)})
    for job, name in [("a trial 0", "a"), ("a trial 1", "a"), ("b trial 0", "b")]:
        table.began(job, name, final=False)
    table.at("a trial 1", Step("step", 3, 9, 1, 3))
    console = Console(file=io.StringIO(), width=200)
    console.print(table.render())
    assert isinstance(console.file, io.StringIO)
    assert "trial 0: begun; trial 1: epoch 1/3, step 3/9" in console.file.getvalue()
    watch = TimeLeft(clock)
    watch.start({"a": cell(4, 0), "b": cell(4, 0)})
    for job in ("a 0", "b 0"):
        watch.began(job, job[0], final=False)
    clock.now += 10
    for job in ("a 0", "b 0"):
        watch.done(job, "trial", score=0.1, best=0.1, seconds=10)
    assert watch.seconds_left() == pytest.approx(6 * 10 / 2), "two at a time"
