"""The store's names stand in one file, and records say themselves as runs do."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from harness.tracking.adapter_growth import Growth
from harness.tracking.mlflow.mlflow_tracker import MlflowTracker
from harness.tracking.run_records import (
    CellRecord,
    FinalRecord,
    ReferenceRecord,
    TrialRecord,
    seed_order,
)
from harness.tracking.schema import (
    FACTORS,
    Artifacts,
    Metrics,
    PageTags,
    Params,
    PromptTags,
    Tags,
    VersionTags,
)
from harness.tracking.study_record import KeptModels, StudyRecord, summary_of
from tests.support.store_records import STUDY_FACTS, run_with

HARNESS = Path(__file__).parents[2] / "harness"
SCHEMA = HARNESS / "tracking" / "schema.py"
FILES = sorted(path for path in HARNESS.rglob("*.py") if path != SCHEMA)
HELD = {"tags", "params", "metrics"}
"""What a run holds, whose keys are names of the store's."""
OPTUNA = {"trial", "winner"}
"""Trials of Optuna's, which have params of their own."""


def names_of(group: type) -> set[str]:
    return {value for name, value in vars(group).items() if name.isupper()}


GROUPS = (Tags, PageTags, PromptTags, VersionTags, Params, Metrics, Artifacts)
STORED = {name for group in GROUPS for name in names_of(group)}
SHARED = {"learning_rate", "warm_start", "study.yaml", "recordings_mib", "trainable_parameters", "data.", "training."}
"""Names of the study file's and of tables' as well."""
UNMISTAKABLE = {name for name in STORED if set("._/") & set(name[1:])} - SHARED
"""Names that are nothing but the store's, unlike ``cell`` or ``seed``."""
SEARCHED = re.compile(rf"\b(tags|params|metrics)\.`?({'|'.join(map(re.escape, sorted(STORED)))})")
"""A name in the words of MLflow's search."""


def literal(node: ast.expr | None) -> str | None:
    """Return a text that stands in the code, the beginning of one that is made there."""
    if isinstance(node, ast.JoinedStr):
        return literal(node.values[0]) if node.values else None
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def is_held(node: ast.expr) -> bool:
    """Return whether something is a run's tags, params or metrics, or is named as these."""
    if isinstance(node, ast.Attribute):
        return node.attr in HELD and not (isinstance(node.value, ast.Name) and node.value.id in OPTUNA)
    return isinstance(node, ast.Name) and node.id in HELD


def keys_of(node: ast.expr) -> Iterator[ast.expr | None]:
    """Yield the keys of a mapping that is written out, alone or in a union of several."""
    if isinstance(node, ast.Dict):
        yield from node.keys
    elif isinstance(node, ast.BinOp):
        yield from keys_of(node.left)
        yield from keys_of(node.right)


def keys(node: ast.AST) -> Iterator[ast.expr | None]:
    """Yield all that a piece of code looks up in a run, or says in one."""
    if isinstance(node, ast.Subscript) and is_held(node.value):
        yield node.slice
    elif isinstance(node, ast.Compare) and any(is_held(other) for other in node.comparators):
        yield node.left
    elif (
        isinstance(node, ast.Assign)
        and any(is_held(target) for target in node.targets)
        or isinstance(node, ast.keyword)
        and node.arg in HELD
    ):
        yield from keys_of(node.value)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if is_held(node.func.value) and node.func.attr in {"get", "pop", "setdefault"}:
            yield node.args[0]
        elif node.func.attr in HELD:
            for argument in node.args:
                yield from keys_of(argument)


def spelled_out(tree: ast.AST) -> list[str]:
    """Return the names of the store's that code spells out as keys."""
    public = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and "__all__" in map(ast.unparse, node.targets)
    ]
    other = {id(text) for node in public for text in ast.walk(node)}
    other |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = [text for node in ast.walk(tree) for key in keys(node) if (text := literal(key)) is not None]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in other:
            found += [node.value] if node.value in UNMISTAKABLE or SEARCHED.search(node.value) else []
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HARNESS)))
def test_no_name_of_the_stores_is_spelled_out_elsewhere(path: Path) -> None:
    assert spelled_out(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "code",
    [
        "run.tags['anything']",
        "run.tags.get('anything')",
        "'anything' in run.params",
        "tracker.tags(run, {'anything': 'x'})",
        "tracker.end(run, metrics={'anything': 1.0} | costs)",
        "tags = {'anything': 'x'}",
        "run.metrics[f'validation/{lead}']",
        "identity = {'test_digest': digest}",
        "store.fetch(run, 'study.json')",
        "search(f\"tags.cell = '{cell}'\")",
    ],
)
def test_a_name_that_is_spelled_out_is_found(code: str) -> None:
    assert spelled_out(ast.parse(code))


RATE = ("learning_rate",)


def test_what_is_written_is_read_back() -> None:
    trial = TrialRecord(index=3, optuna_trial=7, hyperparameters={"learning_rate": "0.001"}, seed="5", warm_start="a/b")
    assert TrialRecord.from_run(run_with(params=trial.params(), tags=trial.tags()), RATE) == pytest.approx(
        trial, nan_ok=True
    )
    final = FinalRecord(
        cell="cue/head", hyperparameters={"learning_rate": "none"}, seed="none", test_digest="1", generality_digest="2"
    )
    run = run_with("final", params=final.params(), tags={**final.tags(), "cell": "cue/head"})
    assert FinalRecord.from_run(run, RATE) == final
    reference = ReferenceRecord("lead_words", "1", "2")
    assert ReferenceRecord.from_run(run_with(params=reference.params(), tags=reference.tags())) == reference
    kept = KeptModels("models:/m-1", "r", "cue/head", ("r", "s"))
    why = KeptModels("models:/m-1", "r", "cue/head", ("r",), "12", "seed 12 is the middle one")
    for models in (kept, why, KeptModels(None, "r", "cue/head", ())):
        assert KeptModels.from_run(run_with("summary", tags=models.tags())) == models


