"""One family on its way through the harness, from check to predict, held against the plain recipe."""

from __future__ import annotations

import contextlib
import os
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from transformers.utils import logging

from harness.cli.check_tables import overview, tunings_and_prompts
from harness.core.errors import UserError
from harness.core.workspace import Workspace
from harness.models.apply_tuning import apply, reset
from harness.models.content_digests import weights_digest
from harness.models.find_blocks import blocks
from harness.serving.generator import Generator
from harness.serving.recipe import recipe_of_run
from harness.serving.stored_model import save_model
from harness.study.check import check
from harness.study.grid import Cell
from harness.study.load_study import read_study
from harness.study.search_space import Hyperparameters
from harness.training.batching import loss_batches
from harness.training.evaluation import SplitScores
from harness.training.trainer import Trainer

from .made_up_study import BATCH, NEW_TOKENS, TUNINGS, write_data, write_study
from .plain_recipe import (
    Answer,
    Plain,
    PlainRow,
    PlainSteps,
    answers,
    draws,
    load_plain,
    norms_behind,
    plain_row,
    row_nlls,
    sees_ahead,
    train,
)
from .random_family import Family, write_family

RATE, SEED = 1e-5, 3
CLOSE = 1e-4
"""How far losses may differ, in nats a token, and how close two best logits may lie for texts to differ."""


@dataclass
class Outcome:
    """How a family ended."""

    name: str
    model_type: str
    mapping: str
    ended: str = "equal"
    """``equal``; ``refused`` before training; ``draws`` in every call, so that nothing can be compared; ``not built``
    by transformers alone; or a fault: ``refused late``, ``silent difference``, ``traceback``."""
    stage: str = "build"
    """How far it came."""
    sentence: str = ""
    """Of a refusal, a traceback, or of transformers where the model cannot be built."""
    faults: list[str] = field(default_factory=list)
    """What differs."""
    refused: dict[str, str] = field(default_factory=dict)
    """Tunings that are refused, with the sentence."""
    trunks: dict[str, str] = field(default_factory=dict)
    """Tunings to whether their frozen part was replayed."""
    draws: str = ""
    """When its forward pass draws: ``training`` or ``always``."""
    notes: list[str] = field(default_factory=list)
    """What the harness said, and what weakens the comparison."""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def walk(
    family: Family, folder: Path, *, tunings: Sequence[Any] = TUNINGS, replays: Sequence[bool] = (True, False)
) -> Outcome:
    """Take a family the whole way in an empty folder; whatever happens is in the outcome."""
    outcome, start = Outcome(family.name, family.model_type, family.mapping), time.perf_counter()
    with contextlib.chdir(folder), warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")
        try:
            _Walk(family, outcome, tunings).go(replays)
        except UserError as error:
            early = outcome.stage in ("check", "show", "load")
            outcome.ended, outcome.sentence = (
                "refused" if early else "refused late",
                str(error).replace(str(folder), ""),
            )
        except Exception as error:
            outcome.ended = "not built" if outcome.stage in ("build", "plain") else "traceback"
            outcome.sentence = _told(error)
    if outcome.ended == "equal" and outcome.faults:
        outcome.ended = "silent difference"
    elif outcome.ended == "equal" and len(outcome.refused) == len(tunings):
        outcome.ended, outcome.sentence = "refused", next(iter(outcome.refused.values()))
    elif outcome.ended == "equal" and outcome.draws == "always":
        outcome.ended = "draws"
    outcome.seconds = round(time.perf_counter() - start, 1)
    return outcome


