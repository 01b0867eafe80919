"""Runs of several training sizes: each is the run of a study of that size alone, and all share one recording."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.core.workspace import Workspace
from harness.data.data_keys import Draw
from harness.models.frozen import replay
from harness.models.frozen.kept_rows import Rows
from harness.study.axes import Tuning
from harness.study.check import check
from harness.study.checked_study import Checked
from harness.study.grid import Cell
from harness.study.load_study import read_study
from harness.training.loop import Epoch
from harness.training.trainer import Trainer
from tests.support.search_spaces import rate
from tests.support.study_fixture import WORDS, Place, Places, write_rows

SIZES = (4, 12, 24)
TUNINGS = [Tuning(kind="head"), Tuning(kind="last_blocks", blocks=1), Tuning(kind="full")]


def lengths(place: Place) -> Place:
    """Give rows many lengths, so that those of a smaller size are padded to less."""
    for split, count in {"train": 24, "validation": 8, "test": 8}.items():
        texts = [" ".join(WORDS[(n + k) % len(WORDS)] for k in range(2 + 5 * n % 13)) for n in range(count)]
        made = [{"id": f"{split}-{n}", "source": f"{split} {n} {text}", "target": text} for n, text in enumerate(texts)]
        write_rows(place.folder / "data" / f"{split}.jsonl", made)
    return place


def checked(place: Place, *options: str) -> Checked:
    tuning = "tuning=[none, head, {last_blocks: 1}, full]"
    return check(read_study(place.study, [tuning, "training.max_target_tokens=40", *options]))


def trained(trainer: Trainer, cell: Cell) -> tuple[list[Epoch], str, dict[str, Any], str]:
    with trainer.run(cell, seed=3) as run:
        epochs = list(run.epochs(rate(1e-2), seed=3))
        scores = run.score("validation", generate=True).scores
        return [epoch._replace(seconds=0.0) for epoch in epochs], run.weights_digest(), scores, run.trunk


@pytest.mark.parametrize("replays", [True, False])
@pytest.mark.parametrize(
    "family", ["gpt2", *(pytest.param(family, marks=pytest.mark.slow) for family in ("llama", "t5", "bart"))]
)
def test_a_size_in_a_grid_is_the_study_of_that_size(
    family: str, replays: bool, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = lengths(places(family))
    monkeypatch.chdir(place.folder)
    replay = f"engine.replay={json.dumps(replays)}"
    grid = checked(place, f"data.train={list(SIZES)}", replay)
    trainer = Trainer(grid)
    cells = [cell for cell in grid.cells if cell.tuning in TUNINGS and cell.prompt.name == "cue"]
    assert [cell.levels["train_size"] for cell in cells] == [str(size) for _ in TUNINGS for size in SIZES]
    found = {cell.id: trained(trainer, cell) for cell in cells}
    for size in SIZES[:2]:
        alone = checked(place, f"data.train={size}", replay)
        other = Trainer(alone)
        for tuning in TUNINGS:
            expected = trained(other, Cell(alone.prompts[1], tuning))
            assert found[f"cue/{tuning.name}/{size}"] == expected, (tuning.name, size)
            assert expected[3].startswith("replayed" if replays and tuning.kind != "full" else "live")


class Recorded(Counter[int]):
    """How often each row was recorded."""

    def of(self, batches: Any, **more: Any) -> None:
        batches = list(batches)
        for rows in batches:
            assert isinstance(rows, Rows)
            self.update(rows.indices)
        replay.record(batches=batches, **more)


def test_sizes_share_one_recording(places: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is recorded of three sizes is what is recorded of the largest: each row once."""
    place = lengths(places())
    monkeypatch.chdir(place.folder)
    kept: dict[str, dict[str, int]] = {}
    counts: dict[str, Recorded] = {}
    for name, sizes in {"largest": "24", "all": str(list(SIZES)), "smallest first": "[4, 24, 12]"}.items():
        counts[name] = recorded = Recorded()
        monkeypatch.setattr(
            "harness.training.activation_cache.cache.record",
            lambda model, batches, recorded=recorded, **more: recorded.of(batches, model=model, **more),
        )
        grid = checked(place, f"data.train={sizes}")
        trainer = Trainer(grid, Workspace(tmp_path / name.replace(" ", "-")))
        for cell in grid.cells:
            if cell.tuning.kind in ("head", "last_blocks"):
                with trainer.run(cell) as run:
                    assert len(list(run.epochs(rate(1e-2), seed=0))) == 2
                    assert run.trunk == "replayed"
        kept[name] = dict(trainer.recorded)
    assert kept["all"] == kept["smallest first"] == kept["largest"]
    assert counts["all"] == counts["smallest first"] == counts["largest"]
    assert set(counts["all"]) == set(range(24))


def test_demonstrations_are_of_the_rows_that_a_cell_has(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place = lengths(places())
    monkeypatch.chdir(place.folder)
    few = 'prompts=[{name: few, text: "{{ source }}\\n", shots: 2, pick: random}]'
    limits = "training.max_source_tokens=100"
    grid = checked(place, f"data.train={list(SIZES)}", few, limits)
    trainer = Trainer(grid)
    for size in SIZES:
        cells = [cell for cell in grid.cells if cell.levels["train_size"] == str(size) and cell.tuning.kind == "head"]
        alone = Trainer(checked(place, f"data.train={size}", few, limits))
        for split in ("train", "validation"):
            expected = alone.setup.encoded(grid.prompts[0], split).rows
            assert trainer.setup.rows_of(cells[0], split).rows == expected, (size, split)
    shown = [trainer.setup.encoded(grid.prompts[0], "validation", Draw(size, None, 0)).rows for size in SIZES]
    assert len({json.dumps([row.prompt for row in rows]) for rows in shown}) == 3, "other rows are shown"


@pytest.mark.parametrize("steps", [None, 6])
def test_sizes_train_for_equal_epochs_or_for_equal_steps(
    steps: int | None, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = lengths(places())
    monkeypatch.chdir(place.folder)
    length = [] if steps is None else [f"training.steps={steps}", "training.epochs=null"]
    grid = checked(place, f"data.train={list(SIZES)}", *length)
    told = "equal epochs, so a larger one" if steps is None else "equal steps, so the rows of a smaller one"
    assert [note for note in grid.notes if told in note]
    trainer = Trainer(grid)
    counts = {}
    for cell in grid.cells:
        if cell.tuning.kind == "head" and cell.prompt.name == "bare":
            with trainer.run(cell) as run:
                (*_, last) = run.epochs(rate(1e-2), seed=0)
            counts[cell.levels["train_size"]] = last.step
    assert list(counts) == [str(size) for size in SIZES]
    if steps:
        assert set(counts.values()) == {steps}
    else:
        assert counts["4"] < counts["12"] < counts["24"]
