"""The test split: out of reach until the searches are over, and every look at it counted, edits after a look told."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from harness.core.errors import UserError
from harness.results.collect import Results, collect
from harness.results.test_access import TestAccess, count_accesses
from harness.study.cell_digests import edition
from harness.study.check import check
from harness.study.grid import expand
from harness.study.load_study import read_study
from harness.tracking.store_protocols import Tracker
from harness.tracking.stored_run import Run
from tests.support.study_fixture import TASK, Place, Places

QUICK = tuple(
    part
    for setting in (
        "tuning=[none, head]",
        "training.epochs=1",
        "search.trials=1",
        "final.models=none",
        "generality.text=null",
    )
    for part in ("--set", setting)
)
SCORED = 2 * (1 + 2) + 1
"""What QUICK scores on test: per prompt zero-shot and two seeds, and one reference row."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A study with a reference row that was run; tests read it."""
    place = Places(tmp_path_factory.mktemp("discipline"))()
    (place.folder / "task.py").write_text(TASK.replace("    stop=", '    references=["lead_words"],\n    stop='))
    place.run(*QUICK)
    return place


@contextmanager
def store(place: Place) -> Iterator[Tracker]:
    from harness.study.find_study import find_study

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        patch.setenv("MLFLOW_TRACKING_URI", place.uri)
        tracker = find_study("tiny").tracker
        assert tracker is not None
        yield tracker


def read(place: Place) -> Results:
    with store(place) as tracker:
        return collect(tracker, "tiny")