class _Walk:
    """One family, in the current folder."""

    def __init__(self, family: Family, outcome: Outcome, tunings: Sequence[Any]) -> None:
        self._family, self._outcome, self._tunings = family, outcome, tunings
        self._rows: dict[str, list[PlainRow]] = {}
        self._texts: dict[str, list[tuple[str, str]]] = {}
        self._expected: dict[str, tuple[PlainSteps | None, list[float], list[Answer]]] = {}

    def go(self, replays: Sequence[bool]) -> None:
        """Build, then study with replay on and off; where transformers alone fails, as far as a model is loaded."""
        outcome = self._outcome
        write_family(self._family, Path("model"))
        self._texts = write_data()
        outcome.stage = "plain"
        try:
            ahead = self._look()
        except Exception:
            self._open(replays[0])
            outcome.stage = "plain"
            raise
        for replay in replays:
            self._study(replay)
        if ahead and outcome.trunks:
            outcome.faults.append("a changed last token moves logits before it, and it is trained all the same")

    def _look(self) -> bool:
        """See what plain transformers makes of the model; return whether it sees ahead."""
        plain = load_plain(Path("model"), self._family.mapping)
        self._rows = {split: [plain_row(plain, *pair) for pair in pairs] for split, pairs in self._texts.items()}
        row = self._rows["validation"][0]
        texts = {answer.text for answer in answers(plain, self._rows["validation"], NEW_TOKENS)}
        if len(texts) < 3:
            self._outcome.notes.append("few distinct answers")
        self._outcome.draws = draws(plain, row)
        return sees_ahead(plain, row)

    def _open(self, replay: bool) -> Trainer:
        """Check a study, show it and load its model."""
        self._outcome.stage = "check"
        file = write_study(replay=replay, tunings=self._tunings)
        self._checked = check(read_study(file), test=False)
        list(overview(self._checked))
        self._outcome.stage = "show"
        with contextlib.suppress(UserError):  # of one tuning; of the model, loading it says the same
            list(tunings_and_prompts(self._checked))
        self._outcome.stage = "load"
        return Trainer(self._checked, Workspace(Path()), self._hear)

    def _study(self, replay: bool) -> None:
        outcome, trainer = self._outcome, self._open(replay)
        before = weights_digest(trainer.setup.loaded.model)
        for cell in self._checked.cells:
            name = cell.tuning.name
            if name not in outcome.refused:
                try:
                    outcome.stage = "load"
                    for caution in trainer.facts([cell]).cautions:
                        self._hear(caution)
                except UserError as error:
                    outcome.refused[name] = str(error)
            if name not in outcome.refused:
                self._run(trainer, cell, f"{name}, {'replay on' if replay else 'replay off'}")
        if weights_digest(trainer.setup.loaded.model) != before:
            outcome.faults.append("the model is another one after its runs")

    def _hear(self, text: str) -> None:
        if text not in self._outcome.notes:
            self._outcome.notes.append(text)

    def _run(self, trainer: Trainer, cell: Cell, what: str) -> None:
        outcome, tuning = self._outcome, cell.tuning
        folder = Path("stored", what.replace(", ", "-").replace(" ", "-"))
        outcome.stage = f"{what}: open"
        with trainer.run(cell, generates=True) as run:
            outcome.stage = f"{what}: steps"
            epochs = list(run.epochs(Hyperparameters({"learning_rate": RATE}), seed=SEED)) if tuning.trains else []
            outcome.stage = f"{what}: score"
            scored = run.score("validation", generate=True)
            outcome.stage = f"{what}: store"
            recipe = recipe_of_run(cell, trainer.setup)
            save_model(folder, trainer.setup.loaded, recipe)
            if tuning.trains and "on" in what.split():
                outcome.trunks[tuning.name] = run.trunk
        outcome.stage = f"{what}: reload"
        generator = Generator(folder)
        outcome.stage = f"{what}: predict"
        said = generator([{"source": source} for source, _ in self._texts["validation"]])
        texts = [prediction.text for prediction in scored.predictions]
        if said != texts:
            outcome.faults.append(
                f"{what}: the stored model says otherwise in {_differing(said, texts)} of {len(said)} rows"
            )
        outcome.stage = f"{what}: compare"
        self._compare(trainer, cell, what, epochs, scored)
        if recipe.store == "full":
            self._reload_plainly(folder, what, scored)

    def _compare(self, trainer: Trainer, cell: Cell, what: str, epochs: Sequence[Any], scored: SplitScores) -> None:
        name, faults = cell.tuning.name, self._outcome.faults
        if name not in self._expected:
            self._expected[name] = self._plainly(trainer, cell)
        steps, nlls, said = self._expected[name]
        draws = self._outcome.draws
        if draws == "always" or (draws and name not in ("none", "head")):
            return
        if steps:
            (epoch,) = epochs
            if (off := _off(epoch.losses, steps.losses)) > CLOSE:
                faults.append(f"{what}: step losses differ by {off:.1e}")
            elif (off := abs(epoch.grad_norm / steps.grad_norm - 1)) > 1e-2:
                faults.append(f"{what}: gradient norms differ by {off:.1%}")
        tokens = [len(row.target) for row in self._rows["validation"]]
        per_token = [nll / count for nll, count in zip(nlls, tokens, strict=True)]
        found = [prediction.nll / prediction.tokens for prediction in scored.predictions]
        if (off := _off(found, per_token)) > CLOSE:
            faults.append(f"{what}: losses on validation differ by {off:.1e}")
        pairs = list(zip([prediction.text for prediction in scored.predictions], said, strict=True))
        if wrong := [answer for text, answer in pairs if text != answer.text and answer.margin > CLOSE]:
            faults.append(f"{what}: {len(wrong)} of {len(pairs)} texts differ")

    def _plainly(self, trainer: Trainer, cell: Cell) -> tuple[PlainSteps | None, list[float], list[Answer]]:
        """Return what the plain recipe makes of a cell."""
        plain, setup, steps = load_plain(Path("model"), self._family.mapping), trainer.setup, None
        if cell.tuning.trains:
            trainable = apply(setup.loaded.model, cell.tuning)
            reset(setup.loaded.model, trainable)
            rows = setup.encoded(cell.prompt, "train").rows
            order = np.random.default_rng([SEED, 1])
            batches = loss_batches(rows, setup.loaded, batch_size=BATCH, order=order)
            chosen = [[self._rows["train"][index] for index in batch.indices] for batch in batches]
            if len(chosen) != 3:
                self._outcome.notes.append(f"{len(chosen)} steps")
            if cell.tuning.blocks:
                self._compare_norms(plain, blocks(setup.loaded.model)[-1].name, trainable.modules)
            steps = train(plain, trainable.modules, chosen, RATE)
        validation = self._rows["validation"]
        return steps, row_nlls(plain, validation), answers(plain, validation, NEW_TOKENS)

    def _compare_norms(self, plain: Plain, block: str, modules: Sequence[str]) -> None:
        """See that the last block trains with the decoder's last norm, and else nothing but vectors."""
        behind = norms_behind(plain, block, self._rows["validation"][0])
        others = [plain.model.get_submodule(name) for name in modules if name != block]
        if set(behind[-1:]) - set(modules) or any(weight.ndim > 1 for part in others for weight in part.parameters()):
            self._outcome.faults.append(
                f"last_blocks trains {', '.join(modules)}; behind {block} come the norms {behind}"
            )

    def _reload_plainly(self, folder: Path, what: str, scored: SplitScores) -> None:
        if self._outcome.draws == "always":
            return
        (nll,) = row_nlls(load_plain(folder, self._family.mapping), self._rows["validation"][:1])
        if abs(nll - scored.predictions[0].nll) > CLOSE * 10:
            self._outcome.faults.append(f"{what}: from_pretrained reads another model from the stored folder")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers, and what it prints, off the screen."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        with Path(os.devnull).open("w") as sink, contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
            yield
    finally:
        logging.set_verbosity(verbosity)


def _off(found: Sequence[float], expected: Sequence[float]) -> float:
    return max(abs(one - other) if one == one else float("inf") for one, other in zip(found, expected, strict=True))


def _differing(one: Sequence[object], other: Sequence[object]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def _told(error: Exception) -> str:
    """Return an error in one line, with the place that it came from."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]} ({Path(frame.filename).name}:{frame.lineno})"
