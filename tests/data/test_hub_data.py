"""Data sets by Hub id, from a small server that answers as the Hub does."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from tests.support.hub_stand_in import Hub, Repo, answers, environment, serving
from tests.support.study_fixture import Places
from tests.support.study_fixture import rows as study_rows

OLD, NEW, OTHER = "a" * 40, "b" * 40, "c" * 40

SPLITS = ("train", "validation", "test")

CARD = """\
---
configs:
- config_name: plain
  data_files:
  - {split: train, path: plain/train.jsonl}
  - {split: dev, path: plain/dev.jsonl}
- config_name: formal
  data_files:
  - {split: train, path: "formal/part-*.csv"}
  - {split: test, path: formal/test.csv}
  sep: ";"
- config_name: several
  data_files:
  - {split: validation, path: plain/dev.jsonl}
  - {split: dev, path: plain/train.jsonl}
  - {split: matched, path: plain/train.jsonl}
  - {split: train, path: plain/train.jsonl}
dataset_info:
- config_name: plain
- config_name: several
- config_name: formal
  features:
  - {name: source, dtype: string}
  - {name: target, dtype: string}
---
# Letters
"""

SMALL = {".gitattributes", "README.md"}

SCRIPT = """
import json, sys, time
from harness.core.errors import DataError
from harness.core.example import Example
from harness.data.open_source import open_source
from harness.data.sources import read_split
from harness.study.spec import Data
answers = []
for fields, splits in json.loads(sys.argv[1]):
    data, start = Data(**fields), time.monotonic()
    example = lambda row, id: Example(id=row.get("id", id), fields={"source": row["source"]}, target=row["target"])
    try:
        source = open_source(data, None)
        read = {split: read_split(source, split, data, example) for split in splits}
        rows = {split: [[e.id, e.fields["source"], e.target] for e in read[split]] for split in read}
        answers.append([source.origin, sorted(source.readers), rows])
    except DataError as error:
        answers.append([str(error), time.monotonic() - start])
print(json.dumps(answers))
"""


def jsonl(rows: list[dict[str, str]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet(rows: list[dict[str, str]]) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return file.getvalue()


def written(mark: str, split: str) -> list[dict[str, str]]:
    return [{"id": f"{mark}{i}", "source": f"{mark} {split} {i}", "target": f"{i}"} for i in range(3 + len(split))]


def read(rows: list[dict[str, str]]) -> list[list[str]]:
    return [list(row.values()) for row in rows]


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hub with data sets of two commits, of two configurations, and some that cannot be used."""
    old = {".gitattributes": b""} | {
        f"data/{split}-00000-of-00001.parquet": parquet(written("old", split)) for split in SPLITS
    }
    new = {".gitattributes": b""} | {f"{split}.jsonl": jsonl(study_rows(split)) for split in SPLITS}
    letters = {
        "README.md": CARD.encode(),
        "plain/train.jsonl": jsonl(written("plain", "train")),
        "plain/dev.jsonl": jsonl(written("plain", "dev")),
        "formal/part-1.csv": b"source;target\na, b;1\n",
        "formal/part-2.csv": b"source;target\nc;2\n",
        "formal/test.csv": b"source;target\nd;4\n",
    }
    broken = {"train.jsonl": b'{"source": "a"}\n{"source": \n'}
    repos = {
        "datasets/org/torn": Repo({OTHER: broken}, {"main": OTHER}),
        "datasets/org/pages": Repo({OTHER: {"README.md": b"# Nothing\n"}}, {"main": OTHER}),
        "datasets/org/notes": Repo({OLD: old, NEW: {"README.md": b"# Notes\n", **new}}, {"main": NEW, "v1": OLD}),
        "datasets/org/letters": Repo({OTHER: letters}, {"main": OTHER}),
        "datasets/org/half": Repo({OTHER: {"test.jsonl": new["test.jsonl"]}}, {"main": OTHER}),
    }
    with serving(repos) as running:
        yield running


