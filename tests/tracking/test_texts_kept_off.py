"""``tracking: {texts: false}``: no text of a row or of an answer reaches the store, and all else still works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.canary import stored
from tests.support.study_fixture import SIZES, TASK, Place, Places, rows, write_rows

SHORT = ("search.trials=1", "final.seeds=[11, 12]", "tuning=[none, head]")
OFF = (*SHORT, "tracking.texts=false", "final.models=cells")
CANARY = "canaryword"


def sets(*settings: str) -> tuple[str, ...]:
    return tuple(part for each in settings for part in ("--set", each))


def with_canaries(place: Place) -> Place:
    """Have every text of the data hold a word that stands nowhere else, one for each place it stands in."""
    for split in SIZES:
        told = []
        for number, row in enumerate(rows(split)):
            word = f"{CANARY}{split}{number}"
            told.append(
                {
                    "id": row["id"],
                    "source": f"{row['source']} {word}source",
                    "target": f"{word}target {row['target']}",
                    "references": [f"{word}target {row['target']}", f"{word}reference Zürich"],
                    "topic": f"{word}group{number // 2}",
                    "other": f"{word}field",
                }
            )
        write_rows(place.folder / "data" / f"{split}.jsonl", told)
    task = TASK.replace('metrics=["chrf"', 'references=["lead_words"],\n    metrics=["rougeL", "chrf", "distinct2"')
    (place.folder / "task.py").write_text(task)
    place.edit("data: {path: data}", "data: {path: data, group: topic}")
    place.edit("max_source_tokens: 48", "max_source_tokens: 48, max_target_tokens: 40")
    place.edit("max_new_tokens: 6", "max_new_tokens: 20")
    return place


@pytest.fixture(scope="module")
def done(places: Places) -> Place:
    place = with_canaries(places())
    place.run(*sets(*OFF))
    return place


@pytest.fixture(scope="module")
def usual(places: Places) -> Place:
    """The same study, its texts in the store."""
    place = with_canaries(places())
    place.run(*sets(*SHORT, "final.models=cells"))
    return place


def tables(place: Place) -> list[Path]:
    return list((place.folder / ".harness" / ".texts" / "tiny").glob("*.jsonl"))


@pytest.mark.slow
def test_no_byte_of_a_row_or_an_answer_reaches_the_store(done: Place, usual: Place) -> None:
    said = {json.loads(line)["prediction"] for file in tables(done) for line in file.read_text().splitlines()}
    long = [text.encode() for text in said if len(text) > 12]
    assert long
    assert any(CANARY.encode() in content for _, content in stored(usual)), "the canaries do not sing at all"
    assert any(any(text in content for text in long) for _, content in stored(usual))
    for place, content in stored(done):
        assert CANARY.encode() not in content, place
        assert "Zürich".encode() not in content, place
        assert b"Z\\u00fcrich" not in content, place
        for text in long:
            assert text not in content, place


@pytest.mark.slow
def test_numbers_and_claims_are_the_same(done: Place, usual: Place) -> None:
    assert done.results() == usual.results()
    names = ("references.csv", "verdicts.json")
    for name in names:
        told, other = ((place.folder / "reports" / "tiny" / name).read_text() for place in (done, usual))
        if name == "verdicts.json":
            (held, whole) = (json.loads(text) for text in (told, other))
            assert held["comparisons"] == whole["comparisons"]
            assert held["comparisons"]
            assert held["recommendation"] == whole["recommendation"]
        else:
            assert told == other


@pytest.mark.slow
def test_the_report_says_where_texts_are_and_they_are_there(done: Place) -> None:
    for name in ("report.md", "report.html"):
        page = (done.folder / "reports" / "tiny" / name).read_text()
        assert CANARY not in page
        assert "stay off the store (tracking.texts: false)" in page
        assert ".harness/.texts/tiny" in page
    runs = len(done.runs("final")) + len(done.runs("reference"))
    assert len(tables(done)) == 2 * runs
    for file in tables(done):
        split = "test" if file.name.endswith("-test.jsonl") else "validation"
        told = [json.loads(line) for line in file.read_text().splitlines()]
        assert [row["id"] for row in told] == [row["id"] for row in rows(split)]
        assert all(CANARY in row["source"] and CANARY in row["reference"] and row["references"] for row in told)


@pytest.mark.slow
def test_another_folder_reads_the_same_from_the_store_alone(done: Place, places: Places) -> None:
    place = places.copy(done)
    before = (place.folder / "reports" / "tiny" / "verdicts.json").read_bytes()
    for file in tables(place):
        file.unlink()
    assert place.command("report", "tiny").status == 0
    assert (place.folder / "reports" / "tiny" / "verdicts.json").read_bytes() == before
    assert place.command("compare", "tiny:cue/head", "tiny:bare/head").status == 0
    perplexity = place.command("compare", "tiny:cue/head", "tiny:bare/head", "--metric", "perplexity")
    assert perplexity.status == 0, perplexity.err


@pytest.mark.slow
def test_the_same_command_again_does_nothing_and_more_seeds_extend_it(done: Place, places: Places) -> None:
    place = places.copy(done)
    runs = len(place.runs())
    assert "0 runs to do" in place.run(*sets(*OFF)).out
    assert len(place.runs()) == runs
    place.run(*sets(*OFF[:1], "final.seeds=[11, 12, 13]", *OFF[2:]))
    assert len(place.runs("final", cell="cue/head")) == 3
    assert all(CANARY.encode() not in content for _, content in stored(place))


@pytest.mark.slow
def test_the_champion_answers_and_is_challenged(done: Place, places: Places) -> None:
    place = places.copy(done)
    (place.folder / "in.jsonl").write_text(json.dumps({"source": "a short note"}) + "\n")
    shown = place.command("predict", "models:/tiny@champion", "--input", "in.jsonl", "--output", "out.jsonl")
    assert shown.status == 0, shown.err
    other = ("name=other", "final.registered_as=tiny", "training.epochs=1")
    said = place.run(*sets(*OFF, *other)).out
    assert "by the paired test" in " ".join(said.split()), said
    said = place.run(*sets(*SHORT, "name=third", "final.registered_as=tiny", "training.epochs=3")).out
    assert "by the paired test" in " ".join(said.split()), said


@pytest.mark.slow
def test_a_final_run_can_be_done_again(done: Place) -> None:
    shown = done.command("reproduce", done.runs("final", cell="bare/head")[0].info.run_id)
    assert shown.status == 0, shown.out + shown.err


@pytest.mark.slow
def test_a_study_that_had_its_texts_stored_gets_new_runs_without(usual: Place, places: Places) -> None:
    place = places.copy(usual)
    place.run(*sets(*OFF[:1], "final.seeds=[11, 12, 13]", *OFF[2:]))
    new = [run for run in place.runs("final") if run.data.params["seed"] == "13"]
    assert len(new) == 2
    for run in new:
        table = json.loads((Path(run.info.artifact_uri.removeprefix("file://")) / "predictions/test.json").read_text())
        assert set(table["columns"]) == {"id", "nll", "tokens", "empty", "statistics", "group"}
    assert place.command("compare", "tiny:cue/head", "tiny:bare/head").status == 0
