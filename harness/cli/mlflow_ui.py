"""The MLflow UI on the studies' store: started, waited for, linked to, stopped."""

from __future__ import annotations

from collections.abc import Callable

from harness.core.mlflow_server_process import free_port, serve
from harness.core.passwords import masked, without_user
from harness.core.python_child import python
from harness.report.mlflow_pages.page_views import OPENING
from harness.study.find_study import known_study
from harness.tracking.address import is_server, store_uri
from harness.tracking.mlflow.connect import connect_known
from harness.tracking.mlflow.ui_views import Address

__all__ = ["serve_ui"]

PATIENCE = 120.0
"""Seconds that the server may take to answer."""

ALONE = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Keeps MLflow from starting seven more processes for jobs that no study has."""

HOSTS = "localhost,localhost:*,127.0.0.1,127.0.0.1:*"
"""What browsers may call this machine; MLflow's own list lets names such as ``10.example.org`` in as well."""


def serve_ui(study: str | None, *, port: int | None, tell: Callable[[str], None]) -> None:
    """Serve until interrupted, with a link to a study if one is named, on a free port if none is.

    Raises:
        UserError: The store does not know the study, or the server does not come up, or ends by itself.
        KeyboardInterrupt: It was interrupted.
    """
    tracker = known_study(study)[1] if study is not None else None
    uri, experiment = (tracker.uri, tracker.pages.experiment) if tracker else (store_uri(), None)
    if is_server(uri):
        tell(_link(without_user(uri), experiment))  # the browser asks
        return
    connect_known(uri)  # a store that was moved leads to its files again
    port = port or free_port()
    address = f"http://127.0.0.1:{port}"
    command = python("-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1")
    command += ["--allowed-hosts", HOSTS]
    env = {"MLFLOW_BACKEND_STORE_URI": uri, **ALONE}  # a command line is everybody's to read

    def announce() -> None:
        tell(f"MLflow UI on {masked(uri, uri)}: {_link(address, experiment)}")
        tell("Ctrl-C stops it")

    serve(command, address, what="the MLflow UI", patience=PATIENCE, announce=announce, env=env)


def _link(base: str, experiment: str | None) -> str:
    """Return the address of a study's cells, best first; its description above them leads to everything else."""
    root = base.rstrip("/")
    return f"{root}/{Address(experiment).view(OPENING)}" if experiment else root