def test_rows_come_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({"hub": "org/notes"}, ("train", "validation")),
        ({"hub": "org/notes", "revision": "v1"}, SPLITS),
        ({"hub": "org/notes", "revision": OLD, "train": 2}, ("train",)),
        ({"hub": "org/letters", "config": "formal"}, ("test",)),
        ({"hub": "org/letters", "config": "plain", "test": 1, "validation": 1}, SPLITS),
    ]
    main, tag, commit, formal, plain = answers(SCRIPT, cases, tmp_path, HF_ENDPOINT=hub.url)
    assert main == [
        f"hub:org/notes@{NEW}",
        sorted(SPLITS),
        {split: read(study_rows(split)) for split in ("train", "validation")},
    ]
    assert tag == [f"hub:org/notes@{OLD}", sorted(SPLITS), {split: read(written("old", split)) for split in SPLITS}]
    assert commit[0] == tag[0]
    assert len(commit[2]["train"]) == 2
    assert {tuple(row) for row in commit[2]["train"]} < {tuple(row) for row in tag[2]["train"]}
    assert formal == [f"hub:org/letters@{OTHER}", ["test", "train"], {"test": [["row-1", "d", "4"]]}]
    assert plain[1] == ["train", "validation"]  # dev is another name of it
    assert set(map(tuple, plain[2]["validation"])) < set(map(tuple, read(written("plain", "dev"))))
    carved = [row for split in ("train", "test") for row in plain[2][split]]
    assert sorted(carved) == read(written("plain", "train"))
    assert {split: len(plain[2][split]) for split in SPLITS} == {"train": 7, "validation": 1, "test": 1}

    # What is read is downloaded, once: of the first case no test split, of the formal letters no train.
    assert set(hub.sent(NEW)) - SMALL == {"train.jsonl", "validation.jsonl"}
    assert set(hub.sent(OLD)) - SMALL == {f"data/{split}-00000-of-00001.parquet" for split in SPLITS}
    assert set(hub.sent(OTHER)) - SMALL == {"formal/test.csv", "plain/dev.jsonl", "plain/train.jsonl"}


def test_a_clone_is_read_as_the_hub_is(tmp_path: Path) -> None:
    files = {
        "README.md": CARD.encode(),
        **{f"plain/{split}.jsonl": jsonl(written("plain", split)) for split in ("train", "dev")},
    }
    files |= {"formal/part-1.csv": b"source;target\na, b;1\n", "formal/test.csv": b"source;target\nd;4\n"}
    for name, content in files.items():
        (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clone" / name).write_bytes(content)
    path = str(tmp_path / "clone")
    cases: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({"path": path, "config": "formal"}, ("test",)),
        ({"path": path, "config": "several", "splits": {"test": "matched[:2]"}}, ("validation", "test")),
        ({"path": path, "config": "plane"}, ("train",)),
        ({"path": path}, ("train",)),
        ({"path": f"{path}/plain", "config": "plain"}, ("train",)),
        ({"path": f"{path}/plain/train.jsonl", "config": "plain"}, ("train",)),
    ]
    formal, several, misspelt, none, bare, file = answers(SCRIPT, cases, tmp_path / "cache", HF_HUB_OFFLINE="1")
    assert formal == [path, ["test", "train"], {"test": [["row-1", "d", "4"]]}]
    assert several[2] == {"validation": read(written("plain", "dev")), "test": read(written("plain", "train"))[:2]}
    assert f"data.path '{path}' has no data.config 'plane'; did you mean 'plain'?" in misspelt[0]
    assert f"data.path '{path}' has no default; set data.config to one of plain, formal, several" in none[0]
    assert "data.config is 'plain', but no README.md in" in bare[0]
    assert "train.jsonl is no clone of a data set; leave it out" in file[0]


def test_splits_that_are_not_read_are_named(hub: Hub, tmp_path: Path) -> None:
    told = SCRIPT.replace("answers.append([source.origin,", "answers.append([source.notes,")
    case = {"hub": "org/letters", "config": "several", "test": 1}
    ((notes, splits, rows),) = answers(told, [(case, ("validation",))], tmp_path, HF_ENDPOINT=hub.url)
    assert notes == [f"in hub:org/letters@{OTHER} these splits are not read: dev, matched."]
    assert splits == ["train", "validation"]
    assert rows == {"validation": read(written("plain", "dev"))}


