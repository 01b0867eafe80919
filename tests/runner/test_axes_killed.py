"""Models, prompts, tunings and sizes in one study, killed on its way: the same command ends it with the same tables."""

from __future__ import annotations

import csv
import json
import random
from typing import Any

import pytest

from tests.support.kill_moments import kill_at, running, trials_told
from tests.support.study_fixture import Place, Places
from tests.support.two_models import with_models

SIZES = [4, 12, 24]
OPTIONS = tuple(
    part
    for key in (
        f"data.train={SIZES}",
        "tuning=[head, {last_blocks: 1}]",
        "search.trials=1",
        "training.epochs=1",
        "final.seeds=[11]",
        "generality=none",
        "search.metric=loss",
        "final.models=none",
        "generation.max_new_tokens=3",
    )
    for part in ("--set", key)
)


def verdicts(place: Place) -> dict[str, Any]:
    """Return what is claimed, but for the cheapest cell, which the seconds decide on that training took."""
    file = place.folder / "reports" / "tiny" / "verdicts.json"
    said: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    (said["recommendation"] or {}).pop("cheapest", None)
    return said


@pytest.mark.slow
def test_two_models_prompts_tunings_and_three_sizes_resume_byte_equal(places: Places) -> None:
    """24 cells that train, and the zero-shot ones beside them."""
    undisturbed, killed = with_models(places), with_models(places)
    process = undisturbed.process("run", "study.yaml", *OPTIONS)
    _, err = process.communicate(timeout=1200)
    assert process.returncode == 0, err
    draws = random.Random(7)
    moments = [trials_told(3), running("search", 14), running("final", 9)]
    struck = [kill_at(killed, moment, draws.uniform(0.0, 1.0), OPTIONS) for moment in moments]
    assert all(struck), "it was to be cut while it ran"
    process = killed.process("run", "study.yaml", *OPTIONS)
    _, err = process.communicate(timeout=1200)
    assert process.returncode == 0, err
    killed.clean()
    rows = list(csv.DictReader(killed.results().decode().splitlines()))
    trained = [row for row in rows if row["tuning"] != "none"]
    assert len(trained) == 2 * 2 * 2 * 3
    assert len({(row["prompt"], row["tuning"], row["model"], row["train_size"]) for row in rows}) == len(rows) == 36
    assert killed.results() == undisturbed.results()
    assert verdicts(killed) == verdicts(undisturbed)
