"""Every kind of model through the same code, and the best model loaded back: it says what the study's tables say."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from unittest import mock

import mlflow
import pandas as pd
import pytest
import torch

from tests.support.study_fixture import Place, Places, rows

STUDY = (
    *("--set", "tuning=[none, {last_blocks: 1}, full]", "--set", "prompts=[bare]", "--set", "final.seeds=[5]"),
    *("--set", "search.trials=1", "--set", "search.learning_rate={low: 1.0e-2, high: 2.0e-2}"),
    *("--set", "search.metric=perplexity", "--set", "training.epochs=12"),
)


@pytest.mark.parametrize(
    "family", ["t5", "gpt2", *(pytest.param(each, marks=pytest.mark.slow) for each in ("bart", "llama"))]
)
def test_the_best_model_says_what_the_table_says(family: str, places: Places) -> None:
    place = places(family)
    place.run(*STUDY)
    place.clean()
    place.count(cell=3, search=2, final=3, summary=1)
    for run in place.runs("search"):
        assert run.data.metrics["train/loss"] > 0
    losses = [row["test_loss"] for row in place.table().values()]
    assert len(set(losses)) == 3  # every depth is another model
    (summary,) = place.runs("summary")
    said = predicted(place, summary.data.tags["best_run"])
    assert loaded_says(place, summary.data.tags["best_model"]) == said
    assert summary.data.tags["best_cell"] != "bare/none"
    (untrained,) = place.runs("final", cell="bare/none")
    assert said != predicted(place, untrained.info.run_id)
    assert any(said)


def predicted(place: Place, run: str) -> list[str]:
    folder = place.folder / "fetched"
    folder.mkdir(exist_ok=True)
    file = place.client().download_artifacts(run, "predictions/test.json", str(folder))
    table = json.loads(Path(file).read_text())
    column = table["columns"].index("prediction")
    return [row[column] for row in table["data"]]


def loaded_says(place: Place, uri: str) -> list[str]:
    """Load the model as anyone would, and ask it for the test split's sources, in another order."""
    with (
        mock.patch.dict(os.environ, {"MLFLOW_TRACKING_URI": place.uri}),
        contextlib.chdir(place.folder),
    ):
        mlflow.set_tracking_uri(place.uri)
        model = mlflow.pyfunc.load_model(uri)
    asked = pd.DataFrame({"source": [row["source"] for row in rows("test")]})
    assert model.predict(asked[:1]) == [model.predict(asked)[0]]
    torch.manual_seed(1)
    return list(reversed(model.predict(asked[::-1])))
