"""What killed runs leave, and that it goes when the study is started next; what others are at stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from harness.tracking.mlflow.mlflow_tracker import MlflowTracker
from tests.support.kill_moments import kill_at, running, storing_the_model
from tests.support.study_fixture import QUICK, Place, Places


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_half_written_models_and_files_go(finished: Place, tmp_path: Path) -> None:
    place = Places(tmp_path).copy(finished)
    client, final = place.client(), place.runs("final", cell="bare/head")[0]
    unfinished = client.create_logged_model("1", name="half", source_run_id=final.info.run_id)
    own, run = place.folder / ".harness" / "tiny", place.folder / "mlruns" / "1" / final.info.run_id / "artifacts"
    left = [
        own / "best" / "tmpa1b2c3d4" / "whole" / "model.safetensors",  # of an earlier version
        own / "finals" / "bare--head" / "11" / "tmpa1b2c3d4" / "whole" / "model.safetensors",
        own / "finals" / "bare--head" / "12.new" / "model" / "model.safetensors",
        run / ".artifact.uploading.x1y2z3",
        run / "predictions" / f".test.json.{dead_process()}.draft",
        place.folder / "mlruns" / "1" / "models" / unfinished.model_id / "artifacts" / "half.safetensors",
        place.folder / "reports" / "tiny" / f".report.md.{dead_process()}.draft",
    ]
    others = [
        place.folder / ".harness" / "other" / "finals" / "bare--head" / "11" / "tmpa1b2c3d4" / "model.safetensors",
        place.folder / "mlruns" / "2" / final.info.run_id / "artifacts" / ".artifact.uploading.x1y2z3",
        place.folder / "reports" / "tiny" / f".report.md.{os.getppid()}.draft",
        place.folder / "reports" / "other" / f".report.md.{dead_process()}.draft",
    ]
    for file in (*left, *others):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"half")
    assert "0 runs to do" in place.run(*QUICK).out
    assert [file for file in left if file.exists()] == []
    assert [file for file in others if not file.exists()] == []
    assert place.command("predict", "tiny", "--input", "data/test.jsonl", "--output", "answers.jsonl").status == 0


@pytest.mark.slow
@pytest.mark.parametrize("moment", [running("search", 1), running("final", 1), storing_the_model])
@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
def test_nothing_of_a_killed_run_is_left(moment: object, delay: float, tmp_path: Path, monkeypatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    place = Places(tmp_path)()
    killed = kill_at(place, moment, delay, QUICK)  # type: ignore[arg-type]
    again = place.process("run", "study.yaml", *QUICK)
    out, err = again.communicate(timeout=240)
    assert again.returncode == 0, out + err
    assert killed or delay, "the study was over before"
    assert list(temporary.iterdir()) == []
    names = [str(file.relative_to(place.folder)) for file in place.folder.rglob("*")]
    assert not [name for name in names if "tmp" in name or ".draft" in name or ".uploading" in name or ".new" in name]


def test_a_run_whose_marking_was_cut_short_keeps_its_phase_and_is_marked_again(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places()
    tracker = MlflowTracker(place.client(), place.uri, place.experiment("marked"))
    run = tracker.start("one", phase="search", parent=None, params={}, tags={})
    with monkeypatch.context() as full:
        full.setattr(tracker, "tags", mock.Mock(side_effect=OSError("full")))
        with pytest.raises(OSError, match="full"):
            tracker.mark(run, phase="interrupted", name="one (interrupted)")
    assert (tracker.run(run).phase, tracker.run(run).name) == ("search", "one (interrupted)")
    tracker.mark(run, phase="interrupted", name="one (interrupted)")
    assert (tracker.run(run).phase, tracker.run(run).name) == ("interrupted", "one (interrupted)")
