"""What a user gets wrong: status 2, a message with place, value and remedy, and nothing half-written."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.support.study_fixture import STUDY, TASK, Place, Places, rows, write_rows

Change = Callable[[Place], object]

TRAIN = rows("train")
GOOD_LINES = "".join(json.dumps(row) + "\n" for row in TRAIN[:10]).encode()


class Case(NamedTuple):
    """A mistake, and what the message about it must hold."""

    change: Change
    message: tuple[str, ...]
    arguments: tuple[str, ...] = ()


def line(text: str, study: str = STUDY) -> str:
    """Return the place of the first line of the study that holds a text."""
    number = next(i for i, content in enumerate(study.splitlines(), start=1) if text in content)
    return f"study.yaml:{number}: "


def nothing(place: Place) -> None:
    """Change nothing; the arguments are the mistake."""


def edit(old: str, new: str) -> Change:
    return lambda place: place.edit(old, new)


def cue(text: str) -> Change:
    """Return a change of the inline prompt's text."""
    return edit('"{{ source }}\\nTL;DR:"', json.dumps(text))


def file(name: str, content: bytes | str) -> Change:
    data = content.encode() if isinstance(content, str) else content
    return lambda place: (place.folder / name).write_bytes(data)


def train(name: str, content: bytes) -> Change:
    """Return a change that puts another file in place of the training split's."""

    def change(place: Place) -> None:
        (place.folder / "data" / "train.jsonl").unlink()
        (place.folder / "data" / name).write_bytes(content)

    return change


def gone(name: str) -> Change:
    return lambda place: (place.folder / name).unlink()


def split(name: str, *more: dict[str, object]) -> Change:
    """Return a change that adds rows to a split."""
    return lambda place: write_rows(place.folder / "data" / f"{name}.jsonl", [*rows(name), *more])


def put(setting: str) -> tuple[str, ...]:
    return ("--set", setting)


def all_of(*changes: Change) -> Change:
    return lambda place: [change(place) for change in changes]


