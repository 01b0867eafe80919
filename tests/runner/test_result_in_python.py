"""A result as Python has it, against the store and the files that the command writes."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import datasets
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from harness import Result, Study, compare
from harness.cli.plain_data import check_data
from harness.core.errors import DataError, ModelError, UserError
from tests.support.python_study import inside
from tests.support.study_fixture import SIZES, Place, rows


@pytest.fixture(scope="module")
def result(finished: Place) -> Result:
    with inside(finished):
        return Result.load("tiny")


def report(place: Place, file: str) -> str:
    return (place.folder / "reports" / "tiny" / file).read_text()


def test_the_table_is_results_csv(result: Result, finished: Place) -> None:
    written = report(finished, "results.csv")
    frame = result.table()
    pd.testing.assert_frame_equal(frame, pd.read_csv(io.StringIO(written)))
    assert frame.to_csv(index=False) == written


def test_cells_are_those_of_the_grid(result: Result, finished: Place) -> None:
    assert [cell.id for cell in result.cells] == [*finished.table()]


def test_trials_are_the_runs_of_the_store(result: Result, finished: Place) -> None:
    runs = {run.info.run_name: run for run in finished.runs("search")}
    trials = result.trials()
    assert len(trials) == len(runs)
    for _, row in trials.iterrows():
        run = runs[f"{row['cell']} trial {row['trial']}"]
        assert row["learning_rate"] == float(run.data.params["learning_rate"])
        assert row["validation_chrf"] == row["value"] == run.data.metrics["validation/chrf"]
        assert (row["prompt"], row["tuning"], row["state"]) == (*row["cell"].split("/"), "complete")


@pytest.mark.parametrize("split", ["test", "validation"])
def test_predictions_are_the_table_of_the_run(split: str, result: Result, finished: Place) -> None:
    (run,) = finished.runs("final", cell="cue/head")
    file = finished.client().download_artifacts(run.info.run_id, f"predictions/{split}.json")
    stored = pd.DataFrame(**json.loads(Path(file).read_text()))
    with inside(finished):
        frame = result.predictions("cue/head", split=split)
        assert frame.equals(result.predictions(result.cells[4], split=split))
    assert [*frame["id"]] == [row["id"] for row in rows(split)]
    assert set(frame["seed"]) == {11}
    with inside(finished):
        assert set(result.predictions("cue/none", split=split)["seed"]) == {None}
    for column in ("source", "prediction", "reference", "nll", "tokens"):
        assert [*frame[column]] == [*stored[column]]


@pytest.mark.parametrize(
    ("cell", "split", "says"),
    [
        ("cue/haed", "test", "has no cell 'cue/haed'; did you mean 'cue/head'"),
        ("cue/head", "train", "split is 'train'; known: "),
        ("", "test", "study 'tiny' has no cell ''; name one, or take the best: result.best.cell"),
    ],
)
def test_other_predictions_are_refused(cell: str, split: str, says: str, result: Result, finished: Place) -> None:
    with inside(finished), pytest.raises(UserError, match=says):
        result.predictions(cell, split=split)


def test_verdicts_are_those_of_the_report(result: Result, finished: Place) -> None:
    written = json.loads(report(finished, "verdicts.json"))
    assert result.verdicts is not None
    assert (result.verdicts.best, result.verdicts.baseline) == (written["best"], written["baseline"])
    assert result.findings.answer == written["answer"]
    assert result.first == result.best.id == written["best"]
    differences = {
        (one["a"], one["b"]): one["difference"] for one in written["comparisons"] if one["family"] == "baseline"
    }
    assert {(one.a, one.b): one.difference.value for one in result.verdicts.to_baseline} == differences


def test_the_best_cell_answers_as_the_command_does(result: Result, finished: Place, tmp_path: Path) -> None:
    asked = [row["source"] for row in rows("test")]
    with inside(finished):
        said = result.best.predict(asked)
        assert result.best.model()[0] is result.best.model()[0], "it is loaded once"
        assert said == result.best.predict([{"source": text} for text in asked])
    assert result.best.learning_rate == float(finished.table()[result.best.id]["learning_rate"])
    file, answers = tmp_path / "asked.jsonl", tmp_path / "said.jsonl"
    file.write_text("".join(json.dumps({"source": text}) + "\n" for text in asked))
    done = finished.command("predict", "tiny", "--input", str(file), "--output", str(answers))
    assert done.status == 0, done.err
    assert [json.loads(line)["prediction"] for line in answers.read_text().splitlines()] == said


def test_the_model_of_another_cell_does_not_answer_for_the_best(result: Result, finished: Place) -> None:
    """One that ranked first before: the study was edited, and stopped before it stored another."""
    kept = replace(result.results.kept, cell="cue/none")
    edited = replace(result, results=replace(result.results, kept=kept))
    with inside(finished), pytest.raises(ModelError, match=f"keeps the model of cue/none, .* none of {result.best.id}"):
        edited.best.predict(["short note"])


def test_whatever_holds_rows_is_answered(result: Result, finished: Place) -> None:
    frame = pd.DataFrame(rows("test"))
    with inside(finished):
        said = result.best.predict(rows("test"))
        data_set = datasets.Dataset.from_pandas(frame)
        for held in (frame, frame["source"], frame.set_index("id"), data_set, iter(rows("test"))):
            assert result.best.predict(held) == said
        with pytest.raises(DataError, match="predict was given the row int '5'; a row is a mapping of columns"):
            result.best.predict([5])  # type: ignore[list-item]
        with pytest.raises(DataError, match="predict is NoneType None, no rows; give a list of dicts"):
            result.best.predict(None)  # type: ignore[arg-type]


def test_a_study_that_its_store_lost_is_told_by_its_name(result: Result, finished: Place) -> None:
    gone = replace(result.best, address=result.best.address._replace(study="gone", experiment="gone"))
    with inside(finished), pytest.raises(ModelError, match="no model 'gone' here or in store sqlite:"):
        gone.predict(["a"])


def test_a_study_is_loaded_by_its_file(result: Result, finished: Place) -> None:
    with inside(finished):
        assert Result.load(Path("study.yaml")).first == result.first


def test_the_best_model_is_the_stored_one(result: Result, finished: Place) -> None:
    with inside(finished):
        model, tokenizer = result.best.model()
    (file,) = (finished.folder / "mlruns").rglob("model.safetensors")
    stored, tensors = load_file(file), model.state_dict()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in stored.items())
    assert tokenizer.decode(tokenizer("short note")["input_ids"]) == "short note"


def test_the_prompt_is_the_study_s_filled_in(result: Result, finished: Place) -> None:
    texts = {"bare": "short note\n", "cue": "short note\nTL;DR:"}
    with inside(finished):
        assert result.best.prompt("short note") == texts[result.best.cell.prompt]
        assert result.best.prompt({"source": "short note", "other": 1}) == texts[result.best.cell.prompt]


def test_one_text_is_no_list(result: Result, finished: Place) -> None:
    with inside(finished), pytest.raises(DataError, match="takes a list of rows, but was given one: 'short note'"):
        result.best.predict("short note")


def test_comparisons_are_the_command_s(finished: Place, tmp_path: Path) -> None:
    with inside(finished):
        compared = compare("tiny:bare/head", "tiny:cue/head", split="validation")
    file = tmp_path / "two.json"
    options = ("--split", "validation", "--out", str(file))
    assert finished.command("compare", "tiny:bare/head", "tiny:cue/head", *options).status == 0
    written = json.loads(file.read_text())
    assert compared.comparison.difference.value == written["difference"]
    with inside(finished), pytest.raises(UserError, match="stands on both sides"):
        compare(Result.load("tiny"), Study.load("study.yaml"))


def test_what_a_session_shows_is_short_and_names_what_counts(result: Result, finished: Place) -> None:
    """Beside the store: the numbers that are shown are those of the records."""
    with inside(finished):
        checked = Study.load("study.yaml").check()
        compared = compare("tiny:bare/head", "tiny:cue/head", split="validation")
    cell = next(cell for cell in result.cells if cell.id == "cue/head")
    assert repr(cell) == f"CellResult('cue/head', trials 1, final runs 1, learning rate {cell.learning_rate:.3g})"
    assert repr(result.cells[0]).endswith("trials 0, final runs 1)")
    assert repr(result.best).startswith(f"BestCell({result.first!r}, study 'tiny'")
    assert repr(checked) == (
        f"Checked('tiny', 6 cells, rows: train 24, validation {SIZES['validation']}, test {SIZES['test']}; "
        f"{len(checked.cautions)} cautions, {len(checked.notes)} notes)"
    )
    assert compared.p == compared.comparison.p == compared.comparison.difference.p
    assert compared.verdict in repr(compared)
    assert (compared.difference.value, compared.verdict) == (compared.comparison[2].value, compared.comparison[4])
    assert result.verdicts is not None
    lines = repr(result.verdicts).splitlines()
    assert len(lines) == len(result.verdicts.to_baseline) + 2
    assert all(len(line) < 200 for line in lines)


def test_the_report_is_written_again(result: Result, finished: Place) -> None:
    before = report(finished, "results.csv")
    with inside(finished):
        page = result.report()
        assert page.resolve().parent == (finished.folder / "reports" / "tiny").resolve()
    assert report(finished, "results.csv") == before


def test_what_a_notebook_shows_is_escaped(result: Result, finished: Place) -> None:
    shown = result._repr_html_()
    assert shown.count("<tr>") == 1 + len(result.cells)
    assert result.findings.answer.partition(" ")[0] in shown
    study = Study(
        name="x", task="summarization", prompts=["bare"], tuning=["head"], model={"name": "<script>alert(1)</script>"}
    )
    assert "<script>" not in study._repr_html_()
    assert "&lt;script&gt;" in study._repr_html_()


def test_a_study_shows_what_will_run(finished: Place) -> None:
    with inside(finished):
        shown = Study.load("study.yaml")._repr_html_()
    assert "6 cells, 18 runs: 8 trials, 10 final runs" in shown  # 2 prompts x (1 zero-shot + 2 x (2 trials + 2 seeds))
    assert SIZES["train"] == 24


def test_what_will_run_is_what_check_counts(finished: Place) -> None:
    """A grid may have fewer points than trials, and what does not train is run once, final seeds or none."""
    space = "search.space={learning_rate: {low: 1.0e-3, high: 1.0e-1}, training.epochs: [1, 2]}"
    overrides = [space, "search.learning_rate=null", "search.sampler=grid", "search.trials=5", "final.seeds=[]"]
    with inside(finished):
        study = Study.load("study.yaml", overrides)
        counted = check_data(study.check(test=False), [])
    assert counted["runs"] == 4 * 4 + 2
    shown = study._repr_html_()
    assert "6 cells, 18 runs: 16 trials, 2 final runs" in shown
    assert "<td>head</td><td>4</td><td>0</td>" in shown
    with inside(finished):
        impossible = Study.load("study.yaml", [*overrides, "search.trials=1"])
    assert "<td>head</td><td>1</td><td>0</td>" in impossible._repr_html_(), "what is wrong with it `check` says"
