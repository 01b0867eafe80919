"""A plan against what a study then does: counts, sizes, time by closed forms, and nothing left behind."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from harness.core.example import Example
from harness.core.workspace import HERE
from harness.data.template import Template
from harness.data.tokenization import Limits, Row, encode
from harness.models.apply_tuning import apply, reset
from harness.models.content_digests import weights_digest
from harness.models.find_blocks import blocks
from harness.models.load import Loaded
from harness.results.score_forecast import CellForecast, Forecast
from harness.runner.planning.plan import _retained, cell_forecast, plan
from harness.runner.planning.planned_work import Cut
from harness.runner.planning.probe import Speed, probe_trainer, sample, speed_of
from harness.runner.planning.workload import Footprint, Load, Sizes, Work, load_of
from harness.study.axes import Tuning
from harness.study.check import check
from harness.study.checked_study import Checked
from harness.study.grid import Cell
from harness.study.load_study import read_study
from harness.training.activation_cache.cache import ActivationCache
from harness.training.activation_cache.disk import ActivationDisk
from harness.training.activation_cache.memory import ActivationMemory
from harness.training.evaluation import Decoding, prompts_of
from harness.training.trainer import Trainer
from tests.support.first_of_kind import first_of_kind
from tests.support.search_spaces import rate
from tests.support.study_fixture import Place, Places

WORDS = ["a", "short", "note", "about", "the", "meeting", "it", "moved", "to", "Tuesday", "and", "room", "is", "booked"]
EXAMPLES = [
    Example(str(i), {"source": " ".join(WORDS[i % 5 : 5 + i * 2 % 11])}, " ".join(WORDS[i % 7 : i % 7 + 1 + i % 6]))
    for i in range(14)
]
CEILINGS = [8, 12, 16, 24, 32, 48, 64, 96, 128]
NOTHING = Sizes({}, 0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place whose study is planned and never run."""
    return Places(tmp_path_factory.mktemp("plan"))(store=False)


def checked_at(place: Place, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> Checked:
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.uri)
    return check(read_study(place.study, overrides))


def rows_of(loaded: Loaded) -> list[Row]:
    return encode(EXAMPLES, Template("t", "{{ source }}\nSummary:"), loaded, limits=Limits(60, 40, 6)).rows


