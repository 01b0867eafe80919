"""Orders that are heeded while a study runs: between jobs, and between the events of one.

A thread looks at the store, so that one that does not answer holds nothing up; what it says, the driver does. Orders to
leave cells out and to draw more stay on the study's record; those to pause or to stop are taken back when obeyed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace

from harness.core import interrupts
from harness.core.database_urls import sqlite_file
from harness.core.errors import HarnessError
from harness.core.progress import Progress
from harness.runner.executors.protocol import Event, JobQueue, Reply
from harness.study.checked_study import Checked
from harness.study.grid import Cell, begins_with
from harness.tracking.mlflow.mlflow_tracker import find_experiment
from harness.tracking.orders import PAUSE, STOP, Orders
from harness.tracking.store_protocols import RunStore
from harness.tracking.study_record import summary_of

__all__ = ["ObeyingQueue", "OrderWatch", "Stopped"]

BETWEEN = 2.0
"""Seconds between two looks at the store."""

WAITING = 0.2
"""Seconds between two looks at what the thread has heard, while a study pauses."""


class Stopped(HarnessError):
    """A study was told to stop; what is open of it is ended as by Ctrl-C."""


class OrderWatch(AbstractContextManager["OrderWatch"]):
    """What a running study is told, as the store had it last.

    Args:
        checked: The study, as it is written.
        store: Its runs.
        is_fresh: Whether all of it starts over, without what it was told.
    """

    def __init__(self, checked: Checked, store: RunStore, *, is_fresh: bool = False) -> None:
        address = checked.file.address
        file = sqlite_file(address.store)
        # Code of the user's may change the working folder while the thread looks.
        self._address = address._replace(store=f"sqlite:///{file.absolute()}") if file else address
        self._search = checked.study.search.model_dump()
        summary = None if is_fresh else summary_of(store.runs(phase="summary"))
        self._before = Orders.of(summary).state
        """What an earlier command was told."""
        self.orders = Orders.of(summary).heeded(self._search)._replace(state="")
        self._drawn = 0
        """How many more trials the searches have by now."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="harness orders", daemon=True)

    def __exit__(self, *_: object) -> None:
        self._over.set()  # its thread may be asking a server that does not answer

    @property
    def more(self) -> int:
        """How many trials more each search is to have than it has by now."""
        return max(0, self.orders.more - self._drawn)

    def with_more(self, checked: Checked, say: Callable[[str], None]) -> Checked:
        """Return a study with these trials, from here on its own, and tell of all that it was told."""
        if told := self.orders.in_words():
            say(f"as this study was told: {told}; see `harness skip` and `harness more`")
        if not self.more:
            return checked
        study = checked.file.study
        search = study.search.model_copy(update={"trials": study.search.trials + self.more})
        self._drawn += self.more
        return replace(checked, file=replace(checked.file, study=study.model_copy(update={"search": search})))

    def take_up(self, tracker: RunStore, summary: str) -> None:
        """Begin to listen: what the summary run says that does not hold any more is taken back."""
        if Orders.of(tracker.run(summary)) != self.orders:
            tracker.tags(summary, self.orders.tags())
        if not self._thread.is_alive():
            self._thread.start()

    def staying(self, cells: Sequence[Cell], checked: Checked) -> list[Cell]:
        """Return those of some cells that are not left out, nor start from one that is."""
        absent, orders, grid = set[str](), self.orders, checked.cells
        for cell in grid if orders.skipped else ():
            start: Cell | None = cell
            while start and not orders.leaves_out(start.id):
                start = begins_with(start, checked.study, grid)
            absent |= {cell.id} if start else set()
        return [cell for cell in cells if cell.id not in absent]

    def _watch(self) -> None:
        tracker, summary = None, None
        while not self._over.wait(BETWEEN):
            with suppress(Exception):  # the store is busy or away: its last word holds
                if tracker is None or summary is None:
                    tracker = find_experiment(self._address)
                    summary = summary_of(tracker.runs(phase="summary")) if tracker else None
                if tracker and summary:
                    self.orders = self._given_now(Orders.of(tracker.run(summary.id)).heeded(self._search))

    def _given_now(self, orders: Orders) -> Orders:
        """Return orders without one to pause or to stop that stood there before, which is being taken back."""
        if orders.state and orders.state == self._before:
            return orders._replace(state="")
        self._before = ""
        return orders


class ObeyingQueue:
    """A queue whose driver heeds orders; see `harness.runner.executors.protocol.JobQueue`.

    Args:
        queue: The driver's own.
        watch: Hears of orders.
        progress: Is told of pauses.
        opens_anew: Whether it ends early where searches are to have more trials; else they are over.
    """

    def __init__(self, queue: JobQueue, watch: OrderWatch, progress: Progress, *, opens_anew: bool = False) -> None:
        self._queue, self._watch, self._progress, self._opens_anew = queue, watch, progress, opens_anew
        self.cell, self.take = queue.cell, queue.take

    def waiting(self) -> Sequence[str]:
        """Return what may be done now of what is not left out; nothing where searches are to be opened anew."""
        self._obey()
        if self._opens_anew and self._watch.more:
            return []
        orders, names = self._watch.orders, self._queue.waiting()
        return [name for name in names if not orders.leaves_out(self.cell(name))] if orders.skipped else names

    def handle(self, event: Event) -> Reply:
        """Record an event."""
        self._obey()
        return self._queue.handle(event)

    def _obey(self) -> None:
        """Pause for as long as is told.

        Raises:
            Stopped: The study is to stop.
        """
        if self._watch.orders.state == PAUSE:
            self._progress.say("paused, as it was told; `harness resume` has it go on")
            while self._watch.orders.state == PAUSE:
                interrupts.check()
                with interrupts.at_once():
                    time.sleep(WAITING)
            if self._watch.orders.state != STOP:
                self._progress.say("goes on")
        if self._watch.orders.state == STOP:
            raise Stopped("stopped, as it was told by `harness stop`; the same command goes on from here")
