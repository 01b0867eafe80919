"""Shapes of data in a study: what `check` tells of them, what it refuses, and what runs say of a mixture."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness.study.load_study import read_study
from tests.support.study_fixture import QUICK, Place, Places, rows, write_rows

SPLITS = ("train", "validation", "test")


def with_data(place: Place, data: dict[str, Any], prompts: list[Any] | None = None) -> Place:
    place.edit("data: {path: data}", f"data: {json.dumps(data)}")
    if prompts:
        start, end = place.study.read_text().split("prompts:\n")
        place.study.write_text(f"{start}prompts: {json.dumps(prompts)}\n{end[end.index('tuning:') :]}")
    return place


def instructions(place: Place) -> None:
    for split in SPLITS:
        table = [
            {"instruction": row["source"], "input": "again" * (n % 2), "output": row["target"]}
            for n, row in enumerate(rows(split))
        ]
        write_rows(place.folder / "data" / f"{split}.jsonl", table)


def nested(place: Place, folder: str = "data") -> None:
    for split in SPLITS:
        table = [{"translation": {"en": row["source"], "fr": row["target"]}} for row in rows(split)]
        write_rows(place.folder / folder / f"{split}.jsonl", table)


NESTED = {"source": "translation.en", "target": "translation.fr"}


def test_instructions_are_checked_without_a_word_about_them(places: Places) -> None:
    place = places(store=False)
    instructions(place)
    asked = "{{ instruction }}{% if input %}\n{{ input }}{% endif %}\n"
    with_data(place, {"path": "data"}, ["bare", {"name": "own", "text": asked, "shorten": "instruction"}])
    done = place.command("check", "study.yaml", "--set", "training.max_source_tokens=90")
    assert done.status == 0, done.err
    assert "note: rows are instructions: the target is 'output', the field source 'instruction'" in done.out
    assert done.out.count("rows are instructions") == 1
    assert "no prompt uses" not in done.out
    assert "belong together" not in done.out, "many rows may have one instruction"
    wrong = place.command("check", "study.yaml", "--set", 'prompts=[{name: own, text: "{{ output }}{{ source }}"}]')
    assert wrong.status == 2
    assert "field 'output' is undefined" in wrong.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{{ translation.en }} =", None),
        ("{{ translation.fr }} =", "changes with 'translation.fr', which the target is made of"),
        ("{{ translation }} =", "changes with 'translation.fr', which the target is made of"),
        ("{{ translation.values() | list }}{{ source }}", "changes with 'translation.fr'"),
    ],
)
def test_a_nested_target_in_the_prompt_is_found(text: str, told: str | None, places: Places) -> None:
    place = places(store=False)
    nested(place)
    with_data(place, {"path": "data", "columns": NESTED}, ["bare", {"name": "own", "text": text}])
    done = place.command("check", "study.yaml", "--set", "training.max_source_tokens=200")
    if told is None:
        assert done.status == 0, done.err
    else:
        assert done.status == 2
        assert told in done.err


def test_mistakes_are_told_once_with_what_was_meant(places: Places) -> None:
    place = places(store=False)
    nested(place)
    with_data(place, {"path": "data"})
    (missing,) = place.command("check", "study.yaml").err.strip().splitlines()
    assert missing.endswith("map it with data.columns: {source: translation.en, target: translation.fr}")
    assert "train row 1, validation row 1, test row 1: column 'target' is missing" in missing
    wrong = place.command(
        "check", "study.yaml", "--set", "data.columns={source: translation.eng, target: translation.fr}"
    )
    assert wrong.status == 2
    (line,) = wrong.err.strip().splitlines()
    assert "did you mean 'translation.en'?" in line
    place.edit('{"path": "data"}', json.dumps({"path": "data", "columns": NESTED}))
    both = place.command("check", "study.yaml", "--set", 'data.splits={train: "train[:20]", test: "train[10:]"}')
    (line,) = both.err.strip().splitlines()
    assert "data.splits gives rows 11 to 20 of train both to train, 'train[:20]', and to test, 'train[10:]'" in line
    odd = place.command("check", "study.yaml", "--set", 'data.splits={test: "train[10]"}')
    assert odd.err.count("\n") == 1
    assert "data.splits.test: 'train[10]' is no slice of a split; write train[-500:]" in odd.err


def mixture(place: Place) -> Place:
    nested(place, "nested")
    sources = [{"path": "data", "weight": 2}, {"path": "nested", "columns": NESTED}]
    return with_data(place, {"sources": sources, "train": 18, "validation": 6, "test": 6, "on_overlap": "warn"})


def test_a_mixture_is_told_with_what_its_sources_share(places: Places) -> None:
    place = mixture(places(store=False))
    nested(place, "nested")
    write_rows(
        place.folder / "nested" / "train.jsonl",
        [{"translation": {"en": r["source"], "fr": r["target"]}} for r in rows("test")],
    )
    done = place.command("check", "study.yaml")
    assert done.status == 0, done.err
    assert (
        "note: train mixes 12 of the 24 rows of data and 6 of the 8 rows of nested, 2 : 1 by data.sources" in done.out
    )
    assert "18 train, 6 validation, 6 test" in done.out
    shared = [line for line in done.out.splitlines() if line.startswith("duplicates: ") and "nested:row-" in line]
    assert any("train" in line and "test" in line for line in shared), done.out
    refused = place.command("check", "study.yaml", "--set", "data.on_overlap=error")
    assert refused.status == 2
    assert "rows stand in two splits" in refused.err


def test_what_a_mixture_leaves_out_of_one_test_and_trains_on_from_another_is_told(places: Places) -> None:
    place = mixture(places(store=False))
    write_rows(place.folder / "nested" / "train.jsonl", [{"translation": {"en": "x", "fr": "y"}}] * 4)
    shared = [{"translation": {"en": row["source"], "fr": row["target"]}} for row in rows("train")]
    write_rows(place.folder / "nested" / "test.jsonl", shared)
    done = place.command("check", "study.yaml", "--set", "data.train=12", "--set", "data.test=3")
    assert done.status == 0, done.err
    told = r"caution: (\d+) rows of one source's test stand in another's train: nested:row-\d+ ~ data:train-\d+, "
    found = re.search(told, " ".join(done.out.split()))
    assert found is not None
    assert 6 <= int(found[1]) <= 8, "eight rows of data train, each a row of the other's test, which scores one or two"


@pytest.mark.slow
def test_runs_say_what_each_source_gave(places: Places) -> None:
    place = mixture(places())
    place.run(*QUICK)
    params: list[dict[str, Any]] = [run.data.params for run in place.runs("final")]
    assert len(params) > 0
    for said in params:
        assert {name: said[f"data.{name}"] for name in ("train", "train.data", "train.nested")} == {
            "train": "18",
            "train.data": "12",
            "train.nested": "6",
        }
    place.run(*QUICK)
    assert len(place.runs("final")) == len(params), "the same rows the second time"
    shown = place.command("reproduce", place.runs("final")[0].info.run_id)
    assert shown.status == 0, shown.out + shown.err
    report = (place.folder / "reports" / "tiny" / "report.md").read_text()
    assert "train of nested" in report


def test_paths_of_sources_and_slices_start_at_the_study_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there"
    there.mkdir()
    for name in ("a.csv", "b.csv"):
        (there / name).write_text("source,target\n")
    sources = [{"path": "a.csv"}, {"splits": {"train": "a.csv[:9]+./b.csv", "test": "train[-3:]"}}, {"hub": "org/x"}]
    study = {"name": "s", "task": "translation", "prompts": ["bare"], "tuning": ["head"], "data": {"sources": sources}}
    (there / "study.yaml").write_text(json.dumps(study))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train").mkdir()
    first, second, third = read_study(Path("there/study.yaml")).resolved.data.sources
    assert first.path == "there/a.csv"
    assert second.splits == {"train": "there/a.csv[:9]+there/b.csv", "test": "train[-3:]"}
    assert third.hub == "org/x"


def test_a_slice_that_is_not_quoted_is_told_how_to_be(places: Places) -> None:
    place = places(store=False)
    place.edit("data: {path: data}", "data: {path: data, splits: {test: train[-4:], train: train[:-4]}}")
    done = place.command("check", "study.yaml")
    assert done.status == 2
    assert done.err.startswith("study.yaml:7: no valid YAML: ")
    assert 'a text with a bracket is quoted there: "train[-500:]"' in done.err
    place.edit("{test: train[-4:], train: train[:-4]}}", "{test: 'train[-4:]', train: 'train[:-4]'}}")
    assert "20 train, 8 validation, 4 test" in place.command("check", "study.yaml").out


def test_slices_of_files_in_an_extended_study_stay_slices(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    data = {"splits": {"train": "a.csv[:9]", "test": "train[-3:]+b.csv[1:]"}}
    study = {"name": "s", "task": "translation", "prompts": ["bare"], "tuning": ["head"], "data": data}
    (tmp_path / "base" / "study.yaml").write_text(json.dumps(study))
    (tmp_path / "study.yaml").write_text("extends: base/study.yaml")
    file = read_study(tmp_path / "study.yaml")
    assert file.study.data.splits == {"train": "base/a.csv[:9]", "test": "train[-3:]+base/b.csv[1:]"}
    assert read_study(tmp_path / "base" / "study.yaml").study.data.splits == data["splits"]


@pytest.mark.slow
def test_slices_of_the_task_s_own_data_are_found_again(places: Places) -> None:
    place = with_data(places(), {"splits": {"validation": "train[:6]", "test": "train[-4:]"}})
    place.run(*QUICK, "--set", "tuning=[none, head]")
    (run, *_) = place.runs("final")
    assert {name: run.data.params[f"data.{name}"] for name in ("train", "validation", "test")} == {
        "train": "14",
        "validation": "6",
        "test": "4",
    }
    shown = place.command("reproduce", run.info.run_id)
    assert shown.status == 0, shown.out + shown.err