def test_what_is_cached_is_read_offline(hub: Hub, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({"hub": "org/notes"}, SPLITS),
        ({"hub": "org/letters", "config": "plain", "test": 1}, SPLITS),
        ({"hub": "org/notes", "revision": OLD}, SPLITS),
    ]
    before = answers(SCRIPT, cases, tmp_path, HF_ENDPOINT=hub.url)
    asked = len(hub.asked)
    never: tuple[dict[str, Any], tuple[str, ...]] = ({"hub": "org/torn"}, ("train",))
    *after, refused = answers(SCRIPT, [*cases, never], tmp_path, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")
    assert after == before
    assert len(hub.asked) == asked
    assert "data.hub 'org/torn' is not in the cache, and HF_HUB_OFFLINE is set" in refused[0]


def test_what_is_missing_is_named(hub: Hub, tmp_path: Path) -> None:
    refused = {
        "data.hub 'org/nothing': the Hub has no such data set, or a private one; correct the id, or log": {
            "hub": "org/nothing"
        },
        "data.hub 'org/a/b' is no Hub id; it must be org/name": {"hub": "org/a/b"},
        "data.hub 'org/notes' has no data.revision 'v9'; name a branch, tag": {"hub": "org/notes", "revision": "v9"},
        "data.hub 'org/notes' has no data.config 'long'; known: default": {"hub": "org/notes", "config": "long"},
        "data.hub 'org/letters' has no data.config 'plane'; did you mean 'plain'? Known: plain, formal, several": {
            "hub": "org/letters",
            "config": "plane",
        },
        "data.hub 'org/letters' has no default; set data.config to one of plain, formal, several": {
            "hub": "org/letters"
        },
        "data.hub 'org/half' has no split 'train'; it needs one, but has test": {"hub": "org/half"},
        "data.hub 'org/pages' cannot be read: ": {"hub": "org/pages"},
        "data.hub 'org/torn' cannot be read: ": {"hub": "org/torn"},
    }
    cases = [(fields, ("train",)) for fields in refused.values()]
    for start, (message, seconds) in zip(refused, answers(SCRIPT, cases, tmp_path, HF_ENDPOINT=hub.url), strict=True):
        assert message.startswith(start)
        assert seconds < 15


@pytest.mark.parametrize("offline", ["0", "1"])
def test_without_a_network_the_hub_cannot_be_reached(offline: str, tmp_path: Path) -> None:
    with serving({}) as gone:
        pass
    settings = {"HF_ENDPOINT": gone.url, "HF_HUB_OFFLINE": offline}
    ((message, seconds),) = answers(SCRIPT, [({"hub": "org/notes"}, ("train",))], tmp_path, **settings)
    reasons = {"0": ": the Hub cannot be reached;", "1": " is not in the cache, and HF_HUB_OFFLINE is set;"}
    assert message.startswith(f"data.hub 'org/notes'{reasons[offline]}")
    assert seconds < 15


def test_splits_are_named_and_cut(hub: Hub, tmp_path: Path) -> None:
    several = {"hub": "org/letters", "config": "several"}
    cases: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({"hub": "org/notes", "splits": {"train": "train[:-10]", "test": "train[-50%:]"}}, ("train",)),
        ({"hub": "org/notes", "splits": {"train": "train[:-10]", "test": "train[-10:]"}}, SPLITS),
        ({**several, "splits": {"validation": "matched[:3]", "test": "dev"}}, SPLITS),
        ({"hub": "org/half", "splits": {"train": "test[:3]", "validation": "test[3:4]", "test": "test[4:]"}}, SPLITS),
        ({"hub": "org/notes", "splits": {"test": "tset"}}, ("test",)),
        ({"hub": "org/notes", "splits": {"test": "test[2:4]"}}, ("test",)),
    ]
    overlap, cut, named, made, wrong, part = answers(SCRIPT, cases, tmp_path, HF_ENDPOINT=hub.url)
    whole = read(study_rows("train"))
    assert "data.splits gives rows 13 to 14 of train both to train" in overlap[0]
    assert cut[2] == {"train": whole[:-10], "test": whole[-10:], "validation": read(study_rows("validation"))}
    assert {rows[0][1] for rows in named[2].values()} == {"plain train 0"}
    assert {split: len(rows) for split, rows in named[2].items()} == {"train": 8, "validation": 3, "test": 8}
    assert [row for rows in made[2].values() for row in rows] == read(study_rows("test"))
    assert "data.splits.test names 'tset', which is not there; did you mean 'test'? Known: train" in wrong[0]
    assert part[2] == {"test": read(study_rows("test"))[2:4]}


