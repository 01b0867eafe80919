"""What MLflow runs to serve a logged model: rows in, texts out. MLflow keeps a copy of this file with the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from harness.core.errors import DataError, UserError
from harness.serving.generator import Generator


class TextModel(PythonModel):
    """Generates one text per row, or chooses one label."""

    def load_context(self, context: Any) -> None:
        """Load the weights."""
        self._generator = Generator(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> list[Any]:
        """Answer rows that have the prompt's fields as columns, or texts where the prompt has one field.

        A malformed one is refused by its number; with the parameter ``on_error: skip`` its answer is null instead.
        With ``probabilities: true`` answers are those of all labels.
        """
        asked = (params or {}).get("on_error", "stop")
        try:
            if asked not in ("stop", "skip"):
                raise UserError(f"parameter on_error is {asked!r}; it must be stop or skip")
            stated = bool((params or {}).get("probabilities", False))
            say = self._generator.probabilities if stated else self._generator
            return say(self._rows(model_input), skip=asked == "skip")
        except UserError as error:  # so that a server answers 400 and says why
            raise MlflowException.invalid_parameter_value(str(error)) from error

    def _rows(self, table: pd.DataFrame) -> list[dict[Any, Any]]:
        """Return the rows of a table; of a list MLflow makes a column 0, and unknown columns it drops.

        Raises:
            DataError: None of the prompt's columns is left.
        """
        fields = self._generator.fields
        if len(fields) == 1 and fields[0] not in table and 0 in table:
            table = table.rename(columns={0: fields[0]})
        if fields and not len(table.columns):
            raise DataError(f"the input has none of the columns {', '.join(fields)}, which the prompt reads; name them")
        rows: list[dict[Any, Any]] = table.to_dict("records")
        return rows


set_model(TextModel())
