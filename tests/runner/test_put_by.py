"""Jobs and studies that are cut short go on from their checkpoints, and end as undisturbed ones do."""

from __future__ import annotations

import contextlib
import errno
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.core.progress import Step
from harness.core.workspace import HERE
from harness.runner.executors.job_checkpoint import job_checkpoint
from harness.runner.executors.job_run import JobRun
from harness.runner.executors.protocol import Ended, EpochEnded, Event, Job, Reply, Scored, Trained
from harness.study.check import check
from harness.study.load_study import read_study
from harness.training import loop
from harness.training.checkpoint_files import CheckpointFiles
from harness.training.trainer import Trainer
from tests.support.first_of_kind import first_of_kind
from tests.support.put_by_runs import MACHINE, checkpoints, trials
from tests.support.search_spaces import rate
from tests.support.study_fixture import Place, Places


class Killed(BaseException):
    """In place of a signal that nothing hears of."""


# Jobs


OPTIONS = (
    "prompts=[bare]",
    "tuning=[none, last_blocks: 1]",
    "training.schedule=constant",
    "training.checkpoint={every: 1}",
)

JOBS = {
    "a trial": (("training.epochs=3",), True),
    "a trial that goes back": (("training.epochs=4", "training.keep=best", "search.metric=loss"), True),
    "a trial by steps": (("training.epochs=null", "training.steps=7", "training.evaluate_every=2"), True),
    "a final run": (("training.epochs=3",), False),
    "a final run that goes back": (("training.epochs=5", "training.keep=best", "training.patience=2"), False),
}


def comparable(event: Event) -> Event:
    """Return an event without what depends on the clock; one nan is like another, wherever it was read."""
    if isinstance(event, EpochEnded | Trained) and math.isnan(event.objective):
        return event._replace(objective=math.inf)
    if isinstance(event, Ended):
        tags = {name: value for name, value in event.tags.items() if name != "resumed_after_step"}
        costs = {name: value for name, value in event.costs.items() if name not in MACHINE}
        return event._replace(costs=costs, tags=tags, memory={})
    if isinstance(event, Scored):
        return event._replace(predictions=[(each.id, each.text) for each in event.predictions])
    return event


class Bench:
    """A study's model, and jobs that are cut where a counter says."""

    def __init__(self, place: Place, overrides: tuple[str, ...], *, is_trial: bool) -> None:
        with contextlib.chdir(place.folder):
            self.checked = check(read_study(place.study, [*OPTIONS, *overrides]))
            self.trainer = Trainer(self.checked, HERE)
        cell = next(cell for cell in self.checked.cells if cell.tuning.trains)
        options: dict[str, Any] = {"is_trial": True} if is_trial else {"scores": "validation"}
        self.job = Job(f"{cell.id} trial 0", cell.id, rate(2.0), 5, identity="study", **options)
        self.said: list[str] = []
        self.told = 0

    def run(self, cut: int | None = None, *, identity: str = "study") -> list[Event]:
        """Do the job, and break it off when it tells of its progress for so many times."""
        self.told, job = 0, self.job._replace(identity=identity)

        def tell(step: Step) -> None:
            self.told += 1
            if self.told == cut:
                raise Killed

        kept = job_checkpoint(job, self.checked, HERE, device="cpu", say=self.said.append)
        events = JobRun(job, self.checked, self.trainer, None, tell, kept).events()
        seen, event = [], next(events)
        with contextlib.closing(events), contextlib.suppress(StopIteration):
            while True:
                seen.append(event)
                event = events.send(Reply())
        return [comparable(event) for event in seen]


