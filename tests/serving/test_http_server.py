"""The HTTP server over real sockets: every limit of bytes, seconds and places, and what a broken client is told."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import pytest

from harness.serving.http_server import HttpServer, Limits, Refused, Reply, Request

LIMITS = Limits(
    head_bytes=2_000,
    body_bytes=100_000,
    head_seconds=0.6,
    body_seconds=0.9,
    answer_seconds=1.5,
    write_seconds=1.0,
    linger_seconds=1.0,
    connections=6,
)


class Echo:
    """Answers with the length of the body; ``/slow`` takes ten seconds, ``/broken`` fails, ``/large`` says a lot."""

    def __init__(self) -> None:
        self.given_up: list[str] = []

    def admit(self, request: Request) -> Reply | None:
        if request.path == "/head":
            return Reply(200, b"{}")
        if request.path == "/no":
            raise Refused(418, "no tea here; ask for coffee")
        return None

    async def answer(self, request: Request, body: bytes) -> Reply:
        if request.path == "/broken":
            raise RuntimeError("\x1b[31mred")
        if request.path == "/large":
            return Reply(200, bytes(50_000_000))
        if request.path == "/slow":
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                self.given_up.append(body.decode())
                raise
        return Reply(200, json.dumps(len(body)).encode())


class Running(NamedTuple):
    port: int
    echo: Echo
    told: list[str]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(self, sent: bytes) -> tuple[int, dict[str, str], bytes]:
        with closing(self.connect()) as client:
            client.sendall(sent)
            return answer_of(client)


def answer_of(client: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body; the server closes behind them."""
    said = b""
    while piece := client.recv(65_536):
        said += piece
    head, _, body = said.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert headers["connection"] == "close"
    assert headers["content-type"] == "application/json"
    return int(first.split()[1]), headers, body