STUDY_FILE = {
    "unknown key": Case(edit("trials: 2", "trails: 2"), (line("trials"), "'trails'", "did you mean 'trials'")),
    "no such file": Case(gone("study.yaml"), ("study.yaml: ", "harness init")),
    "a folder": Case(all_of(gone("study.yaml"), lambda p: p.study.mkdir()), ("study.yaml: ", "directory")),
    "empty": Case(file("study.yaml", ""), ("study.yaml: ", "harness init")),
    "a list": Case(file("study.yaml", "- a\n"), ("study.yaml: ", "keys and values")),
    "a tab": Case(edit("  trials: 2", "\ttrials: 2"), (line("trials"), "no valid YAML")),
    "latin 1": Case(file("study.yaml", "name: ü".encode("latin1")), ("study.yaml: ", "0xfc")),
    "zero byte": Case(file("study.yaml", b"name: a\x00b\n"), ("study.yaml: ", "no valid YAML")),
    "alias in itself": Case(file("study.yaml", "name: &a [*a]\n"), ("study.yaml: ", "alias")),
    "python object": Case(file("study.yaml", "name: !!python/name:os.system\n"), ("study.yaml:1: ", "python/name")),
    "number as key": Case(edit("name: tiny", "1: tiny"), ("study.yaml", "key 1", "'name' is missing")),
    "key twice": Case(edit("  trials: 2", "  trials: 2\n  trials: 3"), ("study.yaml:17: ", "'trials'", "keep one")),
    "name is a path": Case(edit("name: tiny", "name: a/b"), (line("name: tiny"), "'a/b'", "letters")),
    "no prompts": Case(nothing, ("override prompts=[]: ", "prompts"), put("prompts=[]")),
    "prompt twice": Case(edit("- bare", "- cue"), (line("prompts:"), "cue more than once", "distinct")),
    "seed twice": Case(edit("[11, 12]", "[11, 11]"), (line("final"), "[11, 11]", "distinct")),
    "learning rates swapped": Case(
        edit("low: 1.0e-3, high: 1.0e-1", "low: 1.0e-1, high: 1.0e-3"),
        (line("learning_rate"), "low=0.1", "high=0.001", "swap them"),
    ),
    "learning rate by override": Case(
        nothing,
        (line("learning_rate")[:-2], "with override search.learning_rate.low=5: ", "low=5.0", "swap"),
        put("search.learning_rate.low=5"),
    ),
    "learning rate nan": Case(edit("low: 1.0e-3", "low: .nan"), (line("learning_rate"), "nan", "finite")),
    "no trials": Case(nothing, ("override search.trials=0: ", "0", "or equal to 1"), put("search.trials=0")),
    "weights that small steps would not move": Case(
        nothing,
        (
            "override model.dtype=bfloat16: ",
            "small steps",
            "take float32",
            "training.precision: bf16",
            "model.frozen: bfloat16",
        ),
        put("model.dtype=bfloat16"),
    ),
    "frozen weights that are low already": Case(
        edit("tuning: [none, head, {last_blocks: 1}]", "tuning: [none]"),
        ("override model.frozen=bfloat16: ", "model.frozen is bfloat16", "makes bfloat16 as a whole", "leave one"),
        (*put("model.dtype=bfloat16"), *put("model.frozen=bfloat16")),
    ),
    "frozen weights of a kind that is none": Case(
        nothing,
        ("override model.frozen=int8: ", "model.frozen is 'int8'", "'float32', 'bfloat16'"),
        put("model.frozen=int8"),
    ),
    "checkpointing neither on nor off": Case(
        nothing,
        ("training.gradient_checkpointing is 'often'", "'auto', true, false"),
        put("training.gradient_checkpointing=often"),
    ),
    "misspelt tuning": Case(edit("head,", "haed,"), (line("tuning"), "'haed'", "did you mean 'head'")),
    "tuning without a number": Case(edit("{last_blocks: 1}", "last_blocks"), (line("tuning"), "{last_blocks: 2}")),
    "misspelt last_blocks": Case(
        edit("last_blocks: 1", "lastblocks: 1"), (line("tuning"), "'lastblocks'", "did you mean 'last_blocks'")
    ),
    "misspelt sampler": Case(edit("sampler: random", "sampler: gpp"), (line("sampler"), "'gpp'", "'grid'", "'gp'")),
    "set without a value": Case(nothing, ("override: ", "'trials'", "key.sub=value"), put("trials")),
    "set below a value": Case(nothing, ("override: ", "'name.x=3'", "'tiny'"), put("name.x=3")),
    "set to no YAML": Case(nothing, ("override: ", "'search.trials=['", "quote it"), put("search.trials=[")),
    "set an unknown key": Case(nothing, ("override search.trails=3: ", "mean 'trials'"), put("search.trails=3")),
    "set a section": Case(nothing, ("override search={trails: 3}: ", "did you mean"), put("search={trails: 3}")),
    "set twice wrongly": Case(nothing, ("'foo' must", "'bar' must"), (*put("foo"), *put("bar"))),
    "several": Case(
        all_of(edit("head,", "haed,"), edit("epochs: 2", "epoch: 2"), edit("trials: 2", "trials: two")),
        (line("tuning"), "'haed'", line("training"), "'epoch'", line("trials"), "'two'"),
    ),
}

