"""Reference rows: answers on cases made by hand, scores against the metrics' own, runs that are made once."""

from __future__ import annotations

import csv
import io
import json
import math
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import metrics
from harness.core.errors import TaskError
from harness.core.example import Example, Prediction
from harness.study.reference_rows import REFERENCES
from harness.study.task import load_task, packaged_tasks
from tests.support.study_fixture import SIZES, TASK, Place, Places, rows, write_rows

NAMES = ["lead_sentence", "lead_words", "copy_source", "frequent_reply", "nearest_reply"]


def pairs(*rows: tuple[str, str]) -> list[Example]:
    return [Example(str(number), {"source": source}, target) for number, (source, target) in enumerate(rows)]


@pytest.mark.parametrize(
    ("source", "first"),
    [
        ("It rains. We stay.", "It rains."),
        ("It rains", "It rains"),
        ("Does it rain?! Yes.", "Does it rain?!"),
        ('He said "stop." Then he left.', 'He said "stop."'),
        ("It costs 3.5 euros. Or 4.", "It costs 3.5 euros."),
        ("今天下雨。我们留下。", "今天下雨。"),
        ("  A title\nand a text.", "A title"),
        ("What now ... nothing. More.", "What now ..."),
        ("...", "..."),
    ],
)
def test_the_lead_is_the_first_sentence(source: str, first: str) -> None:
    assert REFERENCES["lead_sentence"](pairs(("a", "b")), [source]) == [first]


def test_the_lead_is_as_long_as_the_median_target() -> None:
    train = pairs(("x", "one"), ("x", "one two three"), ("x", "a b c d e f g"))
    assert REFERENCES["lead_words"](train, ["a  b\nc d", "a b"]) == ["a b c", "a b"]
    assert REFERENCES["lead_words"](train[:2], ["a b c d"]) == ["a"]  # the lower median of two


def test_the_source_is_copied() -> None:
    assert REFERENCES["copy_source"](pairs(("x", "y")), [" Wie  geht es? ", "b"]) == ["Wie  geht es?", "b"]


def test_the_most_frequent_reply_wins_and_of_several_the_first() -> None:
    train = pairs(("a", "no"), ("b", "yes"), ("c", "yes "), ("d", "no"), ("e", "maybe"))
    assert REFERENCES["frequent_reply"](train, ["x", "y"]) == ["no", "no"]
    assert REFERENCES["frequent_reply"](train[1:], ["x"]) == ["yes"]


def test_the_nearest_reply_goes_by_rare_words() -> None:
    train = pairs(
        ("Where is the red bicycle?", "In the cellar."),
        ("Where is the green lamp?", "In the attic."),
        ("When does the bus leave?", "At nine."),
    )
    found = REFERENCES["nearest_reply"](train, ["the BUS", "is it the green one?", "unheard-of words"])
    assert found == ["At nine.", "In the attic.", "In the cellar."]


def bm25(asked: list[str], bag: list[str], bags: list[list[str]]) -> float:
    """Return Lucene's form of BM25 with k1 = 1.5 and b = 0.75, word by word."""
    length, score = sum(map(len, bags)) / len(bags), 0.0
    for word in asked:
        rows, count = sum(word in other for other in bags), bag.count(word)
        rarity = math.log(1 + (len(bags) - rows + 0.5) / (rows + 0.5))
        score += rarity * count / (count + 1.5 * (1 - 0.75 + 0.75 * len(bag) / length))
    return score


@pytest.mark.slow
@given(seed=st.integers(0, 10**9))
@settings(max_examples=60, deadline=None)
def test_no_training_row_is_nearer_than_the_one_that_answers(seed: int) -> None:
    rng = random.Random(seed)
    words = [letter * 2 for letter in "bcdefghjklmn"]
    bags = [rng.choices(words[:10], k=rng.randint(1, 9)) for _ in range(rng.randint(1, 20))]
    train = pairs(*((" ".join(bag), f"answer {number}") for number, bag in enumerate(bags)))
    asked = [rng.choices(words, k=rng.randint(1, 9)) for _ in range(300)]
    answers = REFERENCES["nearest_reply"](train, [" ".join(each) for each in asked])
    for each, answer in zip(asked, answers, strict=True):
        near = [bm25(each, bag, bags) for bag in bags]
        assert near[int(answer.split()[1])] == pytest.approx(max(near), abs=1e-5)  # they are float32 there


