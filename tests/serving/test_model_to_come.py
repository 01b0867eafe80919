"""A study without a stored model says why: it is not finished, or it keeps none."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from harness.core.errors import ModelError
from harness.serving import find_model
from harness.tracking.stored_run import Run
from harness.tracking.study_record import StudyRecord

KEEPS = {"seeds": [11], "models": "best"}


@pytest.mark.parametrize(
    ("status", "final", "told"),
    [
        ("KILLED", KEEPS, "study starter is not finished: run it to its end"),
        ("FINISHED", KEEPS, "no final run of the cell that ranks first came to its end"),
        ("FINISHED", {**KEEPS, "models": "none"}, "it needs final.seeds, and final.models: best or cells"),
        ("KILLED", {**KEEPS, "seeds": []}, "it needs final.seeds, and final.models: best or cells"),
    ],
)
def test_advice_is_what_the_study_lacks(
    status: Literal["KILLED", "FINISHED"], final: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = Run("0" * 32, "study", status, None, {}, {"phase": "summary"}, {}, 0.0, math.nan)
    tracker = SimpleNamespace(runs=lambda phase: [summary])
    monkeypatch.setattr(find_model, "find_study", lambda name: (name, "sqlite:///x.db", tracker))
    record = SimpleNamespace(study={"final": final})
    monkeypatch.setattr(StudyRecord, "from_run", lambda *_: record)
    with pytest.raises(ModelError, match="study starter keeps no model") as refused, find_model.stored_model("starter"):
        pass
    assert told in str(refused.value)
