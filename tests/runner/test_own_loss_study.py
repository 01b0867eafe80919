"""A study with a loss of one's own: what is stored of it, when it is another one, and that it is done again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from torch import Tensor
from torch.nn import functional

from harness import Study
from harness.core.errors import StudyError
from tests.support.python_study import QUICK
from tests.support.study_fixture import Place, Places

LOSSES = """\
from torch.nn import functional as F


def plain(logits, labels, weights):
    return F.cross_entropy(logits, labels, reduction="none")


def halved(logits, labels, weights):
    return plain(logits, labels, weights) / 2
"""

FACTOR = 2

SETS = (
    *("prompts=[bare]", "tuning=[none, {last_blocks: 1}]", "search.trials=1", "final.seeds=[11]", "generality=none"),
    *("search.metric=loss", "training.optimizer=adafactor", "training.block_decay=0.5", "training.epochs=1"),
)
OPTIONS = tuple(part for each in SETS for part in ("--set", each))
CELL = "bare/last_blocks-1"


def with_loss(place: Place, loss: str) -> Place:
    (place.folder / "losses.py").write_text(LOSSES, encoding="utf-8")
    place.run(*OPTIONS, "--set", f"training.loss={loss}")
    return place


@pytest.fixture(scope="module")
def done(places: Places) -> Place:
    return with_loss(places(), "./losses.py:plain")


def final(place: Place) -> Run:
    (run,) = place.runs("final", cell=CELL)
    return run


def test_one_that_is_cross_entropy_gives_the_same_bits_as_none(done: Place, places: Places) -> None:
    built_in = with_loss(places(), "cross_entropy")
    mine, theirs = (
        {run.info.run_name: {name: value for name, value in run.data.metrics.items() if "cost" not in name}}
        for place in (done, built_in)
        for run in [final(place)]
    )
    for name, metrics in theirs.items():
        own = dict(mine[name])
        assert own.pop("train/criterion") == pytest.approx(own["train/loss"])
        assert own == metrics
    digests = {final(place).data.tags["mlflow.harness.weights_digest"] for place in (done, built_in)}
    assert len(digests) == 1


def test_what_runs_and_the_store_say(done: Place) -> None:
    params = final(done).data.params
    said = {name: params[f"training.{name}"] for name in ("loss", "optimizer", "block_decay", "label_smoothing")}
    assert said == {
        "loss": "./losses.py:plain",
        "optimizer": "adafactor",
        "block_decay": "0.5",
        "label_smoothing": "0.0",
    }
    (summary,) = done.runs("summary")
    kept = done.client().download_artifacts(summary.info.run_id, "loss.py", str(done.folder))
    assert Path(kept).read_text(encoding="utf-8") == LOSSES
    page = (done.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert "loss: ./losses.py:plain" in page
    facts = page.partition("## ")[0]
    assert [word in facts for word in ("./losses.py:plain", "adafactor", "smoothing")] == [True, True, False]


def test_it_is_done_again(done: Place, places: Places) -> None:
    place = places.copy(done)
    shown = place.command("reproduce", final(place).info.run_id)
    assert shown.status == 0, shown.out + shown.err
    (place.folder / "losses.py").write_text(LOSSES.replace("/ 2", "/ 3"), encoding="utf-8")
    shown = place.command("reproduce", final(place).info.run_id)
    assert shown.status == 0, shown.out + shown.err
    assert "loss ./losses.py:plain: then as the store holds it, now another text" in shown.out
    (place.folder / "losses.py").unlink()
    assert "now gone" in place.command("reproduce", final(place).info.run_id).out


def test_a_store_s_copy_that_nobody_ran_here_is_refused(
    done: Place, places: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = places.copy(done)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("harness.study.task_files._HERE", set())
    refused = place.command("reproduce", final(place).info.run_id)
    assert refused.status == 2
    assert "is code that was not run here before; read it, then say --trust-remote-code" in refused.err
    assert place.command("reproduce", final(place).info.run_id, "--trust-remote-code").status == 0


@pytest.mark.slow
def test_another_text_is_another_loss(done: Place, places: Places) -> None:
    place = places.copy(done)
    assert "nothing" in place.run(*OPTIONS, "--set", "training.loss=./losses.py:plain").out
    trials = {run.info.run_id for run in place.runs("search")}
    (place.folder / "losses.py").write_text(LOSSES + "# another\n", encoding="utf-8")
    place.run(*OPTIONS, "--set", "training.loss=./losses.py:plain")
    assert not trials & {run.info.run_id for run in place.runs("search")}


def test_what_fails_is_told_before_anything_trains(places: Places) -> None:
    place = places()
    (place.folder / "losses.py").write_text("def mine(logits, labels, weights):\n    return 1\n", encoding="utf-8")
    shown = place.command("run", "study.yaml", *OPTIONS, "--set", "training.loss=losses.py:mine")
    assert shown.status == 2
    assert "loss 'mine' of losses.py gives 1 for 6 labels; return the loss of each" in shown.err
    assert place.client().get_experiment_by_name("tiny") is None


def doubled(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return FACTOR * functional.cross_entropy(logits, labels, reduction="none")


@pytest.mark.slow
def test_one_from_memory(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place = places()
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.uri)
    sections: dict[str, Any] = {**QUICK, "tuning": ["head"], "prompts": ["bare"], "generality": "none"}
    sections["training"] = {**QUICK["training"], "loss": doubled}
    made = Study(**sections, data={"path": "data"})
    made.run()
    (summary,) = place.runs("summary")
    kept = place.client().download_artifacts(summary.info.run_id, "loss.py", str(place.folder))
    assert "FACTOR = 2\n" in Path(kept).read_text(encoding="utf-8")
    again = Study.load(made.save("saved/again.yaml"))
    assert again.file.study.training.loss == "again-loss.py:loss"
    before = {run.info.run_id for run in place.runs()}
    again.run()
    assert {run.info.run_id for run in place.runs()} == before
    shown = place.command("reproduce", place.runs("final", cell="bare/head")[0].info.run_id)
    assert shown.status == 0, shown.out + shown.err


def test_one_from_memory_that_cannot_be_written_is_refused() -> None:
    class Loss:
        def __call__(self, logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
            return logits.sum(1)

    with pytest.raises(StudyError, match=r"training\.loss: the function is Loss .*write it into a file, and name that"):
        Study(**{**QUICK, "training": {"loss": Loss()}})