def test_a_slow_model_is_probed_in_brief_and_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long it takes is bounded by one batch of each kind, and is said."""
    monkeypatch.setattr("harness.runner.planning.plan.PATIENCE", 0.0)
    checked, said = checked_at(place, monkeypatch), list[str]()
    whole = sum(map(len, sample(checked, checked.prompts[0]).values()))
    assert sum(map(len, sample(checked, checked.prompts[0], brief=True).values())) < whole
    made = plan(checked, HERE, say=said.append)
    assert any(re.match(r"one batch of each kind is probed, for about \d+ s", line) for line in said)
    assert list(made.forecast.cells) == [cell.id for cell in checked.cells]
    assert all(math.isfinite(cell.seconds) and cell.seconds > 0 for cell in made.forecast.cells.values())


# Counts


@pytest.mark.slow
def test_steps_and_parameters_are_those_of_training(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = checked_at(place, monkeypatch, "training.accumulation=2")
    made = plan(checked, HERE, say=lambda text: None)
    trainer, planned = Trainer(checked), {cell.id: cell for cell in made.cells}
    assert list(planned) == [cell.id for cell in checked.cells] == list(made.forecast.cells)
    for cell in checked.cells:
        counts = planned[cell.id]
        if cell.tuning.trains:
            with trainer.run(cell) as run:
                epochs = list(run.epochs(rate(1e-4), seed=0))
            assert counts.steps == sum(len(epoch.losses) for epoch in epochs)
        trainable = apply(trainer.setup.loaded.model, cell.tuning)
        moving = sum(each.numel() for each in trainer.setup.loaded.model.parameters() if each.requires_grad)
        reset(trainer.setup.loaded.model, trainable)
        assert counts.trainable == moving
        trials, finals, _ = made.forecast.cells[cell.id]
        assert (trials, finals) == ((2, 2) if cell.tuning.trains else (0, 1))
    assert planned["bare/none"].steps == planned["bare/none"].trainable == 0


@pytest.mark.slow
def test_what_frozen_weights_save_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = checked_at(place, monkeypatch, "model.frozen=bfloat16", "tuning=[none, {last_blocks: 1}, full]")
    made, model = plan(checked, HERE, say=lambda text: None), Trainer(checked).setup.loaded.model
    saved = {}
    for tuning in (Tuning(kind="none"), Tuning(kind="last_blocks", blocks=1), Tuning(kind="full")):
        trainable = apply(model, tuning)
        low = sum(weight.nbytes for weight in model.parameters() if weight.dtype == torch.bfloat16)
        saved[tuning.name] = f"{tuning.name} {low / 2**20:,.0f}"  # as much again in float32
        reset(model, trainable)
    assert made.frozen.endswith(": " + ", ".join(saved.values()))
    assert saved["full"] == "full 0"
    assert made.frozen in repr(made).replace("\n", " ")
    assert plan(checked_at(place, monkeypatch), HERE, say=lambda text: None).frozen == ""


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 9)), min_size=1, max_size=30), st.integers(1, 8))
def test_work_is_counted_as_it_is_padded(tiny_llama: Loaded, lengths: list[tuple[int, int]], size: int) -> None:
    rows = [Row(str(i), (5,) * prompt, (6,) * target, False) for i, (prompt, target) in enumerate(lengths)]
    found = load_of(rows, tiny_llama, batch_size=size, decoding=Decoding(7, batch_size=size))
    buckets = [min(c for c in CEILINGS if c >= prompt + target) for prompt, target in lengths]
    longest = {c: max(sum(sizes) for sizes, own in zip(lengths, buckets, strict=True) if own == c) for c in buckets}
    padded = [min(c, math.ceil(longest[c] / 8) * 8) for c in buckets]
    prompts = [prompt if size == 1 else min(c for c in CEILINGS if c >= prompt) for prompt, _ in lengths]
    assert found.tokens == 3 * sum(padded)  # ids, mask and labels
    assert found.prompts == 2 * sum(prompts)
    assert found.batches == sum(-(-buckets.count(each) // size) for each in set(buckets))
    assert found.starts == sum(-(-prompts.count(each) // size) for each in set(prompts))
    assert 0 <= found.steps <= found.starts * 6
    assert found.steps >= min(7, max(target for _, target in lengths)) - 1


@pytest.fixture(scope="session")
def tiny_llama(tiny: Callable[..., Loaded]) -> Loaded:
    return tiny("llama")


# Sizes


@pytest.mark.parametrize("family", first_of_kind(["gpt2", "llama", "t5", "bart"]))
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_sizes_are_those_of_what_is_recorded(
    family: str, precision: str, tiny: Callable[..., Loaded], tmp_path: Path
) -> None:
    loaded, decoding = tiny(family), Decoding(6)
    rows, count = rows_of(loaded), len(blocks(loaded.model))
    halves = [count // 2, count // 2 - 1] if loaded.is_encoder_decoder else []
    cuts = sorted({count, count - 1, *(cut for cut in halves if cut > 0)})
    footprint = Footprint(loaded, cuts, precision)  # type: ignore[arg-type]
    losses, starts = footprint.of_losses(rows), footprint.of_prefill(rows, decoding)

    def held(asked: list[int], *, generate: bool) -> int:
        disk = ActivationDisk(tmp_path / f"{asked}-{generate}", 10**9)
        trunks = ActivationCache(loaded, ActivationMemory(10**9, disk), 4, precision, print)  # type: ignore[arg-type]
        trainable = apply(loaded.model, Tuning(kind="head"))
        assert not isinstance(trunks.open(("prompt", "train"), rows, asked[-1], cuts=asked), str)
        if generate:
            trunks.open_prefill(("prompt", "train"), rows, prompts_of(rows, loaded, decoding), asked[-1], cuts=asked)
        reset(loaded.model, trainable)
        return on_disk(disk.folder)

    assert losses.total == held(cuts, generate=False) > 0
    assert losses.total + starts.total == held(cuts, generate=True)
    for cut in cuts:
        assert losses.cuts[cut] == held([cut], generate=False) > 0
        assert losses.cuts[cut] + starts.cuts[cut] == held([cut], generate=True)


def on_disk(folder: Path) -> int:
    """Return the bytes of all tensors under a folder."""
    total = 0
    for file in folder.rglob("*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            total += sum(tensors.get_tensor(name).nbytes for name in tensors.keys())  # noqa: SIM118
    return total


# Time

ZERO = Speed(opening=0, recording=0, training=0, loss=0, prefill=0, step=0)
WORK = Work(
    train=Load(batches=4, tokens=1000, prompts=0, steps=0, starts=0),
    validation=Load(batches=2, tokens=100, prompts=70, steps=9, starts=2),
    recorded=(NOTHING, NOTHING, NOTHING),
)


def seconds(
    checked: Checked,
    own: Speed = ZERO,
    *,
    live: Speed = ZERO,
    finals: int = 2,
    kind: str = "head",
    retained: float = 0.0,
) -> float:
    cell = next(cell for cell in checked.cells if cell.tuning.kind == kind)
    speeds = {kind: own, "none": live}
    return cell_forecast(cell, WORK, finals=finals, speeds=speeds, retained=retained, checked=checked).seconds


def test_every_part_of_a_run_is_counted_as_often_as_it_runs(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two trials and two final runs of two epochs, on 8 validation rows and as many test rows."""
    checked = checked_at(place, monkeypatch)
    assert seconds(checked, ZERO._replace(opening=1)) == 4
    assert seconds(checked, ZERO._replace(recording=1)) == 1100
    assert seconds(checked, ZERO._replace(training=1)) == 4 * 2 * 1000
    assert seconds(checked, ZERO._replace(loss=1)) == 4 * 2 * 100
    assert seconds(checked, ZERO._replace(prefill=1)) == (2 * 2 + 2) * 70  # final runs generate after their last epoch
    assert seconds(checked, ZERO._replace(step=1)) == (2 * 2 + 2) * 9
    assert seconds(checked, live=ZERO._replace(loss=1, step=1)) == 2 * (100 + 9)  # the test split
    assert seconds(checked, live=ZERO._replace(loss=1), kind="none", finals=1) == 2 * 100
    assert seconds(checked, ZERO._replace(training=1), finals=0) == 2 * 2 * 1000


