"""What stands between a driver and a worker on another machine: a Ray actor, which starts it, relays, and ends with it.

It travels by its code and not by its name, and so uses the standard library alone until it has unpacked the harness
that the driver runs. What passes is pickled here and there: nothing that Ray itself handles knows the harness.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any
from zipfile import ZipFile

__all__ = ["Outpost"]

PREFIX = "prompt-depth-harness-"
"""As `harness.core.scratch` has it, whose next user on the machine removes what a kill has left."""

LOG = "worker.log"

PIECE = 2**25
"""Bytes of a saved model that are sent at once."""


class Outpost:
    """Starts a worker, and has it heard; everything it writes goes to one folder, but what it keeps for later jobs."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = os.open(self._folder, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._worker: Any = None
        self._logged = 0
        self._saved: Path | None = None
        """Where a model is saved, until it is sent."""
        self._unsent: deque[Any] = deque()
        """Messages of the worker, and what makes one when it is sent."""
        self._gone = ""

    def begin(
        self,
        code: bytes,
        study: bytes,
        setup: bytes,
        *,
        libraries: Mapping[str, str],
        environment: Mapping[str, str],
        home: str | None,
        key: str,
    ) -> tuple[str, str, str]:
        """Start the worker.

        Args:
            code: The harness, zipped.
            study: What it works on, pickled.
            setup: The rest of its `Setup`, pickled.
            libraries: Versions that the driver has.
            environment: Added to this process's for the worker.
            home: The workspace; ``None``: this machine's own, ``HARNESS_HOME`` or a folder of temporary files.
            key: What is called so there is this driver's.

        Returns:
            Why it cannot be started, empty where it was; the machine's id, and its name.
        """
        import ray

        context = ray.get_runtime_context()
        place, host = context.get_node_id(), os.uname().nodename
        for library, wanted in libraries.items():
            if (found := _version(library)) != wanted:
                told = f"{host} has {library} {found}, and here it is {wanted}" if found else f"{host} has no {library}"
                return f"{told}; install there: pip install {library}=={wanted}", place, host
        with ZipFile(BytesIO(code)) as archive:
            archive.extractall(self._folder)
        sys.path.insert(0, str(self._folder))
        from harness.runner.executors.worker import Worker

        own = Path(home) if home else _home(key)
        sent = pickle.loads(setup)._replace(study=pickle.loads(study), home=own)
        self._worker = Worker(1, sent, self._folder / LOG, {**environment, "HARNESS_HOME": str(own)})
        return "", place, host

    def exchange(self, messages: Sequence[bytes], seconds: float) -> bytes:
        """Hand messages on, wait for some seconds until there is an answer, and return what there is.

        Returns:
            Pickled: the worker's messages, what it has printed since, and how it ended, empty while it lives.
        """
        for message in messages:
            self._worker.send(self._held_back(pickle.loads(message)))
        if not self._unsent:
            self._listen(time.monotonic() + seconds)
        batch = list[Any]()
        while self._unsent:
            batch.append(self._unsent.popleft())
            if callable(batch[-1]):  # a piece of a model: one at a time
                batch[-1] = batch[-1]()
                break
        return pickle.dumps((batch, self._printed(), "" if self._unsent else self._gone))

    def close(self) -> None:
        """Let a worker that has no job end, and remove the folder."""
        if self._worker is not None:
            self._worker.hang_up()
            self._worker.kill(2.0)
        self.close_folder()

    def close_folder(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)

    def _listen(self, end: float) -> None:
        """Wait until the worker says more than that it lives and how far it is, or has gone, or time is over."""
        from harness.runner.executors.worker_messages import Beat

        worker, latest, found = self._worker, Beat(), list[Any]()
        while not found and not self._gone and (left := end - time.monotonic()) > 0:
            wait([worker.connection], left)
            try:
                for message in worker.messages():
                    if not isinstance(message, Beat):
                        found.append(message)
                    elif message.step is not None:
                        latest = message
                if worker.is_silent():
                    self._gone = worker.end()
            except EOFError:
                self._gone = worker.end()
        if latest.step is not None:
            self._unsent.append(latest)
        if found and self._saved is not None:
            self._unsent += self._pieces(self._saved)
            self._saved = None
        self._unsent += found

    def _held_back(self, message: Any) -> Any:
        """Return a message as the worker gets it: what it is to save is saved here first."""
        from harness.runner.executors.protocol import Reply

        if isinstance(message, Reply) and message.save:
            self._saved = Path(tempfile.mkdtemp(dir=self._folder)) / "model"
            return message._replace(save=str(self._saved))
        return message

    def _pieces(self, folder: Path) -> Iterator[Callable[[], Any]]:
        """Yield what reads a piece of a file each, the last of which removes the folder."""
        from harness.runner.executors.worker_messages import Saved

        def read(file: Path, start: int, is_last: bool) -> Any:
            with file.open("rb") as opened:
                opened.seek(start)
                piece = Saved(str(file.relative_to(folder)), opened.read(PIECE))
            if is_last:
                shutil.rmtree(folder.parent)
            return piece

        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        parts = [(file, start) for file in files for start in range(0, max(1, file.stat().st_size), PIECE)]
        for number, (file, start) in enumerate(parts, 1):
            yield partial(read, file, start, number == len(parts))

    def _printed(self) -> bytes:
        """Return what the worker has printed since this was asked last."""
        with suppress(FileNotFoundError), (self._folder / LOG).open("rb") as file:
            file.seek(self._logged)
            text = file.read()
            self._logged += len(text)
            return text
        return b""


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def _home(key: str) -> Path:
    """Return what this machine keeps for a driver: recordings, and checkpoints for another worker to go on with.

    Raises:
        PermissionError: Somebody else has a folder of its name.
    """
    if named := os.environ.get("HARNESS_HOME"):
        return Path(named)
    folder = Path(tempfile.gettempdir()) / f"harness-ray-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user; remove it, or set HARNESS_HOME on this machine")
    return folder / key
