"""The whole way of a study through the real commands, for a study that holds an entry which only a test made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from tests.support.study_fixture import Place, rows


class Way(NamedTuple):
    """What the commands said."""

    check: str
    show: str
    run: str
    again: str
    report: str


def go(place: Place, *options: str, part: str) -> Way:
    """Check, show, run a part, resume, run again and report; the report of the store is the run's own.

    Args:
        place: With a study.
        options: Of check, show and run.
        part: The cells that a first run does; a second one does the rest.
    """
    check = succeed(place, "check", "study.yaml", *options)
    show = succeed(place, "show", "study.yaml", *options)
    succeed(place, "run", "study.yaml", *options, "--cells", part)
    begun = {run.info.run_id for run in place.runs("search")}
    assert begun, "the first part must search"
    run = succeed(place, "run", "study.yaml", *options)
    assert begun < {run.info.run_id for run in place.runs("search")}, "the second part must resume, and search more"
    again = succeed(place, "run", "study.yaml", *options)
    assert "0 runs to do" in again
    written = place.results()
    report = succeed(place, "report", "tiny")
    assert place.results() == written
    place.clean()
    return Way(check, show, run, again, report)


def succeed(place: Place, *arguments: str) -> str:
    """Run a command that must succeed; return what it printed."""
    done = place.command(*arguments)
    assert done.status == 0, done.err
    return done.out


def stored_predictions(place: Place, run: str) -> list[str]:
    """Return what a final run answered to the test split, as the store holds it."""
    folder = place.folder / "fetched"
    folder.mkdir(exist_ok=True)
    table = json.loads(Path(place.client().download_artifacts(run, "predictions/test.json", str(folder))).read_text())
    return [row[table["columns"].index("prediction")] for row in table["data"]]


def predict(place: Place, model: str) -> list[str]:
    """Return what a stored model answers to the test split."""
    asked, answers = place.folder / "asked.jsonl", place.folder / "answers.jsonl"
    asked.write_text("".join(json.dumps({"id": row["id"], "source": row["source"]}) + "\n" for row in rows("test")))
    answers.unlink(missing_ok=True)
    succeed(place, "predict", model, "--input", asked.name, "--output", answers.name)
    return [json.loads(line)["prediction"] for line in answers.read_text().splitlines()]
