"""What a study leaves in MLflow, read back with a plain client: 2 prompts, 2 tunings that train, 2 trials, 2 seeds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
from mlflow.entities import Run

from harness.core.example import Example, Prediction
from harness.metrics import get
from tests.support.study_fixture import PARENT, Place, Places, rows

TRAINED = [f"{prompt}/{tuning}" for prompt in ("bare", "cue") for tuning in ("head", "last_blocks-1")]
UNTRAINED = ["bare/none", "cue/none"]
PARAMS = {"task", "model", "prompt", "tuning", "learning_rate", "seed"}
METRICS = ("chrf", "perplexity", "length_ratio")


@pytest.fixture(scope="module")
def done(places: Places) -> Place:
    place = places()
    place.run()
    return place


def steps(place: Place, run: Run, metric: str) -> list[int]:
    return [point.step for point in place.client().get_metric_history(run.info.run_id, metric)]


def artifact(place: Place, run: Run, file: str) -> Any:
    folder = place.folder / "fetched"
    folder.mkdir(exist_ok=True)
    return json.loads(Path(place.client().download_artifacts(run.info.run_id, file, str(folder))).read_text())


def predictions(place: Place, run: Run, split: str) -> list[dict[str, Any]]:
    table = artifact(place, run, f"predictions/{split}.json")
    return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]


def test_every_cell_has_one_parent_and_its_own_children(done: Place) -> None:
    done.clean()
    done.count(cell=6, search=8, final=10, summary=1)
    parents = {run.info.run_id: run for run in done.runs("cell")}
    assert sorted(run.data.tags["cell"] for run in parents.values()) == sorted(TRAINED + UNTRAINED)
    assert all(PARENT not in run.data.tags for run in [*parents.values(), *done.runs("summary")])
    for phase, in_trained, in_untrained in (("search", 2, 0), ("final", 2, 1)):
        children = done.runs(phase)
        for child in children:
            assert parents[child.data.tags[PARENT]].data.tags["cell"] == child.data.tags["cell"]
        counts = {cell: [run.data.tags["cell"] for run in children].count(cell) for cell in TRAINED + UNTRAINED}
        assert counts == dict.fromkeys(TRAINED, in_trained) | dict.fromkeys(UNTRAINED, in_untrained)
    assert {run.info.status for run in done.runs()} == {"FINISHED"}


def test_every_run_names_its_factors(done: Place) -> None:
    for run in [*done.runs("cell"), *done.runs("search"), *done.runs("final")]:
        params = run.data.params
        assert params.keys() >= PARAMS
        assert f"{params['prompt']}/{params['tuning']}" == run.data.tags["cell"]
        assert (params["task"], params["model"]) == ("tiny_task", "model")
        assert run.info.run_name.startswith(run.data.tags["cell"])
    rates = {run.data.params["learning_rate"] for run in done.runs("search")}
    assert len(rates) == 2  # every cell gets the same draws
    assert all(1e-3 <= float(rate) <= 1e-1 for rate in rates)
    assert {run.data.params["seed"] for run in done.runs("search")} == {"0"}
    for cell in TRAINED:
        assert {run.data.params["seed"] for run in done.runs("final", cell=cell)} == {"11", "12"}
    for cell in UNTRAINED:
        (run,) = done.runs("final", cell=cell)
        assert (run.data.params["seed"], run.data.params["learning_rate"]) == ("none", "none")


def test_losses_and_scores_are_logged_by_epoch(done: Place) -> None:
    for run in done.runs("search"):
        for metric in ("train/loss", "validation/loss", *(f"validation/{name}" for name in METRICS)):
            assert steps(done, run, metric) == [1, 2]
        assert not any(name.startswith("test/") for name in run.data.metrics)
    for run in done.runs("final"):
        trained = run.data.tags["cell"] in TRAINED
        last = 2 if trained else 0
        if trained:
            assert steps(done, run, "train/loss") == [1, 2]
            assert steps(done, run, "validation/loss") == [1, 2]
        for name in METRICS:
            assert steps(done, run, f"validation/{name}") == steps(done, run, f"test/{name}") == [last]


def test_the_winner_is_the_best_last_epoch(done: Place) -> None:
    for cell in TRAINED:
        trials = sorted(done.runs("search", cell=cell), key=lambda run: int(run.data.tags["trial"]))
        best = max(trials, key=lambda run: run.data.metrics["validation/chrf"])
        (parent,) = done.runs("cell", cell=cell)
        assert parent.data.params["learning_rate"] == best.data.params["learning_rate"]
        for final in done.runs("final", cell=cell):
            assert final.data.params["learning_rate"] == best.data.params["learning_rate"]


def test_predictions_score_again_as_logged(done: Place) -> None:
    for run in done.runs("final"):
        for split in ("validation", "test"):
            table = predictions(done, run, split)
            assert [row["id"] for row in table] == [row["id"] for row in rows(split)]
            assert [row["reference"] for row in table] == [row["target"] for row in rows(split)]
            assert [row["source"] for row in table] == [row["source"] for row in rows(split)]
            logged = run.data.metrics
            for name in METRICS:
                metric = get(name)
                statistics = [
                    metric.statistics(
                        Prediction(row["id"], row["prediction"], row["nll"], row["tokens"]),
                        Example(row["id"], {"source": row["source"]}, row["reference"]),
                    )
                    for row in table
                ]
                # tables keep ten decimals
                assert metric.reduce(statistics) == pytest.approx(logged[f"{split}/{name}"], rel=1e-9)
            texts, references = [row["prediction"] for row in table], [[row["reference"] for row in table]]
            outside = sacrebleu.corpus_chrf(texts, references, word_order=2).score
            assert logged[f"{split}/chrf"] == pytest.approx(outside)
            loss = sum(row["nll"] for row in table) / sum(row["tokens"] for row in table)
            assert logged[f"{split}/loss"] == pytest.approx(loss)
            assert logged[f"{split}/perplexity"] == pytest.approx(math.exp(loss))


def test_parents_and_table_hold_mean_and_deviation(done: Place) -> None:
    for parent in done.runs("cell"):
        cell = parent.data.tags["cell"]
        children, row = done.runs("final", cell=cell), done.table()[cell]
        for split in ("validation", "test"):
            for name in (*METRICS, "loss"):
                values = [run.data.metrics[f"{split}/{name}"] for run in children]
                assert parent.data.metrics[f"{split}/{name}"] == pytest.approx(np.mean(values), rel=1e-12)
                assert float(row[f"{split}_{name}"]) == parent.data.metrics[f"{split}/{name}"]
                if len(values) > 1:
                    deviation = np.std(values, ddof=1)
                    assert parent.data.metrics[f"{split}/{name}_sd"] == pytest.approx(deviation, rel=1e-9, abs=1e-12)
                    assert float(row[f"{split}_{name}_sd"]) == parent.data.metrics[f"{split}/{name}_sd"]
                else:
                    assert f"{split}/{name}_sd" not in parent.data.metrics
                    assert row[f"{split}_{name}_sd"] == ""


@pytest.mark.slow
def test_the_leaderboard_is_one_filter(done: Place) -> None:
    client = done.client()
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    board = client.search_runs(
        [experiment.experiment_id], "tags.phase = 'cell'", order_by=['metrics."validation/chrf" DESC']
    )
    shown = done.command("report", "tiny").out
    scores = {run.data.tags["cell"]: run.data.metrics["validation/chrf"] for run in board}
    assert len(scores) == 6
    printed = sorted(scores, key=lambda cell: shown.index(f" {cell} "))
    assert [scores[cell] for cell in printed] == list(scores.values())


def test_the_summary_holds_study_task_report_and_best_model(done: Place) -> None:
    (summary,) = done.runs("summary")
    client = done.client()
    there = {file.path for file in client.list_artifacts(summary.info.run_id)}
    assert {"study.yaml", "study.json", "task", "report"} <= there
    facts = artifact(done, summary, "study.json")
    assert facts["question"] == "Does a cue help a network that knows nothing? (Two lines make one question.)"
    finals = done.runs("final")
    table = done.table()
    first = max(table, key=lambda cell: float(table[cell]["validation_chrf"]))
    (kept,) = [run for run in finals if run.info.run_id == summary.data.tags["best_run"]]
    own = [run.data.metrics["validation/chrf"] for run in finals if run.data.tags["cell"] == first]
    assert kept.data.tags["cell"] == first
    assert kept.data.metrics["validation/chrf"] == min(own)  # of two the poorer one
    models = client.search_logged_models([kept.info.experiment_id])
    assert [model.source_run_id for model in models] == [kept.info.run_id]
    for parent in done.runs("cell"):
        assert "prompt.jinja" in {file.path for file in client.list_artifacts(parent.info.run_id)}


@pytest.mark.slow
def test_pruned_trials_are_killed_and_lose(places: Places) -> None:
    place = places()
    rates = "{low: 0.02, high: 0.8}"
    settings = ["sampler=grid", "trials=5", "pruner=median", "metric=loss", f"learning_rate={rates}"]
    sets = [part for setting in settings for part in ("--set", f"search.{setting}")]
    place.run("--cells", "bare/head", "--set", "final.seeds=[]", "--set", "training.epochs=3", *sets)
    place.clean()
    trials = place.runs("search")
    pruned = [run for run in trials if run.data.tags["outcome"] == "pruned"]
    complete = [run for run in trials if run.data.tags["outcome"] == "complete"]
    assert len(trials) == len(pruned) + len(complete) == 5
    assert pruned
    assert {run.info.status for run in pruned} == {"KILLED"}
    assert {run.info.status for run in complete} == {"FINISHED"}
    for run in pruned:
        epoch = int(run.data.tags["pruned_after_epoch"])
        assert steps(place, run, "validation/loss") == list(range(1, epoch + 1))
        assert epoch < 3
    best = min(run.data.metrics["validation/loss"] for run in complete)
    assert float(place.table()["bare/head"]["validation_loss"]) == best
    assert not any("chrf" in name for run in trials for name in run.data.metrics)
    place.count(cell=1, search=5, summary=1)


@pytest.mark.slow
def test_a_diverged_trial_fails_and_its_cell_goes_on(places: Places) -> None:
    place = places()
    high = ("--set", "search.sampler=grid", "--set", "search.trials=3", "--set", "search.learning_rate.high=1.0e+38")
    place.run("--cells", "*/head", *high, "--set", "final.seeds=[3]")
    place.clean()
    place.count(cell=2, search=6, final=2, summary=1)
    for cell in ("bare/head", "cue/head"):
        trials = {run.data.params["learning_rate"]: run for run in place.runs("search", cell=cell)}
        lost = trials["1e+38"]
        assert (lost.info.status, lost.data.tags["outcome"]) == ("FAILED", "diverged")
        assert "at step" in lost.data.tags["error"]
        assert trials["0.001"].info.status == "FINISHED"
        assert place.table()[cell]["learning_rate"] != "1e+38"


@pytest.mark.slow
def test_a_cell_where_all_trials_diverge_fails_alone(places: Places) -> None:
    place = places()
    rates = "search.learning_rate={low: 1.0e+37, high: 1.0e+38}"
    done = place.run("--cells", "bare/*", "--set", rates, "--set", "tuning=[none, head]")
    place.clean()
    place.count(cell=2, search=2, final=1, summary=1)
    (parent,) = place.runs("cell", cell="bare/head")
    assert (parent.info.status, parent.data.params["learning_rate"]) == ("FAILED", "none")
    assert "all diverged" in done.out
    assert place.table()["bare/head"]["learning_rate"] == place.table()["bare/head"]["test_chrf"] == ""
    place.run("--cells", "bare/*", "--set", rates, "--set", "tuning=[none, head]")
    place.count(cell=2, search=2, final=1, summary=1)


@pytest.mark.slow
def test_a_search_by_loss_without_finals_generates_nothing(places: Places) -> None:
    place = places()
    place.run("--set", "search.metric=loss", "--set", "final.seeds=[]")
    place.clean()
    place.count(cell=6, search=8, final=2, summary=1)
    assert {run.data.tags["cell"] for run in place.runs("final")} == set(UNTRAINED)
    names = {name for run in place.runs() for name in run.data.metrics}
    assert not any("chrf" in name or name.startswith("test/") for name in names)
    for run in place.runs("final"):
        assert not place.client().list_artifacts(run.info.run_id)
    for cell, row in place.table().items():
        losses = [run.data.metrics["validation/loss"] for run in place.runs("search", cell=cell)]
        expected = min(losses) if losses else place.runs("final", cell=cell)[0].data.metrics["validation/loss"]
        assert float(row["validation_loss"]) == expected
