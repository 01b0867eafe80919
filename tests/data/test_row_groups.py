"""Rows that belong together: one split each where the harness splits, refused or dropped where the files do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.core.errors import DataError
from harness.core.example import SPLITS, Example, Split, fingerprint
from harness.data.data_keys import Data
from harness.data.open_source import open_source
from harness.data.row_groups import FEW_TESTED, few_groups, few_tested, likely_groups
from harness.data.sources import Source, read_split
from harness.study.task import plain_example
from harness.tracking.mlflow.mlflow_tracker import MlflowTracker
from harness.tracking.prediction_table import read_examples
from tests.support.study_fixture import TASK, Place, Places, rows, write_rows


def source_of(made: Sequence[Mapping[str, Any]]) -> Source:
    return Source("made", {"train": lambda: [dict(row) for row in made]})


def turns(groups: Sequence[object]) -> list[dict[str, Any]]:
    return [{"source": f"s{n}", "target": "t", "dialogue": group} for n, group in enumerate(groups)]


def get(source: Source, split: Split, data: Data) -> list[Example]:
    return read_split(source, split, data, plain_example)


@given(
    groups=st.lists(st.integers(0, 9) | st.none(), min_size=3, max_size=60),
    validation=st.integers(1, 10) | st.none(),
    test=st.integers(1, 10) | st.none(),
    seed=st.integers(0, 3),
)
@settings(max_examples=100, deadline=None)
def test_a_group_stays_in_one_split(
    groups: list[int | None], validation: int | None, test: int | None, seed: int
) -> None:
    made = source_of(turns(groups))
    data = Data(group="dialogue", validation=validation, test=test, seed=seed)
    if all(group is None for group in groups):
        groups = ["all", *groups[1:]]
        made = source_of(turns(groups))
    splits: dict[Split, list[Example]] = {}
    with suppress(DataError):  # there may be too few groups
        splits = {split: get(made, split, data) for split in SPLITS}
    assume(splits)
    places: dict[str, set[str]] = {}
    for split, examples in splits.items():
        for example in examples:
            places.setdefault(example.group or example.id, set()).add(split)
    assert all(len(one) == 1 for one in places.values())
    sources = [example.fields["source"] for examples in splits.values() for example in examples]
    assert len(set(sources)) == len(sources)
    for split, size in (("validation", validation), ("test", test)):
        assert size is None or len(splits[split]) == size  # type: ignore[index]
    smaller = {e.id for e in get(made, "train", data.model_copy(update={"train": 1}))}
    assert smaller <= {e.id for e in splits["train"]}


@given(groups=st.lists(st.integers(0, 5), min_size=12, max_size=30).filter(lambda groups: len({*groups}) > 3))
@settings(max_examples=30, deadline=None)
def test_a_group_is_one_however_its_number_is_written(groups: list[int]) -> None:
    ways = (int, float, str, "{} ".format)
    made = source_of(turns([ways[place % 4](group) for place, group in enumerate(groups)]))
    data = Data(group="dialogue", validation=1, test=1)
    splits = {split: get(made, split, data) for split in SPLITS}
    numbers = {f"s{place}": group for place, group in enumerate(groups)}
    seen = [{numbers[one.fields["source"]] for one in part} for part in splits.values()]
    assert sum(map(len, seen)) == len(set.union(*seen))


def test_without_a_group_rows_are_split_as_ever() -> None:
    made = source_of(turns([n // 4 for n in range(40)]))
    alone = source_of([{**row, "dialogue": ""} for row in turns([n // 4 for n in range(40)])])
    for split in SPLITS:
        rows_of = [
            [example.fields["source"] for example in examples]
            for examples in (get(made, split, Data()), get(alone, split, Data(group="dialogue")))
        ]
        assert rows_of[0] == rows_of[1]


def test_a_group_enters_the_digest_of_data_and_none_does_not() -> None:
    plain = Example("a", {"source": "x"}, "y")
    assert fingerprint([plain]) == fingerprint([Example("a", {"source": "x"}, "y", group=None)])
    assert fingerprint([plain]) != fingerprint([Example("a", {"source": "x"}, "y", group="g")])


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    write_rows(tmp_path / "train.jsonl", turns(range(30)))
    data = Data(path=str(tmp_path), group="dialog")
    with pytest.raises(DataError, match=r"data.group names a column 'dialog', .*did you mean 'dialogue'"):
        get(open_source(data, tmp_path), "train", data)


def with_dialogues(place: Place, **groups: Sequence[str | None]) -> None:
    for split, names in groups.items():
        content = [{**row, "dialogue": name} for row, name in zip(rows(split), names, strict=True)]
        write_rows(place.folder / "data" / f"{split}.jsonl", content)


APART = {
    "train": [f"t{n // 3}" for n in range(24)],
    "validation": [f"v{n // 2}" for n in range(8)],
    "test": [f"x{n // 4}" for n in range(8)],
}
GROUP = ("--set", "data.group=dialogue")


def test_groups_over_splits_are_refused_or_dropped(places: Places) -> None:
    place = places(store=False)
    with_dialogues(place, **{**APART, "validation": ["t0", "x0", *APART["validation"][2:]]})
    done = place.command("check", "study.yaml", *GROUP)
    assert done.status == 2
    text = " ".join(done.err.split())
    assert "2 groups stand in more than one split: 't0' in train and validation, 'x0' in validation and test" in text
    assert "data.on_overlap: drop" in text
    dropped = place.command("check", "study.yaml", *GROUP, "--set", "data.on_overlap=drop")
    assert dropped.status == 0, dropped.err
    assert "21 train, 7 validation, 8 test" in dropped.out
    assert "3 rows of train are left out" in dropped.out
    with_dialogues(place, **APART)
    assert "24 train, 8 validation, 8 test" in place.command("check", "study.yaml", *GROUP).out


@pytest.mark.parametrize(
    ("rows", "group", "told"), [(1, None, "1 row:"), (49, None, "49 rows:"), (100, 2, "2 groups:")]
)
def test_little_to_resample_is_told(rows: int, group: int | None, told: str) -> None:
    test = [Example(str(n), {}, "t", group=group and str(n % group)) for n in range(rows)]
    (line,) = few_tested({"train": test, "test": test})
    assert line.startswith(f"test has {told} below {FEW_TESTED} one moves scores much")


def test_enough_to_resample_is_not_told() -> None:
    rows = [Example(str(n), {}, "t", group=str(n % FEW_TESTED)) for n in range(2 * FEW_TESTED)]
    assert few_tested({"test": rows}) == few_tested({"test": rows[:FEW_TESTED]}) == few_tested({"train": rows}) == []


@pytest.mark.parametrize(
    ("groups", "told"), [(1, "1 group in 12 rows"), (9, "9 groups in 12 rows"), (10, ""), (12, "")]
)
def test_few_groups_are_told(groups: int, told: str) -> None:
    made = [Example(f"row-{n}", {}, "t", group=f"g{min(n, groups - 1)}") for n in range(12)]
    said = few_groups(
        {"train": made[:1], "validation": made, "test": [Example("a", {}, "t"), Example("b", {}, "t")]}, "talk"
    )
    assert [told in line for line in said] == [True] * bool(told)


def test_few_chats_are_told_as_chats() -> None:
    """Where all answers of a chat are targets, nobody named a column, and none would help."""
    made = [Example(f"row-{n}", {}, "t", group=f"train row {n // 3}") for n in range(12)]
    assert few_groups({"validation": made}, None) == [
        "validation has 4 chats in 12 rows (data.turns), which count as wholes: below 10 little can be claimed, of one "
        "nothing; take more rows of further chats"
    ]


def test_check_asks_about_a_column_that_looks_like_a_group(places: Places) -> None:
    place = places(store=False)
    with_dialogues(place, **{**APART, "test": [f"t{n // 2}" for n in range(8)]})
    text = " ".join(place.command("check", "study.yaml").out.split())
    assert "Do rows with the same 'dialogue' belong together?" in text
    assert "set data.group: dialogue" in text
    with_dialogues(place, **APART)
    assert "belong together" not in place.command("check", "study.yaml").out
    (place.folder / "data" / "test.jsonl").unlink()
    assert "belong together" in place.command("check", "study.yaml").out  # train is carved up then
    assert "belong together" not in place.command("check", "study.yaml", *GROUP).out
    assert "belong together" not in place.command("check", "study.yaml", "--set", "data.group=null").out
    place.edit("data: {path: data}", "data: {path: '${DATA}'}")
    assert "belong together" in place.command("check", "study.yaml", env={"DATA": "data"}).out
    place.edit("path: '${DATA}'", "path: '${DATA}', group: null")
    assert "belong together" not in place.command("check", "study.yaml", env={"DATA": "data"}).out


def test_what_a_task_s_own_function_takes_for_targets_is_no_group(places: Places) -> None:
    place = places(store=False)
    golds = {"train": [f"g {n // 2}" for n in range(24)], "validation": [f"g {n}" for n in range(8)]}
    for split, texts in {**golds, "test": golds["validation"]}.items():
        made = [{"key": f"{split}{n}", "text": f"{n} in {split}", "gold": gold} for n, gold in enumerate(texts)]
        write_rows(place.folder / "data" / f"{split}.jsonl", made)
    own = "def example(row, id):\n    return Example(row['key'], {'source': row['text']}, TARGET)\n\n\n"
    for target, asked in (("' ' + row['gold'] + ' '", False), ("row['gold'] + '.'", True)):
        text = TASK.replace("import Task", "import Example, Task").replace("task = Task(", f"{own}task = Task(")
        text = text.replace("TARGET", target).replace('data="data",', 'data="data",\n    example=example,')
        (place.folder / "task.py").write_text(text, encoding="utf-8")
        done = place.command("check", "study.yaml")
        assert done.status == 0, done.err
        assert ("belong together" in done.out) is asked


@pytest.mark.parametrize(
    ("values", "asked"),
    [
        ([f"d{n // 3}" for n in range(60)], True),
        ([n // 4 for n in range(60)], True),
        ([float(n // 4) if n % 7 else float("nan") for n in range(60)], True),
        ([f"topic {n % 4}" for n in range(60)], False),
        ([f"row {n}" for n in range(60)], False),
        ([n % 20 / 2 for n in range(60)], False),
        ([n % 2 == 0 for n in range(60)], False),
        ([None] * 60, False),
    ],
)
def test_which_columns_look_like_groups(values: list[Any], asked: bool) -> None:
    made = [{"source": f"s{n}", "c": value} for n, value in enumerate(values)]
    splits: dict[Split, list[dict[str, Any]]] = {"train": made[::2], "test": made[1::2]}
    assert bool(likely_groups(splits, frozenset({"source"}), "id")) is asked
    assert not likely_groups(splits, frozenset({"source", "c"}), "id")


@pytest.mark.parametrize(
    ("column", "asked"),
    [("doc_id", True), ("dialogue", True), ("Speaker", True), ("topic", False), ("label_id", False)],
)
def test_large_groups_are_known_by_their_column(column: str, asked: bool) -> None:
    made = [{column: f"v{n % 5}"} for n in range(200)]
    likely = likely_groups({"train": made[:150], "test": made[150:]}, frozenset(), "id")
    assert [one.column for one in likely] == [column] * asked


@pytest.mark.parametrize(
    ("id", "asked"),
    [
        ("d{0}-t{1}", True),
        ("talk{0}.json_{1}", True),
        ("{0}:{1}", True),
        ("{0}/s{1}", True),
        ("row-{2}", False),
        ("{2}", False),
        ("r{2}", False),
        ("{3}-{2}", False),
    ],
)
def test_check_asks_about_ids_that_begin_alike(id: str, asked: bool) -> None:
    made = [{"key": id.format(n // 4, n % 4, n, "en" if n % 2 else "de")} for n in range(60)]
    splits: dict[Split, list[dict[str, Any]]] = {"train": made[::2], "test": made[1::2]}
    likely = likely_groups(splits, frozenset({"key"}), "key")
    assert [one.line() for one in likely] == [
        "Do rows whose ids begin alike belong together? These 15 values repeat over 60 rows, and 15 of them stand in "
        "more than one split; if so, give them a column of their own, and set data.group; if not, "
        "data.group: null says so"
    ] * asked


def test_the_store_holds_the_group_of_each_example(places: Places) -> None:
    place = places()
    with_dialogues(place, **APART)
    place.run(*GROUP, "--set", "tuning=[none]", "--set", "prompts=[bare]")
    client = place.client()
    tracker = MlflowTracker(client, place.uri, client.get_experiment_by_name("tiny").experiment_id)
    final = next(run for run in tracker.runs() if run.phase == "final")
    assert [example.group for example in read_examples(tracker, final, "test")] == APART["test"]
