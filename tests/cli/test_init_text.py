"""What `harness init --text` writes: a short study of a plain text that passes its check and runs as it stands."""

from __future__ import annotations

import gzip
import os

import pytest
import yaml

from tests.support.study_fixture import Place, Places
from tests.support.text_study import prose

LINES = 10
"""At most, of the study."""


@pytest.fixture
def place(places: Places) -> Place:
    made = places(store=False)
    made.study.unlink()
    return made


def written(place: Place, *arguments: str) -> dict[str, object]:
    """Have a study written, and return it."""
    done = place.command("init", *arguments)
    assert done.status == 0, done.err
    (name,) = [line for line in done.out.splitlines() if line.endswith("study.yaml") and line.startswith("wrote ")]
    text = (place.folder / name.removeprefix("wrote ")).read_text()
    assert len(text.splitlines()) <= LINES
    study: dict[str, object] = yaml.safe_load(text)
    return study


def test_a_file_of_text_gives_a_study_that_passes_its_check(place: Place) -> None:
    (place.folder / "my notes: 1.txt").write_text(prose(9000))
    study = written(place, "--text", "my notes: 1.txt")
    assert {key: study[key] for key in ("name", "task", "data")} == {
        "name": "my-notes-1",
        "task": "text_generation",
        "data": {"path": "my notes: 1.txt"},
    }
    done = place.command("check", "study.yaml")
    assert done.status == 0, done.err
    assert place.command("init", "--text", "my notes: 1.txt").status == 0, "the same once more"
    (place.folder / "other.txt").write_text("a")
    refused = place.command("init", "--text", "other.txt")
    assert refused.status == 2
    assert "study.yaml is there already" in refused.err


def test_a_folder_is_found_from_where_the_study_is(place: Place) -> None:
    texts = place.folder / "notes"
    texts.mkdir()
    (texts / "train.txt.gz").write_bytes(gzip.compress(prose(9000).encode()))
    (texts / "test.txt").write_text(prose(900, seed=1))
    study = written(place, "deep/er", "--text", "notes", "--model", "model")
    assert study["name"] == "notes"
    assert study["data"] == {"path": "../../notes"}
    assert study["model"] == {"name": "../../model"}
    assert written(place, "away", "--text", str(texts))["data"] == {"path": str(texts)}
    done = place.command("check", os.path.join("deep", "er", "study.yaml"))
    assert done.status == 0, done.err


def test_what_is_no_text_is_refused_and_nothing_written(place: Place) -> None:
    (place.folder / "empty").mkdir()
    for text, says in {
        "none.txt": "no such text: none.txt; name a .txt file, or a folder with train.txt",
        "empty": "folder empty holds no train file",
        "data": "data/train.jsonl is no .txt file",
        "task.py": "task.py is no .txt file",
    }.items():
        done = place.command("init", "new", "--text", text)
        assert done.status == 2
        assert says in done.err
        assert len(done.err.strip().splitlines()) == 1
        assert not (place.folder / "new").exists()


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_the_study_runs_as_it_stands(places: Places, family: str) -> None:
    place = places(family)
    place.study.unlink()
    (place.folder / "tiny.txt").write_text(prose(1200))
    written(place, "--text", "tiny.txt", "--model", "model")
    place.run()
    score = {"gpt2": "test_perplexity", "bert": "test_pseudo_perplexity"}[family]
    table = place.table()
    assert set(table) == {"text/none", "text/last_blocks-2", "text/full"}
    assert float(table["text/full"][score]) < float(table["text/none"][score])
