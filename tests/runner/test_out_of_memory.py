"""Memory that runs out in one run: it fails alone, with its learning rate, and the study comes to its end."""

from __future__ import annotations

import pytest

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
