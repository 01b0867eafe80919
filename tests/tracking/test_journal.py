"""Records on their way to a tracking server: whatever fails, and wherever a process is killed, all arrive once."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.core.errors import NewerError, StoreAway, StoreError
from harness.tracking.mlflow.write_run import ENTRIES, TOTAL
from harness.tracking.schema import Tags
from harness.tracking.server_outage.journal import Journal, Record, unbroken
from harness.tracking.server_outage.sender import Sender, merged, step_of
from tests.support.faulty_store import FAULTS, Faulty, Store, deeds, killed_in_silence
from tests.support.full_files import files_end_at

pytestmark = pytest.mark.usefixtures(killed_in_silence.__name__)


class Process:
    """A process that is started again whenever it was killed, on one journal."""

    def __init__(self, file: Path, server: Any) -> None:
        self._file, self._server = file, server
        self._open()

    def _open(self) -> None:
        self.journal = Journal(self._file)
        self.sender = Sender("there", self.journal, self._server, linger=0.0, pause=lambda tries: 0.0)

    def alive(self) -> bool:
        return self.sender._thread.is_alive()

    def kill(self, torn: bytes = b"") -> None:
        """End as SIGKILL does, in the middle of a write, and start again."""
        self.sender.close()
        self.journal._owner.release()
        if self.journal._descriptor is not None:
            os.close(self.journal._descriptor)
        if torn:
            with self._file.open("ab") as file:
                file.write(torn)
        self._open()

    def write(self, record: tuple[str, str, dict[str, Any]], *, torn: bytes = b"") -> None:
        if not self.alive():
            self.kill(torn)
        self.journal.add(*record)  # type: ignore[arg-type]
        self.sender.wake()

    def finish(self) -> None:
        while True:
            try:
                if self.sender.drain(lambda trouble: None):
                    break
            except StoreError:
                self.kill()
        self.sender.close()
        self.journal.close()


def records(plan: Sequence[Any]) -> list[tuple[str, str, dict[str, Any]] | None]:
    """Return what a plan writes; ``None`` where the process is killed."""
    started: list[str] = []
    counter = itertools.count(1)
    made: list[tuple[str, str, dict[str, Any]] | None] = []
    for deed, *rest in plan:
        if deed == "kill":
            made.append(None)
            continue
        if deed == "start":
            parent = {Tags.PARENT: started[rest[0] % len(started)]} if started and rest[0] >= 0 else {}
            started.append(f"{len(started):032x}")
            made.append((started[-1], "start", {"name": f"run {len(started)}", "tags": parent, "time": next(counter)}))
        elif started:
            made.append((started[rest[0] % len(started)], *_written(deed, rest[1:], counter)))
    return made


def _written(deed: str, rest: Sequence[Any], counter: Iterator[int]) -> tuple[str, dict[str, Any]]:
    number = next(counter)
    if deed == "points":
        return "log", {"metrics": [["loss", float(next(counter)), step, number] for step in range(rest[0])]}
    if deed == "params":
        return "log", {"params": {f"{rest[0]}{number}": str(number)}}
    if deed == "tags":
        return "log", {"tags": {rest[0]: str(number)}}
    if deed == "text":
        return "text", {"text": f"{rest[0]} {number}\nänd", "file": f"{rest[0]}.txt"}
    if deed == "inputs":
        return "inputs", {"used": [{"name": rest[0]}]}
    return "update", {"status": "FINISHED", "time": number} if deed == "end" else {"name": f"{rest[0]} {number}"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.lists(deeds, max_size=25), faults=st.lists(st.sampled_from(FAULTS), max_size=30))
def test_whatever_fails_the_store_ends_as_without_failures(
    plan: list[Any], faults: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    faulty, plain = Store(), Store()
    process = Process(folder / "faulty.jsonl", Faulty(faulty, iter(faults)))
    other = Process(folder / "plain.jsonl", plain)
    for record in records([("start", -1), *plan]):
        if record is None:
            process.kill(torn=b'[99, "0", "log", {"tags": {"torn"')
        else:
            process.write(record, torn=b'{"done": [1')
            other.write(record)
    process.finish()
    other.finish()
    assert faulty.said() == plain.said()
    assert not (folder / "faulty.jsonl").exists()


def log(number: int, run: str = "a", **content: Any) -> Record:
    return Record(number, run, "log", content)


def test_a_batch_takes_along_what_it_can() -> None:
    text, other = Record(2, "a", "text", {}), log(4, "b", tags={"x": "1"})
    first, third, fifth = log(1, tags={"x": "1"}), log(3, params={"p": "2"}), log(5, tags={"x": "2"})
    assert [record.number for record in step_of([first, text, third, other, fifth])] == [1, 3]
    assert step_of([text, first]) == [text]
    assert step_of([first, Record(6, "a", "update", {"status": "FINISHED"}), third]) == [first]
    assert step_of([]) == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(0, 1000)), min_size=1, max_size=12))
def test_a_batch_keeps_mlflows_limits(sizes: list[tuple[int, int, int]]) -> None:
    waiting = []
    for number, (params, tags, points) in enumerate(sizes):
        content = {
            "params": {f"{number} {i}": "" for i in range(params)},
            "tags": {f"{number} {i}": "" for i in range(tags)},
            "metrics": [["m", 0.0, i, number] for i in range(min(points, TOTAL - params - tags))],
        }
        waiting.append(log(number, **content))
    sent = []
    while step := step_of(waiting):
        batch = merged(record.content for record in step)
        assert len(batch["params"]) <= ENTRIES
        assert len(batch["tags"]) <= ENTRIES
        assert sum(map(len, batch.values())) <= TOTAL
        sent += step
        waiting = waiting[len(step) :]
    assert [record.number for record in sent] == list(range(len(sizes)))


def test_in_a_batch_the_first_param_stays_and_the_last_tag_wins() -> None:
    batch = merged([{"params": {"p": "1"}, "tags": {"t": "1"}}, {"params": {"p": "2"}, "tags": {"t": "2"}}])
    assert batch == {"params": {"p": "1"}, "tags": {"t": "2"}, "metrics": []}


def test_a_refusal_stops_the_sender_and_keeps_the_records(tmp_path: Path) -> None:
    class Refusing(Store):
        def log(self, run: str, content: Mapping[str, Any]) -> None:
            raise StoreError("no such run")

    process = Process(tmp_path / "j.jsonl", Refusing())
    process.write(("a", "start", {"name": "run", "tags": {}, "time": 1}))
    process.write(("a", "log", {"tags": {"x": "1"}}))
    with pytest.raises(StoreError, match=r"no such run; 1 records wait in .*j\.jsonl; move it away"):
        process.sender.drain(lambda trouble: None)
    process.kill()
    (left,) = process.journal.waiting()
    assert left.content == {"tags": {"x": "1"}}


def test_a_drain_says_why_it_waits_and_gives_up_in_time(tmp_path: Path) -> None:
    class Away(Store):
        def start(self, content: Mapping[str, Any]) -> str:
            raise StoreAway("no answer from there", "refused")

    process = Process(tmp_path / "j.jsonl", Away())
    process.write(("a", "start", {"name": "run", "tags": {}, "time": 1}))
    heard: list[str] = []
    assert not process.sender.drain(lambda trouble: heard.append(trouble.reason), seconds=0.5)
    assert heard == ["refused"]
    process.sender.close()


def test_what_comes_during_a_request_is_gathered_for_the_next_round(tmp_path: Path) -> None:
    class Slow(Store):
        requests = 0

        def log(self, run: str, content: Mapping[str, Any]) -> None:
            time.sleep(0.05)
            self.requests += 1
            super().log(run, content)

    store, journal = Slow(), Journal(tmp_path / "j.jsonl")
    sender = Sender("there", journal, store, linger=0.5)
    journal.add("0", "start", {"name": "run", "tags": {}, "time": 1})
    for step in range(100):
        journal.add("0", "log", {"metrics": [["loss", 1.0, step, step]]})
        sender.wake()
        time.sleep(0.02)
    rounds = store.requests
    assert sender.drain(lambda trouble: None)
    assert 1 <= rounds <= 5, "one a round, in 2 s or somewhat more"
    assert len(store.runs["server-0"]["points"]) == 100
    sender.close()
    journal.close()


def test_one_process_has_a_journal_at_a_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    with pytest.raises(filelock.Timeout):
        Journal(tmp_path / "j.jsonl")
    journal.close()
    Journal(tmp_path / "j.jsonl").close()


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "j.jsonl"
    file.write_bytes(b'[1, "a", "log", {}]\n[2, "a"#\n')
    with pytest.raises(StoreError, match=r"j\.jsonl:2 is damaged"):
        Journal(file)


def test_a_signal_waits_for_the_end_of_the_block() -> None:
    reached = []

    def block() -> None:
        with unbroken():
            signal.raise_signal(signal.SIGINT)
            reached.append("the end")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert reached == ["the end"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def lines(*content: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in content)


def test_a_journal_says_its_version(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.add("run", "log", {})
    first = json.loads(journal.file.read_bytes().splitlines()[0])
    journal.close()
    assert first == {"format": 1, "done": []}, "which earlier versions read as a note of nothing"


def test_a_journal_of_a_newer_version_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    file.write_bytes(lines([1, "run", "log", {}], {"format": 2, "done": []}, {"of": "later"}) + b'[2, "ru')
    before = file.read_bytes()
    with pytest.raises(NewerError, match=r"journal\.jsonl was written by a newer version \(format 2, .* up to 1\)"):
        Journal(file)
    assert file.read_bytes() == before


def test_a_journal_without_a_version_is_read_and_gone_on_with(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    file.write_bytes(lines([1, "run", "log", {}], [2, "run", "log", {}], {"done": [1]}))
    journal = Journal(file)
    journal.add("run", "log", {})
    assert [record.number for record in journal.waiting()] == [2, 3]
    journal.close()
    again = Journal(file)
    assert [record.number for record in again.waiting()] == [2, 3]
    again.close()


@pytest.mark.parametrize("line", [{"format": "x", "done": []}, {"what": 1}, [1, "run"], 7, None, {"done": 3}])
def test_a_line_that_means_nothing_is_damage(line: Any, tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    file.write_bytes(lines([1, "run", "log", {}], line))
    with pytest.raises(StoreError, match="journal.jsonl:2 is damaged"):
        Journal(file)
    assert file.exists()


@pytest.mark.parametrize("room", [0, 1, 20])
def test_a_disk_that_fills_leaves_no_half_of_a_line(room: int, tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    journal = Journal(file)
    first = journal.add("run", "update", {"name": "one"})
    with files_end_at(file.stat().st_size + room), pytest.raises(OSError, match="too large"):
        journal.add("run", "update", {"name": "two"})
    third = journal.add("run", "update", {"name": "three"})
    journal.close()
    again = Journal(file)
    assert again.waiting() == [first, third]
    again.close()
