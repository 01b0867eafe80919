"""`harness compare`: numbers and verdicts of the report, from stored predictions alone, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import chdir, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
from mlflow.entities import Run

from harness.report.compare import compare_studies
from harness.report.compare.render_comparison import as_json
from harness.report.text.headline import finite
from harness.runner.result import Result
from harness.tracking.address import StudyAddress
from harness.tracking.schema import PageTags, Tags
from tests.support.first_of_kind import first_of_kind
from tests.support.study_fixture import Place, Places, rows, write_rows

SMALL = tuple(
    part
    for setting in (
        "tuning=[none, head]",
        "training.epochs=1",
        "final.seeds=[11, 12, 13]",
        "final.models=none",
        "generality.text=null",
    )
    for part in ("--set", setting)
)
OTHER = (*SMALL, "--set", "name=other", "--set", "final.seeds=[21, 22]")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder in which a study was run under two names, with different final seeds; tests read it."""
    place = Places(tmp_path_factory.mktemp("compare"))()
    place.run(*SMALL)
    place.run(*OTHER)
    return place


@contextmanager
def workspace_of(place: Place) -> Iterator[None]:
    with chdir(place.folder), mock.patch.dict(os.environ, {"MLFLOW_TRACKING_URI": place.uri}):
        yield


def compared(place: Place, *arguments: str) -> dict[str, Any]:
    """Compare, and return what programs are told."""
    file = place.folder / "compared.json"
    shown = place.command("compare", *arguments, "--out", str(file))
    assert shown.status == 0, shown.err
    told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert told["answer"] in shown.out
    return told


def finals(place: Place, cell: str) -> list[Run]:
    return sorted(place.runs("final", cell=cell), key=lambda run: run.data.params["seed"])


def table(place: Place, study: str) -> Mapping[str, Mapping[str, str]]:
    text = (place.folder / "reports" / study / "results.csv").read_text(encoding="utf-8")
    return {row["cell"]: row for row in csv.DictReader(io.StringIO(text))}


@pytest.mark.slow
def test_two_cells_of_a_study_differ_by_what_its_report_says(done: Place) -> None:
    """Intervals and p-values are other ones: the report tests all cells together, and knows all their seeds."""
    program = json.loads((done.folder / "reports" / "tiny" / "verdicts.json").read_text(encoding="utf-8"))
    for one in program["comparisons"]:
        if one["family"] == "references":
            continue
        told = compared(done, f"tiny:{one['a']}", f"tiny:{one['b']}")
        assert told["difference"] == pytest.approx(one["difference"], rel=1e-9, abs=1e-12)
        assert (told["a"], told["b"]) == (f"tiny:{one['a']}", f"tiny:{one['b']}")


def test_a_side_has_the_interval_of_its_own_report(done: Place) -> None:
    """With two cells alone, how far seeds move scores would be read from fewer cells than the report reads it from."""
    with workspace_of(done):
        scores = {study: Result.load(study).findings.verdicts for study in ("tiny", "other")}
    for cell in ("bare/head", "cue/head", "bare/none"):
        told = compared(done, f"tiny:{cell}", f"other:{cell}")
        for study, verdicts in scores.items():
            assert verdicts is not None
            side, own = told["sides"][f"{study}:{cell}"], verdicts.scores[cell]
            assert (side["score"], side["low"], side["high"]) == (own.value, finite(own.low), finite(own.high))


def test_two_studies_are_compared_by_their_best_cells(done: Place) -> None:
    told = compared(done, "study.yaml", "other")
    for side, study in ((told["a"], "tiny"), (told["b"], "other")):
        scores = table(done, study)
        best = max(scores, key=lambda cell: float(scores[cell]["validation_chrf"]))
        assert side == f"{study}:{best}"
        assert told["sides"][side]["score"] == pytest.approx(float(scores[best]["test_chrf"]), abs=1e-9)
    assert told["metric"] == "chrf"
    assert (told["split"], told["examples"]) == ("test", 8)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["experiments", "stores"])
def test_studies_of_one_name_are_told_apart(elsewhere: bool, done: Place, places: Places) -> None:
    """By their experiments in one store, by their stores else; each has the interval of its own report."""
    place = places.copy(done)
    experiment = place.client().get_experiment_by_name("other")
    assert experiment is not None
    place.client().set_experiment_tag(experiment.experiment_id, PageTags.STUDY, "tiny")
    first = StudyAddress("tiny", "tiny", done.uri if elsewhere else place.uri)
    found = compare_studies.compare(first, StudyAddress("tiny", "other", place.uri), metric="loss")
    both = found.a.name, found.b.name
    assert [name.partition(" (")[0] for name in both] == [f"tiny:{found.a.cell}", f"tiny:{found.b.cell}"]
    assert len(set(both)) == 2
    assert (found.comparison.a, found.comparison.b) == both
    alone = compare_studies.compare(first, StudyAddress("other", "other", done.uri), metric="loss")
    assert found.comparison.difference == alone.comparison.difference
    assert [found.verdicts.scores[name] for name in both] == list(alone.verdicts.scores.values())
    told = json.loads(as_json(found))
    assert list(told["sides"]) == list(both)


