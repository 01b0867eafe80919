"""A server in a process of its own on this machine: started, waited for, announced; it ends with this process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from harness.core import interrupts
from harness.core.ends_with_parent import ending_with_parent
from harness.core.errors import StoreError
from harness.core.python_child import child_environment

__all__ = ["free_port", "serve"]

SAID = 500
"""Characters of what a server that failed had said."""


def serve(
    command: Sequence[str],
    address: str,
    *,
    what: str,
    patience: float,
    announce: Callable[[], None],
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a server until this process is interrupted, or ends in any other way.

    Args:
        command: Starts it, from `harness.core.python_child.python`; it answers ``/health`` when it is ready.
        address: Where; on this machine.
        what: How messages call it.
        patience: Seconds that it may take to answer.
        announce: Called when it does.
        env: Added to this process's environment.

    Raises:
        StoreError: The port is taken, or the server does not come up, or it ends by itself.
        KeyboardInterrupt: It was interrupted; the server is stopped.
    """
    _see_free(address, what)
    # Uvicorn looks for its application's modules in the working folder first, unless it is told of another one.
    with tempfile.TemporaryFile() as said, tempfile.TemporaryDirectory() as empty:
        # In a session of its own: a server may be several processes, which are stopped together.
        server = subprocess.Popen(
            ending_with_parent(command),
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            start_new_session=True,
            env=child_environment(UVICORN_APP_DIR=empty, **env or {}),
        )
        try:
            with interrupts.at_once():
                _wait(server, address, said, what=what, patience=patience)
                announce()
                status = server.wait()
        finally:
            _stop(server)
        raise StoreError(f"{what} on {address} ended by itself with status {status}: {_last(said)}; start it again")


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(server: subprocess.Popen[bytes], address: str, said: IO[bytes], *, what: str, patience: float) -> None:
    end = time.monotonic() + patience
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=2).close()
        except OSError:
            time.sleep(0.3)
        else:
            return
    raise StoreError(f"{what} did not start on {address}: {_last(said)}; try another --port")


def _see_free(address: str, what: str) -> None:
    """Refuse a port that another server has: its answers would be taken for ours."""
    port = int(address.rpartition(":")[2])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # an earlier server's last connections do not count
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise StoreError(f"{what} cannot have port {port}: {error}; try another --port") from error


def _last(said: IO[bytes]) -> str:
    said.seek(0)
    return said.read().decode(errors="replace").strip()[-SAID:] or "it said nothing"


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server with all its processes."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        try:
            server.wait(timeout=5)
        except subprocess.TimeoutExpired:
            continue
    if server.stdin:
        server.stdin.close()
