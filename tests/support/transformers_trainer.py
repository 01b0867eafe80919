"""``transformers.Trainer`` on our batches, as an oracle: the loss of each of its optimizer steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, Trainer, TrainingArguments

from harness.models.load import Loaded
from harness.study.spec import Training
from harness.training.batching import Batch
from harness.training.loop import SCHEDULES


class _Recorder(Trainer):
    """A Trainer that reads ready batches in their order and keeps the loss of every pass."""

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        self.seen.append(loss.item())
        return loss


def losses_seen(
    model: PreTrainedModel,
    ready: Sequence[Mapping[str, torch.Tensor]],
    folder: Path,
    *,
    compute_loss_func: Callable[..., torch.Tensor] | None = None,
    **settings: Any,
) -> list[float]:
    """Return the Trainer's loss of every pass over ready batches in their order; the model is trained.

    Args:
        model: Its flags say what trains.
        ready: Batches, as the model takes them.
        folder: For what the Trainer writes.
        compute_loss_func: In place of the model's own loss.
        settings: Further ``TrainingArguments``.
    """
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=1,
        train_sampling_strategy="sequential",
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        report_to="none",
        **settings,
    )
    with torch.random.fork_rng(devices=[]):
        trainer = _Recorder(
            model,
            arguments,
            train_dataset=ready,
            data_collator=lambda items: items[0],
            compute_loss_func=compute_loss_func,
        )
        trainer.seen = []
        trainer.train()
    return list(trainer.seen)


def _token_mean(outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor) -> torch.Tensor:
    """The loss that Trainer gives causal models, for encoder-decoders, to which it does not under accumulation."""
    logits = outputs.logits.flatten(0, 1)
    return torch.nn.functional.cross_entropy(logits, labels.flatten(), reduction="sum") / num_items_in_batch


def trainer_losses(
    loaded: Loaded, spec: Training, batches: Sequence[Batch], *, rate: float, folder: Path
) -> list[float]:
    """Return the Trainer's loss of every optimizer step; the loaded model is trained, as far as its flags allow."""
    ready = []
    normalize = loaded.is_encoder_decoder and spec.accumulation > 1
    for batch in batches:  # given a loss function, the Trainer hides the labels from the model
        shifted = loaded.model.prepare_decoder_input_ids_from_labels if normalize else None
        ready.append(batch.inputs | ({"decoder_input_ids": shifted(batch.inputs["labels"])} if shifted else {}))
    seen = losses_seen(
        loaded.model,
        ready,
        folder,
        compute_loss_func=_token_mean if normalize else None,
        gradient_accumulation_steps=spec.accumulation,
        num_train_epochs=spec.epochs,
        learning_rate=rate,
        lr_scheduler_type=SCHEDULES[spec.schedule],
        warmup_steps=spec.warmup,
        weight_decay=spec.weight_decay,
        max_grad_norm=spec.clip or 0.0,
    )
    passes, steps = iter(seen), []
    for _ in range(spec.epochs):
        sizes = [len(batches[i : i + spec.accumulation]) for i in range(0, len(batches), spec.accumulation)]
        steps += [sum(next(passes) for _ in range(size)) for size in sizes]
    return steps
