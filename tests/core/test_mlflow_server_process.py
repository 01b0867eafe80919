"""A server of our own on this machine: its port is its own, and its end is heard of."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from harness.core.errors import StoreError
from harness.core.mlflow_server_process import free_port, serve
from tests.support.first_of_kind import first_of_kind
from tests.support.study_fixture import Places

ANSWER = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer)
for _ in range(int(sys.argv[2])):
    server.handle_request()
print("that was all", flush=True)
sys.exit(3)
"""


FAMILY = """
import signal, subprocess, sys, time
if sys.argv[1] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
below = subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[3], "1000"])
below.wait()
time.sleep(60 if sys.argv[1] == "stubborn" else 0)
"""

PARENT = """
import sys
from harness.core.mlflow_server_process import serve
kind, family, answer, port = sys.argv[1:]
command = [sys.executable, "-c", family, kind, answer, port]
serve(command, f"http://127.0.0.1:{port}", what="the page", patience=30, announce=lambda: print("here", flush=True))
"""


@pytest.mark.parametrize("kind", ["plain", "stubborn"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_server_and_what_it_started_end_with_whoever_started_it(kind: str, number: signal.Signals) -> None:
    port = free_port()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, kind, FAMILY, ANSWER, str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "here\n"
    below = psutil.Process(parent.pid).children(recursive=True)
    assert len(below) == 3
    start = time.monotonic()
    parent.send_signal(number)
    parent.communicate(timeout=20)
    assert psutil.wait_procs(below, timeout=15)[1] == []
    assert time.monotonic() - start < 10
    assert not _answers(f"http://127.0.0.1:{port}")


def test_a_port_that_is_taken_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        command = [sys.executable, "-c", f"open({str(tmp_path / 'started')!r}, 'w')"]
        with pytest.raises(StoreError, match=rf"the page cannot have port {port}: .*; try another --port"):
            serve(command, f"http://127.0.0.1:{port}", what="the page", patience=5.0, announce=lambda: None)
    assert not (tmp_path / "started").exists()


def test_a_server_that_ends_by_itself_is_heard_of() -> None:
    port, announced = free_port(), list[bool]()
    command = [sys.executable, "-c", ANSWER, str(port), "1"]
    with pytest.raises(StoreError, match=r"the page on .* ended by itself with status 3: that was all; start it again"):
        serve(
            command,
            f"http://127.0.0.1:{port}",
            what="the page",
            patience=60.0,
            announce=lambda: announced.append(True),
        )
    assert announced == [True]


@pytest.mark.parametrize(("number", "status"), first_of_kind([(signal.SIGHUP, 129), (signal.SIGKILL, -9)]))
def test_a_closed_terminal_or_a_kill_ends_the_pages_too(places: Places, number: signal.Signals, status: int) -> None:
    place = places()
    ours = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and would be by the pages too
    pages = place.process("ui", env={"MLFLOW_TRACKING_URI": place.uri})
    signal.signal(signal.SIGHUP, ours)
    assert pages.stdout is not None
    address = next(word for word in pages.stdout.readline().split() if word.startswith("http://"))
    urllib.request.urlopen(f"{address}/health", timeout=10).close()
    below = psutil.Process(pages.pid).children(recursive=True)
    pages.send_signal(number)
    pages.communicate(timeout=60)
    assert pages.returncode == status
    assert psutil.wait_procs(below, timeout=30)[1] == []
    end = time.monotonic() + 30
    while time.monotonic() < end and _answers(address):
        time.sleep(0.2)
    assert not _answers(address)
    with pytest.raises(ProcessLookupError):
        os.kill(pages.pid, 0)


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/health", timeout=2).close()
    except OSError:
        return False
    return True