def sentence(body: bytes) -> str:
    said = json.loads(body)
    assert set(said) == {"error_code", "message"}
    assert "\n" not in said["message"]
    return str(said["message"])


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: here", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    echo, told, loop = Echo(), list[str](), asyncio.new_event_loop()
    server = HttpServer(echo, told.append, LIMITS)
    started = loop.run_until_complete(asyncio.start_server(server.connected, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield Running(started.sockets[0].getsockname()[1], echo, told)
    loop.call_soon_threadsafe(started.close)
    asyncio.run_coroutine_threadsafe(server.close(0.1), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_request_is_answered_once_and_the_connection_closed(running: Running) -> None:
    assert running.ask(post("/", b"12345"))[::2] == (200, b"5")
    assert running.ask(post("/", b"1") + post("/", b"22"))[::2] == (200, b"1")  # what is sent behind it asks again
    assert running.ask(b"GET /head?x=1 HTTP/1.1\r\nHost: here\r\n\r\n")[::2] == (200, b"{}")
    assert running.ask(b"HEAD /head HTTP/1.1\r\nHost: here\r\n\r\n")[::2] == (200, b"")
    assert running.ask(b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab")[::2] == (200, b"2")
    chunked = b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    assert running.ask(chunked)[::2] == (200, b"5")


def test_a_client_that_waits_to_be_asked_for_the_body_is_asked_or_refused(running: Running) -> None:
    for declared, expected in ((3, b"HTTP/1.1 100"), (10**6, b"HTTP/1.1 413")):
        with closing(running.connect()) as client:
            lines = ["POST / HTTP/1.1", "Host: here", f"Content-Length: {declared}", "Expect: 100-continue", "", ""]
            client.sendall("\r\n".join(lines).encode())
            assert client.recv(12) == expected


@pytest.mark.parametrize(
    ("sent", "status", "says"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "no valid HTTP"),
        (b"GET /\r\n\r\n", 400, "no valid HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "no valid HTTP"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "Host"),
        (b"GET / HTTP/1.1\r\nHost: here\r\nBad Name: 1\r\n\r\n", 400, "no valid HTTP"),
        (b"GET / HTTP/1.1\r\nHost: here\r\nX: \x1b[31m\x00\r\n\r\n", 400, "no valid HTTP"),
        (b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: -1\r\n\r\n", 400, "Content-Length"),
        (b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "Content-Length"),
        (b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n", 400, "Content-Length"),
        (b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "no valid HTTP"),
        (b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "no valid HTTP"),
        (b"GET / HTTP/1.1\r\nHost: here\r\nX: " + b"x" * 5_000 + b"\r\n\r\n", 431, "2,000 bytes"),
        (b"GET /" + b"x" * 5_000, 431, "2,000 bytes"),
        (post("/", bytes(100_001)), 413, "100,000 bytes"),
        (b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 99999999999\r\n\r\n", 413, "100,000 bytes"),
        (
            b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n" + b"8\r\n12345678\r\n" * 20_000,
            413,
            "100",
        ),
        (post("/no", b"1"), 418, "no tea here"),
    ],
)
def test_each_is_refused_with_a_sentence(running: Running, sent: bytes, status: int, says: str) -> None:
    found, _, body = running.ask(sent)
    assert found == status
    assert says in sentence(body)
    assert b"\x1b" not in body


def test_a_body_far_too_large_is_read_to_its_refusal_and_not_kept(running: Running) -> None:
    with closing(running.connect()) as client:
        client.sendall(post("/", b"")[:-4].replace(b"Length: 0", b"Length: 50000000") + b"\r\n\r\n")
        for _ in range(500):  # as clients do that send all before they read
            client.sendall(bytes(100_000))
        assert answer_of(client)[0] == 413


def test_noise_is_answered_or_closed_and_the_next_is_served(running: Running) -> None:
    draw = random.Random(5)
    for _ in range(60):
        whole = post("/", b"12345", "X: y")
        kind = draw.choice(["noise", "cut", "changed"])
        if kind == "noise":
            sent = draw.randbytes(draw.randrange(1, 400))
        elif kind == "cut":
            sent = whole[: draw.randrange(1, len(whole))]
        else:
            place = draw.randrange(len(whole))
            sent = whole[:place] + draw.randbytes(1) + whole[place + 1 :]
        with closing(running.connect()) as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            said = b"".join(iter(lambda client=client: client.recv(65_536), b""))
        assert said == b"" or said.startswith(b"HTTP/1.1 ")
        assert b"Traceback" not in said
    assert running.ask(post("/", b"12345"))[0] == 200
    assert running.told == [] or all("RuntimeError" in line for line in running.told)


def slowly(client: socket.socket, sent: bytes, pause: float) -> tuple[float, bytes]:
    """Send a byte at a time until the server has had enough; return when that was, and what it said."""
    start, said = time.monotonic(), b""
    client.settimeout(pause)
    for byte in sent:
        try:
            client.sendall(bytes([byte]))
            said += client.recv(65_536)
            return time.monotonic() - start, said
        except TimeoutError:
            continue
    raise AssertionError("it listened to the end")


def test_slow_headers_and_slow_bodies_end_in_time(running: Running) -> None:
    with closing(running.connect()) as client:
        took, said = slowly(client, b"GET / HTTP/1.1\r\nHost: here\r\n" + b"X: y\r\n" * 30, 0.05)
        assert said.startswith(b"HTTP/1.1 408")
        assert 0.4 < took < 2
    with closing(running.connect()) as client:
        client.sendall(post("/", b"")[:-4].replace(b"Length: 0", b"Length: 90") + b"\r\n\r\n")
        took, said = slowly(client, b"x" * 90, 0.05)
        assert said.startswith(b"HTTP/1.1 408")
        assert 0.7 < took < 2.5


def test_a_client_that_says_nothing_is_sent_away(running: Running) -> None:
    with closing(running.connect()) as client:
        start = time.monotonic()
        status, _, body = answer_of(client)
        assert (status, time.monotonic() - start < 2) == (408, True)
        assert "0.6 s" in sentence(body)


def test_an_answer_that_takes_too_long_is_given_up(running: Running) -> None:
    status, _, body = running.ask(post("/slow", b"late"))
    assert status == 504
    assert "1.5 s; send fewer rows" in sentence(body)
    assert "late" in running.echo.given_up


def test_the_answer_for_a_client_that_left_is_given_up(running: Running) -> None:
    with closing(running.connect()) as client:
        client.sendall(post("/slow", b"gone"))
        time.sleep(0.2)
    end = time.monotonic() + 1
    while "gone" not in running.echo.given_up and time.monotonic() < end:
        time.sleep(0.02)
    assert "gone" in running.echo.given_up


def test_a_client_that_does_not_read_its_answer_is_left(running: Running) -> None:
    with closing(running.connect()) as client:
        client.sendall(post("/large", b""))
        time.sleep(2.5)
        assert sum(map(len, iter(lambda: client.recv(1_000_000), b""))) < 50_000_000


def test_what_fails_is_told_in_a_line_and_the_next_is_answered(running: Running) -> None:
    status, _, body = running.ask(post("/broken", b""))
    assert status == 500
    assert "RuntimeError" in sentence(body)
    assert "red" not in sentence(body)
    assert running.told[-1].isprintable()
    assert "x1b[31mred" in running.told[-1]
    assert running.ask(post("/", b"1"))[0] == 200


def test_more_clients_than_places_are_told_to_come_back(running: Running) -> None:
    clients = [running.connect() for _ in range(LIMITS.connections)]
    time.sleep(0.1)
    status, headers, body = running.ask(post("/", b"1"))
    assert (status, "retry-after" in headers) == (503, True)
    assert "6 clients" in sentence(body)
    for client in clients:
        client.close()
    time.sleep(0.1)
    assert running.ask(post("/", b"1"))[0] == 200
