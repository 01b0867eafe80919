"""What MLflow runs to serve a logged model: texts in, texts out. MLflow keeps a copy of this file with the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from harness.serving import Generator


class TextModel(PythonModel):
    """Generates one text per source text."""

    def load_context(self, context: Any) -> None:
        """Load the weights."""
        self._generator = Generator(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: list[str], params: dict[str, Any] | None = None) -> list[str]:
        """Answer a list of source texts."""
        return self._generator(model_input)


set_model(TextModel())
