"""A study that extends another file is run, stored, gone on with and done again as the one study that comes of both."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.artifacts import download_artifacts

from harness.study.load_study import read_study
from tests.support.study_fixture import Place, Places

OWN = """\
# Does one epoch do?
extends: ../shared/base.yaml
prompts: [bare]
tuning: [none, head]
search: {trials: 1}
final: {seeds: [11]}
training: {epochs: 1}
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place whose study is shared, and one beside it that extends that."""
    made = Places(tmp_path)()
    shared, own = made.folder / "shared", made.folder / "own"
    shared.mkdir()
    own.mkdir()
    for name in ("task.py", "data", "model"):
        (made.folder / name).rename(shared / name)
    made.study.rename(shared / "base.yaml")
    (own / "study.yaml").write_text(OWN, encoding="utf-8")
    return made


def test_it_passes_its_check(place: Place) -> None:
    shown = place.command("check", "own/study.yaml")
    assert shown.status == 0, shown.err
    assert "2 cells: 1 with 1 trial and 1 final run, 1 zero-shot" in shown.out


@pytest.mark.slow
def test_it_is_run_stored_and_done_again(place: Place) -> None:
    done = place.command("run", "own/study.yaml")
    assert done.status == 0, done.err
    (summary,) = place.runs("summary")
    uri, stored = summary.info.artifact_uri, place.folder / "stored"
    text = Path(download_artifacts(f"{uri}/study.yaml", dst_path=str(stored), tracking_uri=place.uri)).read_text()
    assert "extends" not in text
    assert text.startswith("# Does one epoch do?\n")
    (place.folder / "own" / "flat.yaml").write_text(text, encoding="utf-8")
    again = place.command("run", "own/flat.yaml")
    assert "2 cells, 0 runs to do" in again.out, "it is the same study"
    flat = read_study(place.folder / "own" / "flat.yaml").study
    assert flat == read_study(place.folder / "own" / "study.yaml").study
    (final,) = [run for run in place.runs("final") if run.data.tags["cell"] == "bare/head"]
    (place.folder / "shared" / "base.yaml").unlink()
    shown = place.command("reproduce", final.info.run_id)
    assert shown.status == 0, (shown.out, shown.err)
    assert "the same to the last bit" in shown.out
