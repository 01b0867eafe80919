"""The model on its device and every split encoded once per prompt: where one training run happens.

A trainer holds the training and validation splits alone until `Trainer.open_test` is called, so a search cannot reach
the test split.
"""

from __future__ import annotations

import math
import resource
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from harness.core.errors import Diverged
from harness.core.example import Example, Prediction, Split
from harness.data.template import Template
from harness.data.tokenization import Encoded, Row, encode
from harness.metrics.base import Metric
from harness.metrics.evaluate_hub import resolve
from harness.models.frozen.replay import first_block
from harness.models.hooks import eval_mode
from harness.models.last_block.label_positions import drops_out, late_block, narrowable
from harness.models.load import load
from harness.models.tuning import apply, reset
from harness.study.check import Checked
from harness.study.grid import Cell
from harness.study.settings import model_location, new_tokens, stop_texts, token_limits
from harness.training.activation_cache.cache import ActivationCache
from harness.training.activation_cache.memory import recordings
from harness.training.activation_cache.replay_of_run import RunReplay
from harness.training.batching import Batch, loss_batches
from harness.training.cost_meter.account import Account, Priced, Rates, energy_counters
from harness.training.cost_meter.prices import Call, Prices, noting
from harness.training.evaluation import Decoding, likelihoods, mean_loss, predict, score
from harness.training.fast_matmul import install
from harness.training.loop import Epoch, device, fit
from harness.training.loss import ForwardPass
from harness.training.malloc_settings import keep_freed
from harness.training.precision import scoring

__all__ = ["Scored", "Trainer", "finite", "losses"]


class Scored(NamedTuple):
    """One split, scored."""

    scores: dict[str, float]
    """``loss`` and, where predictions were made, every metric of the task."""
    predictions: list[Prediction]
    """Empty where none were made."""
    seconds: float


