"""The rival: the same searches through ``transformers.Trainer.hyperparameter_search`` with its Optuna backend.

A process of its own, started by ``bench_study_speed.py`` in the study's folder: it reads ``rival.json`` and writes
``rival_found.json``. Its model, optimizer, loop, evaluation and loss are the Trainer's; from the harness it takes only
which tensors train and the order of the rows, so that losses can be compared. Two things favor it: a trial's weights
are restored in memory, and its trials are kept there alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from torch.utils.data import DataLoader, Sampler
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
    default_data_collator,
)

from harness.models.apply_tuning import Trainable, apply, reset, restore
from harness.study.axes import Tuning, tuning_of

IGNORED = -100


class HarnessOrder(Sampler[int]):
    """The harness's order of rows of one length; see `harness.training.batching.loss_batches`."""

    def __init__(self, rows: int, batch_size: int) -> None:
        self._rows, self._size, self._epoch = rows, batch_size, 0

    def set_epoch(self, epoch: int) -> None:
        """Hear which epoch comes, counted from 0."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng([0, self._epoch + 1])
        members = order.permutation(self._rows).tolist()
        chunks = [members[start : start + self._size] for start in range(0, self._rows, self._size)]
        for index in order.permutation(len(chunks)):
            yield from chunks[index]

    def __len__(self) -> int:
        return self._rows


class OrderedTrainer(Trainer):
    """The Trainer with the harness's order of rows."""

    def get_train_dataloader(self) -> Any:
        size = self.args.per_device_train_batch_size
        rows = self.train_dataset
        loader = DataLoader(rows, size, sampler=HarnessOrder(len(rows), size), collate_fn=self.data_collator)
        return self.accelerator.prepare(loader)


def main() -> None:
    request = json.loads(Path("rival.json").read_text())
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    model = AutoModelForCausalLM.from_pretrained("model", dtype="float32")
    blocks = request.get("blocks")
    data = blocks_of(**blocks) if blocks else {split: read(split) for split in ("train", "validation")}
    found = {}
    for name, rates in request["rates"].items():
        trainable = apply(model, tuning(name))
        found[name] = search(model, trainable, data, rates=rates, request=request)
        reset(model, trainable)
    Path("rival_found.json").write_text(json.dumps(found))


def tuning(name: str) -> Tuning:
    """Return the tuning that a cell's name stands for, such as ``last_blocks-2`` or ``lora-8-last-2``."""
    kind, _, blocks = name.partition("-")
    if kind == "lora":
        return Tuning.model_validate(tuning_of({"lora": {"blocks": blocks.partition("-")[2]}}))
    return Tuning.model_validate({"kind": kind, "blocks": int(blocks) if blocks else None})


def read(split: str) -> list[dict[str, list[int]]]:
    """Return a split's rows, all of one length, with labels on the target and the end token alone."""
    tokenizer = AutoTokenizer.from_pretrained("model")
    rows = []
    for line in Path("data", f"{split}.jsonl").read_text().splitlines():
        example = json.loads(line)
        prompt = tokenizer(example["source"])["input_ids"]
        target = [*tokenizer(example["target"])["input_ids"], tokenizer.eos_token_id]
        row = {"input_ids": prompt + target, "labels": [IGNORED] * len(prompt) + target}
        rows.append({**row, "attention_mask": [1] * len(row["labels"])})
    return rows


def blocks_of(tokens: int, held_out: list[int]) -> dict[str, list[dict[str, list[int]]]]:
    """Return the blocks of train.txt that train and that validate: the last ones are held out, each all labels."""
    ids = AutoTokenizer.from_pretrained("model")(Path("train.txt").read_text(), verbose=False)["input_ids"]
    starts = range(0, len(ids) - tokens + 1, tokens)
    rows = [dict.fromkeys(("input_ids", "labels"), ids[start : start + tokens]) for start in starts]
    end = len(rows) - held_out[1]
    return {"train": rows[: end - held_out[0]], "validation": rows[end - held_out[0] : end]}


def search(
    model: PreTrainedModel, trainable: Trainable, data: dict[str, Any], *, rates: list[float], request: dict[str, Any]
) -> dict[str, Any]:
    """Run one search; return its seconds, and the last validation loss of every learning rate."""

    def restored() -> PreTrainedModel:
        restore(model, trainable.pristine.values)
        return model

    trainer = OrderedTrainer(
        model_init=restored,
        args=arguments(request),
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        data_collator=default_data_collator,
    )
    storage = optuna.storages.InMemoryStorage()
    start = time.perf_counter()
    trainer.hyperparameter_search(
        hp_space=lambda trial: {"learning_rate": trial.suggest_float("learning_rate", min(rates), max(rates))},
        compute_objective=lambda metrics: metrics["eval_loss"],
        n_trials=len(rates),
        direction="minimize",
        backend="optuna",
        sampler=optuna.samplers.GridSampler({"learning_rate": rates}, seed=0),
        pruner=optuna.pruners.NopPruner(),  # its default would stop trials that ours do not
        study_name="rival",
        storage=storage,
    )
    seconds = time.perf_counter() - start
    trials = optuna.load_study(study_name="rival", storage=storage).trials
    return {"seconds": seconds, "losses": [[trial.params["learning_rate"], trial.value] for trial in trials]}


def arguments(request: dict[str, Any]) -> TrainingArguments:
    """Return the Trainer's words for what the study file says."""
    return TrainingArguments(
        output_dir="rival",
        num_train_epochs=request["epochs"],
        per_device_train_batch_size=request["batch_size"],
        per_device_eval_batch_size=request["batch_size"],
        lr_scheduler_type="linear",
        weight_decay=0.0,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        bf16=request["precision"] == "bf16",
        use_cpu=request["device"] == "cpu",
        eval_strategy="epoch",
        prediction_loss_only=True,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=0,
    )


if __name__ == "__main__":
    main()
