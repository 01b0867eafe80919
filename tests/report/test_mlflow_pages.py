"""MLflow's own pages of a finished study, reached from the link of ``harness ui`` by clicks alone.

Needs a Chromium; without one the tests are skipped.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.support.browser import CHROMIUM
from tests.support.chromium import Chromium
from tests.support.study_fixture import Place, Places

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"), pytest.mark.slow]

NAMES = "[...document.querySelectorAll('.ag-row [col-id=\"attributes.`Run Name`\"] a')]"


class Pages(NamedTuple):
    """A finished study in a browser."""

    place: Place
    link: str
    browser: Chromium

    def open(self, link: str | None = None) -> None:
        """Open the page that the command names, then follow a link of its description."""
        self.browser.go("about:blank")
        self.browser.go(self.link)
        self.browser.sees("Best model", "bare/none")
        if link:
            self.browser.click(link)

    def rows(self, number: int) -> list[str]:
        """Wait for so many rows of the table of runs, and return the runs' names in the order shown."""
        self.browser.until(f"{NAMES}.length === {number}")
        place = "Number(one.closest('.ag-row').getAttribute('row-index'))"
        found = self.browser.run(f"{NAMES}.map(one => [{place}, one.innerText])")
        return [name for _, name in sorted(found)]


@pytest.fixture(scope="module")
def pages(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    place = places()
    place.run()
    command = place.process("ui", "tiny")
    assert command.stdout is not None
    link = re.search(r"http://\S+", command.stdout.readline())
    try:
        assert link
        with Chromium(tmp_path_factory.mktemp("browser")) as browser:
            found = Pages(place, link[0], browser)
            found.open()
            browser.click(selector="[data-component-id='mlflow.assistant.chat_panel.close']")
            yield found
    finally:
        command.send_signal(signal.SIGINT)
        _, error = command.communicate(timeout=60)
    assert not error


def test_a_study_opens_on_its_cells_best_first(pages: Pages) -> None:
    pages.open()
    cells = pages.place.runs("cell")
    ranked = sorted(cells, key=lambda run: -run.data.metrics["validation/chrf"])
    shown = pages.rows(6)
    assert set(shown) == {run.info.run_name for run in cells}
    scores = {run.info.run_name: run.data.metrics["validation/chrf"] for run in cells}
    assert [scores[name] for name in shown] == [run.data.metrics["validation/chrf"] for run in ranked]
    best = ranked[0].data.metrics["validation/chrf"]
    pages.browser.sees("verdict", str(best)[:6], *{run.data.tags["verdict"] for run in cells[:1]})


def test_a_cell_opens_to_its_trials_and_final_runs(pages: Pages) -> None:
    pages.open("All runs, nested")
    above = [*(run.info.run_name for run in pages.place.runs("cell")), "summary"]
    assert set(pages.rows(len(above))) == set(above)
    row = next(number for number, name in enumerate(pages.rows(len(above))) if name == "cue/head")
    pages.browser.click(selector=f".ag-row[row-index='{row}'] [col-id='attributes.`Run Name`'] button")
    below = {f"cue/head {child}" for child in ("trial 0", "trial 1", "seed 11", "seed 12")}
    shown = pages.rows(len(above) + len(below))
    assert set(shown[row + 1 : row + 5]) == below
    trials = pages.place.runs("search", cell="cue/head")
    pages.browser.sees("learning_rate", *(run.data.params["learning_rate"][:6] for run in trials))
    pages.browser.click("cue/head")
    pages.browser.sees("Ranked cells", "TL;DR:", "tiny_task.cue (v1)")


def test_curves_lie_over_one_another_by_prompt(pages: Pages) -> None:
    pages.open("Curves by prompt")
    pages.browser.sees(
        "Group: bare", "Group: cue", "bare (validation/loss)", "cue (validation/loss)", "cue (train/loss)"
    )
    plot = "document.querySelector('.js-plotly-plot')?.data?.filter(one => one.mode === 'lines+markers')"
    pages.browser.until(f"{plot}?.length === 2")
    drawn = [line["y"] for line in pages.browser.run(plot)]
    asked = pages.browser.run("document.querySelector('input[id^=rc_select]').value")
    tuning = str(asked).rpartition("params.tuning = ")[2].strip("'")
    for prompt in ("bare", "cue"):
        runs = pages.place.runs("final", cell=f"{prompt}/{tuning}")
        points = [pages.place.client().get_metric_history(run.info.run_id, "validation/loss") for run in runs]
        steps = sorted({point.step for point in points[0]})
        mean = [
            float(np.mean([point.value for line in points for point in line if point.step == step])) for step in steps
        ]
        assert any(line == pytest.approx(mean) for line in drawn)


def test_predictions_of_two_prompts_stand_side_by_side(pages: Pages) -> None:
    pages.open("Predictions side by side")
    pages.browser.sees("Group by: source", "Compare: prediction")
    first = pages.browser.until("document.querySelectorAll('.ag-header-cell a').length >= 2")
    assert first
    names = pages.browser.run("[...document.querySelectorAll('.ag-header-cell a')].map(one => one.innerText)")
    finals = {run.info.run_name: run for run in pages.place.runs("final")}
    compared = [finals[name] for name in names if name in finals]
    assert {run.data.params["prompt"] for run in compared} == {"bare", "cue"}
    shown = pages.browser.text()
    for run in compared:
        table = json.loads(_artifact(pages.place, run.info.run_id, "predictions/validation.json"))
        source, said = (table["columns"].index(name) for name in ("source", "prediction"))
        assert table["data"][0][source] in shown
        assert " ".join(table["data"][0][said].split()) in " ".join(shown.split())


def test_the_best_model_leads_to_its_version_and_its_prompt(pages: Pages) -> None:
    pages.open("Best model")
    cell = max(pages.place.runs("cell"), key=lambda run: run.data.metrics["validation/chrf"]).info.run_name
    finals = [run for run in pages.place.runs("final") if run.data.tags["cell"] == cell]
    best = min(finals, key=lambda run: run.data.metrics["validation/chrf"])  # the poorer one of two is the middle
    pages.browser.sees("Model versions", "tiny", "v1", best.info.run_name, "validation/chrf")
    pages.browser.click(best.data.tags["prompt_uri"])
    name, _, version = best.data.tags["prompt_uri"].removeprefix("prompts:/").rpartition("/")
    pages.browser.sees(name, f"Viewing version {version}", "{{ source }}")


def test_the_report_is_a_click_away(pages: Pages) -> None:
    pages.open("Report")
    pages.browser.sees("report.html", "figures")
    pages.browser.until("document.querySelector('iframe')?.src.startsWith('blob:')")


def _artifact(place: Place, run: str, file: str) -> str:
    return Path(place.client().download_artifacts(run, file)).read_text(encoding="utf-8")


def test_nothing_is_left_behind(places: Places) -> None:
    place = places()
    command = place.process("ui")
    assert command.stdout is not None
    line = command.stdout.readline()
    assert "127.0.0.1" in line
    below = subprocess.run(["ps", "-o", "pid=", "--ppid", str(command.pid)], capture_output=True, text=True, check=True)
    servers = [Path(f"/proc/{number}") for number in below.stdout.split()]
    assert servers
    assert all(server.exists() for server in servers)
    command.send_signal(signal.SIGTERM)
    out, _ = command.communicate(timeout=60)
    assert "stopped" in out
    assert not any(server.exists() for server in servers)
