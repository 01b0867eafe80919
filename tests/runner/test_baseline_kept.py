"""A study that an earlier version ran against zero-shot keeps that baseline, and its verdicts; a new one trains."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlparse

import pytest

from harness.tracking.mlflow.run_files import text_digest
from harness.tracking.schema import HIDDEN, Artifacts, Tags
from tests.support.study_fixture import QUICK, Place, Places

HEAD = ("--set", "prompts=[bare]", "--set", "tuning=[head, {last_blocks: 1}]", *QUICK, "--set", "final.store=delta")


def baseline(place: Place) -> str:
    said = json.loads((place.folder / "reports" / "tiny" / "verdicts.json").read_text(encoding="utf-8"))
    return str(said["baseline"])


def as_an_earlier_version_had_it(place: Place) -> None:
    """Have the record name the zero-shot cell."""
    (summary,) = place.runs("summary")
    file = Path(urlparse(summary.info.artifact_uri).path) / Artifacts.FACTS
    text = json.dumps({**json.loads(file.read_text(encoding="utf-8")), "baseline": "bare/none"})
    file.write_text(text, encoding="utf-8")
    place.client().set_tag(summary.info.run_id, HIDDEN + Tags.file_digest(Artifacts.FACTS), text_digest(text.encode()))


@pytest.mark.slow
def test_a_new_study_is_held_against_what_trains_and_an_old_one_keeps_its_baseline(places: Places) -> None:
    place = places()
    place.run(*HEAD)
    assert baseline(place) == "bare/head"
    as_an_earlier_version_had_it(place)
    done = place.command("report", "tiny")
    assert done.status == 0, done.err
    assert baseline(place) == "bare/none"
    place.run(*HEAD)
    assert baseline(place) == "bare/none", "run again, it is the same study"
    place.run(*HEAD, "--set", "final.baseline={prompt: bare, tuning: {last_blocks: 1}}")
    assert baseline(place) == "bare/last_blocks-1"
    place.run(*HEAD)
    assert baseline(place) == "bare/head", "it named one in between"
