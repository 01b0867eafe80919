"""Studies of plain text, by a causal and by a masked model, killed on their way: the command ends in the same numbers.

Runs are counted in steps and scored between epochs, and put by every few steps, so that most kills come amid an epoch.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from harness.tracking.step_names import RESUMED_AFTER
from tests.support.kill_campaign import hold, see
from tests.support.kill_moments import Moment, kill_at, look, storing_the_model
from tests.support.put_by_runs import checkpoints
from tests.support.study_fixture import Place, Places
from tests.support.text_study import perplexity, plain_place, pseudo_perplexity

pytestmark = pytest.mark.slow

STEPS, LAST_TWO = 42, ["000000036", "000000042"]
CHANGES = ("tuning=[full, {last_blocks: 1}]", "training.epochs=null", f"training.steps={STEPS}", "data.test=4")
CHANGES += ("training.evaluate_every=9", "training.checkpoint={every: 6, keep: 2}", "data.validation=4")
ARGUMENTS = tuple(part for change in CHANGES for part in ("--set", change))

WORDS = {"gpt2": 1200, "bert": 500}
"""Of the text of each family's study."""


def place_of(places: Places, family: str) -> Place:
    return plain_place(places, family=family, words=WORDS[family])


@pytest.fixture(scope="module", params=WORDS)
def undisturbed(request: pytest.FixtureRequest, places: Places) -> tuple[str, Place]:
    place = place_of(places, request.param)
    place.run(*ARGUMENTS)
    return request.param, place


def tokenizing(place: Place) -> bool:
    """Return whether token files are being written, or were."""
    return any((place.folder / ".harness" / ".tokens").glob("*"))


def put_by_anew(place: Place, part: str) -> Moment:
    """Return the moment at which there is a checkpoint more of a trial, or of a final run."""
    seen = set(checkpoints(place))
    return lambda place: any(part in note.parent.name for note in set(checkpoints(place)) - seen)


def scored_anew(place: Place) -> Moment:
    """Return the moment at which a score more was taken."""
    query = "select run_uuid, step from metrics where key = 'validation/loss'"
    seen = set(look(place.folder / "mlflow.db", query))
    return lambda place: bool(set(look(place.folder / "mlflow.db", query)) - seen)


def kept(place: Place, tuning: str) -> list[Path]:
    """Return the whole models that a cell's final run left along its way."""
    return sorted((place.folder / ".harness" / "tiny" / "checkpoints" / f"text--{tuning}" / "seed-11").iterdir())


def test_what_is_killed_anywhere_ends_as_what_nobody_disturbed(undisturbed: tuple[str, Place], places: Places) -> None:
    family, whole = undisturbed
    place, draws, struck = place_of(places, family), random.Random(22), list[bool]()
    for make in (
        lambda place: tokenizing,
        lambda place: put_by_anew(place, "trial"),
        scored_anew,
        lambda place: put_by_anew(place, "seed"),
        lambda place: put_by_anew(place, "seed"),
        lambda place: storing_the_model,
    ):
        struck.append(kill_at(place, make(place), draws.uniform(0.0, 0.03), ARGUMENTS))
    assert struck[:5] == [True] * 5, "it was to be cut while it ran"
    place.run(*ARGUMENTS)
    counts = hold(place, whole) + Counter(kills=sum(struck))
    see(counts, sum(struck))
    per_epoch = 1 + (int(place.runs("final")[0].data.params["data.train"]) - 1) // 4
    behind = {int(run.data.tags[RESUMED_AFTER]) for run in place.runs() if RESUMED_AFTER in run.data.tags}
    assert any(step % per_epoch for step in behind), "one of them went on amid an epoch"
    for tuning in ("full", "last_blocks-1"):
        assert [folder.name for folder in kept(place, tuning)] == LAST_TWO
        for ours, theirs in zip(kept(place, tuning), kept(whole, tuning), strict=True):
            weights = "model.safetensors"
            assert (ours / weights).read_bytes() == (theirs / weights).read_bytes()


def test_what_final_runs_leave_scores_as_they_did(undisturbed: tuple[str, Place]) -> None:
    """The last of the models that ``keep`` leaves, by plain transformers on the blocks of test."""
    family, place = undisturbed
    for tuning in ("full", "last_blocks-1"):
        (final,) = place.runs("final", cell=f"text/{tuning}")
        earlier, last = kept(place, tuning)
        score = {"gpt2": perplexity, "bert": pseudo_perplexity}[family]
        name = {"gpt2": "test/perplexity", "bert": "test/pseudo_perplexity"}[family]
        assert final.data.metrics[name] == pytest.approx(score(place, last), rel=1e-4)
        assert score(place, earlier) != pytest.approx(final.data.metrics[name], rel=1e-6)
