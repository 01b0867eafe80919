"""Records that wait for a tracking server: on disk, in order, each of them until the server has it.

A journal is a file of lines. A record's line is written before the call that made it returns; a last line without an
end was never acknowledged and is dropped. A note names the records that the server has, and the id that it gave to a
run. What has no note is sent again by whoever opens the file next, so a record must bear being sent twice. The first
note of each process names the format of its lines.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from harness.core.bounded_files import parse_json, read_bytes
from harness.core.errors import StoreError
from harness.core.format_versions import FORMAT, refuse_newer
from harness.tracking.store_protocols import Kind

__all__ = ["Journal", "Record", "unbroken"]

JOURNAL_FORMAT = 1
"""The newest version of lines."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Record(NamedTuple):
    """One thing to tell the server."""

    number: int
    """Its place in the order, from 1."""
    run: str
    """The run's id, the server's or our own."""
    kind: Kind
    content: Mapping[str, Any]


class Journal:
    """The records of one study for one server; safe to use from several threads.

    Args:
        file: Where they are, or will be; another process on the same file is refused.

    Raises:
        filelock.Timeout: Another process has it open.
        StoreError: A line is damaged.
        NewerError: A newer version of the harness wrote some.
    """

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file
        self.names: dict[str, str] = {}
        """Our ids to the server's, of runs that the server has."""
        self._owner = FileLock(file.with_suffix(".lock"), timeout=0)
        self._owner.acquire()
        self._guard = threading.Lock()
        self._descriptor: int | None = None
        self._closed = False
        self._pending = self._read()
        self.left = self._number = max((record.number for record in self._pending), default=0)
        """The last record of earlier processes; whether the server has one of these is not known."""

    def __len__(self) -> int:
        """Return how many records wait."""
        return len(self._pending)

    def waiting(self) -> list[Record]:
        """Return the records that wait, in order."""
        with self._guard:
            return list(self._pending)

    def add(self, run: str, kind: Kind, content: Mapping[str, Any], *, lasting: bool = False) -> Record:
        """Append a record; it outlives a kill from here on.

        Args:
            run: The run's id.
            kind: What to do.
            content: How, as JSON.
            lasting: Wait for the disk, so that it outlives a power cut as well.
        """
        with self._guard:
            record = Record(self._number + 1, run, kind, content)
            self._write(list(record))
            if lasting and self._descriptor is not None:
                os.fsync(self._descriptor)
            self._number = record.number
            self._pending.append(record)
        return record

    def delivered(self, records: Sequence[Record], name: str | None = None) -> None:
        """Note that the server has some records, and how it calls the run that one of them started."""
        with self._guard:
            numbers = {record.number for record in records}
            if self._closed:  # an answer that comes late; the record is sent again
                return
            self._write({"done": sorted(numbers), **({"run": records[0].run, "name": name} if name else {})})
            if name:
                self.names[records[0].run] = name
            self._pending = [record for record in self._pending if record.number not in numbers]

    def close(self) -> None:
        """Let go of the file; where nothing waits, remove it."""
        with self._guard:
            self._closed = True
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
            if not self._pending:
                self.file.unlink(missing_ok=True)
            self._owner.release()

    def _write(self, line: Any) -> None:
        if self._descriptor is None:
            self._descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            self._write({FORMAT: JOURNAL_FORMAT, "done": []})
        rest = json.dumps(line).encode() + b"\n"
        end = os.fstat(self._descriptor).st_size
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            os.ftruncate(self._descriptor, end)  # a full disk: what is told next must not follow half a line
            raise

    def _read(self) -> list[Record]:
        """Return what an earlier process left, and cut off a line that it did not finish."""
        if not self.file.exists():
            return []
        whole, end, _ = read_bytes(self.file).rpartition(b"\n")
        records: dict[int, Record] = {}
        for place, line in enumerate(whole.splitlines(), start=1):
            try:
                self._take(parse_json(line.decode()), records)
            except (ValueError, TypeError, LookupError, AttributeError) as error:
                raise StoreError(
                    f"{self.file}:{place} is damaged: {error!r}; mend it, or move the file away"
                ) from error
        os.truncate(self.file, len(whole) + len(end))
        return list(records.values())

    def _take(self, content: Any, records: dict[int, Record]) -> None:
        """Add a record to those that wait, or take off what a note says that the server has."""
        if isinstance(content, list):
            record = Record(*content)
            records[record.number] = record
            return
        refuse_newer(str(self.file), content.get(FORMAT), JOURNAL_FORMAT)
        for number in content["done"]:
            records.pop(number, None)
        if "name" in content:
            self.names[content["run"]] = content["name"]


@contextmanager
def unbroken() -> Iterator[None]:
    """Let a block run to its end, and only then hear of Ctrl-C or of being asked to end."""
    if threading.current_thread() is not threading.main_thread():  # signals come to the main thread alone
        yield
        return
    held: list[int] = []
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number in SIGNALS:
            signal.signal(number, lambda caught, frame: held.append(caught))
        yield
    finally:
        for number in SIGNALS:
            signal.signal(number, before[number])
    for caught in held[:1]:
        handler = before[signal.Signals(caught)]
        if callable(handler):
            handler(caught, None)  # not raised anew, which would count as a second signal
        else:
            signal.raise_signal(caught)
