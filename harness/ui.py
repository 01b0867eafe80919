"""The MLflow UI on the studies' store: started, waited for, linked to, stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from typing import IO

from harness.errors import StoreError
from harness.tracking.mlflow import store_uri

__all__ = ["serve_ui"]

PATIENCE = 60.0
"""Seconds that the server may take to answer."""


def serve_ui(experiment: str | None, *, port: int | None, tell: Callable[[str], None]) -> None:
    """Serve until interrupted.

    Args:
        experiment: The MLflow id of the study to link to.
        port: Left out: a free one.
        tell: Prints a line.

    Raises:
        StoreError: The server does not come up.
    """
    uri = store_uri()
    if uri.startswith(("http://", "https://")):
        tell(_link(uri, experiment))
        return
    port = port or _free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    with tempfile.TemporaryFile() as said:
        # In a session of its own: the server is several processes, which are stopped together.
        server = subprocess.Popen([*command, "--port", str(port)], stdout=said, stderr=said, start_new_session=True)
        try:
            _wait(server, address, said)
            tell(f"MLflow UI on {uri}: {_link(address, experiment)}")
            tell("Ctrl-C stops it")
            server.wait()
        except KeyboardInterrupt:
            tell("stopped")
        finally:
            _stop(server)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server with all its processes."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        try:
            server.wait(timeout=5)
        except subprocess.TimeoutExpired:
            continue


def _link(base: str, experiment: str | None) -> str:
    """Return the page of a study, sorted by creation, the one order that shows children below their parents."""
    if experiment is None:
        return base
    return f"{base.rstrip('/')}/#/experiments/{experiment}/runs?orderByKey=attributes.start_time&orderByAsc=false"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(server: subprocess.Popen[bytes], address: str, said: IO[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=2).close()
        except OSError:
            time.sleep(0.3)
        else:
            return
    said.seek(0)
    reason = said.read().decode(errors="replace").strip()[-500:]
    raise StoreError(f"the MLflow UI did not start on {address}: {reason or 'no answer'}; try another --port")
