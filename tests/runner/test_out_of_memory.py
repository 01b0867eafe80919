"""Memory that runs out in one run: it fails alone, with its learning rate, and the study comes to its end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.training.training_run import TrainingRun
from tests.support.fuse import TASK_WITH_FUSE
from tests.support.study_fixture import Place, Places

STUDY = ("--set", "prompts=[bare]", "--set", "tuning=[none, head]", "--set", "search.trials=3")
RAISED = 'raise RuntimeError("the fuse has burned down")'
WAYS = {
    "torch on the processor": 'np.array([float(__import__("torch").empty(2**50).sum())])',
    "numpy": "np.empty(2**50)",
    "Python": "raise MemoryError",
    "an accelerator": 'raise __import__("torch").OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")',
}


def burning(places: Places, way: str, *, always: bool = False) -> Place:
    """Return a place whose metric runs out of memory when its fuse has burned down, or always while it trains."""
    assert RAISED in TASK_WITH_FUSE
    task = TASK_WITH_FUSE.replace(RAISED, way)
    if always:
        task = task.replace("            fuse.unlink()\n", "            fuse.write_text('1')\n")
    place = places()
    (place.folder / "task.py").write_text(task, encoding="utf-8")
    return place


@pytest.mark.slow
@pytest.mark.parametrize("way", list(WAYS))
def test_one_trial_fails_alone(way: str, places: Places) -> None:
    place = burning(places, WAYS[way])
    (place.folder / "fuse").write_text("20")  # 2 epochs of 8 rows each: in the second trial
    done = place.run(*STUDY)
    place.clean()
    place.count(cell=2, search=3, final=3, summary=1)
    (failed,) = [run for run in place.runs("search") if run.info.status == "FAILED"]
    assert failed.data.tags["trial"] == "1"
    assert float(failed.data.params["learning_rate"]) > 0
    assert failed.data.tags["error"].startswith("memory ran out: ")
    assert "1 trial failed for want of memory, in bare/head" in done.out
    assert "diverged" not in done.out
    results = place.results()
    assert "2 cells, 0 runs to do" in place.run(*STUDY).out
    assert place.results() == results


def test_a_final_run_fails_alone(places: Places) -> None:
    place = burning(places, WAYS["Python"])
    (place.folder / "fuse").write_text("88")  # of 122 rows that are scored 81 to 96 are the second final run's
    place.run(*STUDY)
    place.clean()
    place.count(cell=2, search=3, final=3, summary=1)
    assert [run.info.status for run in place.runs("final", cell="bare/head")].count("FAILED") == 1


@pytest.mark.slow
def test_where_all_fail_one_sentence_says_so(places: Places) -> None:
    place = burning(places, WAYS["torch on the processor"], always=True)
    (place.folder / "fuse").write_text("1")
    done = place.command("run", "study.yaml", *STUDY)
    assert done.status == 2, done.err
    assert len(done.err.splitlines()) == 1
    for words in ("no trial came to its end", "memory ran out", "smaller training.batch_size", "--fresh"):
        assert words in done.err
    place.clean()
    assert {run.info.status for run in place.runs("search")} == {"FAILED"}
    (place.folder / "fuse").unlink()
    assert place.command("run", "study.yaml", *STUDY).status == 2
    place.run(*STUDY, "--fresh")


@pytest.mark.slow
def test_a_later_setting_of_generation_fails_alone(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    score = TrainingRun.score

    def starved(run: TrainingRun, *arguments: Any, **named: Any) -> Any:
        decoding = named.get("decoding")
        if decoding and decoding.num_beams == 3 and arguments[0] == "test":
            raise MemoryError("beams are large")
        return score(run, *arguments, **named)

    monkeypatch.setattr(TrainingRun, "score", starved)
    place = places()
    settings = [{"name": "greedy"}, {"name": "beams", "num_beams": 3}, {"name": "short", "max_new_tokens": 2}]
    study = (
        *STUDY[:-1],
        "search.trials=1",
        "--set",
        f"generation={json.dumps(settings)}",
        "--set",
        "final.models=cells",
    )
    place.run(*study)
    place.clean()
    place.count(cell=6, search=1, final=9, summary=1)
    for cell in ("bare/none", "bare/head"):
        for run in [*place.runs("final", cell=f"{cell}/greedy"), *place.runs("final", cell=f"{cell}/short")]:
            assert run.info.status == "FINISHED"
            assert {"validation/chrf", "test/chrf"} <= run.data.metrics.keys()
        failed = place.runs("final", cell=f"{cell}/beams")
        assert len(failed) == len(place.runs("final", cell=f"{cell}/greedy"))
        for run in failed:
            assert run.info.status == "FAILED"
            assert run.data.tags["error"].startswith("memory ran out: ")
            assert "beams are large" in run.data.tags["error"]
            assert "test/chrf" not in run.data.metrics
    results = place.results()
    monkeypatch.undo()
    assert "6 cells, 0 runs to do" in place.run(*study).out
    assert place.results() == results
