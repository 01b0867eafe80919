"""Notebooks: the kept one runs as it stands, a study shows itself in a cell, and the stop button leaves it whole."""

from __future__ import annotations

import json
import os
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from harness.core.progress import CellWork, Step
from harness.runner.watching import NotebookTable

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "experiments" / "first_study.ipynb"


def outputs(notebook: dict[str, Any]) -> list[list[dict[str, Any]]]:
    return [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_kept_notebook_was_executed_and_names_no_machine() -> None:
    text = KEPT.read_text(encoding="utf-8")
    notebook = json.loads(text)
    counts = [cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert counts == [*range(1, len(counts) + 1)]
    kinds = {output["output_type"] for cell in outputs(notebook) for output in cell}
    assert kinds <= {"execute_result", "display_data", "stream"}
    assert not re.findall(r"(?<![\w.])/(?:home|root|tmp|work|usr|Users)/", text)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.mark.slow
def test_the_kept_notebook_runs(environment: Path) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(KEPT, as_version=4)
    place = {"metadata": {"path": str(environment)}}
    nbclient.NotebookClient(notebook, timeout=900, kernel_name="python3", resources=place).execute()
    made, kept = outputs(notebook), outputs(json.loads(KEPT.read_text(encoding="utf-8")))
    assert [[output["output_type"] for output in cell] for cell in made] == [
        [output["output_type"] for output in cell] for cell in kept
    ]
    assert {"journeys.yaml", "journeys-rows", "journeys-task.py", "reports"} <= {p.name for p in environment.iterdir()}


CELL = """
from harness import Study
rows = [{"source": f"note {n} of the day, which is long", "target": f"note {n}"} for n in range(60)]
study = Study(
    name="stopped", task="summarization", prompts=["bare"], tuning=["head"], data={"train": rows},
    training={"epochs": EPOCHS, "batch_size": 4}, search={"trials": 2}, final={"seeds": []}, generality="none",
)
result = study.run(progress=True)
"""


@pytest.mark.slow
def test_the_stop_button_leaves_a_study_that_resumes(environment: Path) -> None:
    """A real kernel, interrupted as a notebook's button does it, once the study's table shows a step."""
    manager = pytest.importorskip("jupyter_client.manager")
    pytest.importorskip("ipykernel")
    kernel, client = manager.start_new_kernel(kernel_name="python3", cwd=str(environment))
    try:
        stopped: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            shown = message["content"].get("data", {}).get("text/html", "")
            if not stopped and re.search("epoch [1-9]", shown):
                stopped.append(shown)
                kernel.interrupt_kernel()

        cell = CELL.replace("EPOCHS", "30")
        reply = client.execute_interactive(cell, timeout=300, output_hook=hear)
        assert (reply["content"]["status"], reply["content"]["ename"]) == ("error", "Interrupted")
        (shown,) = reply["content"]["traceback"]
        assert shown.startswith("interrupted; nothing is lost: run the same cell")
        assert stopped
        again = client.execute_interactive("study.run(); print('whole')", timeout=300, output_hook=lambda message: None)
        assert again["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)


def test_a_cell_shows_the_table_as_it_moves_and_escapes_it() -> None:
    class Display:
        def __init__(self) -> None:
            self.pages: list[str] = []

        def __call__(self, shown: NotebookTable, *, display_id: bool) -> Display:
            return self

        def update(self, shown: NotebookTable) -> None:
            self.pages.append(shown._repr_html_())

    display = Display()
    table = NotebookTable(display)
    table.start({"bare/head": CellWork({"prompt": "bare", "tuning": "head"}, 2, 0, 0, 1.0)})
    table.say("model <b>x</b> & co")
    table.began("bare/head trial 0", "bare/head", final=False)
    table.at("bare/head trial 0", Step("step", 1, 4, 1, 2))
    table.done("bare/head trial 0", "trial 0", score=0.5, best=0.5, seconds=1.0)
    assert "0/2" in display.pages[0]
    assert "1/2" in display.pages[-1]
    assert all("&lt;b&gt;x&lt;/b&gt; &amp; co" in page for page in display.pages[1:])
    assert not any("<b>" in page for page in display.pages)
    display.pages.clear()
    _drawn(table, 50)
    tracemalloc.start()
    try:
        _drawn(table, 200)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 50_000, "bytes: a page is a thousand or more, and a study may be drawn for days"


def _drawn(table: NotebookTable, times: int) -> None:
    for _ in range(times):
        table._repr_html_()
