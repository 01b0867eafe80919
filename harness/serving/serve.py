"""``harness serve``: a stored model behind HTTP on this machine."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness.core.mlflow_server_process import free_port, serve
from harness.core.permissions import Permissions
from harness.core.python_child import python
from harness.serving.find_model import stored_model
from harness.serving.generator import FOLDER, SERVED, Recipe, model_folder
from harness.serving.stored_files import verify_files
from harness.tracking.mlflow.logged_models import wrap_model
from harness.tracking.store_protocols import ModelCard

__all__ = ["serve_model"]

PATIENCE = 600.0
"""Seconds that loading a model may take."""


def serve_model(name: str, *, port: int | None, tell: Callable[[str], None], allowed: Permissions) -> None:
    """Serve a model by MLflow's scoring server until interrupted.

    Args:
        name: See `harness.serving.find_model.stored_model`.
        port: Left out: a free one.
        tell: Prints a line.
        allowed: What the model may do.

    Raises:
        ModelError: There is no such model.
        StoreError: The server does not come up, or ends by itself.
    """
    port = port or free_port()
    address = f"http://127.0.0.1:{port}"
    with stored_model(name) as folder, tempfile.TemporaryDirectory() as scratch:
        folder = model_folder(folder)
        recipe = Recipe.read(folder)
        verify_files(folder)
        example = dict.fromkeys(sorted(recipe.prompt.names()) or ["source"], "some text")
        # With the code of this harness: that in an MLflow model may be any. The weights stay where they are.
        nothing, served = Path(scratch) / "model", Path(scratch) / "served"
        nothing.mkdir()
        wrap_model(nothing, served, ModelCard(name, SERVED, example, {}, {}))
        command = python("-m", "mlflow", "models", "serve", "-m", str(served), "--env-manager", "local")
        command += ["--host", "127.0.0.1", "--port", str(port)]

        def announce() -> None:
            body = json.dumps({"dataframe_records": [example]})
            tell(f"model {name}: {address}/invocations")
            tell(f"curl {address}/invocations -H 'Content-Type: application/json' -d '{body}'")
            tell("Ctrl-C stops it")

        # MLflow calls uvicorn by name, which lies beside this Python.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        env = {"PATH": path, FOLDER: str(folder.resolve()), **allowed.as_environment()}
        serve(command, address, what="the model", patience=PATIENCE, announce=announce, env=env)
        tell("stopped")
