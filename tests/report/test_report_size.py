"""The report of a large study, read from a store: small, and the same as what the store holds.

How long it takes is measured in ``benchmarks/bench_report.py``.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from benchmarks.synthetic_store import NAME, Size, depths, write_store
from harness.report.write_report import write_report
from harness.results.collect import Results, collect


def made(size: Size, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """Return the results of a synthetic study, with its report in a folder."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    with contextlib.chdir(folder):
        tracker = write_store(size)
        results = collect(tracker, NAME)
        write_report(results, folder / "report")
        return results


def test_a_small_store_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = Size(prompts=2, tunings=3, trials=2, seeds=2, examples=8)
    results = made(size, tmp_path, monkeypatch)
    assert [cell.id for cell in results.cells] == [
        f"prompt{p}/{depth.name}" for p in range(2) for depth in depths(size)
    ]
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name(NAME).experiment_id], max_results=100)
    for cell in results.cells:
        finals = [r for r in runs if r.data.tags["phase"] == "final" and r.data.tags["cell"] == cell.id]
        finals.sort(key=lambda run: run.data.params["seed"])
        expected = [
            {name: {p.step: p.value for p in client.get_metric_history(run.info.run_id, name)} for name in names}
            for run in finals
            if "train/loss" in (names := [n for n in ("train/loss", "validation/loss") if n in run.data.metrics])
        ]
        found = [{"train/loss": one.train, "validation/loss": one.validation} for one in results.curves[cell.id]]
        assert found == expected
        assert len(found) == (0 if cell.tuning == "none" else 2)
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "generality kept" in page
    assert page.count('class="panel"') == 1 + 3 * 2 + 3


@pytest.mark.slow
def test_the_page_of_sixty_cells_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = made(Size(), tmp_path, monkeypatch)
    assert len(results.cells) == 60
    assert {len(cell.trials) for cell in results.cells} == {0, 20}
    assert {len(cell.finals) for cell in results.cells} == {1, 5}
    assert (tmp_path / "report" / "report.html").stat().st_size < 5 * 2**20
    program = json.loads((tmp_path / "report" / "verdicts.json").read_text(encoding="utf-8"))
    assert len(program["comparisons"]) == 59 + 59