@pytest.fixture
def closed() -> Iterator[Hub]:
    """A Hub with gated and private data sets; ``reader`` may read them, ``stranger`` is known and may not."""
    bare = {f"{split}.jsonl": jsonl(study_rows(split)) for split in SPLITS}
    files = {".gitattributes": b"", "README.md": b"# Closed\n", **bare}
    readers = frozenset({"reader"})
    repos = {
        "datasets/org/gated": Repo({NEW: files}, {"main": NEW}, readers, gated=True),
        "datasets/org/bare": Repo({OLD: bare}, {"main": OLD}, readers, gated=True),
        "datasets/org/private": Repo({OTHER: files}, {"main": OTHER}, readers),
    }
    with serving(repos) as running:
        yield running


@pytest.mark.parametrize(
    ("token", "gated", "private"),
    [
        ("", ": gated; accept its terms on the Hub, then log in with `hf auth login`, or by HF_TOKEN", "private one"),
        ("stranger", ": gated, and the account of the token in use has no access; accept its terms", "private one"),
        ("expired", ": the Hub does not know the token in use; renew HF_TOKEN, or log in again", "not know the token"),
    ],
)
def test_who_may_not_read_is_told_why(token: str, gated: str, private: str, closed: Hub, tmp_path: Path) -> None:
    cases = [({"hub": f"org/{name}"}, ("train",)) for name in ("gated", "bare", "private")]
    settings = {"HF_ENDPOINT": closed.url, **({"HF_TOKEN": token} if token else {})}
    first, second, hidden = answers(SCRIPT, cases, tmp_path, **settings)
    assert first[0].startswith(f"data.hub 'org/gated'{gated}")
    assert second[0].startswith(f"data.hub 'org/bare'{gated}")
    assert hidden[0].startswith("data.hub 'org/private': the Hub ")
    assert private in hidden[0]


def test_a_token_opens_what_is_closed(closed: Hub, tmp_path: Path) -> None:
    cases = [({"hub": f"org/{name}"}, SPLITS) for name in ("gated", "bare", "private")]
    wrong = ({"hub": "org/gated", "revision": "v7"}, ("train",))
    file = tmp_path / "token"
    file.write_text("reader")
    for name, value in {"HF_TOKEN": "reader", "HF_TOKEN_PATH": str(file)}.items():
        settings = {"HF_ENDPOINT": closed.url, name: value}
        *found, revision = answers(SCRIPT, [*cases, wrong], tmp_path / name, **settings)
        assert [one[2] for one in found] == [{split: read(study_rows(split)) for split in SPLITS}] * 3
        assert "has no data.revision 'v7'; name a branch, tag or commit of it" in revision[0]


def test_check_reads_the_hub(hub: Hub, places: Places, tmp_path: Path) -> None:
    place = places(store=False)
    place.edit("data: {path: data}", "data: {hub: org/notes}")
    wrong = ("--set", "data.hub=org/notse")
    settings = environment(tmp_path, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0")
    runs = [place.process("check", "study.yaml", *more, env=settings) for more in ((), wrong)]
    (out, err), (_, refusal) = [run.communicate(timeout=60) for run in runs]
    assert runs[0].returncode == 0, err
    assert f"data hub:org/notes@{NEW}: 24 train, 8 validation, 8 test" in " ".join(out.split())
    assert "study.yaml: ready to run" in out
    assert runs[1].returncode == 2
    assert refusal.startswith("study.yaml:7 with override data.hub=org/notse: data.hub 'org/notse': the Hub has no")
