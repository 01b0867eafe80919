"""MLflow's own server with a PostgreSQL cluster of its own, for tests and benchmarks; nothing outlives the block."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 120.0
"""Seconds that a server may take to come up."""


class NoDatabase(Exception):
    """PostgreSQL's programs are not on this machine."""


def programs() -> Path:
    """Return the folder of PostgreSQL's programs.

    Raises:
        NoDatabase: There is none.
    """
    beside = shutil.which("initdb")
    folders = [Path(beside).parent] if beside else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders or not (folders[-1] / "initdb").exists():
        raise NoDatabase("PostgreSQL's server programs are not on this machine")
    return folders[-1]


class Cluster:
    """A PostgreSQL cluster of its own that can be stopped and started again at the same address.

    Args:
        folder: An empty one, for its files.

    Raises:
        NoDatabase: PostgreSQL, or another user to run it as, is not there.
    """

    def __init__(self, folder: Path) -> None:
        programs_at, self._port, self._log = programs(), free_port(), folder / "log"
        become, data = _become(folder), folder / "data"
        self._state = data / "postmaster.pid"
        with self._log.open("w") as said:
            options = ["--pgdata", str(data), "--username", "mlflow", "--auth", "trust", "--no-sync"]
            initdb = [*become, str(programs_at / "initdb"), *options]
            subprocess.run(initdb, cwd="/", stdout=said, stderr=said, check=True)
        settings = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]
        self._command = [*become, str(programs_at / "postgres"), "-D", str(data), "-p", str(self._port), *settings]
        self.address = f"postgresql+psycopg2://mlflow@127.0.0.1:{self._port}/postgres"
        self.start()

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        with self._log.open("a") as said:
            self._server = subprocess.Popen(self._command, cwd="/", stdout=said, stderr=said, start_new_session=True)
        _wait(self._port, self._server, self._log)
        while self._server.poll() is None and self._state.read_text().split()[-1:] != ["ready"]:
            time.sleep(0.05)  # it listens before it answers

    def stop(self) -> None:
        """Stop it at once, whoever is connected."""
        self._server.send_signal(signal.SIGINT)  # a fast shutdown; SIGKILL would leave shared memory behind
        self._server.wait(timeout=60)


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Run a database cluster in a folder of its own, which whoever it runs as can reach; see `Cluster`."""
    with tempfile.TemporaryDirectory(prefix="cluster-") as place:
        cluster = Cluster(Path(place))
        try:
            yield cluster
        finally:
            cluster.stop()


@contextmanager
def database() -> Iterator[str]:
    """Run a database cluster and yield its address; see `Cluster`."""
    with running_cluster() as cluster:
        yield cluster.address


def _become(folder: Path) -> list[str]:
    """Return what precedes a command that must not run as root, and give a folder to whom it runs as."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    users = {user.pw_name: user for user in pwd.getpwall()}
    user = users.get("postgres") or users.get("nobody")
    if setpriv is None or user is None:
        raise NoDatabase("PostgreSQL refuses to run as root, and there is nobody else to run it as")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


class TrackingServer:
    """An `mlflow server` that can be killed and started again at the same address.

    Args:
        database: The address of its database.
        folder: Where it keeps artifacts and its log.
    """

    def __init__(self, database: str, folder: Path) -> None:
        self.database = database
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--backend-store-uri", database, "--serve-artifacts"),
            *("--artifacts-destination", str(folder / "artifacts"), "--workers", "2"),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start unless it runs, and wait until it answers."""
        if self._process is not None and self._process.poll() is None:
            return
        settings = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        log = self._folder / "server.log"
        with log.open("a") as said:
            # In a session of its own: it is several processes, which are killed together.
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env={**settings, "OMP_NUM_THREADS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        _wait(self.port, self._process, log, path="/health")

    def kill(self) -> None:
        """End all of its processes at once, without a word to anybody."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextmanager
def tracking_server(folder: Path) -> Iterator[TrackingServer]:
    """Run a database and a tracking server, which keeps its artifacts in a folder, while the block lasts.

    Raises:
        NoDatabase: PostgreSQL is not there.
    """
    with database() as address:
        server = TrackingServer(address, folder)
        try:
            server.start()
            yield server
        finally:
            server.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int, server: subprocess.Popen[bytes], log: Path, path: str = "") -> None:
    """Wait until a port answers, or a page of it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            if path:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).close()
            else:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"the server did not come up:\n{log.read_text()[-2000:]}")
