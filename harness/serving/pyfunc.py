"""What MLflow runs to serve a logged model: rows in, texts out. MLflow keeps a copy of this file with the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from harness.errors import UserError
from harness.serving.generator import Generator


class TextModel(PythonModel):
    """Generates one text per row."""

    def load_context(self, context: Any) -> None:
        """Load the weights."""
        self._generator = Generator(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> list[str]:
        """Answer rows that have the prompt's fields as columns; a malformed one is refused by its number."""
        try:
            return self._generator(model_input.to_dict("records"))
        except UserError as error:  # so that a server answers 400 and says why
            raise MlflowException.invalid_parameter_value(str(error)) from error


set_model(TextModel())
