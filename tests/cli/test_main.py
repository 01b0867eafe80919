"""The commands around a run, as a user meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from harness.cli.check_tables import alike_frozen
from harness.models.apply_tuning import Row
from harness.study.task import packaged_tasks
from tests.support.first_of_kind import first_of_kind
from tests.support.study_fixture import Place, Places


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A small study that was run; tests read it."""
    place = Places(tmp_path_factory.mktemp("cli"))()
    place.run()
    return place


def test_help_answers_without_heavy_imports() -> None:
    lines = [
        "import atexit, sys",
        "atexit.register(lambda: print(sorted({'torch', 'mlflow', 'transformers'} & set(sys.modules))))",
        "sys.argv = ['harness', '--help']",
        "from harness.cli.main import main",
        "main()",
    ]
    shown = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert shown.stdout.rstrip().endswith("[]")
    assert all(name in shown.stdout for name in ("init", "run", "check", "show", "report", "ui", "tasks", "clean"))


def test_check_counts_the_work(done: Place) -> None:
    shown = done.command("check", "study.yaml")
    assert shown.status == 0
    assert "6 cells: 4 with 2 trials and 2 final runs, 2 zero-shot; 18 runs in all" in shown.out
    assert "ready to run" in shown.out


def test_show_prints_what_trains(done: Place) -> None:
    shown = done.command("show", "study.yaml")
    assert shown.status == 0
    config = json.loads((done.folder / "model" / "config.json").read_text())
    width, size = config["n_embd"], config["vocab_size"]
    assert f"head: {width * size:,} of" in shown.out  # the tied head, trained as a copy
    assert "untied copy" in shown.out
    assert "transformer.h.0" in shown.out
    assert "TL;DR:" in shown.out


def test_run_ends_with_the_ranked_table_and_what_to_do_next(done: Place) -> None:
    again = done.run()
    assert again.out.index("rank") < again.out.index("next: harness ui") < again.out.index("reports/tiny/report.md")
    assert again.out.index("next: harness ui tiny\n") < again.out.index("report: reports/tiny/report.html, as text")
    assert all(f"{prompt}/{tuning}" in again.out for prompt in ("bare", "cue") for tuning in ("none", "head"))


@pytest.mark.parametrize("name", first_of_kind(["study.yaml", "tiny"]))
def test_report_writes_the_same_files_again(done: Place, name: str) -> None:
    folder = done.folder / "reports" / "tiny"
    before = {path.name: path.read_bytes() for path in folder.glob("*.*")}
    for path in folder.glob("*.*"):
        path.unlink()
    assert done.command("report", name).status == 0
    assert {path.name: path.read_bytes() for path in folder.glob("*.*")} == before
    assert {"report.md", "report.html", "verdicts.json", "results.csv", "references.csv", "costs.csv"} <= before.keys()
    assert {path.name for path in (folder / "figures").iterdir()} >= {"depths.png", "learning_rates.png"}


def test_report_of_an_unknown_study_is_refused(done: Place) -> None:
    shown = done.command("report", "tinny")
    assert shown.status == 2
    assert "'tinny'" in shown.err


def test_tasks_lists_prompts_and_metrics(done: Place) -> None:
    shown = done.command("tasks")
    assert shown.status == 0
    for word in ("summarization", "translation", "reply_generation", "bare, cue, instruction", "rougeL", "chrf"):
        assert word in shown.out


@pytest.mark.slow
def test_clean_removes_superseded_runs_and_says_how_much(tmp_path: Path) -> None:
    place = Places(tmp_path)()
    quick = ("--set", "search.trials=1", "--set", "final.seeds=[11]", "--set", "training.epochs=1")
    place.run(*quick)
    place.edit("TL;DR:", "In short:")
    place.run(*quick)
    stale = len(place.runs("superseded"))
    assert stale == 1 + 2 * (1 + 1 + 1) + 1  # one prompt's cells: zero-shot with its run, two that train with two each
    shown = place.command("clean", "study.yaml", "--yes")
    assert shown.status == 0
    assert f"deleted: superseded and interrupted runs: {stale}, " in shown.out
    assert not place.runs("superseded")
    assert len(place.runs("cell")) == 6
    assert "6 cells, 0 runs to do" in place.run(*quick).out


def test_init_refuses_to_overwrite(tmp_path: Path) -> None:
    place = Places(tmp_path)(store=False)
    before = place.files()
    shown = place.command("init")
    assert shown.status == 2
    assert "study.yaml is there already" in shown.err
    assert place.files() == before


def test_init_goes_on_where_it_was_cut_short(tmp_path: Path) -> None:
    place = Places(tmp_path)(store=False)
    assert place.command("init", "fresh").status == 0
    fresh = place.folder / "fresh"
    before = {file: file.read_bytes() for file in fresh.rglob("*") if file.is_file()}
    (fresh / "data" / "test.jsonl").unlink()
    assert place.command("init", "fresh").status == 0
    assert {file: file.read_bytes() for file in fresh.rglob("*") if file.is_file()} == before


def test_the_starter_study_passes_its_check(tmp_path: Path) -> None:
    place = Places(tmp_path)(store=False)
    assert place.command("init", "fresh").status == 0
    os.rename(place.folder / "fresh", tmp_path / "fresh")
    place.folder = tmp_path / "fresh"
    shown = place.command("check", "study.yaml")
    assert shown.status == 0, shown.err
    assert "200 train, 50 validation, 50 test" in shown.out


@pytest.mark.slow
def test_ui_serves_the_study_and_stops(done: Place) -> None:
    server = done.process("ui", "tiny", env={"MLFLOW_TRACKING_URI": done.uri})
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        address = line.split()[-1]
        assert "/#/experiments/" in address
        with urllib.request.urlopen(address, timeout=20) as page:
            assert b"MLflow" in page.read()
        for host in ("evil.example", "10.evil.example", "192.168.evil.example:80"):  # sites that point at this machine
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(urllib.request.Request(address, headers={"Host": host}), timeout=20)
        taken = done.command("ui", "--port", str(urllib.parse.urlsplit(address).port))
        assert (taken.status, taken.err.count("\n")) == (2, 1)
        assert "try another --port" in taken.err
    finally:
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=90)
    assert server.returncode == 130, err
    assert "stopped" in out


def test_tasks_names_every_file_whole(done: Place) -> None:
    shown = done.command("tasks", env={"COLUMNS": "40"})
    assert {str(file) for file in packaged_tasks().values()} <= set(shown.out.splitlines())


def test_show_says_frozen_layers_that_are_alike_once() -> None:
    block = Row("transformer.h.0", 10, 0)
    deep = [block._replace(part=f"transformer.h.{number}") for number in range(30)]
    rows = [Row("embeddings", 5, 0), *deep[:28], *(row._replace(trainable=10) for row in deep[28:]), Row("head", 0, 0)]
    assert [(len(run), run[-1].part) for run in alike_frozen(rows)] == [
        (1, "embeddings"),
        (28, "transformer.h.27"),
        (1, "transformer.h.28"),
        (1, "transformer.h.29"),
        (1, "head"),
    ]