STUDY_PARTS = {
    "misspelt task": Case(
        edit("./task.py", "sumarization"), (line("task:"), "'sumarization'", "did you mean 'summarization'")
    ),
    "no task file": Case(edit("./task.py", "./tasks.py"), (line("task:"), "'./tasks.py'", "harness init")),
    "task does not parse": Case(file("task.py", "def\n"), (line("task:"), "task.py", "SyntaxError", "line 1")),
    "task exits": Case(file("task.py", "raise SystemExit(0)"), (line("task:"), "task.py", "SystemExit")),
    "task is none": Case(file("task.py", "task = 3\n"), (line("task:"), "task.py", "Task(...)", "3")),
    "task's prompts are names": Case(
        file("task.py", TASK.replace("prompts=[", "prompts=['x', ")), (line("task:"), "task.py", "Template(...)")
    ),
    "task's metrics are a text": Case(
        file("task.py", TASK.replace('["chrf", "perplexity", "length_ratio"]', '"chrf"')),
        (line("task:"), "task.py", "metrics is 'chrf'", "list"),
    ),
    "task's metric misspelt": Case(
        file("task.py", TASK.replace('"chrf"', '"chfr"')), (line("task:"), "'tiny_task'", "did you mean 'chrf'")
    ),
    "task's example raises": Case(
        file("task.py", TASK.replace("    stop=", "    example=lambda row, id: row['text'],\n    stop=")),
        ("data, train row 1", "KeyError: 'text'", "task file"),
    ),
    "task's example returns a row": Case(
        file("task.py", TASK.replace("    stop=", "    example=lambda row, id: row,\n    stop=")),
        ("data, train row 1", "must return an Example"),
    ),
    "misspelt prompt": Case(edit("- bare", "- baer"), (line("- bare"), "'baer'", "did you mean 'bare'")),
    "misspelt metric": Case(
        edit("sampler: random", "metric: chrff"), (line("sampler"), "'chrff'", "did you mean 'chrf'", "loss")
    ),
    "undefined field": Case(cue("{{ sauce }}\nTL;DR:"), (line("name: cue"), "'sauce'", "did you mean 'source'")),
    "shorten names no field": Case(
        edit("shorten: source", "shorten: text"), (line("name: cue"), "'text'", "does not use", "source")
    ),
    "no Jinja": Case(cue("{{ source"), (line("name: cue"), "line 1 of its text")),
    "macro without end": Case(
        cue("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}{{ source }}"), (line("name: cue"), "'cue'", "recursion")
    ),
    "sandbox": Case(cue("{{ source.__class__ }}{{ source }}"), (line("name: cue"), "'__class__'", "unsafe")),
    "no room for the prompt": Case(
        cue("{{ source }}" + " word" * 90), (line("name: cue"), "limit of 48", "training.max_source_tokens")
    ),
    "baseline prompt": Case(
        nothing,
        ("override final.baseline={prompt: baer, tuning: head}: ", "'baer'", "did you mean 'bare'"),
        put("final.baseline={prompt: baer, tuning: head}"),
    ),
    "baseline tuning": Case(
        nothing,
        ("override final.baseline={prompt: bare, tuning: full}: ", "'full'", "last_blocks-1"),
        put("final.baseline={prompt: bare, tuning: full}"),
    ),
    "too many blocks": Case(
        edit("last_blocks: 1", "last_blocks: 9"), (line("tuning"), "is 9", "has 3 blocks", "lower it")
    ),
    "no such cell": Case(nothing, ("pattern 'bear/*'", "bare/head"), ("--cells", "bear/*")),
    "several": Case(
        all_of(edit("- bare", "- baer"), edit("path: data", "path: date"), edit("last_blocks: 1", "last_blocks: 9")),
        (line("- bare"), "'baer'", line("path: data"), "'date'", line("tuning"), "has 3 blocks"),
    ),
}