@pytest.mark.parametrize("metric", first_of_kind(["chrf", "perplexity", "length_ratio", "loss"]))
def test_every_metric_of_the_task_and_the_loss_are_recomputed(metric: str, done: Place) -> None:
    told = compared(done, "tiny:bare/head", "other:bare/head", "--metric", metric)
    ours, theirs = (table(done, study)["bare/head"] for study in ("tiny", "other"))
    for side, row in (("tiny:bare/head", ours), ("other:bare/head", theirs)):
        assert told["sides"][side]["score"] == pytest.approx(float(row[f"test_{metric}"]), rel=1e-6)
        assert told["sides"][side]["low"] <= told["sides"][side]["score"] <= told["sides"][side]["high"]
    assert told["difference"] == pytest.approx(
        told["sides"]["tiny:bare/head"]["score"] - told["sides"]["other:bare/head"]["score"], abs=1e-9
    )
    assert (told["verdict"] == "undecided") == (told["p"] > 0.05 or not told["difference"])


def test_training_beats_none_by_loss_and_swapping_sides_turns_the_verdict(done: Place) -> None:
    there = compared(done, "tiny:bare/head", "tiny:bare/none", "--metric", "loss")
    back = compared(done, "tiny:bare/none", "tiny:bare/head", "--metric", "loss")
    assert (there["verdict"], back["verdict"]) == ("better", "worse")
    assert there["difference"] == pytest.approx(-back["difference"])
    assert (there["low"], there["p"]) == pytest.approx((-back["high"], back["p"]))
    assert "tiny:bare/head is better than tiny:bare/none" in there["answer"]
    assert "other seeds" not in there["answer"]


def test_two_runs_speak_of_these_models_alone(done: Place) -> None:
    first, second, _ = finals(done, "cue/head")
    told = compared(done, first.info.run_id[:12], second.info.run_id)
    assert told["a"] == "tiny:cue/head seed 11"
    assert [len(side["seeds"]) for side in told["sides"].values()] == [1, 1]
    assert "this holds for these trained models, not for other seeds" in told["answer"]


def test_validation_is_compared_on_request_and_owns_up_to_it(done: Place) -> None:
    told = compared(done, "tiny:cue/head", "other:cue/head", "--split", "validation")
    scores = table(done, "tiny")["cue/head"]
    assert told["sides"]["tiny:cue/head"]["score"] == pytest.approx(float(scores["validation_chrf"]), abs=1e-9)
    assert "less than test would" in told["answer"]


def test_nothing_is_scored_and_the_store_stays_as_it_is(done: Place) -> None:
    before = {run.info.run_id: (dict(run.data.tags), dict(run.data.metrics)) for run in done.runs()}
    done.command("compare", "tiny", "other")
    assert {run.info.run_id: (dict(run.data.tags), dict(run.data.metrics)) for run in done.runs()} == before


def test_without_the_model_and_the_data_it_compares_all_the_same(done: Place, places: Places) -> None:
    place = places.copy(done)
    for file in [*(place.folder / "data").iterdir(), place.folder / "model" / "model.safetensors"]:
        file.unlink()
    ours, theirs = compared(place, "tiny", "other"), compared(done, "tiny", "other")
    assert [ours[key] for key in ("difference", "low", "high", "p")] == [
        theirs[key] for key in ("difference", "low", "high", "p")
    ]


@pytest.mark.slow
def test_a_process_of_its_own_prints_a_table_and_a_sentence(done: Place) -> None:
    process = done.process("compare", "tiny:bare/head", "other:bare/head", env={"MLFLOW_TRACKING_URI": done.uri})
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    for part in ("chrf on test", "A  tiny:bare/head", "B  other:bare/head", "A minus B", "11 12 13", "21 22"):
        assert part in out
    assert re.search(r"8 examples in common, \d+ resamples", out)
    assert "Traceback" not in err


class Refused(NamedTuple):
    """What is asked, and what the message must hold."""

    arguments: tuple[str, ...]
    message: tuple[str, ...]


RUN, TRIAL, PARENT = "<final>", "<trial>", "<parent>"