class Trainer:
    """A study's model and data, ready to train.

    Args:
        checked: The study.
        say: Told what takes time or does not work.
    """

    def __init__(self, checked: Checked, say: Callable[[str], None] = lambda text: None) -> None:
        spec, study, task = checked.study.model, checked.study, checked.task
        self.study, self._say = study, say
        self.metrics: list[Metric] = [resolve(m) if isinstance(m, str) else m for m in checked.metrics]
        keep_freed()
        self.loaded = load(
            model_location(spec.name),
            revision=spec.revision,
            dtype=spec.dtype,
            trust_remote_code=spec.trust_remote_code,
            allow_pickle=spec.allow_pickle,
        )
        torch.nn.Module.to(self.loaded.model, device(study.training.device))
        if study.training.precision == "fp32":
            install(self.loaded.model)
        self.limits = token_limits(study, task)
        self.decoding = Decoding(
            max_new_tokens=new_tokens(study, task),
            num_beams=study.generation.num_beams,
            stop=stop_texts(study, task, is_encoder_decoder=self.loaded.is_encoder_decoder),
            batch_size=study.generation.batch_size,
        )
        self._examples: dict[Split, list[Example]] = dict(checked.examples)
        self._encoded: dict[tuple[Template, Split], Encoded] = {}
        training, model = study.training, self.loaded.model
        self._trunks = (
            ActivationCache(self.loaded, recordings(study.engine), training.batch_size, training.precision, say)
            if study.engine.replay
            else None
        )
        cuts = [cut for tuning in study.tuning if (cut := first_block(model, tuning)) is not None]
        self.replays, self._generates = RunReplay(self._trunks, cuts, say), checked.objective != "loss"
        self._narrow, self._late = narrowable(model), late_block(model)
        self._forward = ForwardPass(model, precision=training.precision)
        self._prove(self.encoded(checked.prompts[0], "validation").rows)
        prices = Prices(self.loaded, self.forward, self.decoding.max_new_tokens)
        self._rates = Rates(prices, energy_counters(model.device))
        self._account: Account | None = None

    def open_account(self) -> Account:
        """Return what training and scoring are entered in from now on: the costs of one run."""
        self._account = Account(self._rates, self.peak_memory)
        return self._account

    @property
    def energy(self) -> tuple[str, ...]:
        """The counters that energy is read from; none where one of them cannot be read."""
        return tuple(counter.name for counter in self._rates.counters)

    @property
    def recorded(self) -> int:
        """Bytes of the recordings that were made or found."""
        return self._trunks.recordings.used if self._trunks else 0

    def open_test(self, examples: Sequence[Example]) -> None:
        """Hand the test split in; done once, when the searches are over."""
        self._examples["test"] = list(examples)

    def examples(self, split: Split) -> list[Example]:
        """Return a split's examples."""
        return self._examples[split]

    def encoded(self, prompt: Template, split: Split) -> Encoded:
        """Return a split in token ids, as one prompt has it."""
        key = (prompt, split)
        if key not in self._encoded:
            self._encoded[key] = encode(
                self._examples[split], prompt, self.loaded, limits=self.limits, drop_long_targets=split == "train"
            )
        return self._encoded[key]

    @property
    def forward(self) -> ForwardPass:
        """The model's way to its loss as it stands, for any rows: nothing is replayed."""
        return replace(self._forward, narrow=self._narrow, late=self._late)

    def score(self, prompt: Template, split: Split, *, generate: bool) -> Scored:
        """Score the model as it stands on a split."""
        rows, size = self.encoded(prompt, split).rows, self.study.training.batch_size
        trunk = self.replays.of_losses(rows)
        start_of = self.replays.of_prompts(rows, self.decoding) if generate else None
        start, calls, predictions = time.perf_counter(), Counter[Call](), list[Prediction]()
        with scoring(self.loaded.model, self._forward.precision):
            forward = replace(self.forward, trunk=trunk)
            nlls = likelihoods(forward, loss_batches(rows, self.loaded, batch_size=size))
            if generate:
                with noting(self.loaded.model, calls):
                    predictions = predict(self.loaded, rows, nlls, decoding=self.decoding, trunk=start_of)
        scores = score(predictions, self._examples[split], self.metrics) if generate else {"loss": mean_loss(nlls)}
        scored = Scored(scores, predictions, time.perf_counter() - start)
        if self._account:
            self._enter_opened()
            rates, cut = self._rates, self.replays.cut
            loss = rates.losses((prompt, split), rows, cut if trunk else 0)
            generation = rates.generation(calls, cut if start_of else 0, beams=self.decoding.num_beams)
            self._account.scored(split, scored.seconds, loss, generation)
        return scored

    def train(self, cell: Cell, *, learning_rate: float, seed: int, generates: bool = False) -> Generator[Epoch]:
        """Train one cell from the pretrained weights; yield after each epoch with the model as it then stands.

        However the iteration ends, the model is the pretrained one afterwards.

        Args:
            cell: What trains, on which prompt.
            learning_rate: The schedule's peak.
            seed: Orders the examples and draws dropout.
            generates: Whether it is known by now that validation prompts will be answered.

        Raises:
            Diverged: The loss is no longer finite.
        """
        rows = self.encoded(cell.prompt, "train").rows

        def batches(epoch: int) -> list[Batch]:
            order = np.random.default_rng([seed, epoch])
            return loss_batches(rows, self.loaded, batch_size=self.study.training.batch_size, order=order)

        model = self.loaded.model
        trainable = apply(model, cell.tuning)
        try:
            validation = self.encoded(cell.prompt, "validation").rows
            prompts = self.decoding if generates or self._generates else None
            self.replays.open(cell.id, trainable, rows, validation, prompts)
            trunk = self.replays.of_losses(rows)
            forward = replace(self._forward if drops_out(model) else self.forward, trunk=trunk)
            work = self._priced(cell, rows, forward)
            epochs = fit(
                forward,
                trainable,
                batches=batches,
                spec=self.study.training,
                learning_rate=learning_rate,
                seed=seed,
            )
            with closing(epochs):
                for epoch in epochs:
                    if self._account and work:
                        sizes = {"examples": epoch.examples, "tokens": epoch.tokens}
                        self._account.trained(work, seconds=epoch.seconds, **sizes)
                    yield epoch
        finally:
            self.replays.close()
            reset(model, trainable)

    def _prove(self, rows: Sequence[Row]) -> None:
        """Compare losses of the longest rows with parts of the last block left out and without."""
        whole = self._forward
        batches = loss_batches(rows, self.loaded, batch_size=self.study.training.batch_size)
        longest = max(batches, key=lambda batch: batch.inputs["input_ids"].size(1)).to(whole.model.device)
        with torch.no_grad(), eval_mode(whole.model):
            live, short = whole.token_nlls(longest), self.forward.token_nlls(longest)
        low = whole.precision == "bf16" or whole.model.dtype.itemsize < 4
        if not (short - live).abs().max() <= (2e-2 if low else 1e-5) * live.abs().max():  # false for nan
            self._narrow, self._late = (), None
            self._say("the last block is computed at all positions: its losses on these rows were others without")

    def _priced(self, cell: Cell, rows: Sequence[Row], forward: ForwardPass) -> Priced | None:
        """Enter what opening the trunks took; return what an epoch takes."""
        self._enter_opened()
        if not self._account:
            return None
        cut = self.replays.cut if forward.trunk else 0
        return self._rates.epoch((cell.prompt, "train"), rows, cell.tuning, forward, cut)

    def _enter_opened(self) -> None:
        opened = self._trunks.opened() if self._trunks else None
        if self._account and opened:
            self._account.opened(*opened)

    @property
    def trunk(self) -> str:
        """How the last training run computed its frozen part, for its tags."""
        return self.replays.tag

    def parameters(self, cell: Cell) -> tuple[int, int]:
        """Return how many parameters a cell trains, and how many there are."""
        trainable = apply(self.loaded.model, cell.tuning)
        counts = trainable.trainable, trainable.total
        reset(self.loaded.model, trainable)
        return counts

    def peak_memory(self) -> float:
        """Return the most memory used so far, in MiB: the GPU's, else this process's."""
        if torch.cuda.is_available() and self.loaded.model.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def losses(epoch: Epoch, validation: float) -> dict[str, float]:
    """Return an epoch's train loss and its gap to the validation loss after it, in nats a token, as metrics.

    The train loss is a mean over the epoch, while the weights move: early on the gap is negative. What tells that a
    model overfits is its growth.
    """
    return {"train/loss": epoch.train_loss, "train/gap": validation - epoch.train_loss}


def finite(value: float, epoch: Epoch) -> float:
    """Return a validation value if it is a number.

    Raises:
        Diverged: It is not.
    """
    if not math.isfinite(value):
        raise Diverged(value, len(epoch.losses) * epoch.epoch)
    return value