@given(
    sources=st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=5),
    targets=st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=5),
)
def test_every_reference_answers_every_source(sources: list[str], targets: list[str]) -> None:
    train = pairs(*((target[::-1], target) for target in targets))
    for name in NAMES:
        found = REFERENCES[name](train, sources)
        assert len(found) == len(sources)
        assert found == [text.strip() for text in found]
        assert REFERENCES[name](train, sources[:1]) == found[:1]  # sources do not know each other


def test_the_names_are_these() -> None:
    assert list(REFERENCES) == NAMES


def test_every_packaged_task_names_its_own() -> None:
    named = {name: list(load_task(name)[0].references) for name in packaged_tasks()}
    assert named == {
        "reply_generation": ["frequent_reply", "nearest_reply"],
        "summarization": ["lead_sentence", "lead_words"],
        "classification": ["frequent_reply", "nearest_reply"],
        "text_generation": [],
        "translation": ["copy_source"],
    }


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "task.py"
    file.write_text(TASK.replace("    stop=", '    references=["lead_word"],\n    stop='))
    with pytest.raises(TaskError, match="references names 'lead_word'; did you mean 'lead_words'"):
        load_task(str(file))


# Runs of a tiny study.


def name_references(place: Place, *names: str) -> None:
    file = place.folder / "task.py"
    file.write_text(TASK.replace("    stop=", f"    references={list(names)},\n    stop="), encoding="utf-8")


