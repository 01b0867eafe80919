"""An objective that cannot tell trials apart: the loss does, and the report says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.study_fixture import Places, rows, write_rows

HINDI = ("कल", "आम", "घर", "चल")
ALIKE = """
import numpy as np
from harness.metrics.base import Metric, mean

FLAT = Metric("flat", True, lambda prediction, example: np.array([0.5]), mean, lambda: "flat")
"""


@pytest.mark.parametrize("metric", ["rougeL", "flat"])
def test_the_lowest_loss_wins_where_all_score_alike(metric: str, places: Places) -> None:
    place = places()
    file: Path = place.folder / "task.py"
    name = '"rougeL"' if metric == "rougeL" else "FLAT"
    file.write_text(ALIKE + file.read_text().replace('metrics=["chrf", ', f"metrics=[{name}, "))
    for split in ("train", "validation", "test"):
        hindi = [{**row, "target": HINDI[number % 4]} for number, row in enumerate(rows(split))]
        write_rows(place.folder / "data" / f"{split}.jsonl", hindi)
    options = (
        "prompts=[bare]",
        "tuning=[head]",
        "search.trials=4",
        "search.seed=3",
        "training.epochs=1",
        "final.seeds=[11]",
    )
    shown = place.run(*(part for option in options for part in ("--set", option)))
    trials = place.runs("search")
    assert len({run.data.metrics["objective"] for run in trials}) == 1, "the test needs it"
    best = min(trials, key=lambda run: run.data.metrics["validation/loss"])
    assert best.data.tags["trial"] != "0", "the test needs a winner that is not the first"
    (final,) = place.runs("final", cell="bare/head")
    assert final.data.params["learning_rate"] == best.data.params["learning_rate"]
    words = " ".join(shown.out.split())
    assert f"{metric} is 0.{'5' if metric == 'flat' else '0'}" in words
    assert "in all 4 trials" in words
    assert "take another search.metric" in words
