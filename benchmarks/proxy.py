"""A way to a tracking server that takes its time, counts, and can ask who is there."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

PASSED_ON = ("connection", "keep-alive", "transfer-encoding", "content-length")
"""Headers that belong to one connection, and so are made anew."""


class Request(NamedTuple):
    """One request that came by."""

    time: float
    """When, on the clock of `time.monotonic`."""
    method: str
    path: str
    run: str
    """The id of the run that it tells something about, where it names one."""


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a server.

    Args:
        target: The server's address.
        delay: Seconds that every request takes longer.
        authorization: What the header of this name must say, if anything; else the answer is 401.
    """

    daemon_threads = True

    def __init__(self, target: str, *, delay: float = 0.0, authorization: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.target = urlsplit(target).netloc
        self.delay, self.authorization = delay, authorization
        self.requests: list[Request] = []

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that was killed."""


@contextmanager
def proxy(target: str, *, delay: float = 0.0, authorization: str | None = None) -> Iterator[Proxy]:
    """Run a `Proxy` while the block lasts."""
    server = Proxy(target, delay=delay, authorization=authorization)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _run(path: str, body: bytes) -> str:
    try:
        said = json.loads(body) if body else dict(parse_qsl(urlsplit(path).query))
    except ValueError:  # an artifact
        return ""
    return str(said.get("run_id", "")) if isinstance(said, dict) else ""


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _pass(self) -> None:
        proxy = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy.requests.append(Request(time.monotonic(), self.command, self.path, _run(self.path, body)))
        if proxy.authorization is not None and self.headers.get("Authorization") != proxy.authorization:
            return self._answer(401, [("WWW-Authenticate", "Basic")], b"who is there?")
        time.sleep(proxy.delay)
        kept = {name: value for name, value in self.headers.items() if name.lower() not in (*PASSED_ON, "host")}
        connection = http.client.HTTPConnection(proxy.target, timeout=60)
        try:
            connection.request(self.command, self.path, body=body, headers={"Host": proxy.target, **kept})
            answer = connection.getresponse()
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in PASSED_ON]
            self._answer(answer.status, headers, answer.read())
        except OSError:
            self._answer(502, [], b"the server is away")
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in [*headers, ("Content-Length", str(len(body)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    # The names that `BaseHTTPRequestHandler` calls.
    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass
