"""The seam of executors: one that does jobs in a random order is an entry of the table, and changes no number."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Generator, Sequence
from functools import partial

import pytest
from rich.console import Console

from harness.core.example import Example
from harness.core.workspace import Workspace
from harness.runner.executors.crew import Crew
from harness.runner.executors.executor_table import EXECUTORS
from harness.runner.executors.in_process import InProcess
from harness.runner.executors.protocol import EpochEnded, Event, JobQueue, Reply
from harness.runner.progress_display import PlainProgress
from harness.runner.study import Study
from harness.study.checked_study import Checked
from harness.training.trainer import ModelFacts
from tests.support.study_fixture import Place, Places


class RandomOrder:
    """Does the jobs that wait in a random order; dies, if asked to, after so many epochs."""

    def __init__(
        self,
        checked: Checked,
        workspace: Workspace,
        say: Callable[[str], None],
        crew: Crew,
        *,
        order: random.Random,
        done: list[str],
        dies_after: int,
    ) -> None:
        self._inner, self._order, self._done, self._left = InProcess(checked, workspace, say), order, done, dies_after

    def facts(self) -> ModelFacts:
        return self._inner.facts()

    def open_test(self, examples: Sequence[Example]) -> None:
        self._inner.open_test(examples)

    def recorded(self) -> int:
        return self._inner.recorded()

    def close(self) -> None:
        self._inner.close()

    def run(self, queue: JobQueue) -> Generator[Event, Reply, None]:
        while names := queue.waiting():
            name = self._order.choice(names)
            self._done.append(name)
            events = self._inner.do(queue.take(name))
            event = next(events, None)
            while event is not None:
                if isinstance(event, EpochEnded):
                    self._left -= 1
                    if not self._left:
                        raise KeyboardInterrupt
                reply = yield event
                try:
                    event = events.send(reply)
                except StopIteration:
                    event = None


def run_with(place: Place, seed: int, monkeypatch: pytest.MonkeyPatch, *, dies_after: int = -1) -> list[str]:
    """Run a study by the made-up executor; return the jobs in the order in which they were done."""
    done: list[str] = []
    made = partial(RandomOrder, order=random.Random(seed), done=done, dies_after=dies_after)
    monkeypatch.setitem(EXECUTORS, "random", made)
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.uri)
    progress = PlainProgress(Console(file=io.StringIO()))
    Study.load("study.yaml").run(progress=progress, executor="random")
    return done


@pytest.mark.slow
def test_jobs_in_a_random_order_give_the_same_study(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, place = places(), places()
    whole.run()
    with pytest.raises(KeyboardInterrupt):
        run_with(place, 1, monkeypatch, dies_after=5)
    place.clean()
    ended = len(place.runs("search"))
    done = run_with(place, 2, monkeypatch)
    trials = [name for name in done if " trial " in name]
    cells = [name.rpartition(" trial ")[0] for name in trials]
    assert cells != sorted(cells), "cells are searched by turns"
    assert len(trials) + ended == 8, "nothing that had ended is done again"
    place.clean()
    assert place.results() == whole.results()
    assert run_with(place, 3, monkeypatch) == []
    assert place.results() == whole.results()
    assert place.command("report", "tiny").status == 0
    assert place.results() == whole.results()
    answers = []
    for one in (whole, place):
        rows = one.folder / "rows.jsonl"
        rows.write_text('{"id": "a", "source": "short note about the meeting"}\n', encoding="utf-8")
        assert one.command("predict", "tiny", "--input", "rows.jsonl", "--output", "answers.jsonl").status == 0
        answer = json.loads((one.folder / "answers.jsonl").read_text(encoding="utf-8"))
        answers.append({name: value for name, value in answer.items() if name != "model"})  # it names the base's folder
    assert answers[0] == answers[1]