REFUSED = {
    "unknown study": Refused(("tiney", "other"), ("no study 'tiney'", "run it first", "study:prompt/tuning")),
    "a cell without its study": Refused(("bare/head", "other"), ("no study 'bare/head'", "study:prompt/tuning")),
    "unknown study of a cell": Refused(("tiney:bare/head", "other"), ("no study 'tiney'",)),
    "unknown cell": Refused(("tiny:bare/haed", "other"), ("no cell 'bare/haed'", "did you mean 'bare/head'")),
    "no cell": Refused(("tiny:", "tiny"), ("stands on both sides", "name two")),
    "unknown run": Refused(("0123456789abcdef", "other"), ("no run '0123456789abcdef'",)),
    "no such file": Refused(("tinny.yaml", "other"), ("tinny.yaml", "no such study file")),
    "unknown metric": Refused(("tiny", "other", "--metric", "chfr"), ("'chfr'", "did you mean 'chrf'")),
    "unknown split": Refused(("tiny", "other", "--split", "tets"), ("'tets'", "did you mean 'test'")),
    "train split": Refused(("tiny", "other", "--split", "train"), ("'train'", "validation, test")),
    "the same study twice": Refused(("tiny", "study.yaml"), ("stands on both sides", "name two")),
    "the same run twice": Refused((RUN, RUN), ("stands on both sides", "name two")),
    "a run and its cell": Refused((RUN, "tiny:bare/head"), ("stands on both sides", "seed 11")),
    "a trial": Refused((TRIAL, "other"), ("is a trial", "tiny:bare/head")),
    "a parent": Refused((PARENT, "other"), ("is a cell", "name it tiny:bare/head")),
    "out is a folder": Refused(("tiny", "other", "--out", "data"), ("--out data", "is a folder")),
    "out has no folder": Refused(("tiny", "other", "--out", "no/x.json"), ("--out no/x.json", "no does not exist")),
}


def named(place: Place, argument: str) -> str:
    """Return an argument with a placeholder replaced by the id of such a run."""
    phases = {RUN: "final", TRIAL: "search", PARENT: "cell"}
    return place.runs(phases[argument], cell="bare/head")[0].info.run_id if argument in phases else argument


@pytest.mark.parametrize("case", list(REFUSED))
def test_a_mistake_is_named_and_nothing_is_written(case: str, done: Place) -> None:
    arguments, message = REFUSED[case]
    before = done.files()
    shown = done.command("compare", *(named(done, argument) for argument in arguments))
    assert shown.status == 2
    for part in message:
        assert part in shown.err
    assert not shown.out
    assert done.files() <= before  # a database's log vanishes when its last reader in this process does


def test_a_beginning_that_two_runs_share_is_refused(done: Place, places: Places) -> None:
    place = places.copy(done)
    run = finals(place, "bare/head")[0].info.run_id
    twin = run[:-1] + ("0" if run[-1] != "0" else "1")
    with closing(sqlite3.connect(place.folder / "mlflow.db")) as store, store:
        store.execute("create temp table one as select * from runs where run_uuid = ?", (run,))
        store.execute("update one set run_uuid = ?", (twin,))
        store.execute("insert into runs select * from one")
    shown = place.command("compare", run[:20], "other")
    assert shown.status == 2
    assert f"2 runs have an id that begins with '{run[:20]}'" in shown.err
    assert run in shown.err
    assert compared(place, run, "other")["a"] == "tiny:bare/head seed 11"


def test_without_a_store_nothing_is_made(places: Places) -> None:
    place = places(store=False)
    before = place.files()
    for side in ("tiny", "abcdef12", "tiny:bare/head"):
        assert place.command("compare", side, "other").status == 2
    assert place.files() == before


def other_rows(place: Place, split: str) -> None:
    changed = [{**row, "target": row["target"].upper()} for row in rows(split)]
    write_rows(place.folder / "data" / f"{split}.jsonl", changed)


@pytest.mark.parametrize("split", first_of_kind(["train", "validation", "test"]))
def test_other_rows_are_refused_by_split_and_digest(split: str, done: Place, places: Places) -> None:
    place = places.copy(done)
    other_rows(place, split)
    place.run(*SMALL, "--set", "name=third", "--set", "prompts=[bare]", "--set", "final.seeds=[31]")
    shown = place.command("compare", "tiny:bare/head", "third:bare/head", "--out", "x.json")
    assert shown.status == 2
    assert re.search(
        rf"{split} data differ: digest \w{{16}} of tiny:bare/head, \w{{16}} of third:bare/head; run", shown.err
    )
    assert shown.err.count("data differ") == 1
    assert not (place.folder / "x.json").exists()
    other = place.command("compare", "tiny:bare/head", "third:bare/head", "--split", "validation")
    assert other.status == (0 if split == "test" else 2)


