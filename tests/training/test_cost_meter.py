"""What runs cost: sums over cells, rows and tokens by count, operations with and without replay, the report's table."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.cost_names import LARGEST, PREFIX, Costs, summed
from harness.report.csv_tables import costs_csv
from harness.report.plain_tables import cost_sentences, costs
from harness.results.cell_result import CellResult, Final, Trial
from harness.results.collect import Results
from harness.results.cost_table import cost_table
from harness.study.axes import Tuning
from harness.study.check import check
from harness.study.grid import Cell
from harness.study.load_study import read_study
from harness.training.trainer import Trainer
from tests.support.search_spaces import rate
from tests.support.study_fixture import Place, Places

NAMES = {PREFIX + name for name in Costs._fields} | {LARGEST}
HEAD, LAST, FULL = Tuning(kind="head"), Tuning(kind="last_blocks", blocks=1), Tuning(kind="full")


@given(st.lists(st.dictionaries(st.sampled_from(sorted(NAMES)), st.integers(0, 10**6)), max_size=5))
def test_runs_add_up_in_any_order(runs: list[dict[str, int]]) -> None:
    found = summed([*runs, {"validation/loss": 7.0}])
    assert found == summed(reversed(runs))
    assert found.keys() == {name for run in runs for name in run}
    for name, value in found.items():
        values = [run[name] for run in runs if name in run]
        assert value == (max(values) if name == LARGEST else math.fsum(values))


def test_energy_of_some_runs_is_not_that_of_all() -> None:
    energy = f"{PREFIX}energy_joules"
    assert summed([{energy: 2.0}, {energy: 3.0}]) == {energy: 5.0}
    assert summed([{energy: 2.0}, {f"{PREFIX}tokens": 3.0}]) == {f"{PREFIX}tokens": 3.0}


def test_energy_is_a_metric_where_it_is_known() -> None:
    costs = Costs().plus(tokens=3.0, train_seconds=1.5).plus(tokens=4.0)
    assert costs == Costs(tokens=7.0, train_seconds=1.5)
    assert costs.metrics(peak_memory_mib=5.0, joules=None).keys() == NAMES
    known = costs.metrics(peak_memory_mib=5.0, joules=2.0)
    assert known.keys() == NAMES | {f"{PREFIX}energy_joules"}
    assert known[f"{PREFIX}tokens"] == 7.0


# A trainer


def spent(trainer: Trainer, cell: Cell, *, epochs: int | None = None) -> Mapping[str, float]:
    """Train and score as a final run does, or some epochs of it; return the costs without their prefix."""
    with trainer.run(cell) as run:
        for epoch in run.epochs(rate(1e-2), seed=0):
            run.score("validation", generate=True)
            if epoch.epoch == epochs:
                break
    return {name.removeprefix(PREFIX): value for name, value in run.costs().items()}


def trainer_at(place: Place, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> Trainer:
    monkeypatch.chdir(place.folder)
    return Trainer(check(read_study(place.study, overrides)))


@pytest.mark.parametrize("tuning", [HEAD, LAST, FULL], ids=lambda tuning: tuning.name)
def test_what_replay_saves_is_what_live_computes_more(
    places: Places, monkeypatch: pytest.MonkeyPatch, tuning: Tuning
) -> None:
    """But for the passes that make recordings, in the first run alone, and those that prove them, in each."""
    place = places(store=False)
    live = trainer_at(place, monkeypatch, "engine.replay=false")
    replayed = trainer_at(place, monkeypatch, "engine.disk_mib=0")
    cell = next(cell for cell in check(read_study(place.study)).cells if cell.tuning == HEAD)
    cell = Cell(cell.prompt, tuning)
    whole = spent(live, cell)
    first, second, third = (spent(replayed, cell) for _ in range(3))
    assert whole["flops_saved"] == 0
    assert first["examples"] == whole["examples"] == 2 * 24
    assert first["tokens"] == whole["tokens"] > 0
    extra = [run["flops"] + run["flops_saved"] - whole["flops"] for run in (first, second, third)]
    if tuning == FULL:
        assert first["flops_saved"] == 0
        assert extra == [0, 0, 0]
    else:
        assert first["flops_saved"] == second["flops_saved"] > 0
        assert extra[0] > extra[1] == pytest.approx(extra[2], rel=1e-9)
        assert extra[1] > 0
        assert first["recording_seconds"] > 0
        assert second["flops"] < whole["flops"]


def test_an_epoch_that_is_not_reached_costs_nothing(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_at(places(store=False), monkeypatch, "engine.replay=false")
    cell = Cell(check(read_study(Path("study.yaml"))).prompts[0], LAST)
    one, two = spent(trainer, cell, epochs=1), spent(trainer, cell)
    assert (one["examples"], two["examples"]) == (24, 48)
    assert two["tokens"] == 2 * one["tokens"]
    # The model says something else after the second epoch, so decoding takes another number of steps.
    assert two["flops"] == pytest.approx(2 * one["flops"], rel=0.2)


# A report


def results(*cells: CellResult) -> Results:
    facts = {"study": "s", "question": "?", "lead": "chrf", "objective": "chrf", "baseline": "p/none"}
    return Results(**facts, metrics=("chrf",), maximize=True, search={}, cells=cells, provenance={}, data={})


def cell_of(name: str, *runs: Mapping[str, float]) -> CellResult:
    """Return a cell whose first run is its final run and whose others are trials."""
    trials = [Trial(number, rate(1e-3), STATES[number], 1.0, {}, run) for number, run in enumerate(runs[1:])]
    finals = [Final("11", {}, run) for run in runs[:1]]
    prompt, tuning = name.split("/")
    factors, params = {"prompt": prompt, "tuning": tuning}, {"trainable_parameters": "12"}
    return CellResult(name, factors, rate(1e-3), tuple(trials), tuple(finals), params, {}, 9.5)


STATES = ("complete", "pruned", "diverged")


def test_the_table_adds_up_runs_and_says_nothing_of_what_is_not_known() -> None:
    run = {"train_seconds": 1.5, "flops": 2e12, "flops_saved": 6e12, "energy_joules": 500.0, "peak_memory_mib": 7.0}
    other = run | {"peak_memory_mib": 8.0, "recording_seconds": 0.25}
    zero_shot = cell_of("p/none", {"test_seconds": 2.0})
    found = results(cell_of("p/head", run, other, run, run), zero_shot, cell_of("p/full"))
    head, none, full = cost_table(found)
    assert (head.trainable_parameters, head.trials, head.pruned, head.diverged, head.finals) == (12, 3, 1, 1, 1)
    assert (head.seconds, head.train_seconds, head.recording_seconds) == (9.5, 6.0, 0.25)
    assert (head.tflop, head.tflop_saved, head.energy_kj, head.peak_memory_mib) == (8.0, 24.0, 2.0, 8.0)
    assert none.test_seconds == 2.0
    assert math.isnan(none.tflop)
    assert math.isnan(full.energy_kj)
    rows = list(csv.DictReader(io.StringIO(costs_csv(found))))
    assert [row["cell"] for row in rows] == ["p/head", "p/none", "p/full"]
    assert (rows[0]["tflop"], rows[1]["tflop"], rows[1]["test_seconds"]) == ("8", "", "2")
    said = cost_sentences(found)
    assert "spared 75% of the operations" in said
    assert "(24 of 32 TFLOP)" in said
    assert "took 28 s from start to end: 6 s of training, 2 s of scoring; the rest is" in said
    assert "held at most 8 MiB" in said
    table = costs(found)
    assert not [name for name in table.header if "memory" in name], "a high-water mark is no cell's own"
    assert table.rows[0][table.header.index("seconds")] == "9.5"
    assert "kJ" not in said, "some runs did not read their energy"
    assert "2.0 kJ" in cost_sentences(results(cell_of("p/head", run, other, run, run)))
    assert "spared" not in cost_sentences(results(zero_shot))


# A study


@pytest.mark.slow
def test_a_cell_holds_the_sums_of_its_runs(places: Places) -> None:
    place = places()
    place.run()
    runs = [run for run in place.runs() if run.data.tags["phase"] in ("search", "final")]
    table = {row["cell"]: row for row in csv.DictReader(io.StringIO(costs_of(place)))}
    for parent in place.runs("cell"):
        cell = parent.data.tags["cell"]
        own = [run.data.metrics for run in runs if run.data.tags["cell"] == cell]
        assert all(metrics.keys() >= NAMES for metrics in own)
        for name in NAMES - {LARGEST}:
            assert parent.data.metrics[name] == pytest.approx(sum(metrics[name] for metrics in own))
        assert parent.data.metrics[LARGEST] == max(metrics[LARGEST] for metrics in own)
        trains = not cell.endswith("/none")
        assert parent.data.metrics[f"{PREFIX}examples"] == (4 * 2 * 24 if trains else 0)
        assert (parent.data.metrics[f"{PREFIX}flops_saved"] > 0) == trains
        assert parent.data.metrics[f"{PREFIX}flops"] > 0
        row = table[cell]
        assert float(row["tflop"]) == pytest.approx(parent.data.metrics[f"{PREFIX}flops"] / 1e12, rel=1e-5)
        assert int(row["trials"]) == (2 if trains else 0)
        assert float(row["seconds"]) >= float(row["train_seconds"])
        energy = f"{PREFIX}energy_joules" in parent.data.metrics
        assert (row["energy_kj"] != "") == energy == all(f"{PREFIX}energy_joules" in each for each in own)
    before = [run.data.metrics for run in place.runs("cell")]
    place.run()
    assert [run.data.metrics for run in place.runs("cell")] == before
    text = (place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert " of the operations of matrix products that computing it live would have taken (" in text


def costs_of(place: Place) -> str:
    return (place.folder / "reports" / "tiny" / "costs.csv").read_text(encoding="utf-8")


@pytest.mark.slow
def test_recordings_are_as_large_as_planned(places: Places) -> None:
    place = places()
    assert place.command("plan", "study.yaml").status == 0
    place.run()
    text = (place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("| recordings (MiB)")]
    assert line.split("|")[4].strip() == "1.00"
    (summary,) = place.runs("summary")
    taken = sum(file.stat().st_size for file in (place.folder / ".harness" / ".recordings").rglob("*.safetensors"))
    assert summary.data.metrics["recordings_mib"] * 2**20 == pytest.approx(taken, rel=0.1), "but for headers"
    place.run()
    assert place.runs("summary")[0].data.metrics == summary.data.metrics
