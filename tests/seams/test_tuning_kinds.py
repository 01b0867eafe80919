"""A tuning kind that only this test knows, through a whole study: one entry in the table, and no file touched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.study.tuning_kinds import TUNING_KINDS, ModelParts, TuningKind
from harness.study.tuning_names import depth
from tests.support.study_fixture import Place, Places
from tests.support.whole_way import Way, go, predict, stored_predictions, succeed

OPTIONS = (
    *("--set", "tuning=[none, every_other_block, {outer_blocks: 1}, {last_blocks: 1}]", "--set", "prompts=[bare]"),
    *("--set", "search.trials=1", "--set", "final.store=delta", "--set", "final.models=cells"),
    *("--set", "search.metric=perplexity"),
)
CELL = "bare/every_other_block"


def every_other_block(parts: ModelParts, blocks: None) -> tuple[str, ...]:
    return tuple(block.name for block in parts.blocks[1::2])


def outer_blocks(parts: ModelParts, count: int) -> tuple[str, ...]:
    return tuple(block.name for block in (*parts.blocks[:count], *parts.blocks[-count:]))


@pytest.fixture(scope="module", autouse=True)
def kinds() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TUNING_KINDS, "every_other_block", TuningKind(1.5, every_other_block))
        patch.setitem(TUNING_KINDS, "outer_blocks", TuningKind(2.5, outer_blocks, blocks="count"))
        yield


@pytest.fixture(scope="module")
def place(places: Places) -> Place:
    return places()


@pytest.fixture(scope="module")
def way(place: Place) -> Way:
    return go(place, *OPTIONS, part=CELL)


def test_show_says_what_trains(way: Way) -> None:
    _, _, table = way.show.partition("every_other_block: ")
    table, _, rest = table.partition("outer_blocks-1: ")
    trains = [line for line in table.splitlines() if "│" in line and not line.rstrip(" │").endswith("-")]
    assert [line.split("│")[1].strip() for line in trains] == ["transformer.h.1"]
    assert "lm_head is tied to transformer.wte.weight: both stay frozen" in rest


def test_runs_train_it_and_replay_what_comes_before(way: Way, place: Place) -> None:
    (run,) = place.runs("search", cell=CELL)
    (parent,) = place.runs("cell", cell=CELL)
    assert run.data.tags["trunk"] == "replayed"  # block 0 is frozen, and so is block 2, which runs live
    assert parent.data.params["tuning"] == "every_other_block"
    (first,) = place.runs("search", cell="bare/outer_blocks-1")
    assert first.data.tags["trunk"].startswith("live: ")
    cells = [place.runs("cell", cell=cell)[0] for cell in (CELL, "bare/outer_blocks-1")]
    block, two = (int(cell.data.params["trainable_parameters"]) for cell in cells)
    assert two == 2 * block


def test_the_report_orders_it_by_depth(way: Way, place: Place) -> None:
    assert set(place.table()) == {
        f"bare/{name}" for name in ("none", "every_other_block", "outer_blocks-1", "last_blocks-1")
    }
    names = ["full", "outer_blocks-1", "last_blocks-1", "every_other_block", "head", "none"]
    assert sorted(names, key=depth) == ["none", "head", "every_other_block", "last_blocks-1", "outer_blocks-1", "full"]


def test_its_stored_delta_answers_as_its_final_run_did(way: Way, place: Place) -> None:
    models = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    model = next(model for model in models if model.tags["cell"] == CELL)
    assert predict(place, model.model_uri) == stored_predictions(place, model.source_run_id)


@pytest.mark.parametrize(
    ("tuning", "message"),
    [
        ("every_other_blok", "unknown tuning 'every_other_blok'; did you mean 'every_other_block'?"),
        ("{every_other_block: 2}", "every_other_block takes no number; write none, head, norms"),
        ("outer_blocks", "outer_blocks needs a number"),
        ("{outer_blocks: 9}", "outer_blocks is 9, but model 'model' has 3 blocks; lower it"),
    ],
)
def test_a_mistake_gets_the_table_s_own_message(tuning: str, message: str, place: Place) -> None:
    done = place.command("check", "study.yaml", "--set", f"tuning=[none, {tuning}]")
    assert done.status == 2
    assert message in done.err


def test_it_is_reproduced(way: Way, place: Place) -> None:
    (run, *_) = place.runs("final", cell=CELL)
    assert "the same to the last bit" in succeed(place, "reproduce", run.info.run_id)