DATA = {
    "no such folder": Case(edit("path: data", "path: dta"), (line("path: data"), "'dta'", "current folder")),
    "no such file": Case(edit("path: data", "path: data/trein.jsonl"), (line("path: data"), "trein.jsonl")),
    "no train": Case(
        gone("data/train.jsonl"), (line("path: data"), "no train file", "jsonl, json, csv, tsv, txt, parquet")
    ),
    "unknown format": Case(edit("path: data", "path: study.yaml"), (line("path: data"), "unknown format", ".jsonl")),
    "two files of a split": Case(file("data/train.csv", "source,target\n"), ("train.csv and train.jsonl", "keep one")),
    "missing column": Case(
        train("train.jsonl", b'{"src": "a", "target": "b"}\n'),
        (line("- bare"), "example 'row-1': prompt 'bare': 'source' is undefined; known fields: src"),
    ),
    "mapped column missing": Case(
        nothing,
        ("with override data.columns={source: text}: ", "'text'", "train, validation, test: data.columns maps"),
        put("data.columns={source: text}"),
    ),
    "empty text": Case(
        split("train", {"id": "x", "source": " ", "target": "b"}),
        (line("- bare"), "of 1 row (train 'x')", "empty text"),
    ),
    "null": Case(
        split("validation", {"id": "x", "source": "a", "target": None}),
        (line("path: data"), "without a target", "(validation 'x')"),
    ),
    "empty split": Case(file("data/validation.jsonl", ""), (line("path: data"), "'validation' is empty")),
    "empty test split": Case(file("data/test.jsonl", "\n"), (line("path: data"), "'test' is empty")),
    "more rows than there are": Case(
        nothing, ("override data.train=99: ", "there are 24", "lower it"), put("data.train=99")
    ),
    "no row": Case(nothing, ("override data.train=0: ", "data.train is 0"), put("data.train=0")),
    "no JSON": Case(train("train.jsonl", GOOD_LINES + b"{nope\n"), ("data/train.jsonl:11: ", "no valid JSON")),
    "no object": Case(train("train.jsonl", GOOD_LINES + b"[1, 2]\n"), ("data/train.jsonl:11: ", "'[1, 2]'", "object")),
    "no UTF-8": Case(train("train.jsonl", GOOD_LINES + b"\xff\n"), ("data/train.jsonl:11: ", "no valid JSON")),
    "half a character": Case(
        train("train.jsonl", GOOD_LINES + b'{"source": "\\ud800", "target": "x"}\n'),
        ("data/train.jsonl:11: ", "surrogates"),
    ),
    "no gzip": Case(train("train.jsonl.gz", b"no gzip"), ("data/train.jsonl.gz: ", "gzip")),
    "gzip cut short": Case(
        train("train.jsonl.gz", gzip.compress(GOOD_LINES)[:-20]), ("data/train.jsonl.gz:", "ended before")
    ),
    "csv row too short": Case(
        train("train.csv", b"source,target\na,b\nc\n"),
        ("data/train.csv:3: ", "1 values, but 2 columns", "source, target"),
    ),
    "csv row too long": Case(
        train("train.csv", b"source,target\na,b,c\n"), ("data/train.csv:2: ", "3 values, but 2 columns")
    ),
    "csv quotes": Case(train("train.csv", b'source,target\n"c,d\n'), ("data/train.csv:2: ", "quotes")),
    "csv column twice": Case(train("train.csv", b"source,source,target\n"), ("data/train.csv:1: ", "distinct")),
    "too many tabs": Case(train("train.txt", b"a\tb\nc\td\te\n"), ("data/train.txt:2: ", "source<TAB>target")),
    "no parquet": Case(train("train.parquet", b"PAR1"), ("data/train.parquet: ", "parquet")),
    "same id twice": Case(split("train", dict(TRAIN[3])), (line("path: data"), "'train-3'", "distinct")),
    "target beyond the context": Case(
        split("validation", {"id": "long", "source": "a", "target": "word " * 200}),
        (line("path: data"), "'long'", "601 tokens", "context of 128", "shorten"),
    ),
    "limit beyond the context": Case(
        nothing,
        ("override training.max_target_tokens=500: ", "501 tokens", "context of 128", "lower"),
        put("training.max_target_tokens=500"),
    ),
    "no target fits its limit": Case(
        nothing, ("24 training targets", "more than 1 tokens", "raise"), put("training.max_target_tokens=1")
    ),
    "stop text in a target": Case(
        split("train", {"id": "two", "source": "a", "target": "b\nc"}), ("'two'", "'\\n'", "generation.stop")
    ),
    "both path and hub": Case(nothing, ("path and hub", "keep one"), put("data.hub=org/name")),
}

MODEL = {
    "no such folder": Case(edit("name: model", "name: ./modle"), (line("model:"), "./modle", "no such folder")),
    "a file": Case(edit("name: model", "name: study.yaml"), (line("model:"), "study.yaml", "a file")),
    "no config": Case(gone("model/config.json"), (line("model:"), "no config.json", "save_pretrained")),
    "broken config": Case(file("model/config.json", "{"), (line("model:"), "config.json", "write the model again")),
    "unknown kind": Case(
        file("model/config.json", '{"model_type": "zzz", "n_layer": 3, "architectures": ["Zzz"]}'),
        ("model model: ", "zzz", "check config.json"),
    ),
    "no weights": Case(gone("model/model.safetensors"), ("model model: ", "weights", "model.safetensors")),
    "broken weights": Case(file("model/model.safetensors", b"no weights"), ("model model: ", "weights")),
    "broken tokenizer": Case(file("model/tokenizer.json", "{"), (line("model:"), "tokenizer.json", "again")),
    "broken tokenizer settings": Case(file("model/tokenizer_config.json", "{"), (line("model:"), "tokenizer", "again")),
    "no tokenizer": Case(gone("model/tokenizer.json"), ("model model: ", "tokenizer", "beside the weights")),
    "revision of a folder": Case(
        nothing, (line("model:")[:-2], "with override model.revision=main: ", "remove"), put("model.revision=main")
    ),
    "no such device": Case(nothing, ("training.device", "'mps'", "use auto"), put("training.device=mps")),
}