@pytest.mark.slow
def test_another_version_of_a_metric_and_another_lead_are_refused(done: Place, places: Places) -> None:
    place = places.copy(done)
    task = place.folder / "task.py"
    text = task.read_text(encoding="utf-8")
    plain = text.replace('"chrf", ', "chrf(word_order=0), ").replace(
        "from harness", "from harness.metrics import chrf\nfrom harness", 1
    )
    task.write_text(plain, encoding="utf-8")
    third = ("--set", "name=third", "--set", "prompts=[bare]", "--set", "final.seeds=[31]")
    place.run(*SMALL, *third)
    shown = place.command("compare", "tiny:bare/head", "third:bare/head")
    assert shown.status == 2
    assert "chrf is not the same metric: chrf|nrefs:var|case:mixed|eff:yes|nc:6|nw:2" in shown.err
    assert "|nw:0|" in shown.err
    assert compared(place, "tiny:bare/head", "third:bare/head", "--metric", "length_ratio")["examples"] == 8
    task.write_text(text, encoding="utf-8")
    place.run(*SMALL, *third, "--set", "name=fourth", "--set", "search.metric=perplexity")
    shown = place.command("compare", "tiny", "fourth")
    assert shown.status == 2
    assert "tiny:" in shown.err
    assert "is led by chrf" in shown.err
    assert "by perplexity; choose the metric among: chrf, perplexity" in shown.err


@pytest.mark.slow
def test_likelihoods_of_two_tokenizers_are_refused(done: Place, places: Places, tmp_path: Path) -> None:
    from harness.testing import tiny_model

    place = places.copy(done)
    tiny_model("llama", place.folder / "model2", vocabulary=330)
    third = (
        "--set",
        "name=third",
        "--set",
        "model.name=model2",
        "--set",
        "prompts=[bare]",
        "--set",
        "final.seeds=[31]",
    )
    place.run(*SMALL, *third)
    for metric in ("perplexity", "loss"):
        shown = place.command("compare", "tiny:bare/none", "third:bare/none", "--metric", metric)
        assert shown.status == 2
        assert re.search(
            rf"{metric} is per token, and the tokenizers differ: example 'test-\d' has \d+ tokens", shown.err
        )
    assert math.isfinite(compared(place, "tiny:bare/none", "third:bare/none")["difference"])


@pytest.mark.slow
def test_a_study_without_final_runs_has_no_side_on_test(places: Places) -> None:
    place = places()
    closed = ("--set", "final.seeds=[]", "--set", "prompts=[bare]")
    place.run(*SMALL, *closed)
    for side in ("tiny", "tiny:bare/head", "tiny:bare/none"):
        shown = place.command("compare", side, "tiny:bare/none")
        assert shown.status == 2
        assert "its final.seeds is []" in shown.err
    shown = place.command("compare", "tiny:bare/head", "tiny:bare/none", "--split", "validation")
    assert shown.status == 2
    assert (
        "tiny:bare/head has no final runs on validation, for its final.seeds is []; name seeds and run it" in shown.err
    )


@pytest.mark.slow
def test_superseded_cells_and_runs_are_refused_and_others_go_on(done: Place, places: Places) -> None:
    place = places.copy(done)
    stale = finals(place, "cue/head")[0].info.run_id
    place.edit("TL;DR:", "In short:")
    place.run(*SMALL, "--cells", "bare/*")
    shown = place.command("compare", "tiny:cue/head", "other")
    assert shown.status == 2
    assert "tiny:cue/head was superseded when its study was edited, and not run since; run it" in shown.err
    shown = place.command("compare", stale, "other")
    assert shown.status == 2
    assert "is superseded: its study was edited since" in shown.err
    place.run(*SMALL, "--set", "prompts=[bare]")
    shown = place.command("compare", "tiny:cue/head", "other")
    assert shown.status == 2
    assert "was superseded when it was taken out of its study" in shown.err
    assert compared(place, "tiny", "other:bare/head")["a"].startswith("tiny:bare/")


def test_a_cell_whose_final_runs_diverged_is_not_told_to_be_run(done: Place, places: Places) -> None:
    place = places.copy(done)
    for run in finals(place, "bare/head"):
        place.client().set_tag(run.info.run_id, Tags.OUTCOME, "diverged")
        place.client().set_terminated(run.info.run_id, "FAILED")
    shown = place.command("compare", "tiny:bare/head", "tiny:bare/none")
    assert shown.status == 2
    assert shown.err == "tiny:bare/head has no final runs with predictions on test; it diverged, so compare others\n"