def table(place: Place) -> list[dict[str, str]]:
    text = (place.folder / "reports" / "tiny" / "references.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def done(places: Places) -> Place:
    """Return a study with two reference rows that was run, as small as it can be."""
    place = places()
    name_references(place, "copy_source", "nearest_reply")
    place.edit("tuning: [none, head, {last_blocks: 1}]", "tuning: [none, head]")
    place.edit("seeds: [11, 12]", "seeds: [11]")
    place.edit("  trials: 2", "  trials: 1")
    place.edit("epochs: 2", "epochs: 1")
    place.run()
    return place


def test_rows_are_scored_as_cells_are(done: Place) -> None:
    found = {row["reference"]: row for row in table(done)}
    assert list(found) == ["copy_source", "nearest_reply"]
    assert set(found["copy_source"]) == {
        "reference",
        *(f"{split}_{metric}" for split in ("validation", "test") for metric in ("chrf", "length_ratio")),
    }
    for split in ("validation", "test"):
        examples = [Example(row["id"], {"source": row["source"]}, row["target"]) for row in rows(split)]
        for name in ("chrf", "length_ratio"):
            metric = metrics.get(name)
            said = [Prediction(e.id, e.fields["source"], math.nan, 0) for e in examples]
            score = metric.reduce([metric.statistics(p, e) for p, e in zip(said, examples, strict=True)])
            assert float(found["copy_source"][f"{split}_{name}"]) == pytest.approx(score, rel=1e-12)


def test_rows_are_parent_runs_with_what_they_said(done: Place) -> None:
    found = done.runs("reference")
    assert [run.info.run_name for run in found] == ["reference copy_source", "reference nearest_reply"]
    cell = done.runs("cell")[0]
    for run, row in zip(found, table(done), strict=True):
        assert "mlflow.parentRunId" not in run.data.tags
        assert run.info.status == "FINISHED"
        assert run.data.params == {
            "task": "tiny_task",
            "reference": row["reference"],
            **{f"data.{split}": str(size) for split, size in SIZES.items()},
        }
        shared = {
            key: value
            for key, value in cell.data.tags.items()
            if key.startswith(("mlflow.harness.data_digest", "version"))
        }
        assert shared
        assert shared.items() <= run.data.tags.items()
        scores = {name: float(value) for name, value in row.items() if name != "reference"}
        assert {name.replace("/", "_"): value for name, value in run.data.metrics.items()} == scores
        for split in ("validation", "test"):
            file = done.client().download_artifacts(run.info.run_id, f"predictions/{split}.json")
            stored = json.loads(Path(file).read_text(encoding="utf-8"))
            said = [line[stored["columns"].index("id")] for line in stored["data"]]
            assert said == [line["id"] for line in rows(split)]
    done.clean()


def test_rows_stand_below_the_cells(done: Place) -> None:
    page = (done.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    ranked = page[page.index("## Ranked") :].split("\n\n")[1].splitlines()[2:]
    assert ["reference: " in line for line in ranked] == [False] * 4 + [True] * 2
    for line, row in zip(ranked[4:], table(done), strict=True):
        assert f"reference: {row['reference']}" in line
        assert f"{float(row['test_chrf']):.2f}" in line
    shown = done.command("report", "study.yaml").out
    assert shown.index("bare/none") < shown.index("reference: copy_source") < shown.index("reference: nearest_reply")
    assert not any(cell.startswith("reference") for cell in done.table())


def test_a_second_run_scores_nothing_again(places: Places, done: Place) -> None:
    place = places.copy(done)
    before, results, times = table(place), place.results(), [run.info.end_time for run in place.runs("reference")]
    assert "scoring reference" not in place.run().out
    assert (table(place), place.results()) == (before, results)
    assert [run.info.end_time for run in place.runs("reference")] == times


@pytest.mark.slow
def test_rows_come_and_go_with_the_task_and_leave_the_cells_alone(places: Places, done: Place) -> None:
    place = places.copy(done)
    results = place.results()
    name_references(place, "nearest_reply", "lead_words")
    place.run()
    assert [row["reference"] for row in table(place)] == ["lead_words", "nearest_reply"]
    assert place.results() == results
    superseded = place.runs("superseded")
    assert [run.data.params["reference"] for run in superseded] == ["copy_source"]
    name_references(place)
    place.run()
    assert table(place) == []
    assert place.runs("reference") == []
    assert place.results() == results
    place.clean()


@pytest.mark.slow
def test_other_test_data_make_other_rows(places: Places, done: Place) -> None:
    place = places.copy(done)
    changed = [row | {"target": "moved to Tuesday"} for row in rows("test")]
    write_rows(place.folder / "data" / "test.jsonl", changed)
    before = table(place)
    place.run()
    after = table(place)
    assert [row["reference"] for row in after] == [row["reference"] for row in before]
    for old, new in zip(before, after, strict=True):
        assert old["test_chrf"] != new["test_chrf"]
        assert old["validation_chrf"] == new["validation_chrf"]
    assert len(place.runs("reference")) == 2
    place.clean()


@pytest.mark.slow
def test_a_row_that_was_cut_short_is_scored_again(places: Places, done: Place) -> None:
    place = places.copy(done)
    before = table(place)
    client, cut = place.client(), place.runs("reference")[0]
    client.update_run(cut.info.run_id, status="RUNNING")
    place.run()
    assert table(place) == before
    assert [run.info.run_id for run in place.runs("interrupted")] == [cut.info.run_id]
    place.clean()


def test_without_final_seeds_nothing_is_scored_on_test(places: Places) -> None:
    place = places()
    name_references(place, "copy_source")
    place.edit("tuning: [none, head, {last_blocks: 1}]", "tuning: [none]")
    place.edit("seeds: [11, 12]", "seeds: []")
    (place.folder / "data" / "test.jsonl").write_bytes(b"\xff")
    place.run()
    assert place.runs("reference") == []
    assert table(place) == []
