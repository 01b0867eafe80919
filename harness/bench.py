"""The model on its device and every split encoded once per prompt: where one training run happens.

A bench holds the training and validation splits alone until `Bench.open_test` is called, so a search cannot reach
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

from harness.cells import Cell
from harness.check import Checked
from harness.costs.account import Account, Priced, Rates, energy_counters
from harness.costs.prices import Call, Prices, noting
from harness.encoding import Encoded, Row, encode
from harness.engine.batching import Batch, loss_batches
from harness.engine.evaluation import Decoding, likelihoods, mean_loss, predict, prompts_of, score
from harness.engine.likelihood import ForwardPass
from harness.engine.precision import scoring
from harness.engine.recordings import recordings
from harness.engine.training import Epoch, device, fit
from harness.engine.trunks import Trunks
from harness.errors import Diverged
from harness.evaluate_metric import resolve
from harness.example import Example, Prediction, Split
from harness.metrics.base import Metric
from harness.models.load import load
from harness.models.narrow import drops_out, late_block, narrowable
from harness.models.trunk import Trunk, first_block, first_trained, refusal
from harness.models.tuning import Trainable, apply, reset
from harness.settings import model_location, new_tokens, stop_texts, token_limits
from harness.template import Template

__all__ = ["Bench", "Scored", "finite", "losses"]


class Scored(NamedTuple):
    """One split, scored."""

    scores: dict[str, float]
    """``loss`` and, where predictions were made, every metric of the task."""
    predictions: list[Prediction]
    """Empty where none were made."""
    seconds: float


class Bench:
    """A study's model and data, ready to train.

    Args:
        checked: The study.
        say: Told what takes time or does not work.
    """

    def __init__(self, checked: Checked, say: Callable[[str], None] = lambda text: None) -> None:
        spec, study, task = checked.study.model, checked.study, checked.task
        self.study = study
        self._say, self._said = say, set[str]()
        self.metrics: list[Metric] = [resolve(m) if isinstance(m, str) else m for m in checked.metrics]
        self.loaded = load(
            model_location(spec.name),
            revision=spec.revision,
            dtype=spec.dtype,
            trust_remote_code=spec.trust_remote_code,
            allow_pickle=spec.allow_pickle,
        )
        torch.nn.Module.to(self.loaded.model, device(study.training.device))
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
            Trunks(self.loaded, recordings(study.engine), training.batch_size, training.precision, say)
            if study.engine.replay
            else None
        )
        self._narrow, self._late = narrowable(model), late_block(model)
        self._cuts = [cut for tuning in study.tuning if (cut := first_block(model, tuning)) is not None]
        self._forward = ForwardPass(model, precision=training.precision)
        self._generates = checked.objective != "loss" and study.generation.num_beams == 1
        self._replayed: dict[tuple[Template, str], Trunk] = {}
        self._prefilled: dict[tuple[Template, str], Trunk] = {}
        self._cut = 0
        prices = Prices(self.loaded, self.forward, self.decoding.max_new_tokens)
        self._rates = Rates(prices, energy_counters(model.device))
        self._account: Account | None = None
        self.live: str | None = None
        """Why the last training run computed its frozen part again in every step, if it did."""

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
        start, rows, size = time.perf_counter(), self.encoded(prompt, split).rows, self.study.training.batch_size
        predictions: list[Prediction] = []
        calls = Counter[Call]()
        forward = replace(self.forward, trunk=self._replayed.get((prompt, split)))
        with scoring(self.loaded.model, self._forward.precision):
            surprise = likelihoods(forward, loss_batches(rows, self.loaded, batch_size=size))
            if generate:
                start_of = self._prefilled.get((prompt, split))
                with noting(self.loaded.model, calls):
                    predictions = predict(self.loaded, rows, surprise, decoding=self.decoding, trunk=start_of)
        scores = score(predictions, self._examples[split], self.metrics) if generate else {"loss": mean_loss(surprise)}
        scored = Scored(scores, predictions, time.perf_counter() - start)
        if self._account:
            key, rates = (prompt, split), self._rates
            loss = rates.losses(key, rows, self._cut if key in self._replayed else 0)
            cut = self._cut if key in self._prefilled else 0
            self._account.scored(
                split, scored.seconds, loss, rates.generation(calls, cut, beams=self.decoding.num_beams)
            )
        return scored

    def train(self, cell: Cell, *, learning_rate: float, seed: int) -> Generator[Epoch]:
        """Train one cell from the pretrained weights; yield after each epoch with the model as it then stands.

        However the iteration ends, the model is the pretrained one afterwards.

        Args:
            cell: What trains, on which prompt.
            learning_rate: The schedule's peak.
            seed: Orders the examples and draws dropout.

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
            self._open_trunks(cell, trainable)
            trunk = self._replayed.get((cell.prompt, "train"))
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
            self._close_trunks()
            reset(model, trainable)

    def _open_trunks(self, cell: Cell, trainable: Trainable) -> None:
        """Replay the frozen part from here on, unless it must run live."""
        cut, trunks = first_trained(self.loaded.model), self._trunks
        self._cut = cut
        self.live = "engine.replay is off" if trunks is None else refusal(self.loaded.model, trainable)
        if trunks is None or self.live is not None:
            return
        for split in ("train", "validation"):
            found = trunks.open(self.encoded(cell.prompt, split).rows, cut, cuts=self._cuts)
            if isinstance(found, str):
                self._close_trunks()
                self.live = found
                self._say_once(f"{cell.id}: the frozen part is computed in every step: {found}")
                return
            self._replayed[cell.prompt, split] = found
        if self._generates:
            rows = self.encoded(cell.prompt, "validation").rows
            prompts = prompts_of(rows, self.loaded, self.decoding)
            start_of = trunks.open_prefill(rows, prompts, cut, cuts=self._cuts)
            if isinstance(start_of, str):
                self._say_once(f"{cell.id}: prompts are read whole in every trial: {start_of}")
            else:
                self._prefilled[cell.prompt, "validation"] = start_of

    def _priced(self, cell: Cell, rows: Sequence[Row], forward: ForwardPass) -> Priced | None:
        """Enter what opening the trunks took; return what an epoch takes."""
        opened = self._trunks.opened() if self._trunks else None
        if not self._account:
            return None
        if opened:
            self._account.opened(*opened)
        cut = self._cut if forward.trunk else 0
        return self._rates.epoch((cell.prompt, "train"), rows, cell.tuning, forward, cut)

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)

    def _close_trunks(self) -> None:
        self._replayed, self._prefilled = {}, {}
        if self._trunks is not None:
            self._trunks.close()

    @property
    def trunk(self) -> str:
        """How the last training run computed its frozen part, for its tags."""
        return "replayed" if self.live is None else f"live: {self.live}"

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
