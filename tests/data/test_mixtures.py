"""Mixtures of sources: shares within one row of the weights, no row twice, the same for the same seed."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.core.errors import DataError
from harness.core.example import SPLITS, Example, Split
from harness.data.data_keys import Data
from harness.data.mixtures import ids_by_part, mixed, part_of, share
from harness.data.open_source import open_source
from harness.data.sources import Source, read_split, split_rows
from harness.data.train_test_overlap import overlaps
from harness.study.task import plain_example

weights = st.lists(st.floats(0.01, 100) | st.integers(1, 99).map(lambda tenths: tenths / 10), min_size=1, max_size=5)


@settings(max_examples=200)
@given(weights=weights, seed=st.integers(0, 2**63 - 1), data=st.data())
def test_every_beginning_has_its_shares(weights: list[float], seed: int, data: st.DataObject) -> None:
    by_name = {f"s{n}": weight for n, weight in enumerate(weights)}
    sizes = {name: data.draw(st.integers(0, 60)) for name in by_name}
    groups = {name: [None] * size for name, size in sizes.items()}
    found = mixed(groups, by_name, seed, None)
    assert len(set(found.rows)) == len(found.rows), "no row twice"
    written = {name: Fraction(str(weight)) for name, weight in by_name.items()}
    whole = sum(written.values())
    for end in range(len(found.rows) + 1):
        for name, weight in written.items():
            given_so_far = sum(source == name for source, _ in found.rows[:end])
            assert abs(given_so_far - end * weight / whole) < 1
            assert given_so_far <= share(end, name, by_name)
    assert found == mixed(groups, by_name, seed, None)
    for size in range(len(found.rows) + 1):
        smaller = mixed(groups, by_name, seed, size)
        assert len(smaller.rows) == size
        assert set(smaller.rows) <= set(found.rows)
    beyond = len(found.rows) + len(weights) + 1
    with pytest.raises(DataError, match=f"{beyond:,} rows are wanted, but by their weights"):
        mixed(groups, by_name, seed, beyond)


def test_a_mixture_ends_where_a_source_does() -> None:
    groups: dict[str, list[str | None]] = {"a": [None] * 30, "b": [None] * 90}
    assert mixed(groups, {"a": 1, "b": 1}, 0, None).given == {"a": 30, "b": 30}
    assert mixed(groups, {"a": 1, "b": 1}, 0, 61).given == {"a": 30, "b": 31}
    one: dict[str, list[str | None]] = {"a": [None], "b": [None]}
    assert mixed(one, {"a": 2, "b": 1}, 0, None).given == {"a": 1, "b": 1}
    assert mixed(groups, {"a": 1, "b": 3}, 0, None).given == {"a": 30, "b": 90}
    assert mixed(groups, {"a": 2, "b": 1}, 0, None).given == {"a": 30, "b": 15}


def test_shares_are_of_the_decimals_that_are_written() -> None:
    weights = {"a": 3.0, "b": 1.4, "c": 1.0}
    assert share(9, "a", weights) == 5, "nine times 3 / 5.4"
    assert mixed({"a": [None] * 6, "b": [None] * 2, "c": [None] * 3}, weights, 0, 9).given == {"a": 5, "b": 2, "c": 2}


def test_another_seed_draws_other_rows() -> None:
    groups: dict[str, list[str | None]] = {"a": [None] * 5, "b": [None] * 500}
    draws = [frozenset(mixed(groups, {"a": 1, "b": 1}, seed, None).rows) for seed in range(20)]
    assert len(set(draws)) == 20
    counts = [sum(("b", n) in draw for draw in draws) for n in range(500)]
    assert sum(counts) == 20 * 5
    assert max(counts) < 5, "not the first ones each time"


def rows(file: Path, marks: str, count: int, **renamed: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    table = [{"source": f"{marks} question {n}", "target": f"{marks} answer {n}"} for n in range(count)]
    named = [{renamed.get(key, key): value for key, value in row.items()} for row in table]
    file.write_text("".join(json.dumps(row) + "\n" for row in named))
    return file


def opened(*sources: dict[str, Any], **keys: Any) -> tuple[Source, Data]:
    data = Data.model_validate({"sources": [{**one, "path": str(one["path"])} for one in sources], **keys})
    return open_source(data, Path("none")), data


def examples(source: Source, data: Data) -> dict[Split, list[Example]]:
    return {split: read_split(source, split, data, plain_example) for split in SPLITS}


def sizes(source: Source, some: list[Example]) -> dict[str, int]:
    parts = [part.name for part in source.parts]
    return {part: len(ids) for part, ids in ids_by_part(parts, [example.id for example in some]).items()}


def test_sources_have_columns_of_their_own_and_ids_with_their_names(tmp_path: Path) -> None:
    news = rows(tmp_path / "news.jsonl", "n", 40, source="article", target="summary")
    talk = rows(tmp_path / "talk" / "train.jsonl", "t", 60).parent
    rows(talk / "validation.jsonl", "v", 12)
    columns = {"source": "article", "target": "summary"}
    source, data = opened({"path": news, "columns": columns, "weight": 2}, {"path": talk})
    found = examples(source, data)
    counts = {split: sizes(source, part) for split, part in found.items()}
    assert counts == {
        "train": {"news": 32, "talk": 16},
        "validation": {"news": 4, "talk": 2},
        "test": {"news": 4, "talk": 2},
    }
    for split in SPLITS:
        for example in found[split]:
            part, _, row = example.id.partition(":")
            mark = "n" if part == "news" else "v" if split == "validation" else "t"
            number = int(row.removeprefix("row-")) - 1
            assert example.fields["source"] == f"{mark} question {number}"
            assert example.target == f"{mark} answer {number}"
            assert "summary" not in example.fields, "a prompt could show it"
    every = [example.id for split in SPLITS for example in found[split] if split != "validation"]
    assert len(set(every)) == len(every)
    told = "test mixes 4 of the 4 rows of news and 2 of the 6 rows of talk, 2 : 1 by data.sources; weights set others."
    assert source.notes[-1] == told
    again, _ = opened({"path": news, "columns": columns, "weight": 2}, {"path": talk})
    assert examples(again.read_once(), data) == found
    other, moved = opened({"path": news, "columns": columns, "weight": 2}, {"path": talk}, seed=1)
    assert examples(other, moved) != found


def test_sizes_are_the_mixture_s(tmp_path: Path) -> None:
    first, second = rows(tmp_path / "a.jsonl", "a", 40), rows(tmp_path / "b.jsonl", "b", 40)
    source, data = opened({"path": first, "weight": 3}, {"path": second}, train=20, validation=6, test=10)
    found = examples(source, data)
    assert {split: len(part) for split, part in found.items()} == {"train": 20, "validation": 6, "test": 10}
    assert sizes(source, found["train"]) == {"a": 15, "b": 5}
    smaller, less = opened({"path": first, "weight": 3}, {"path": second}, train=10, validation=6, test=10)
    assert {e.id for e in examples(smaller, less)["train"]} < {e.id for e in found["train"]}
    assert examples(smaller, less)["test"] == found["test"]
    many, too = opened({"path": first}, {"path": second}, train=90)
    with pytest.raises(DataError, match=r"a.jsonl \+ .*b.jsonl, train: data.train: 90 rows are wanted, but"):
        examples(many, too)


def test_sources_of_one_name_are_told_apart(tmp_path: Path) -> None:
    files = [rows(tmp_path / folder / "train.jsonl", folder[0], 10) for folder in ("a", "b", "more/a")]
    source, data = opened(*({"path": file} for file in files))
    assert {part_of(e.id) for e in examples(source, data)["train"]} == {"a.1", "b", "a.3"}


def test_one_source_s_test_in_another_s_train_is_told(tmp_path: Path) -> None:
    first = rows(tmp_path / "a" / "train.jsonl", "a", 10).parent
    rows(first / "test.jsonl", "shared", 4)
    second = rows(tmp_path / "b" / "train.jsonl", "shared", 10).parent
    rows(second / "test.jsonl", "b", 4)
    source, data = opened({"path": first}, {"path": second})
    (across,) = [one for one in overlaps(examples(source, data)) if (one.earlier, one.later) == ("train", "test")]
    assert {part_of(twin.other) for twin in across.twins} == {"b"}
    assert {twin.id for twin in across.twins} == {f"a:row-{n}" for n in range(1, 5)}
    assert "a:row-1" in across.line()


def test_groups_of_two_sources_are_two(tmp_path: Path) -> None:
    for name in "ab":
        table = [{"source": f"{name}{n}", "target": "t", "doc": n // 2} for n in range(20)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    source, data = opened({"path": tmp_path / "a.jsonl"}, {"path": tmp_path / "b.jsonl"}, group="doc", test=6)
    found = examples(source, data)
    assert {e.group for e in found["test"]}.isdisjoint(e.group for e in found["train"])
    assert {str(e.group)[:2] for e in found["train"]} == {"a:", "b:"}
    assert [row.group for row in split_rows(source, "test", data)] == [e.group for e in found["test"]]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"sources": [{"path": "a"}], "path": "b"}, "data names both path and sources; keep one"),
        (
            {"sources": [{"path": "a"}], "columns": {"source": "b"}},
            "both columns and sources; write it into each",
        ),
        (
            {"sources": [{"path": "a"}], "delimiter": ";"},
            "both delimiter and sources; write it into each",
        ),
        ({"sources": [{"weight": 2}]}, "an entry of data.sources says neither path nor hub; name where its rows are"),
        ({"sources": [{"path": "a", "weight": 0}]}, "greater than or equal"),
        ({"sources": [{"path": "a", "hub": "b/c"}]}, "data names both path and hub; keep one"),
    ],
)
def test_keys_that_do_not_fit_are_refused(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Data.model_validate(keys)
