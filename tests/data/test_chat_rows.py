"""Rows that are chats: the right examples from either spelling and every format, or one clear message."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import DataError
from harness.core.example import SPLITS, Example, Split, fingerprint
from harness.data.chat_turns import read_turns, source_text, to_answer
from harness.data.data_keys import Data
from harness.data.memory_rows import as_jsonl, plain_rows
from harness.data.open_source import open_source
from harness.data.sources import Source, read_split, split_rows
from harness.data.train_test_overlap import overlaps
from harness.study.task import plain_example

Row = dict[str, Any]
Turns = list[dict[str, Any]]

SYSTEM = {"role": "system", "content": "Be brief."}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str | None, **further: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **further}


def tool(text: str) -> dict[str, Any]:
    return {"role": "tool", "content": text}


def source_of(rows: list[Row]) -> Source:
    """Return a source whose splits all hold these rows."""
    return Source("here", {split: lambda: [dict(row) for row in rows] for split in SPLITS})


def examples(*rows: Row, split: Split = "train", **keys: Any) -> list[Example]:
    return read_split(source_of(list(rows)), split, Data(**keys), plain_example)


def one(turns: Any, **row: Any) -> Example:
    (example,) = examples({"messages": turns, **row})
    return example


def refused(*rows: Row, **keys: Any) -> str:
    with pytest.raises(DataError) as caught:
        examples(*rows, **keys)
    return str(caught.value)


CALL = [{"type": "function", "function": {"name": "weather", "arguments": '{"city": "Ulm"}'}}]


@pytest.mark.parametrize(
    ("turns", "source", "target", "before"),
    [
        ([user("Hello?"), said("Hi.")], "Hello?", "Hi.", 1),
        ([SYSTEM, user("Hello?"), said("Hi.")], "Hello?", "Hi.", 2),
        ([user("a"), said("b"), user("c"), said("d")], "user: a\nassistant: b\nuser: c", "d", 3),
        ([user("a"), user("b"), said("c")], "user: a\nuser: b", "c", 2),
        ([user("a"), said("b"), said("c")], "user: a\nassistant: b", "c", 2),
        ([user("a"), said("b"), user("c")], "a", "b", 1),
        ([user("a"), said(""), user("b"), said("c")], "user: a\nassistant: \nuser: b", "c", 3),
        ([said("Welcome."), user("a"), said("b")], "assistant: Welcome.\nuser: a", "b", 2),
        ([user("a"), said(None, tool_calls=CALL), tool("12"), said("b")], "user: a\nassistant: \ntool: 12", "b", 3),
        ([user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, "c"]), said("d")], "abc", "d", 1),  # type: ignore[arg-type]
        ([user("a"), said([{"text": "b"}])], "a", "b", 1),  # type: ignore[arg-type]
        ([{"role": "Human", "value": "a"}, {"from": "GPT", "content": "b"}], "a", "b", 1),
        ([{"from": "observation", "value": "a"}, {"from": "function_call", "value": "b"}], "tool: a", "b", 1),
    ],
    ids=str,
)
def test_the_last_answer_is_the_target(turns: Turns, source: str, target: str, before: int) -> None:
    example = one(turns)
    assert (example.fields["source"], example.target, len(example.fields["messages"])) == (source, target, before)
    assert example.id == "row-1"
    assert example.group is None
    assert {turn["role"] for turn in example.fields["messages"]} <= {"user", "assistant", "system", "tool"}
    assert json.loads(json.dumps(example.fields["messages"])) == example.fields["messages"]


def test_turns_keep_the_calls_of_tools() -> None:
    turns = [user("a"), said(None, tool_calls=CALL), {**tool("12"), "tool_call_id": "x", "weight": 0}, said("b")]
    messages = one(turns).fields["messages"]
    assert messages[1] == {"role": "assistant", "content": "", "tool_calls": CALL}
    assert messages[2] == {"role": "tool", "content": "12", "tool_call_id": "x"}
    assert (
        one([user("a"), {"role": "assistant", "tool_calls": CALL}, tool("1"), said("b")]).fields["messages"][1]
        == messages[1]
    )


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([user("a")], "column 'messages' has no turn of an assistant, which the target would be; leave the row out"),
        ([user("a"), said(" ")], "the last assistant turn of 'messages' is empty; leave the row out"),
        ([user("a"), said(None)], "the last assistant turn of 'messages' is empty"),
        ([user("a"), said("b", tool_calls=CALL)], "the last assistant turn of 'messages' calls a tool, and a target"),
        ([SYSTEM, said("a")], "the last assistant turn of 'messages' answers nothing: no turn of a user stands"),
        ([user("a"), "b"], "turn 2 of 'messages' is 'b'; a turn is {role, content} or {from, value}"),
        (["a", "b"], "turn 1 of 'messages' is 'a'; a turn is {role, content} or {from, value}"),
        (
            [user("a"), {"role": "asistant", "content": "b"}],
            "turn 2 of 'messages' has the role 'asistant'; did you mean 'assistant'?",
        ),
        ([user("a"), {"role": None, "content": "b"}], "turn 2 of 'messages' has the role None; known: "),
        (
            [user("a"), {"role": "assistant", "text": "b"}],
            "turn 2 of 'messages' has neither 'content' nor 'value': it has role, text",
        ),
        (
            [{"speaker": "a", "content": "b"}],
            "turn 1 of 'messages' has neither 'role' nor 'from': it has speaker, content",
        ),
        (
            [user("a"), {"role": "assistant", "content": 5}],
            "turn 2 of 'messages' says '5'; it must be a text, or a list",
        ),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, said("b")],
            "turn 1 of 'messages', part 1, is of the kind 'image_url'; only text is read: leave such rows out",
        ),
        ([{"role": "user", "content": [7]}, said("b")], "turn 1 of 'messages', part 1, is of the kind 'int'"),
        ('[{"role": "user"', "column 'messages' is no valid JSON"),
        (
            {"role": ["user", "assistant"], "content": ["a"]},
            "column 'messages' is no chat: its lists have 2 role, 1 content; write its turns as a JSON list",
        ),
    ],
    ids=str,
)
def test_what_is_no_chat_or_has_no_target_is_one_message(turns: Any, message: str) -> None:
    assert message in refused({"messages": turns})
    assert refused({"messages": turns}).startswith("here, train row 1: ")


def test_rows_without_a_chat_are_named_and_counted() -> None:
    good = {"messages": [user("a"), said("b")]}
    told = refused(good, {"messages": None}, good, {"messages": []}, {})
    assert told == (
        "here, train row 2: column 'messages' holds nothing; a chat is a list of turns, each {role, content}; correct "
        "the row or leave it out (3 rows are faulty)"
    )


@pytest.mark.parametrize("empty", [None, [], "", {"role": [], "content": []}], ids=repr)
@pytest.mark.parametrize("column", ["messages", "conversations"])
def test_a_column_of_chats_is_known_where_its_first_row_is_empty(column: str, empty: Any) -> None:
    told = refused({column: empty}, {column: [user("a"), said("b")]})
    assert told.startswith(f"here, train row 1: column {column!r} holds ")


@pytest.mark.parametrize("chat", [[user("a"), said("b")], json.dumps([{"from": "human", "value": "a"}])], ids=repr)
def test_chats_in_a_column_of_another_name_are_told_how_to_be_mapped(chat: Any) -> None:
    told = refused({"topic": "x", "dialog": chat})
    assert (
        told
        == "here, train: no column 'target', but 'dialog' holds chats; map it with data.columns: {messages: dialog}"
    )


def test_other_lists_are_taken_for_no_chats() -> None:
    answers = [{"text": "b", "start": 3}]
    assert "column 'target' is missing; known: answers" in refused({"answers": answers})
    assert read_split(source_of([{"dialog": [user("a")], "target": "b"}]), "train", Data(), plain_example)


CHAT = [SYSTEM, user("a"), said("b"), user("c"), said(""), user("d"), said(None, tool_calls=CALL), tool("e"), said("f")]


def test_each_answer_with_the_turns_before_it() -> None:
    found = examples({"messages": CHAT}, {"messages": [said("Hi."), user("g"), said("h"), user("i")]}, turns="all")
    assert [(example.id, example.target) for example in found] == [("row-1.1", "b"), ("row-1.4", "f"), ("row-2.2", "h")]
    assert [len(example.fields["messages"]) for example in found] == [2, 8, 2]
    assert [example.group for example in found] == ["train row 1", "train row 1", "train row 2"]
    assert found[0].fields["source"] == "a"


def test_ids_and_groups_of_one_s_own() -> None:
    rows = [{"key": f"c{n}", "topic": "x" if n < 2 else None, "messages": CHAT} for n in range(3)]
    found = examples(*rows, turns="all", group="topic", columns={"id": "key"})
    assert [example.id for example in found] == ["c0.1", "c0.4", "c1.1", "c1.4", "c2.1", "c2.4"]
    assert [example.group for example in found] == ["x"] * 4 + ["train row 3"] * 2
    (last,) = examples(rows[0], columns={"id": "key"})
    assert last.id == "c0"


@given(lengths=st.lists(st.integers(1, 4), min_size=8, max_size=20), seed=st.integers(0, 9))
def test_a_conversation_stays_in_one_split(lengths: list[int], seed: int) -> None:
    rows = [
        {"messages": [t for k in range(n) for t in (user(f"q {i} {k}"), said(f"a {i} {k}"))]}
        for i, n in enumerate(lengths)
    ]
    source = Source("here", {"train": lambda: rows})
    data = Data(turns="all", validation=2, test=2, seed=seed)
    found = {split: read_split(source, split, data, plain_example) for split in SPLITS}
    groups = {split: {example.group for example in part} for split, part in found.items()}
    assert not groups["train"] & groups["validation"]
    assert not groups["train"] & groups["test"]
    assert not groups["validation"] & groups["test"]
    assert len(found["train"]) + sum(
        sum(lengths[int(group.split()[-1]) - 1] for group in groups[split] if group) for split in ("validation", "test")
    ) == sum(lengths)
    assert found == {split: read_split(source, split, data, plain_example) for split in SPLITS}


def test_the_column_of_chats_is_no_field_and_others_are() -> None:
    example = one(
        [user("a"), said("b")],
        topic="t",
        conversations=[{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}],
    )
    assert set(example.fields) == {"topic", "messages", "source"}
    (other,) = examples({"conversations": [user("a"), said("b")], "topic": 1})
    assert set(other.fields) == {"topic", "messages", "source"}
    (mapped,) = examples({"dialog": [user("a"), said("b")]}, columns={"messages": "dialog"})
    assert mapped.fields == {"messages": [user("a")], "source": "a"}


def test_what_is_left_out_and_replaced_is_told() -> None:
    source = source_of(
        [{"messages": [user("a"), said("b"), user("c")], "source": "forum"}, {"messages": [user("d"), said("e")]}]
    )
    rows = split_rows(source, "train", Data())
    assert [row.columns["source"] for row in rows] == ["a", "d"]
    split_rows(source, "train", Data())
    assert source.notes == [
        "1 chats of here, train go on behind their last answer; what stands there is left out.",
        "the field source is the text of the turns in 'messages', not the column of that name.",
    ]


def test_a_target_of_one_s_own_goes_before() -> None:
    row = {"messages": [{"from": "human", "value": "a"}], "source": "s", "target": "t"}
    (example,) = examples(row)
    assert example.fields == {"messages": [user("a")], "source": "s"}
    assert example.target == "t"
    (mapped,) = examples({**row, "answer": "u"}, columns={"target": "answer"})
    assert mapped.target == "u"
    assert "data.turns is 'all', but there is a column 'target'; leave data.turns out" in refused(row, turns="all")
    assert "data.turns is 'last', but no column messages or conversations holds chats" in refused(
        {"source": "a"}, turns="last"
    )


@pytest.mark.parametrize("name", ["mask", "sentinel", "messages"])
def test_reserved_names_are_refused_with_the_remedy(name: str) -> None:
    row = {"source": "s", "target": "t", name: "hello"}
    told = refused(row)
    assert f"a field is called {name!r}, which means something else in prompts, and holds 'hello'" in told
    assert f"data.columns: {{my_{name}: {name}}}" in told
    (example,) = examples(row, columns={f"my_{name}": name})
    assert example.fields == {"source": "s", f"my_{name}": "hello"}
    (other,) = examples(row, columns={"source": name})
    assert other.fields == {"source": "hello"}


def test_a_task_that_reads_chats_itself_is_left_to_it() -> None:
    """Its function gets the column as it is."""
    source = replace(source_of([{"conversations": [{"from": "gpt", "value": "x"}]}]), reads_chats=False)
    (row,) = split_rows(source, "train", Data())
    assert row.columns == {"conversations": [{"from": "gpt", "value": "x"}]}


def test_duplicates_across_splits_are_found() -> None:
    rows = [{"messages": [user(f"question {n} of many words here"), said(f"answer {n}")]} for n in range(5)]
    train, test = examples(*rows), examples(*rows[:2], split="test")
    (within, across, _) = overlaps({"train": train, "test": test})
    assert not within.twins
    assert [(twin.id, twin.kind) for twin in across.twins] == [("row-1", "row"), ("row-2", "row")]


def test_what_a_model_is_to_answer() -> None:
    """All turns, but for an answer at the end."""
    turns = read_turns(CHAT, "messages")
    assert to_answer(turns) == turns[:-1]
    assert to_answer(turns[:-1]) == turns[:-1]
    assert source_text(to_answer([user("a"), said("b")])) == "a"


texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8).map(lambda text: f"w{text}")
turns_of = st.lists(st.sampled_from(["user", "assistant", "system", "tool"]), max_size=5).map(
    lambda roles: ["user", *roles, "assistant"]
)
chats = st.lists(
    turns_of.flatmap(
        lambda roles: st.tuples(*(texts.map(lambda text, role=role: {"role": role, "content": text}) for role in roles))
    ),
    min_size=3,
    max_size=4,
).map(lambda some: [list(each) for each in some])

OTHER = {"user": "human", "assistant": "gpt", "system": "system", "tool": "tool"}
NAMES = {
    "messages": lambda turn: turn,
    "conversations": lambda turn: {"from": OTHER[turn["role"]], "value": turn["content"]},
}


def jsonl(folder: Path, rows: list[Row]) -> Path:
    file = folder / "train.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def json_array(folder: Path, rows: list[Row]) -> Path:
    file = folder / "train.json"
    file.write_text(json.dumps(rows))
    return file


def gzipped(folder: Path, rows: list[Row]) -> Path:
    file = folder / "train.jsonl.gz"
    file.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return file


def table(folder: Path, rows: list[Row], ending: str = "csv", mark: str = ",") -> Path:
    file = folder / f"train.{ending}"
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines, delimiter=mark)
        writer.writerow([*rows[0], "topic"])
        writer.writerows([[json.dumps(value, ensure_ascii=False) for value in row.values()] + ["x"] for row in rows])
    return file


def tsv(folder: Path, rows: list[Row]) -> Path:
    return table(folder, rows, "tsv", "\t")


def parquet(folder: Path, rows: list[Row]) -> Path:
    file = folder / "train.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return file


def mixed_structs(folder: Path, rows: list[Row]) -> Path:
    """Every turn has all keys, most of them empty, as structs of data sets of several origins do."""
    empty = {"role": None, "content": None, "from": None, "value": None, "tool_calls": None, "name": None}
    filled = [{name: [{**empty, **turn} for turn in value] for name, value in row.items()} for row in rows]
    return parquet(folder, filled)


def lists_of_keys(folder: Path, rows: list[Row]) -> Path:
    """As `datasets` holds a sequence of structs."""
    return jsonl(
        folder,
        [
            {name: {key: [turn[key] for turn in value] for key in value[0]} for name, value in row.items()}
            for row in rows
        ],
    )


def held(hold: Callable[[list[Row]], Any]) -> Callable[[Path, list[Row]], Path]:
    def write(folder: Path, rows: list[Row]) -> Path:
        file = folder / "train.jsonl"
        file.write_text(as_jsonl(plain_rows(hold(rows), "data.train"), "data.train"), encoding="utf-8")
        return file

    return write


def arrays(rows: list[Row]) -> pd.DataFrame:
    return pd.DataFrame([{name: np.array(value, dtype=object) for name, value in row.items()} for row in rows])


FORMATS: dict[str, Callable[[Path, list[Row]], Path]] = {
    "jsonl": jsonl,
    "json": json_array,
    "gzip": gzipped,
    "csv": table,
    "tsv": tsv,
    "parquet": parquet,
    "mixed structs": mixed_structs,
    "lists of keys": lists_of_keys,
    "dicts": held(list),
    "frame": held(pd.DataFrame),
    "arrays": held(arrays),
    "data set": held(datasets.Dataset.from_list),
}


@pytest.mark.parametrize("turns", ["last", "all"])
@settings(max_examples=10, deadline=None)
@given(some=chats)
def test_both_spellings_and_all_formats_give_the_same_examples(
    turns: str, some: list[Turns], tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = examples(*({"messages": turns_} for turns_ in some), turns=turns)
    assert all(example.fields["messages"][0]["role"] == "user" for example in expected)
    for column, spelt in NAMES.items():
        rows = [{column: [spelt(turn) for turn in chat]} for chat in some]
        for write in FORMATS.values():
            folder = tmp_path_factory.mktemp("chats")
            write(folder, rows)
            source = open_source(Data(path=str(folder)), folder)
            source = Source(source.origin, dict.fromkeys(SPLITS, source.readers["train"]))
            found = read_split(source, "train", Data(turns=turns), plain_example)
            without = [
                Example(e.id, {n: v for n, v in e.fields.items() if n != "topic"}, e.target, group=e.group)
                for e in found
            ]
            assert fingerprint(without) == fingerprint(expected)
            assert without == expected
