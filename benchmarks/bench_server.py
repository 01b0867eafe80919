"""What logging to a distant tracking server costs: requests and time per trial.

A server with PostgreSQL of its own stands behind a proxy that makes every request 50 ms longer and counts it. Trials
of several lengths log 1,000 metric points each, spread evenly, through the tracker that studies use; between two calls
they wait, so that what is counted is logging alone: the time that calls take, which the trial waits for, and the
processor time of the thread that sends, which it may have to wait for.

A request belongs to the trial that it is about, whenever it was sent.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from proxy import Proxy, Request, proxy
from support import print_table, write_json
from tracking_server import tracking_server

CALLS, AT_ONCE = 99, 10
"""Calls that log points, and points in each; the end of a trial logs the last ten."""

PARAMS = {f"training.{number}": number for number in range(20)}
TAGS = {f"tag {number}": "x" * 20 for number in range(10)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", default="0.1,1,5,9.9,12,30", help="lengths of trials")
    parser.add_argument("--trials", type=int, default=3, help="trials of each length")
    parser.add_argument("--delay", type=float, default=0.05, help="seconds that every request takes longer")
    options = parser.parse_args()
    with contextlib.ExitStack() as place:
        folder = place.enter_context(tempfile.TemporaryDirectory())
        place.enter_context(contextlib.chdir(folder))
        slow = place.enter_context(proxy(place.enter_context(tracking_server(Path(folder))).uri, delay=options.delay))
        os.environ["MLFLOW_TRACKING_URI"] = slow.uri
        found = [measure(float(length), options.trials, slow) for length in options.seconds.split(",")]
    print_table(found)
    write_json("server", {"options": vars(options), "points": (CALLS + 1) * AT_ONCE, "trials": found})


def measure(seconds: float, trials: int, slow: Proxy) -> dict[str, Any]:
    """Run trials of a length, one after another, and return what they took."""
    from harness.tracking.address import StudyAddress, store_uri
    from harness.tracking.choose_store import opened

    name = f"trials-of-{seconds:g}-s"
    with opened(StudyAddress(name, name, store_uri()), print) as tracker:
        tracker.runs()  # as a study begins
        first, before = len(slow.requests), processor_time()
        start = time.perf_counter()
        in_calls = sum(trial(tracker, number, seconds) for number in range(trials))
        wall, sending = time.perf_counter() - start, processor_time() - before
    told = slow.requests[first:]
    by_run = Counter(request.run for request in told if request.run)
    return {
        "trial s": seconds,
        "requests a trial, mean": len(told) / trials,
        "requests a trial, most": max(by_run.values()) + 1,  # the one that starts a run does not name it yet
        "requests a second": len(told) / wall,
        "most in 10 s": busiest(told),
        "calls ms a trial": 1000 * in_calls / trials,
        "sending ms a trial": 1000 * sending / trials,
        "share %": 100 * (in_calls + sending) / wall,
    }


def trial(tracker: Any, number: int, seconds: float) -> float:
    """Log a trial and return how long the calls took."""
    from harness.tracking.store_protocols import DataUse

    data = [DataUse("notes", split, "0" * 32, "notes", "local", 9, ("source",)) for split in ("train", "validation")]
    spent, begin = 0.0, time.perf_counter()
    with timed() as clock:
        run = tracker.start(f"trial {number}", phase="search", parent=None, params=PARAMS, tags=TAGS)
        tracker.inputs(run, data)
    spent += clock[0]
    for step in range(CALLS):
        time.sleep(max(0.0, begin + seconds * (step + 1) / (CALLS + 1) - time.perf_counter()))
        with timed() as clock:
            tracker.metrics(run, {f"metric {part}": step + part / 7 for part in range(AT_ONCE)}, step)
        spent += clock[0]
    time.sleep(max(0.0, begin + seconds - time.perf_counter()))
    with timed() as clock:
        tracker.end(run, tags={"outcome": "complete"}, metrics={f"cost/{part}": part / 7 for part in range(AT_ONCE)})
    return spent + clock[0]


@contextlib.contextmanager
def timed() -> Any:
    """Yield a list that holds the block's seconds at its end."""
    clock, start = [0.0], time.perf_counter()
    yield clock
    clock[0] = time.perf_counter() - start


def processor_time() -> float:
    """Return the seconds of processor time that the sending thread of this process has taken so far."""
    (sender,) = (thread.native_id for thread in threading.enumerate() if thread.name == "harness sender")
    return sum(one.user_time + one.system_time for one in psutil.Process().threads() if one.id == sender)


def busiest(requests: list[Request]) -> int:
    """Return how many requests came in the busiest 10 s."""
    times = [request.time for request in requests]
    return max(sum(begin <= other < begin + 10 for other in times) for begin in times)


if __name__ == "__main__":
    main()
