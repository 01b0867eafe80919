"""The MLflow UI on the studies' store: started, waited for, linked to, stopped."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable

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
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "ui",
        "--backend-store-uri",
        uri,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ})
    try:
        _wait(server, port)
        tell(f"MLflow UI on {uri}: {_link(f'http://127.0.0.1:{port}', experiment)}")
        tell("Ctrl-C stops it")
        server.wait()
    except KeyboardInterrupt:
        tell("stopped")
    finally:
        server.terminate()
        server.wait()


def _link(base: str, experiment: str | None) -> str:
    """Return the page of a study, sorted by creation, the one order that shows children below their parents."""
    if experiment is None:
        return base
    return f"{base.rstrip('/')}/#/experiments/{experiment}/runs?orderByKey=attributes.start_time&orderByAsc=false"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(server: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
        else:
            return
    server.kill()
    said = server.stderr.read().decode(errors="replace").strip() if server.stderr else ""
    raise StoreError(f"the MLflow UI did not start on port {port}: {said[-500:] or 'no answer'}; try another --port")