STORES = {
    "no folder for trials": Case(
        nothing,
        ("search.storage 'sqlite:///no/optuna.db'", "folder 'no' does not exist", "default"),
        put("search.storage=sqlite:///no/optuna.db"),
    ),
    "no URL for trials": Case(nothing, ("search.storage 'optuna'", "URL"), put("search.storage=optuna")),
    "no driver for trials": Case(
        nothing, ("search.storage 'postgresql", "psycopg"), put("search.storage=postgresql://h/x")
    ),
    "no database for trials": Case(
        nothing, ("search.storage", "not a database"), put("search.storage=sqlite:///study.yaml")
    ),
}

CASES = {
    f"{group}: {name}": case
    for group, cases in (
        ("study file", STUDY_FILE),
        ("parts", STUDY_PARTS),
        ("data", DATA),
        ("model", MODEL),
        ("store", STORES),
    )
    for name, case in cases.items()
}


@pytest.mark.parametrize("name", list(CASES))
def test_a_mistake_is_named_and_nothing_is_written(name: str, places: Places) -> None:
    change, message, arguments = CASES[name]
    place = places(store=False)
    change(place)
    before = place.files()
    done = place.command("run", "study.yaml", *arguments)
    assert done.status == 2
    for part in message:
        assert part in done.err
    assert "Traceback" not in done.err
    assert place.files() == before


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("study", "parts", "data"))])
def test_check_finds_it_as_well(name: str, places: Places) -> None:
    change, message, arguments = CASES[name]
    if "--cells" in arguments:
        pytest.skip("check has no --cells")
    place = places(store=False)
    change(place)
    done = place.command("check", "study.yaml", *arguments)
    assert done.status == 2
    for part in message:
        assert part in done.err
    lines = done.err.splitlines()
    assert len(set(lines)) == len(lines)
    assert not done.out


@pytest.fixture
def closed_port() -> str:
    """The address of a server that was there a moment ago."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["closed port", "no folder", "no driver", "no database"])
def test_a_tracking_store_out_of_reach_is_named(kind: str, places: Places, closed_port: str) -> None:
    place = places(store=False)
    uri = {
        "closed port": closed_port,
        "no folder": f"sqlite:///{place.folder}/no/mlflow.db",
        "no driver": "nosuchdatabase://host/name",
        "no database": f"sqlite:///{place.study}",
    }[kind]
    before = place.files()
    for command in (["run", "study.yaml"], ["report", "study.yaml"], ["clean", "tiny"]):
        done = place.command(*command, env={"MLFLOW_TRACKING_URI": uri})
        assert done.status == 2
        assert f"MLflow store {uri!r} cannot be reached: " in done.err
        assert "check MLFLOW_TRACKING_URI" in done.err
        assert place.files() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "study.yaml", "--set", "search.trails=3"], "did you mean 'trials'"),
        (["rum", "study.yaml"], "No such command 'rum'"),
    ],
)
def test_the_installed_command_ends_with_status_2(arguments: list[str], message: str, places: Places) -> None:
    place = places(store=False)
    process = place.process(*arguments)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert message in err
    assert not out
    assert "Traceback" not in err


def test_long_training_targets_are_left_out_and_counted(places: Places) -> None:
    place = places(store=False)
    write_rows(place.folder / "data" / "train.jsonl", [*TRAIN, {"id": "x", "source": "a", "target": "word " * 99}])
    done = place.command("check", "study.yaml")
    assert done.status == 0
    row = next(line.split() for line in done.out.splitlines() if line.split()[:1] == ["bare"])
    assert row[-1] == "1"


def test_brackets_in_names_are_printed_as_they_are(places: Places) -> None:
    place = places(store=False)
    (place.folder / "data").rename(place.folder / "data [bold] [x]")
    done = place.command("check", "study.yaml", *put("data.path=data [bold] [x]"))
    assert done.status == 0
    assert "data [bold] [x]: 24 train" in done.out