def test_a_cell_is_read_as_it_was_written_whatever_its_axes() -> None:
    cell = CellRecord(
        id="cue/head/small",
        digest="1",
        task="sum",
        model="gpt2",
        factors={"prompt": "cue", "tuning": "head", "size": "small"},
        trainable_parameters=12,
        parameters=120,
        sizes={"train": 7, "validation": 3},
        settings={"training.epochs": "2", "model.dtype": "float32"},
    )
    run = run_with("cell", params=cell.params(), tags=cell.tags())
    assert CellRecord.from_run(run, axes=("prompt", "tuning", "size")) == cell
    done = run_with("cell", params={**cell.params(), "learning_rate": "0.5"}, tags={**cell.tags(), "best_trial": "2"})
    assert CellRecord.from_run(done, FACTORS).best_trial == "2"
    assert CellRecord.from_run(done, FACTORS).counted is None  # of an older store: all
    assert CellRecord.from_run(run_with("cell", params=done.params, tags={"trials": "3"}), FACTORS).counted == 3


def test_weights_that_a_search_decides_are_those_of_what_was_drawn() -> None:
    growth = Growth("tuning.lora.rank", at=8, each=10)
    fields = {"id": "cue/lora-8", "digest": "1", "task": "sum", "model": "gpt2", "factors": {}, "sizes": {}}
    cell = CellRecord(**fields, settings={}, trainable_parameters=80, parameters=200, growth=growth)
    names = {"trainable_parameters", "parameters"}
    assert {name: cell.params({"tuning.lora.rank": "16"})[name] for name in names} == {
        "trainable_parameters": 160,
        "parameters": 280,
    }
    assert cell.counts({"tuning.lora.rank": "4"})["trainable_parameters"] == 40
    assert not names & cell.params().keys()  # of a cell without a winner
    assert not names & cell.params({"tuning.lora.rank": "none"}).keys()


def test_a_trial_that_did_not_complete_has_no_value() -> None:
    params, tags = {"learning_rate": 1e-3, "seed": 0}, {"trial": "0", "optuna_trial": "0"}
    values = {"complete": 2.0, "pruned": math.nan, "diverged": math.nan}
    for outcome, value in values.items():
        run = run_with(params=params, tags={**tags, "outcome": outcome}, metrics={"objective": 2.0})
        assert TrialRecord.from_run(run, RATE).value == pytest.approx(value, nan_ok=True)


def test_scores_on_other_test_rows_are_left_out() -> None:
    scores = {"validation/chrf": 1.0, "test/chrf": 2.0, "generality/perplexity": 3.0}
    params, tags = {"seed": 1, "learning_rate": 0.5}, {"test_digest": "1", "cell": "cue/head"}
    run = run_with("final", params=params, tags=tags, metrics={**scores, "cost/tokens": 4.0, "train/loss": 5.0})
    final = FinalRecord.from_run(run, RATE)
    assert final.costs == {"tokens": 4.0}
    assert final.scores_on(None) == final.scores_on("1") == scores
    assert final.scores_on("2").keys() == {"validation/chrf", "generality/perplexity"}


def test_seeds_are_in_the_order_of_numbers() -> None:
    runs = [run_with(params={"seed": seed}) for seed in ("none", "11", "9")]
    assert [run.params["seed"] for run in sorted(runs, key=seed_order)] == ["9", "11", "none"]


class OneFile:
    """A store of one text."""

    def __init__(self, text: str) -> None:
        self.held = text

    def fetch(self, run: str, file: str) -> str:
        assert file == "study.json"
        return self.held

    def text(self, run: str, text: str, file: str) -> None:
        assert file == "study.json"
        self.held = text


def test_a_study_is_read_from_older_and_newer_stores() -> None:
    summary = run_with("summary")
    store = OneFile(json.dumps({**STUDY_FACTS, "invented_later": 1}))
    record = StudyRecord.from_run(store, summary)
    assert (record.edition, record.forecast, dict(record.prompts), tuple(record.leaks)) == (None, None, {}, ())
    record.to_run(store, summary.id)
    assert StudyRecord.from_run(store, summary) == record
    assert {name: value for name, value in json.loads(store.held).items() if name in STUDY_FACTS} == STUDY_FACTS


def test_the_newest_summary_counts() -> None:
    runs = [run_with("summary", id="old"), run_with("cell"), run_with("summary", id="new"), run_with("final")]
    newest = summary_of(runs)
    assert newest is not None
    assert newest.id == "new"
    assert summary_of(runs[1:2]) is None


@pytest.mark.parametrize(
    "file", ["task/my task+v2 (1).py", "task/a,b.py", f"task/{'x' * 190}.py", "predictions/test.json"]
)
def test_any_file_has_a_tag_for_its_digest_that_the_store_takes(file: str, tmp_path: Path) -> None:
    """A task's file is called as its user likes."""
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    study = client.create_experiment("study", artifact_location=str(tmp_path / "files"))
    tracker = MlflowTracker(client, f"sqlite:///{tmp_path / 'mlflow.db'}", study)
    run = tracker.start("run", phase="summary", parent=None, params={}, tags={})
    tracker.text(run, "text", file)
    assert tracker.fetch(run, file) == "text"
    assert len(tracker.run(run).tags[Tags.file_digest(file)]) == 16
