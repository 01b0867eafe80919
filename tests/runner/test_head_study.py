"""A study with a classification head beside other prompts: its whole way, cuts, and what is stored of it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import torch
from sklearn.metrics import accuracy_score
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from harness.core.progress import Progress, Step
from harness.core.workspace import HERE
from harness.runner.executors.job_checkpoint import job_checkpoint
from harness.runner.executors.job_run import JobRun
from harness.runner.executors.protocol import Ended, Event, Job, Reply, Scored
from harness.runner.executors.resident_model import ModelsInTurn
from harness.study.check import check
from harness.study.checked_study import Checked
from harness.study.load_study import read_study
from harness.training.trainer import Trainer
from tests.support.labelled_study import LABELS, labelled_place, rows
from tests.support.search_spaces import rate
from tests.support.study_fixture import Place, Places
from tests.support.whole_way import go, succeed

PLAIN = "{name: plain, text: '{{ source }}', shorten: source, answers: head}"
OPTIONS = (
    *("--set", f"prompts=[bare, {PLAIN}, {{name: cue, text: '{{{{ source }}}} was', answers: generate}}]"),
    *("--set", "final.models=cells", "--set", "generality=none", "--set", "tuning=[none, {last_blocks: 1}]"),
)


CUT = (
    f"prompts=[bare, {PLAIN}]",
    *("tuning=[none, last_blocks: 1]", "training.epochs=3", "training.checkpoint={every: 1}", "generality=none"),
)


class Cut(BaseException):
    """In place of a signal that nothing hears of."""


def done(checked: Checked, trainer: Trainer, cut: int | None = None) -> tuple[list[Event], int]:
    """Do a final run under the head, maybe broken off at some sign of progress; return its events, and the signs."""
    job, signs = (
        Job("plain/last_blocks-1 11", "plain/last_blocks-1", rate(1e-2), 11, identity="study", scores="test"),
        0,
    )

    def tell(step: Step) -> None:
        nonlocal signs
        signs += 1
        if signs == cut:
            raise Cut

    kept = job_checkpoint(job, checked, HERE, device="cpu", say=lambda line: None)
    events = JobRun(job, checked, trainer, None, tell, kept).events()
    seen, event = [], next(events)
    with contextlib.closing(events), contextlib.suppress(StopIteration):
        while True:
            seen.append(event)
            event = events.send(Reply())
    return seen, signs


def test_a_run_that_was_cut_ends_as_an_undisturbed_one(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place = labelled_place(places, "bert", store=False)
    monkeypatch.chdir(place.folder)
    checked = check(read_study(place.study, list(CUT)))
    assert list(checked.residents) == ["", "with a classification head"]
    models = ModelsInTurn(checked, HERE, Progress(), 1, lambda model, manner: None)
    facts = models.facts()
    assert facts.head is not None
    assert facts.parameters.keys() == {cell.id for cell in checked.cells}
    assert facts.parameters["plain/none"] == (0, facts.head.parameters["plain/none"][1])
    setup = models.of("with a classification head").trainer.setup
    setup.open_test(checked.test_examples())
    whole, signs = done(checked, models.resident.trainer)
    assert signs > 9
    (scored,) = [event for event in whole if isinstance(event, Scored)]
    for cut in (4, signs // 2, signs - 1):
        with pytest.raises(Cut):
            done(checked, models.resident.trainer, cut)
        again, _ = done(checked, models.resident.trainer)
        assert [event for event in again if isinstance(event, Scored)] == [scored], "weights, scores, probabilities"
        (ended,) = [event for event in again if isinstance(event, Ended)]
        assert "resumed_after_step" in ended.tags


def table(place: Place, run: str) -> list[dict[str, str]]:
    folder = place.folder / "fetched"
    folder.mkdir(exist_ok=True)
    file = place.client().download_artifacts(run, "predictions/test.json", str(folder))
    found = json.loads(Path(file).read_text())
    return [dict(zip(found["columns"], row, strict=True)) for row in found["data"]]


@pytest.fixture(scope="module")
def place(places: Places) -> Place:
    made = labelled_place(places)
    way = go(made, *OPTIONS, part="plain/*")
    assert "the model with a classification head" in way.show
    assert "the head's score of 'early' among 'cold', 'early', 'late'" in way.show
    return made


@pytest.mark.slow
def test_scores_probabilities_and_replay_are_those_of_any_labels(place: Place) -> None:
    for cell in ("plain/none", "plain/last_blocks-1"):
        for run in place.runs("final", cell=cell):
            said = table(place, run.info.run_id)
            pairs = [row["reference"] for row in said], [row["prediction"] for row in said]
            assert run.data.metrics["test/accuracy"] == pytest.approx(accuracy_score(*pairs))
            assert all(set(json.loads(row["probabilities"])) == set(LABELS) for row in said)
    (run, *_) = place.runs("final", cell="plain/last_blocks-1")
    assert run.data.tags["trunk"] == "replayed"


@pytest.mark.slow
def test_the_stored_model_is_transformers_own_and_says_what_its_run_said(place: Place) -> None:
    models = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    (model,) = [model for model in models if model.tags["cell"] == "plain/last_blocks-1"]
    wanted = table(place, str(model.source_run_id))
    file = place.folder / "asked.jsonl"
    file.write_text("".join(json.dumps({"id": row["id"], "source": row["source"]}) + "\n" for row in rows("test")))
    succeed(place, "predict", model.model_uri, "--input", file.name, "--output", "said.jsonl")
    lines = [json.loads(line) for line in (place.folder / "said.jsonl").read_text().splitlines()]
    assert [line["prediction"] for line in lines] == [row["prediction"] for row in wanted]
    (folder,) = {found.parent for found in place.folder.rglob("harness.json") if model.model_id in str(found)}
    plain, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for line, row in zip(lines, rows("test"), strict=True):
        with torch.no_grad():
            shares = plain(**tokenizer(row["source"], return_tensors="pt")).logits[0].softmax(-1).tolist()
        named = dict(zip(plain.config.id2label.values(), shares, strict=True))
        assert line["probabilities"] == pytest.approx(named, abs=1e-6)


@pytest.mark.slow
def test_a_run_is_done_again_bit_by_bit(place: Place) -> None:
    (run, *_) = place.runs("final", cell="plain/last_blocks-1")
    assert "the same to the last bit" in succeed(place, "reproduce", run.info.run_id)
