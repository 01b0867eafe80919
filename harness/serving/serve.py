"""``harness serve``: a stored model behind HTTP on this machine."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness.core.mlflow_server_process import free_port, serve
from harness.serving.find_model import stored_model
from harness.serving.generator import SERVED, Recipe, model_folder
from harness.serving.stored_files import verify_files
from harness.tracking.mlflow.logged_models import wrap_model
from harness.tracking.store_protocols import ModelCard

__all__ = ["serve_model"]

PATIENCE = 600.0
"""Seconds that loading a model may take."""


def serve_model(name: str, *, port: int | None, tell: Callable[[str], None]) -> None:
    """Serve a model by MLflow's scoring server until interrupted.

    Args:
        name: See `harness.serving.find_model.stored_model`.
        port: Left out: a free one.
        tell: Prints a line.

    Raises:
        ModelError: There is no such model.
        StoreError: The server does not come up, or ends by itself.
    """
    port = port or free_port()
    address = f"http://127.0.0.1:{port}"
    with stored_model(name) as folder, tempfile.TemporaryDirectory() as scratch:
        recipe = Recipe.read(model_folder(folder))
        verify_files(model_folder(folder))
        example = dict.fromkeys(sorted(recipe.prompt.names()) or ["source"], "some text")
        if not (folder / "MLmodel").is_file():
            wrapped = Path(scratch) / "model"
            wrap_model(folder, wrapped, ModelCard(name, SERVED, example, {}, {}))
            folder = wrapped
        command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder), "--env-manager", "local"]
        command += ["--host", "127.0.0.1", "--port", str(port)]

        def announce() -> None:
            body = json.dumps({"dataframe_records": [example]})
            tell(f"model {name}: {address}/invocations")
            tell(f"curl {address}/invocations -H 'Content-Type: application/json' -d '{body}'")
            tell("Ctrl-C stops it")

        # MLflow calls uvicorn by name, which lies beside this Python.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        serve(command, address, what="the model", patience=PATIENCE, announce=announce, env={"PATH": path})
        tell("stopped")