@pytest.fixture
def bench(places: Places, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    def make(overrides: tuple[str, ...], *, is_trial: bool) -> Bench:
        place = places(store=False)
        monkeypatch.chdir(place.folder)
        return Bench(place, overrides, is_trial=is_trial)

    return make


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_a_job_cut_anywhere_ends_as_an_undisturbed_one(name: str, bench: Callable[..., Bench]) -> None:
    overrides, is_trial = JOBS[name]
    jobs = bench(overrides, is_trial=is_trial)
    whole, total = jobs.run(), jobs.told
    assert sum(isinstance(event, EpochEnded) for event in whole) >= 2
    assert total > 10
    for cut in range(1, total + 1):
        with pytest.raises(Killed):
            jobs.run(cut)
        assert jobs.run() == whole, cut
        assert not list(Path(".harness/tiny/checkpoints").rglob("[0-9]*.*")), "nothing stays of a job that ended"
    assert any("goes on behind step" in line for line in jobs.said)


def test_a_job_cut_again_and_again_gets_on(bench: Callable[..., Bench]) -> None:
    """Each process lives for three steps or signs of progress of its own, as on a machine that is taken away."""
    jobs = bench(JOBS["a trial that goes back"][0], is_trial=True)
    whole = jobs.run()
    lives, ended = 0, list[Event]()
    while not ended:
        lives += 1
        assert lives < 60
        with contextlib.suppress(Killed):
            ended = jobs.run(9)
    assert ended == whole
    assert lives > 3
    steps = [int(line.split("behind step ")[1].split(",")[0]) for line in jobs.said if "goes on" in line]
    assert steps == sorted(steps)


# Studies


STUDY = ("prompts=[bare]", "tuning=[none, last_blocks: 1]", "training.checkpoint={every: 1}", "search.sampler=gp")


def sets(*changes: str) -> tuple[str, ...]:
    return tuple(part for change in (*STUDY, *changes) for part in ("--set", change))


@contextlib.contextmanager
def ends_at_step(number: int) -> Iterator[None]:
    """Break the process's own training off at its so-many-th step."""
    taken, take_step = [0], loop._take_step

    def counted(*args: Any) -> None:
        taken[0] += 1
        if taken[0] == number:
            raise Killed
        take_step(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_take_step", counted)
        yield


def cut_at_step(place: Place, number: int, *arguments: str) -> None:
    with ends_at_step(number), pytest.raises(Killed):
        place.run(*arguments)


@pytest.fixture(scope="module")
def undisturbed(places: Places) -> Place:
    place = places()
    place.run(*sets())
    return place


@pytest.mark.slow
def test_a_trial_and_a_final_run_go_on_in_new_runs(undisturbed: Place, places: Places) -> None:
    place = places()
    cut_at_step(place, 5, *sets())
    assert len(checkpoints(place)) == 2
    cut_at_step(place, 12, *sets())
    said = place.run(*sets()).out
    assert "goes on behind step" in said
    place.clean()
    assert place.results() == undisturbed.results()
    assert trials(place) == trials(undisturbed)
    assert {run.info.status for run in place.runs("interrupted")} == {"FAILED"}
    resumed = [run for run in place.runs() if "resumed_after_step" in run.data.tags]
    assert len(resumed) == 2
    assert not checkpoints(place)


CHANGES = {
    "study": ("training.weight_decay=0.1", "its study, rows or model are others now"),
    "rows": ("", "its study, rows or model are others now"),
    "code": ("", "the code that it ran, or a library of it, is another one now"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", CHANGES)
def test_a_checkpoint_of_something_else_is_void(what: str, places: Places) -> None:
    change, words = CHANGES[what]
    place, anew = places(), places()
    cut_at_step(place, 5, *sets())
    for one in (place, anew):
        if what == "rows":
            one.edit("data: {path: data}", "data: {path: data, train: 20}")
        if what == "code":
            task = one.folder / "task.py"
            task.write_text(task.read_text(encoding="utf-8") + "\n# Another line.\n", encoding="utf-8")
    changed = sets(*filter(None, [change]))
    said = place.run(*changed)
    assert said.out.count("its checkpoint is void") == 1
    assert words in said.out
    anew.run(*changed)
    assert place.results() == anew.results()
    assert not checkpoints(place)


@pytest.mark.slow
def test_a_fresh_start_goes_on_from_nothing(undisturbed: Place, places: Places) -> None:
    place = places()
    cut_at_step(place, 5, *sets())
    assert checkpoints(place)
    said = place.run(*sets(), "--fresh").out
    assert "checkpoint" not in said
    assert "goes on behind" not in said
    assert place.results() == undisturbed.results()


@pytest.mark.slow
def test_a_damaged_one_is_passed_over(undisturbed: Place, places: Places) -> None:
    for damaged, words in ((1, "goes on behind step 3"), (2, "its checkpoint is damaged; it begins anew")):
        place = places()
        cut_at_step(place, 5, *sets())
        for note in checkpoints(place)[::-1][:damaged]:
            file = note.with_suffix(".safetensors")
            file.write_bytes(file.read_bytes()[:-1])
        assert words in place.run(*sets()).out
        assert place.results() == undisturbed.results()


@pytest.mark.slow
def test_where_none_can_be_written_training_goes_on(
    undisturbed: Place, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    place = places()
    said = place.run(*sets("search.trials=1", "final.seeds=[11]")).out
    assert said.count("no checkpoint can be written, and it goes on without") == 2, "once a run"
    assert "No space left on device" in said
    monkeypatch.undo()
    assert not checkpoints(place)


@pytest.mark.slow
def test_what_a_kill_left_goes_at_the_next_start(undisturbed: Place, places: Places) -> None:
    place = places.copy(undisturbed)
    cell = place.folder / ".harness" / "tiny" / "checkpoints" / "bare--last_blocks-1"
    files = CheckpointFiles(cell / "trial-0", 2)
    files.write(1, {}, {})
    (cell / "seed-99").mkdir()
    (cell / "seed-99" / ".000000001.safetensors.1.draft").write_bytes(b"half")
    assert "0 runs to do" in place.run(*sets()).out
    assert not (cell / "trial-0").exists(), "that trial ended"
    assert not list((cell / "seed-99").iterdir())


@pytest.mark.slow
def test_clean_names_what_was_put_by(places: Places) -> None:
    place = places()
    cut_at_step(place, 5, *sets())
    shown = place.command("clean", "tiny", "--yes").out
    assert "checkpoints of interrupted runs" in shown
    assert not checkpoints(place)


@pytest.mark.slow
def test_no_checkpoint_is_written_where_none_is_wanted_or_worth_it(places: Places) -> None:
    for setting in ("training.checkpoint=null", "training.checkpoint={every: auto}", "training.checkpoint={every: 1h}"):
        place = places()
        cut_at_step(place, 5, *sets(setting))
        assert not checkpoints(place)


@pytest.mark.parametrize(("every", "steps"), first_of_kind([("2", [2, 4]), ("epoch", [4]), ("1", [3, 4])]))
def test_when_one_is_written(every: str, steps: list[int], places: Places) -> None:
    place = places()
    cut_at_step(place, 6 if every == "epoch" else 5, *sets(f"training.checkpoint.every={every}"))
    assert [int(note.stem) for note in checkpoints(place)] == steps
