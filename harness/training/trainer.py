"""The trainer of a study: one training run at a time, from the pretrained weights and back to them."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch

from harness.core.example import digest
from harness.core.progress import Step, Tell
from harness.core.workspace import HERE, Workspace
from harness.data.demonstrations import shots_of
from harness.data.label_words import is_labelled
from harness.data.masked_blocks import MaskedBlocks
from harness.data.tokenization import PromptForm
from harness.models.apply_tuning import apply, first_block, reset
from harness.models.classification_head import begin_head
from harness.models.content_digests import (
    architecture_digest,
    chat_template_digest,
    generation_digest,
    tokenizer_digest,
)
from harness.models.held_weights import saved_bytes
from harness.study.checked_study import Checked
from harness.study.grid import Cell, sized_by
from harness.study.recount import recount
from harness.training.activation_cache.cache import ActivationCache
from harness.training.activation_cache.memory import recordings
from harness.training.activation_cache.replay_of_run import RunReplay
from harness.training.adapter_start import adapter_start
from harness.training.cost_meter.account import Account
from harness.training.cost_meter.energy import energy_counters
from harness.training.cost_meter.prices import Prices
from harness.training.model_facts import ModelFacts
from harness.training.setup import TrainingSetup
from harness.training.step_memory import free_memory
from harness.training.training_run import TrainingRun
from harness.training.tuning_proofs import refuse_untrainable, refuse_written_over

__all__ = ["ModelFacts", "Trainer"]

DRAWN = "training hides other tokens in every epoch"
"""Why its frozen part is computed in every step."""


class Trainer:
    """Runs the cells of a study, one after the other.

    Args:
        checked: The study.
        workspace: Where recordings are kept.
        say: Told what takes time or does not work.
        share: How many processes divide the memory of the device between them.
    """

    def __init__(
        self,
        checked: Checked,
        workspace: Workspace = HERE,
        say: Callable[[str], None] = lambda text: None,
        *,
        share: int = 1,
    ) -> None:
        self.setup = TrainingSetup(checked, say)
        """The study's model and data."""
        study, loaded = checked.study, self.setup.loaded
        training, engine = study.training, study.engine
        self._cache: ActivationCache | None = None
        live = "rows are computed one at a time" if self.setup.whole_forward.alone else "engine.replay is off"
        if engine.replay and not self.setup.whole_forward.alone:
            memory = recordings(
                workspace.recordings, memory_mib=engine.memory_mib, disk_mib=engine.disk_mib, share=share
            )
            self._cache = ActivationCache(loaded, memory, training.batch_size, training.precision, say)
        cuts = [cut for tuning in study.tuning if (cut := first_block(loaded.model, tuning)) is not None]
        self._replay = RunReplay(self._cache or live, cuts, self.setup.decoding, say)
        self._generates = checked.objective != "loss"
        self._prices = Prices(loaded, self.setup.forward, self.setup.decoding.max_new_tokens)
        self._counters = energy_counters(loaded.model.device)
        self._checked = checked
        self._free = free_memory(loaded.model.device) // share
        """Bytes, with the model loaded and nothing done; what a run frees need not show as free afterwards."""

    @property
    def recorded(self) -> Mapping[str, int]:
        """Bytes of the recordings that were made or found, by key."""
        return self._cache.recordings.sizes if self._cache else {}

    @contextmanager
    def run(
        self, cell: Cell, *, seed: int = 0, generates: bool = False, tell: Tell = lambda step: None
    ) -> Iterator[TrainingRun]:
        """Open one run of a cell: to train it, if it trains, and to score it; its replay and its costs begin here.

        However the block ends, the model is the pretrained one afterwards.

        Args:
            cell: What trains, on which prompt.
            seed: Draws the first weights of an adapter, and of a classification head.
            generates: Whether it is known by now that validation prompts will be answered.
            tell: Told how far it is.
        """
        account, setup = Account(self._prices, self._counters, self.peak_memory), self.setup
        opened = partial(TrainingRun, setup, cell, account=account, cache=self._cache, free=self._free, tell=tell)
        if not cell.tuning.trains:
            yield opened(replay=None, trainable=None)
            return
        tell(Step("preparing rows and the frozen part"))
        trainable = apply(setup.loaded.model, cell.tuning, adapter_start(cell, setup.loaded, seed))
        begin_head(setup.loaded.model, setup.loaded.drawn, seed)
        try:
            train, validation = setup.rows_of(cell, "train"), setup.rows_of(cell, "validation")
            train = train if self._replay.cuts_rows() else train.apart()
            # What hides other tokens in every epoch is other rows.
            drawn = DRAWN if isinstance(train.rows, MaskedBlocks) else ""
            rows = {one.key: one.together for one in ((validation,) if drawn else (train, validation))}
            writes = not setup.is_text and not is_labelled(cell.prompt)
            predicted = [validation.key] if (generates or self._generates) and writes else []
            self._replay.open(cell.id, trainable, rows, predicted=predicted, but=drawn)
            yield opened(replay=self._replay, trainable=trainable, train=train)
        finally:
            self._replay.close()
            reset(setup.loaded.model, trainable)

    def facts(self, cells: Sequence[Cell]) -> ModelFacts:
        """Return what the records of a study say of its model, whose tokenizer counts all rows.

        Raises:
            UserError: They do not fit the model.
        """
        loaded = self.setup.loaded
        self.prove(cells)
        fits, cautions = recount(
            self._checked, loaded, self.setup.metrics, self.setup.encoded, self.setup.demonstrations
        )
        return ModelFacts(
            weights=loaded.digest,
            architecture=architecture_digest(loaded.model),
            tokenizer=digest(loaded.tokenizer.get_vocab()),
            tokenization=tokenizer_digest(loaded.tokenizer),
            generation=generation_digest(loaded.model),
            commit=loaded.commit,
            limits=self.setup.limits,
            decoding=self.setup.decoding,
            parameters={cell.id: self.parameters(cell) for cell in cells},
            growth={cell.id: growth for cell in cells if (growth := self.growth(cell))},
            energy=tuple(counter.name for counter in self._counters),
            fits=fits,
            cautions=cautions,
            chat_template=chat_template_digest(loaded.tokenizer),
            filled={prompt.name: self._filled(prompt) for prompt in self._checked.prompts if shots_of(prompt)},
        )

    def _filled(self, prompt: PromptForm) -> str:
        """Return a prompt as the first validation row fills it in, with the demonstrations that fit."""
        example, row = self.setup.examples("validation")[0], self.setup.encoded(prompt, "validation").rows[0]
        shots = self.setup.demonstrations.picked(prompt, example)
        return prompt.render(example.fields, shots[len(shots) - row.shots :])

    def prove(self, cells: Sequence[Cell]) -> None:
        """See that what cells train can be trained, and stored as the study says.

        Raises:
            ModelError: It cannot.
        """
        tunings = list(dict.fromkeys(cell.tuning for cell in cells if cell.tuning.trains))
        setup, final = self.setup, self._checked.study.final
        rows = setup.small_rows(setup.encoded(self._checked.prompts[0], "validation").rows)
        for tuning in tunings:
            recomputes = self._checked.study.training.gradient_checkpointing is True
            refuse_untrainable(setup.loaded, setup.whole_forward, rows, tuning, recomputes=recomputes)
        if final.store == "full" and final.models != "none" and final.seeds:
            refuse_written_over(setup.loaded, tunings)

    def parameters(self, cell: Cell) -> tuple[int, int]:
        """Return how many parameters a cell trains, and how many there are."""
        model = self.setup.loaded.model
        trainable = apply(model, cell.tuning)
        counts = trainable.trainable, trainable.total
        reset(model, trainable)
        return counts

    def growth(self, cell: Cell) -> int:
        """Return how many more parameters an adapter has for each one more of its size; 0 where none is searched."""
        if sized_by(self._checked.study, cell) is None:
            return 0
        form = cell.tuning.adapter
        assert form is not None
        larger = cell.tuning.with_options({form.leading: int(cell.tuning.leading or 0) + 1})
        return self.parameters(replace(cell, tuning=larger))[0] - self.parameters(cell)[0]

    def saved_memory(self, cell: Cell) -> int:
        """Return the bytes that weights which a cell does not train take less than in float32."""
        model = self.setup.loaded.model
        trainable = apply(model, cell.tuning)
        saved = saved_bytes(model, trainable.names)
        reset(model, trainable)
        return saved

    def peak_memory(self) -> float:
        """Return the most memory used so far, in MiB: the GPU's, else this process's."""
        if torch.cuda.is_available() and self.setup.loaded.model.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
