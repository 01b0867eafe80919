"""One training run: its epochs and its scores, with the replay of the frozen part and the costs that belong to it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import Tensor

from harness.core.example import Prediction, Split
from harness.core.progress import STEP, Step, Tell
from harness.data.choice_rows import counted_in
from harness.data.label_words import calibration_of, is_labelled, uncalibrated
from harness.data.masked_blocks import OneByOne
from harness.data.text_blocks import ids_of
from harness.data.tokenization import PromptForm, Row
from harness.models.apply_tuning import Trainable, restore, snapshot
from harness.models.delta import take_stored, trained_digest
from harness.models.frozen.replay import Trunk
from harness.models.last_block import drops_out
from harness.study.decoding_settings import Decoding
from harness.study.grid import Cell, cell_study
from harness.study.search_space import Hyperparameters, applied
from harness.study.spec import Training
from harness.tracking.memory_names import CHECKPOINTING, FORWARD_BATCH, GENERATION_BATCH, SCORING_BATCH
from harness.training.activation_cache.cache import ActivationCache
from harness.training.activation_cache.replay_of_run import RunReplay, starts_alike
from harness.training.batching import Batch, loss_batches
from harness.training.cell_rows import CellRows
from harness.training.cost_meter.account import Account
from harness.training.cost_meter.prices import Call, noting
from harness.training.criteria import criterion_of
from harness.training.evaluation import Likelihood, SplitScores, joined, likelihoods, mean_loss, predict, score
from harness.training.exploded_loss import refuse_exploded
from harness.training.forward_batch import ForwardBatch
from harness.training.label_predictions import label_predictions
from harness.training.loop import Epoch, Resumed, fit
from harness.training.loss import ForwardPass
from harness.training.precision import scoring
from harness.training.run_state import RunState
from harness.training.setup import TrainingSetup
from harness.training.step_memory import recomputed_blocks
from harness.training.text_predictions import text_predictions
from harness.training.tuning_proofs import recomputing_fault

__all__ = ["TrainingRun"]


class TrainingRun:
    """One run of a cell, from `harness.training.trainer.Trainer.run`."""

    def __init__(
        self,
        setup: TrainingSetup,
        cell: Cell,
        *,
        account: Account,
        cache: ActivationCache | None,
        replay: RunReplay | None,
        trainable: Trainable | None,
        train: CellRows | None = None,
        free: int,
        tell: Tell,
    ) -> None:
        self._setup, self._cell, self._account, self._tell = setup, cell, account, tell
        self._free = free  # bytes that steps and recordings may take
        self._checkpointing: dict[str, str] = {}
        self._sizes = {tag: ForwardBatch() for tag in (FORWARD_BATCH, SCORING_BATCH, GENERATION_BATCH)}
        self._epochs = (0, 0)
        """The one under way, counted from 1, and how many there are; see `harness.core.progress.Step`."""
        self._replay, self._cache, self._trainable = replay, cache, trainable
        self._train = train

    def go_on(self, costs: Mapping[str, float], memory: Mapping[str, str]) -> None:
        """Take over what another process spent on the run, and how it made it fit the memory: `costs`, `memory`."""
        self._account.take_over(costs)
        self._checkpointing = {tag: said for tag, said in memory.items() if tag not in self._sizes}
        for tag, size in self._sizes.items():
            size.most = int(memory[tag]) if tag in memory else None

    def epochs(
        self,
        hyperparameters: Hyperparameters,
        *,
        seed: int,
        resumed: Resumed | None = None,
        offer: Callable[[RunState, bool], None] = lambda state, is_last: None,
    ) -> Generator[Epoch]:
        """Train from the pretrained weights; yield after each epoch with the model as it then stands.

        Args:
            hyperparameters: The learning rate, and what takes the place of the study's own settings.
            seed: Orders the examples and draws dropout.
            resumed: Where another process left the run; left out: it begins.
            offer: Handed the state of the run whenever it can be captured; see `harness.training.loop.fit`.

        Raises:
            Diverged: The loss is no longer finite.
        """
        assert self._trainable is not None
        assert self._replay is not None
        assert self._train is not None
        setup = self._setup
        training = applied(cell_study(setup.study, self._cell), hyperparameters).training
        train, rows = self._train, self._train.rows

        def batches(epoch: int) -> Sequence[Batch]:
            return train.batches(setup.loaded, batch_size=training.batch_size, draw=(seed, epoch))

        trunk = self._replay.losses.get(train.key)
        forward = self._fitted(self._forward(training, trunk), batches(1), rows, training)
        self._enter_opened()
        name, cut = (self._cell.prompt, train.name), self._replay.cut if forward.trunk else 0
        work = self._account.prices.epoch(name, rows, self._cell.tuning, forward, cut)
        rate, tokens = hyperparameters.learning_rate, counted_in(rows)

        def stepped(part: int, step: int, steps: int) -> None:
            self._epochs = part, 0 if training.counts_steps else training.epochs or 0
            self._tell(Step(STEP, step, steps, *self._epochs))

        if forward.criterion and not forward.criterion.by_token:
            self._sizes[FORWARD_BATCH] = ForwardBatch(divides=False)
        epochs = fit(
            forward,
            self._trainable,
            batches=batches,
            spec=training,
            learning_rate=rate,
            seed=seed,
            rows=self._sizes[FORWARD_BATCH],
            tell=stepped,
            resumed=resumed,
            offer=offer,
        )
        with closing(epochs):
            for epoch in epochs:
                part = work.part(epoch.tokens / tokens)
                self._account.trained(part, seconds=epoch.seconds, examples=epoch.examples, tokens=epoch.tokens)
                yield epoch

    def _forward(self, training: Training, trunk: Trunk | None) -> ForwardPass:
        """Return the way to what training minimizes."""
        setup = self._setup
        is_short = setup.forward is not setup.whole_forward and not drops_out(setup.loaded.model)
        forward = setup.forward if is_short else setup.whole_forward
        return replace(forward, trunk=trunk, criterion=criterion_of(training, setup.own_criterion))

    def _fitted(
        self, forward: ForwardPass, batches: Sequence[Batch], rows: Sequence[Row], training: Training
    ) -> ForwardPass:
        """Return a way to the loss that computes blocks again where the study says so, or its steps would not fit."""
        held = self._cache.recordings.in_memory if self._cache else 0
        recomputed, said = recomputed_blocks(forward, batches, training, max(0, self._free - held))
        lighter = replace(forward, recomputed=recomputed)
        tries = bool(recomputed) and training.gradient_checkpointing == "auto"
        if tries and (fault := recomputing_fault(self._setup.loaded, lighter, self._setup.small_rows(rows))):
            lighter, said = forward, f"off: {fault}"
        self._checkpointing = {CHECKPOINTING: said}
        return lighter

    def score(
        self, split: Split, *, generate: bool, prompt: PromptForm | None = None, decoding: Decoding | None = None
    ) -> SplitScores:
        """Score the model as it stands on a split, under the cell's prompt and its way to predict or under others."""
        setup, cell = self._setup, replace(self._cell, prompt=prompt or self._cell.prompt)
        prompt, decoding = cell.prompt, decoding or setup.decoding
        scored, size = setup.rows_of(cell, split), setup.study.training.batch_size
        rows, trunk = scored.rows, self._replay.losses.get(scored.key) if self._replay else None
        reads = generate and not setup.is_text and not is_labelled(prompt) and starts_alike(decoding, setup.decoding)
        replay = self._replay if reads else None
        prefill = replay.of_prompts(scored.key) if replay else None
        start, calls, predictions, prior = time.perf_counter(), Counter[Call](), list[Prediction](), tuple[float, ...]()
        with scoring(setup.loaded.model, setup.whole_forward.precision):
            forward, tell = replace(setup.forward, trunk=trunk), self._at(f"{split} loss")
            batches = loss_batches(rows, setup.loaded, batch_size=size)
            if is_labelled(prompt):
                found, prior = label_predictions(forward, batches, setup, cell, self._sizes[SCORING_BATCH], tell)
                predictions, nlls = found if generate else [], [Likelihood(one.nll, one.tokens) for one in found]
            else:
                nlls = likelihoods(forward, batches, size=self._sizes[SCORING_BATCH], tell=tell)
                nlls = joined(nlls, rows.counts) if isinstance(rows, OneByOne) else nlls
            answering = time.perf_counter()
            if generate and not predictions:
                with noting(setup.loaded.model, calls):
                    predictions = self._predictions((prompt, split, decoding), rows, nlls, prefill)
        scores = score(predictions, setup.examples(split), setup.metrics) if generate else {"loss": mean_loss(nlls)}
        ended = time.perf_counter()
        seconds = ended - start, ended - answering if generate else 0.0
        self._enter_opened()
        prices, cut = self._account.prices, self._replay.cut if self._replay else 0
        loss = prices.scoring((prompt, scored.name), rows, cut if trunk else 0)
        if prior:
            loss = loss.plus(prices.scoring((prompt, "content-free"), setup.content_free(cell), 0))
        generation = prices.generation(calls, cut if prefill else 0, beams=decoding.num_beams)
        self._account.scored(split, seconds[0], loss, generation)
        return SplitScores(scores, predictions, *seconds, tuple(map(math.exp, prior)))

    def _predictions(
        self,
        part: tuple[PromptForm, Split, Decoding],
        rows: Sequence[Row],
        nlls: Sequence[Likelihood],
        trunk: Trunk | None,
    ) -> list[Prediction]:
        """Return each row's prediction; of blocks of text, whose likelihood is scored, few on test are continued."""
        prompt, split, decoding = part
        setup, ends = self._setup, prompt.ends(self._setup.loaded)
        size, tell = self._sizes[GENERATION_BATCH], self._at(f"{split} answers")
        answered = partial(predict, setup.loaded, decoding=decoding, ends=ends, size=size, tell=tell)
        if not setup.is_text:
            return answered(rows, nlls, trunk=trunk)
        continues = split == "test" and not setup.loaded.is_masked
        return text_predictions(ids_of(setup.examples(split)), rows, nlls, answered if continues else None)

    def _at(self, stage: str) -> Callable[[int, int], None]:
        """Return who is told how much of a stage of the present epoch is done."""
        return lambda done, of: self._tell(Step(stage, done, of, *self._epochs))

    def refuse_exploded(self, loss: float, step: int) -> None:
        """See that a loss on validation, after a step, is one of a model that works; `Diverged` where it is not."""
        guessing = math.log(len(next(self._setup.loaded.model.get_input_embeddings().parameters())))
        own = self._own_loss if calibration_of(self._cell.prompt) else lambda: loss
        untrained = partial(self._untrained_loss, self._trainable) if self._trainable else None
        refuse_exploded(loss, step, guessing=guessing, own=own, untrained=untrained)

    def _untrained_loss(self, trainable: Trainable) -> float:
        """Return the validation loss that the run began with."""
        trained = self.snapshot()
        self.restore(trainable.pristine.values)
        try:
            return self._own_loss()
        finally:
            self.restore(trained)

    def _own_loss(self) -> float:
        """Return the validation loss as the model stands, by its own probabilities."""
        return self.score("validation", generate=False, prompt=uncalibrated(self._cell.prompt)).scores["loss"]

    def snapshot(self) -> Mapping[str, Tensor]:
        """Return copies of the tensors that train, as they stand."""
        return snapshot(self._setup.loaded.model)

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Put tensors from `snapshot` back; an empty mapping changes nothing."""
        restore(self._setup.loaded.model, weights)

    def take_stored(self, folder: Path, digest: str) -> bool:
        """Take the weights of a stored model instead of training; return whether it holds those of a digest."""
        assert self._trainable is not None
        return take_stored(folder, self._setup.loaded.model, self._trainable, digest)

    def weights_digest(self) -> str:
        """Return the digest of the tensors that train, as they stand."""
        return trained_digest(self._setup.loaded, self._cell.tuning)

    def count_anew(self) -> None:
        """Count what the run costs from now on by itself."""
        self._account = self._account.another()

    def costs(self) -> dict[str, float]:
        """Return what the run has cost so far, or since it was counted anew, by the names of metrics."""
        return self._account.metrics()

    @property
    def memory(self) -> dict[str, str]:
        """How the run was made to fit the memory, as tags."""
        halved = {tag: str(size.most) for tag, size in self._sizes.items() if size.most}
        return {**self._checkpointing, **halved}

    @property
    def trunk(self) -> str:
        """How the run computed its frozen part, for its tags."""
        return self._replay.tag if self._replay else "live: nothing trains"

    @property
    def is_replayed(self) -> bool:
        """Whether the frozen part was replayed."""
        return self._replay is not None and self._replay.live is None

    def _enter_opened(self) -> None:
        """Take note of what opening the recordings took."""
        if self._cache:
            self._account.opened(*self._cache.opened())
