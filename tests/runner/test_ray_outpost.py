"""What stands between a driver and a worker elsewhere: it relays in order, tells who has gone, sends models apart."""

from __future__ import annotations

import pickle
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.progress import Step
from harness.runner.executors import ray_outpost
from harness.runner.executors.protocol import Ended, Reply
from harness.runner.executors.ray_outpost import Outpost
from harness.runner.executors.worker_messages import Beat, Saved
from harness.study.package_archive import package_archive
from harness.study.packaged_files import packaged

ENDED = Ended("bare/head seed 11", "complete", "", "", {}, {}, {})


class Talker:
    """Stands for a worker: says what it is told to, saves a model where it is asked to, then goes."""

    def __init__(self, says: Sequence[Any], model: dict[str, bytes] | None = None, *, goes: bool = False) -> None:
        self.connection, self._theirs = Pipe()
        self._says, self._model, self._goes = list(says), model or {}, goes
        self.heard = list[Any]()
        self._theirs.send("")

    def send(self, message: Any) -> None:
        self.heard.append(message)
        for name, content in self._model.items():
            file = Path(message.save) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def messages(self) -> Iterator[Any]:
        yield from self._says
        self._says = []
        if self._goes:
            raise EOFError

    def is_silent(self) -> bool:
        return False

    def end(self) -> str:
        return "ended with status 3"


def outpost_of(talker: Talker) -> Outpost:
    made = Outpost()
    made._worker = talker
    return made


def answers(outpost: Outpost, *messages: Any) -> tuple[list[Any], str]:
    """Return all that is answered, until nothing is or the worker has gone."""
    found, gone, sent = list[Any](), "", [pickle.dumps(message) for message in messages]
    while not gone:
        said, _, gone = pickle.loads(outpost.exchange(sent, 0.01))
        found, sent = [*found, *said], []
        if not said:
            break
    return found, gone


@given(sizes=st.lists(st.integers(0, 70), max_size=4), piece=st.integers(1, 40))
def test_a_model_comes_whole_and_before_what_follows(sizes: list[int], piece: int) -> None:
    model = {f"part{number % 2}/{number}.bin": bytes([number]) * size for number, size in enumerate(sizes)}
    talker = Talker([ENDED], model)
    outpost = outpost_of(talker)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ray_outpost, "PIECE", piece)
        found, gone = answers(outpost, Reply(save="/nowhere/on/this/machine"))
    (told,) = talker.heard
    assert told.save.startswith(tempfile.gettempdir())
    *pieces, last = found
    assert (last, gone) == (ENDED, "")
    assert all(isinstance(one, Saved) and len(one.piece) <= piece for one in pieces)
    whole = dict.fromkeys(model, b"")
    for one in pieces:
        whole[one.file] += one.piece
    assert whole == model
    assert not (sizes and Path(told.save).exists())
    outpost.close_folder()


def test_a_batch_holds_one_piece_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_outpost, "PIECE", 4)
    outpost = outpost_of(Talker([ENDED], {"model.bin": b"123456789"}))
    first, _, _ = pickle.loads(outpost.exchange([pickle.dumps(Reply(save="there"))], 0.01))
    assert first == [Saved("model.bin", b"1234")]
    outpost.close_folder()


def test_that_a_worker_has_gone_is_told_behind_its_last_words() -> None:
    outpost = outpost_of(Talker([Beat(), ENDED], goes=True))
    assert answers(outpost) == ([ENDED], "ended with status 3")
    outpost.close_folder()


def test_how_far_a_job_is_is_told_once_and_signs_of_life_are_not() -> None:
    steps = [Beat("a job", Step("training", number, 9)) for number in (1, 2)]
    outpost = outpost_of(Talker([Beat(), *steps, Beat()]))
    assert answers(outpost) == ([steps[-1]], "")
    outpost.close_folder()


def test_the_package_travels_with_its_tasks_and_nothing_that_was_compiled() -> None:
    with zipfile.ZipFile(BytesIO(package_archive())) as archive:
        names = set(archive.namelist())
        assert archive.read("harness/tasks/summarization.py") == (packaged() / "summarization.py").read_bytes()
    package = Path(ray_outpost.__file__).parents[2]
    assert {f"harness/{file.relative_to(package)}" for file in package.rglob("*.py")} <= names
    assert all(name.startswith("harness/") and "__pycache__" not in name for name in names)
    assert any(name.startswith("harness/tasks/base_model/") for name in names)