def test_final_runs_that_may_go_back_are_scored_after_every_epoch(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the objective, the last epoch too; then once more, with the weights that count."""
    checked = checked_at(place, monkeypatch, "training.keep=best")
    assert seconds(checked, ZERO._replace(step=1)) == (2 * 2 + 2 * (2 + 1)) * 9
    assert seconds(checked, ZERO._replace(loss=1)) == (2 * 2 + 2 * (2 + 1)) * 100


def test_a_look_at_what_is_kept_is_taken_by_every_final_run_and_once_before(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = checked_at(place, monkeypatch)
    assert seconds(checked, retained=1.0) == 2
    assert seconds(checked, retained=1.0, kind="none", finals=1) == 0
    monkeypatch.setattr("harness.runner.planning.plan._retained", lambda *given: 1e6)
    looks = {name: cell.seconds // 1e6 for name, cell in plan(checked, HERE, say=print).forecast.cells.items()}
    assert looks.pop(checked.cells[0].id) == 1, "the one before"
    assert looks == {cell.id: 2 * cell.tuning.trains for cell in checked.cells[1:]}


@pytest.mark.parametrize("settings", [(), ("generality.text=null", "generality.tasks=[translation]")])
def test_a_look_at_what_is_kept_takes_time(
    settings: tuple[str, ...], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = checked_at(place, monkeypatch, *settings)
    trainer = probe_trainer(checked, sample(checked, checked.prompts[0]), replay=True)
    assert _retained(checked, trainer) > 0
    assert _retained(checked_at(place, monkeypatch, "generality.text=null"), trainer) == 0


@pytest.mark.parametrize(
    ("memory", "disk", "losses", "starts"),
    [(90, 0, True, True), (80, 0, True, False), (40, 50, True, True), (0, 49, True, False), (39, 0, False, False)],
)
def test_prompts_have_room_beside_losses_or_on_disk(memory: int, disk: int, losses: bool, starts: bool) -> None:
    cut = Cut(("head",), train=60, validation=20, start=80, losses=40, starts=50)
    assert (cut.losses_fit(memory, disk), cut.starts_fit(memory, disk)) == (losses, starts)


def test_without_final_runs_a_search_on_loss_never_generates(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = checked_at(place, monkeypatch, "search.metric=loss", "final.seeds=[]")
    everywhere = ZERO._replace(prefill=1, step=1)
    assert seconds(replace(checked, test_ids=()), everywhere, live=everywhere, finals=0) == 0
    assert seconds(replace(checked, test_ids=()), everywhere, live=everywhere, finals=1, kind="none") == 0


@pytest.mark.parametrize("trials", [1, 3, 5, 6])
def test_a_search_on_loss_generates_for_those_among_its_best(
    trials: int, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = checked_at(place, monkeypatch, "search.metric=loss", f"search.trials={trials}")
    orders = list(itertools.permutations(range(trials)))
    among = sum(sorted(order[: i + 1]).index(order[i]) < 3 for order in orders for i in range(trials)) / len(orders)
    assert seconds(checked, ZERO._replace(prefill=1), finals=0) == pytest.approx(among * 70)


@pytest.mark.slow
def test_more_work_takes_longer(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan(checked_at(place, monkeypatch), HERE, say=lambda text: None)
    longer = plan(checked_at(place, monkeypatch, "training.epochs=20", "search.trials=20"), HERE, say=lambda text: None)
    for cell in made.cells:
        taken = made.forecast.cells[cell.id].seconds
        assert taken > 0
        assert cell.id.endswith("/none") or longer.forecast.cells[cell.id].seconds > taken
    assert made.forecast.peak_memory_mib > 0


# What a probe leaves


@pytest.mark.parametrize("kind", ["none", "head", "full"])
def test_a_probe_leaves_the_model_as_it_was(kind: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = checked_at(place, monkeypatch)
    prompt = checked.prompts[0]
    trainer = probe_trainer(checked, sample(checked, prompt), replay=True)
    found = speed_of(trainer, Cell(prompt, Tuning.model_validate({"kind": kind})), generate=True)
    assert weights_digest(trainer.setup.loaded.model) == trainer.setup.loaded.digest
    assert trainer.setup.decoding == Trainer(checked).setup.decoding
    assert found.loss > 0
    assert found.prefill > 0
    assert (found.training > 0) == (kind != "none")
    assert kind == "head" or found.recording == 0


def test_a_sample_is_a_part_of_each_split_from_end_to_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = checked_at(place, monkeypatch, "training.batch_size=2", "generation.batch_size=1")
    found = sample(checked, checked.prompts[0])
    assert {split: len(rows) for split, rows in found.items()} == {"train": 8, "validation": 3}
    for split, rows in found.items():
        everything = checked.examples[split]
        assert all(row in everything for row in rows)
        lengths = [[len(each.fields["source"].split()) for each in some] for some in (rows, everything)]
        assert (min(lengths[0]), max(lengths[0])) == (min(lengths[1]), max(lengths[1]))


def test_the_command_writes_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Places(tmp_path)(store=False)
    before = place.files()
    made = plan(checked_at(place, monkeypatch), HERE, say=lambda text: None)
    assert place.files() == before
    assert made.seconds == pytest.approx(sum(cell.seconds for cell in made.cells))
    shown, page = repr(made), made._repr_html_()
    assert all(cell.id in shown and cell.id in page and f"{cell.seconds:.1f}" in shown for cell in made.cells)
    assert f"predicted: {made.seconds:.0f} s" in shown
    assert max(map(len, shown.splitlines())) < 200
    done = place.command("plan", "study.yaml")
    assert done.status == 0, done.err
    assert place.files() - before == {".harness", ".harness/tiny", ".harness/tiny/plan.json"}
    assert "probing head" in done.out
    assert "predicted: " in done.out
    assert all(f"{prompt}/{tuning}" in done.out for prompt in ("bare", "cue") for tuning in ("none", "last_blocks-1"))


@pytest.mark.slow
def test_an_encoder_decoder_is_planned(tmp_path: Path) -> None:
    place = Places(tmp_path)("t5", store=False)
    done = place.command("plan", "study.yaml", "--set", "tuning=[head, {last_blocks: 1}, {last_blocks: 4}]")
    assert done.status == 0, done.err
    lines = {line.split()[0].rstrip(","): line.split() for line in done.out.splitlines() if "memory" in line.split()}
    assert {"head", "last_blocks-1", "last_blocks-4"} <= lines.keys()


@pytest.mark.slow
def test_it_says_where_recordings_have_no_room(place: Place) -> None:
    done = place.command("plan", "study.yaml", "--set", "engine.memory_mib=0.001", "--set", "engine.disk_mib=0")
    assert done.out.count("nowhere: runs live") == 2, done.err
    done = place.command("plan", "study.yaml", "--set", "engine.memory_mib=0.001", "--set", "engine.disk_mib=9")
    assert "nowhere" not in done.out
    assert (
        sum(
            line.split()[-1:] == ["disk"] and line.lstrip().startswith(("head", "last"))
            for line in done.out.splitlines()
        )
        == 2
    )
    done = place.command("plan", "study.yaml", "--set", "engine.replay=false")
    assert "recorded for" not in done.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing.yaml",),
        ("study.yaml", "--set", "search.trails=3"),
        ("study.yaml", "--set", "tuning=[{last_blocks: 99}]"),
        ("study.yaml", "--set", "data.path=nowhere"),
    ],
)
def test_bad_input_is_refused_as_check_refuses_it(arguments: tuple[str, ...], place: Place) -> None:
    planned, checked = place.command("plan", *arguments), place.command("check", *arguments)
    assert planned.status == checked.status == 2
    assert planned.err == checked.err != ""


def test_unknown_cells_are_refused(place: Place) -> None:
    done = place.command("plan", "study.yaml", "--cells", "queue/*")
    assert done.status == 2
    assert "cue/" in done.err


def test_help_names_it(place: Place) -> None:
    assert "plan" in place.command("--help").out
    assert "--cells" in place.command("plan", "--help").out


# The report


@pytest.mark.slow
def test_a_run_sets_the_plan_beside_what_it_took(tmp_path: Path) -> None:
    place = Places(tmp_path)()
    page = place.folder / "reports" / "tiny" / "report.md"
    assert place.command("plan", "study.yaml", "--cells", "bare/*").status == 0
    place.run()
    text = page.read_text(encoding="utf-8").partition("## Predicted and actual")[2].partition("## ")[0]
    table = [[part.strip() for part in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert [row[0] for row in table[2:]] == [
        "bare/none",
        "bare/head",
        "bare/last_blocks-1",
        "all (s)",
        "peak memory (MiB)",
    ]
    kept = json.loads((place.folder / ".harness" / "tiny" / "plan.json").read_text())["forecast"]
    runs = [run for run in place.runs() if run.data.tags["phase"] in ("search", "final")]
    for name, predicted, actual, _ in table[2:5]:
        own = [run.info for run in runs if run.data.tags["cell"] == name]
        assert float(predicted) == pytest.approx(kept["cells"][name]["seconds"], abs=0.051)
        assert float(actual) == pytest.approx(sum(run.end_time - run.start_time for run in own) / 1000, abs=0.051)
    assert float(table[5][2]) == pytest.approx(sum(float(row[2]) for row in table[2:5]), abs=0.2)
    place.run("--set", "search.trials=3")  # another study than was planned
    assert "Predicted" not in page.read_text(encoding="utf-8")
    place.run("--set", "search.trials=3")
    (place.folder / ".harness" / "tiny" / "plan.json").write_text('{"key": ')
    place.run()
    assert "Predicted" not in page.read_text(encoding="utf-8")


def test_a_forecast_survives_its_file() -> None:
    made = Forecast({"p/none": CellForecast(0, 1, 0.25), "p/head": CellForecast(2, 3, 1.5)}, 700.5, 3.25)
    assert Forecast.from_json(json.loads(json.dumps(made.as_json()))) == made
    assert made.seconds == 1.75
