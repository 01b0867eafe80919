"""How ``harness serve`` begins and ends: whom it warns, what it refuses to start with, signals, kills."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from harness.core.errors import StoreError, UserError
from harness.core.permissions import Permissions
from harness.data.template import Template
from harness.models.load import Loaded
from harness.serving.answer_queue import PLACES
from harness.serving.callers import Callers, token_from
from harness.serving.http_server import Refused, Request
from harness.serving.serve import serve_model
from tests.support.model_folders import folder_of
from tests.support.served_model import Served, serving

LONG = json.dumps({"inputs": ["a short note about the meeting"] * 1_000}).encode()


@pytest.fixture(scope="module")
def model(tiny: Callable[..., Loaded], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tiny("gpt2"), tmp_path_factory.mktemp("served"), Template("bare", "{{ source }}\n", "source"))


def ask_for_long(served: Served) -> socket.socket:
    """Ask for a thousand answers, and do not wait."""
    client = served.connect()
    head = f"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(LONG)}\r\n"
    client.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + LONG)
    return client


def spent(served: Served) -> float:
    times = psutil.Process(served.process.pid).cpu_times()
    return float(times.user + times.system)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_while_it_answers(model: Path, number: signal.Signals, status: int) -> None:
    with serving(model) as served, closing(ask_for_long(served)) as client:
        time.sleep(1.0)
        start = time.monotonic()
        served.process.send_signal(number)
        out, err = served.process.communicate(timeout=10)
        assert time.monotonic() - start < 10
        assert served.process.returncode == status
        assert out.splitlines()[-1] == "stopped"
        assert err == ""
        assert b" 503 " in client.recv(65_536)


@pytest.mark.slow
def test_a_client_that_leaves_stops_its_generation(model: Path) -> None:
    with serving(model) as served:
        with closing(ask_for_long(served)):
            time.sleep(1.0)
            assert spent(served) > 0
        time.sleep(0.5)
        before = spent(served)
        time.sleep(1.0)
        assert spent(served) - before < 0.3
        assert served.ask({"inputs": ["a note"]}).status == 200


@pytest.mark.slow
def test_those_that_wait_are_bounded_and_nothing_is_left_behind_by_a_kill(model: Path) -> None:
    with serving(model) as served:
        clients = [ask_for_long(served) for _ in range(PLACES)]
        time.sleep(1.0)
        answer = served.ask({"inputs": ["a note"]})
        assert (answer.status, answer.headers["retry-after"]) == (503, "10")
        assert served.ask(b"", method="GET", path="/ping").status == 200
        assert psutil.Process(served.process.pid).children() == []
        served.process.kill()
        served.process.wait()
        with pytest.raises(OSError, match="refused"):
            served.connect()
        for client in clients:
            client.close()


@pytest.mark.slow
def test_whoever_opens_it_to_others_is_warned(model: Path) -> None:
    with serving(model, "--host", "0.0.0.0", "--token", "abc") as served:
        assert served.ask(b"", method="GET", path="/ping").status == 200
        assert served.ask(b"", method="GET", path="/ping", host="evil.example").status == 421
        assert served.ask({"inputs": ["a"]}).status == 401
        assert served.ask({"inputs": ["a"]}, authorization="bearer abc", host=socket.gethostname()).status == 200
        served.process.terminate()
        out, _ = served.process.communicate(timeout=20)
    warnings = [line for line in out.splitlines() if line.startswith("warning: ")]
    assert ["--host 0.0.0.0" in warnings[0], "HARNESS_TOKEN" in warnings[1]] == [True, True]


STUCK = """
import asyncio, socket, sys, time
from harness.serving.answer_queue import AnswerQueue
from harness.serving.callers import Callers
from harness.serving.scoring_service import ScoringService
from harness.serving.serve import serve_until_signal

def stuck(rows, *, skip, wanted):
    time.sleep(60)  # as one long computation, which asks nobody

listener = socket.create_server(("127.0.0.1", 0))
queue = AnswerQueue(stuck)
print(f"at :{listener.getsockname()[1]}/", flush=True)
service = ScoringService(Callers("127.0.0.1", "127.0.0.1", None), queue, ["source"])
number = asyncio.run(serve_until_signal(service, listener, queue, print))
sys.exit(128 + number)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("signals", "seconds"), [(1, 9.0), (2, 2.0)])
def test_it_ends_in_time_even_inside_one_long_computation_and_at_once_when_asked_twice(
    signals: int, seconds: float
) -> None:
    process = subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2].partition("/")[0])
        with closing(ask_for_long(Served(process, port, ""))):
            time.sleep(0.5)
            start = time.monotonic()
            for _ in range(signals):
                process.terminate()
                time.sleep(0.3)
            assert process.wait(timeout=15) == 143
            assert time.monotonic() - start < seconds
    finally:
        process.kill()
        process.communicate()


def test_a_port_in_use_and_an_address_of_nobody_are_refused_before_the_model_is_read(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for host, number, says in (
            ("127.0.0.1", port, f"--port {port}: .*in use"),
            ("192.0.2.1", None, "--host '192.0.2.1'"),
            ("", None, "--host ''"),
            ("no.such.host.invalid", None, "--host 'no.such.host.invalid'"),
        ):
            with pytest.raises(StoreError, match=says) as refused:
                serve_model(
                    str(tmp_path / "none"), host=host, port=number, token=None, tell=print, allowed=Permissions()
                )
            assert "\n" not in str(refused.value)


@pytest.mark.parametrize("token", ["", " ", "a b", "a\n", "\xe9"])
def test_a_token_that_is_none_is_refused(token: str) -> None:
    with pytest.raises(UserError, match="visible ASCII"):
        token_from(token, {})
    with pytest.raises(UserError, match="visible ASCII"):
        token_from(None, {"HARNESS_TOKEN": token})


def test_the_command_line_goes_before_the_environment() -> None:
    assert token_from("a", {"HARNESS_TOKEN": "b"}) == "a"
    assert token_from(None, {"HARNESS_TOKEN": "b"}) == "b"
    assert token_from(None, {}) is None


@pytest.mark.parametrize(
    ("bound", "host", "here"),
    [
        (("127.0.0.1", "127.0.0.1"), "127.0.0.1:80", True),
        (("127.0.0.1", "127.0.0.1"), "192.168.0.1", False),
        (("localhost", "127.0.0.1"), socket.gethostname() + ".evil.example", False),
        (("::1", "::1"), "[::1]:80", True),
        (("0.0.0.0", "0.0.0.0"), "192.168.0.1:80", True),
        (("0.0.0.0", "0.0.0.0"), "[fe80::1]", True),
        (("0.0.0.0", "0.0.0.0"), "192.168.evil.example", False),
        (("box.example", "192.0.2.1"), "Box.Example:80", True),
        (("box.example", "192.0.2.1"), "evil.example", False),
        (("box.example", "192.0.2.1"), "box.example.", False),
        (("127.0.0.1", "127.0.0.1"), "2130706433", False),
        (("127.0.0.1", "127.0.0.1"), "127.0.0.1:80:80", False),
    ],
)
def test_only_names_that_nobody_else_can_point_here_are_this_server(
    bound: tuple[str, str], host: str, here: bool
) -> None:
    callers, request = Callers(*bound, None), Request("GET", "/ping", [("host", host)])
    if here:
        callers.see_address(request)
        return
    with pytest.raises(Refused):
        callers.see_address(request)
