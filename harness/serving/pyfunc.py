"""What MLflow runs to serve a logged model: rows in, texts out. MLflow keeps a copy of this file with the model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from harness.core.errors import UserError
from harness.serving.generator import FOLDER, Generator


class TextModel(PythonModel):
    """Generates one text per row."""

    def load_context(self, context: Any) -> None:
        """Load the weights."""
        self._generator = Generator(Path(os.environ.get(FOLDER) or context.artifacts["model"]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[str | None]:
        """Answer rows that have the prompt's fields as columns.

        A malformed one is refused by its number; with the parameter ``on_error: skip`` its answer is null instead.
        """
        asked = (params or {}).get("on_error", "stop")
        try:
            if asked not in ("stop", "skip"):
                raise UserError(f"parameter on_error is {asked!r}; it must be stop or skip")
            return self._generator(model_input.to_dict("records"), skip=asked == "skip")
        except UserError as error:  # so that a server answers 400 and says why
            raise MlflowException.invalid_parameter_value(str(error)) from error


set_model(TextModel())
