"""The worker processes of a study that runs, found as the system lists them."""

from __future__ import annotations

import time

import psutil

from tests.support.study_fixture import Place

__all__ = ["gone", "worker_processes"]

MODULE = "harness.runner.executors.worker_process"


def worker_processes(place: Place) -> list[psutil.Process]:
    """Return the workers of a place, youngest last: not what starts them and ends them with their driver."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd", "create_time"]):
        command = process.info["cmdline"] or []
        if MODULE in command and command[1:2] == ["-P"] and process.info["cwd"] == str(place.folder):
            found.append(process)
    return sorted(found, key=lambda process: float(process.info["create_time"]))


def gone(place: Place, seconds: float = 8.0) -> bool:
    """Return whether all workers of a place end within some seconds."""
    end = time.monotonic() + seconds
    while worker_processes(place):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
