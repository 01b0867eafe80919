"""A study of plain text with a masked model on its whole way: checked, planned, run, stored, and reproduced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.study_fixture import Place, Places
from tests.support.text_study import plain_place, pseudo_perplexity
from tests.support.whole_way import succeed

pytestmark = pytest.mark.slow

OPTIONS = (
    *("--set", "tuning=[head, {last_blocks: 1}, {lora: {rank: 2}}, full]"),
    *("--set", "final.models=cells", "--set", "search.sampler=random", "--set", "data.test=4"),
)
CELLS = ("text/none", "text/head", "text/last_blocks-1", "text/lora-2", "text/full")


@pytest.fixture(scope="module")
def place(places: Places) -> Place:
    """A place in which the study was run, in two parts."""
    made = plain_place(places, family="bert", words=700)
    succeed(made, "run", "study.yaml", *OPTIONS, "--cells", "text/head")
    succeed(made, "run", "study.yaml", *OPTIONS)
    return made


def test_scores_are_those_of_a_loop_over_the_stored_models(place: Place) -> None:
    (final,) = place.runs("final", cell="text/none")
    expected = pseudo_perplexity(place, place.folder / "model")
    assert final.data.metrics["test/pseudo_perplexity"] == pytest.approx(expected, rel=1e-5)
    for cell in ("text/head", "text/last_blocks-1", "text/full", "text/lora-2"):
        (final,) = place.runs("final", cell=cell)
        (found,) = [
            model
            for model in place.client().search_logged_models([final.info.experiment_id])
            if model.tags["cell"] == cell
        ]
        (file,) = Path(str(found.artifact_location).removeprefix("file://")).rglob("harness.json")
        scored = pseudo_perplexity(place, file.parent)
        assert final.data.metrics["test/pseudo_perplexity"] == pytest.approx(scored, rel=1e-4), cell


def test_every_depth_is_searched_trained_and_scored_by_replay(place: Place) -> None:
    table = place.table()
    assert tuple(table) == CELLS
    trunks = {cell: place.runs("final", cell=cell)[0].data.tags["trunk"] for cell in CELLS}
    told = "replayed, but training hides other tokens in every epoch"
    assert trunks["text/head"] == trunks["text/last_blocks-1"] == told
    full, none = (float(table[cell]["validation_pseudo_perplexity"]) for cell in ("text/full", "text/none"))
    assert full < none
    assert "test_bits_per_byte" not in table["text/full"]
    assert "test_perplexity" not in table["text/full"]


def test_nothing_is_continued_or_shown(place: Place) -> None:
    (final,) = place.runs("final", cell="text/full")
    file = place.client().download_artifacts(final.info.run_id, "predictions/test.json", str(place.folder))
    table = json.loads(Path(file).read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [row["tokens"] for row in rows] == [30] * 4
    assert not any(row["prediction"] for row in rows)
    page = (place.folder / "reports" / "tiny" / "report.md").read_text()
    assert "Empty predictions" not in page
    assert "reads all others" in page


def test_nothing_is_left_to_do_and_a_run_is_reproduced(place: Place) -> None:
    assert "0 runs to do" in succeed(place, "run", "study.yaml", *OPTIONS)
    (run,) = place.runs("final", cell="text/last_blocks-1")
    assert "the same to the last bit" in succeed(place, "reproduce", run.info.run_id)
    assert "text/last_blocks-1" in succeed(place, "plan", "study.yaml", *OPTIONS)
    assert "prompt text (target in green)" in succeed(place, "show", "study.yaml", *OPTIONS)


def test_a_stored_model_answers_no_rows(place: Place) -> None:
    (place.folder / "asked.jsonl").write_text('{"text": "a"}\n')
    models = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    done = place.command("predict", models[0].model_uri, "--input", "asked.jsonl", "--output", "said.jsonl")
    assert done.status == 2
    assert "BertForMaskedLM fills masks and writes no text, so it answers no rows; load its folder by" in done.err
    assert not (place.folder / "said.jsonl").exists()


def test_fewer_tokens_are_scored_where_the_study_says_so(places: Places) -> None:
    made = plain_place(places, family="roberta", words=400)
    options = ("--set", "training.scored_tokens=3", "--set", "tuning=[{last_blocks: 1}]", "--set", "data.test=3")
    succeed(made, "run", "study.yaml", *options)
    (final,) = made.runs("final", cell="text/last_blocks-1")
    file = made.client().download_artifacts(final.info.run_id, "predictions/test.json", str(made.folder))
    table = json.loads(Path(file).read_text())
    tokens = table["columns"].index("tokens")
    assert [row[tokens] for row in table["data"]] == [3] * 3