def report(place: Place) -> str:
    return (place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")


def delete(file: Path) -> None:
    file.unlink()


def lock(file: Path) -> None:
    file.chmod(0)
    if os.access(file, os.R_OK):
        pytest.skip("this user may read any file")


def garble(file: Path) -> None:
    file.write_bytes(b"\xff\xfe no rows \x00")


UNREADABLE = pytest.mark.parametrize("spoil", [delete, lock, garble])


@pytest.mark.slow
@UNREADABLE
def test_without_final_seeds_a_study_tunes_to_its_end_whatever_became_of_test(
    spoil: Callable[[Path], None], places: Places
) -> None:
    place = places()
    assert place.command("check", "study.yaml", *QUICK).status == 0
    spoil(place.folder / "data" / "test.jsonl")
    place.run(*QUICK, "--set", "final.seeds=[]")
    place.count(cell=4, search=2, final=2, summary=1)
    assert {row["test_chrf"] for row in place.table().values()} == {""}
    assert read(place).test_access == TestAccess()
    assert "The test split was not scored." in report(place)


@UNREADABLE
def test_with_final_seeds_all_searches_end_before_test_is_read(spoil: Callable[[Path], None], places: Places) -> None:
    """What a trial could reach is what `check` hands on and what lies on disk: neither holds the test rows."""
    from harness.core.workspace import HERE
    from harness.runner.progress_display import PlainProgress
    from harness.runner.run_study import run

    place = places()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        patch.setenv("MLFLOW_TRACKING_URI", place.uri)
        checked = check(read_study(place.study, [setting for setting in QUICK if setting != "--set"]))
        assert checked.examples.keys() == {"train", "validation"}
        spoil(place.folder / "data" / "test.jsonl")
        with pytest.raises((UserError, OSError), match=r"test|Permission"):
            run(checked, HERE, progress=PlainProgress(Console(file=io.StringIO())))
    trials = place.runs("search")
    assert len(trials) == 2
    assert {trial.info.status for trial in trials} == {"FINISHED"}
    assert not place.runs("final")


def test_every_final_run_and_reference_row_is_a_look(done: Place) -> None:
    assert read(done).test_access == TestAccess(SCORED)
    assert f"was scored {SCORED} times for this study" in report(done)


@pytest.mark.slow
def test_the_same_study_again_looks_no_more_and_was_not_edited(done: Place, places: Places) -> None:
    place = places.copy(done)
    place.run(*QUICK)
    assert place.command("report", "tiny").status == 0
    assert read(place).test_access == TestAccess(SCORED)
    assert "before this study was last edited" not in report(place)


@pytest.mark.slow
def test_an_edited_prompt_is_told_and_superseded_looks_still_count(done: Place, places: Places) -> None:
    place = places.copy(done)
    place.edit("TL;DR:", "In short:")
    place.run(*QUICK)
    assert read(place).test_access == TestAccess(SCORED + 3, before_edit=SCORED)
    assert f"Test had been scored {SCORED} times before this study was last edited" in report(place)
    page = (place.folder / "reports" / "tiny" / "report.html").read_text(encoding="utf-8")
    assert f"Test had been scored {SCORED} times before this study was last edited" in page


@pytest.mark.slow
def test_deleted_looks_still_count(done: Place, places: Places) -> None:
    place = places.copy(done)
    place.edit("TL;DR:", "In short:")
    place.run(*QUICK)
    assert place.command("clean", "tiny", "--yes").status == 0
    assert not place.runs("superseded")
    place.run(*QUICK)
    assert read(place).test_access == TestAccess(SCORED + 3, before_edit=SCORED)


@pytest.mark.slow
def test_more_seeds_after_a_look_are_an_edit(done: Place, places: Places) -> None:
    place = places.copy(done)
    place.run(*QUICK, "--set", "final.seeds=[11, 12, 13]")
    assert read(place).test_access == TestAccess(SCORED + 2, before_edit=SCORED)


def test_more_trials_after_a_look_are_an_edit(done: Place, places: Places) -> None:
    place = places.copy(done)
    place.run(*QUICK, "--set", "search.trials=2")
    found = read(place).test_access
    assert found.before_edit == SCORED
    assert found.scorings - SCORED in (0, 2, 4), "a cell whose winner moved has two other final runs"


@pytest.mark.slow
def test_an_edit_taken_back_scores_no_test_anew(done: Place, places: Places) -> None:
    place = places.copy(done)
    results = place.results()
    place.edit("TL;DR:", "In short:")
    place.run(*QUICK)
    place.edit("In short:", "TL;DR:")
    place.run(*QUICK)
    assert place.results() == results
    assert read(place).test_access.scorings == SCORED + 3
    taken = {run.data.tags["test_scored"] for run in place.runs("final")} - {"yes"}
    assert len(taken) == 3
    assert taken <= {run.info.run_id for run in place.runs("superseded")}


@pytest.mark.slow
def test_other_general_text_trains_final_runs_anew_and_scores_no_test(done: Place, places: Places) -> None:
    place = places.copy(done)
    lines = [f"This is passage {n} of another text. " * 12 for n in range(9)]
    (place.folder / "other.txt").write_text("\n".join(lines))
    place.run(*QUICK, "--set", "generality.text=other.txt")
    assert read(place).test_access == TestAccess(SCORED)


@pytest.mark.slow
def test_other_test_rows_are_told_and_fresh_ones_clear_the_edit(done: Place, places: Places) -> None:
    place = places.copy(done)
    place.edit("TL;DR:", "In short:")
    rows = place.folder / "data" / "test.jsonl"
    rows.write_text("".join(rows.read_text().splitlines(keepends=True)[:-1]))
    place.run(*QUICK)
    assert read(place).test_access == TestAccess(2 * SCORED, other_rows=SCORED)
    assert f"The test rows were changed after {SCORED} looks at other ones" in report(place)
    assert "before this study was last edited" not in report(place)


def test_a_run_killed_after_scoring_test_counts(done: Place) -> None:
    with store(done) as tracker:
        run = next(run for run in tracker.runs() if run.phase == "final")
    cut = replace(run, metrics={}, tags={**run.tags, "phase": "interrupted"})
    assert run.tags["test_scored"] == "yes"
    assert count_accesses([cut], edition=run.tags["edition"], rows=None) == TestAccess(1)


@pytest.mark.parametrize(
    "setting", ["engine.replay=false", "search.storage=sqlite:///trials.db", "training.device=cpu"]
)
def test_what_cannot_move_a_result_is_no_edit(setting: str, places: Places) -> None:
    place = places(store=False)
    names = [], [setting]
    studies = [read_study(place.study, settings).study for settings in names]
    assert edition(studies[0], {"a": "1"}) == edition(studies[1], {"a": "1"})


def test_an_edition_is_its_cells_seeds_trials_and_baseline(places: Places) -> None:
    place = places(store=False)
    study = read_study(place.study, []).study
    assert len(expand(study, [])) == 0
    digests = {"bare/head": "1", "cue/head": "2"}
    same = edition(study, dict(reversed(digests.items())))
    assert edition(study, digests) == same
    others = {edition(study, {**digests, "cue/head": "3"}), edition(study, {"bare/head": "1"})}
    for setting in (
        "search.trials=3",
        "final.seeds=[11]",
        "data.test=6",
        "final.baseline={prompt: bare, tuning: head}",
    ):
        others.add(edition(read_study(place.study, [setting]).study, digests))
    assert len(others) == 6
    assert same not in others


def _run(number: int, edition: str | None, *, test: str = "rows", score: bool = True, phase: str = "final") -> Run:
    tags = {"phase": phase, "test_digest": test} | ({"edition": edition} if edition else {})
    metrics = {"test/chrf": 1.0} if score else {"validation/chrf": 1.0}
    return Run(str(number), "", "FINISHED", None, {}, tags, metrics, started=float(number), seconds=1.0)


def count(runs: Sequence[Run], edition: str | None) -> tuple[int, int]:
    found = count_accesses(runs, edition=edition, rows="rows")
    assert not found.other_rows
    return found.scorings, found.before_edit


def test_looks_are_counted_up_to_the_last_of_another_edition() -> None:
    there = [_run(1, "a"), _run(2, "b", phase="superseded"), _run(3, "a", phase="interrupted"), _run(4, "c")]
    assert count(there[::-1], "c") == (4, 3)
    assert count(there[:3], "a") == (3, 2)
    assert count([_run(1, "a"), _run(2, "a")], "a") == (2, 0)
    assert count([], "a") == (0, 0)


def test_runs_that_never_saw_test_or_know_no_edition_tell_of_no_edit() -> None:
    assert count([_run(1, "b", test="none"), _run(2, "b", score=False)], "a") == (0, 0)
    assert count([_run(1, None), _run(2, "a")], "a") == (2, 0)
    assert count([_run(1, None), _run(2, None)], None) == (2, 0)
