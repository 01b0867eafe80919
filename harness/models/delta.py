"""Deltas: a tuned model as what it changed, the tensors that trained, and the pretrained model by reference.

A delta is far smaller than its model where little trains, and worth nothing without the very base that it was made on;
so the base's digests are kept with it, and compared before a tensor of it is used.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from harness.core.errors import ModelError
from harness.data.context_left import context_beside
from harness.models.apply_tuning import Trainable, apply, restore, snapshot, trainable_of
from harness.models.base_of_delta import Base
from harness.models.checkpoint_misfits import refuse_non_finite
from harness.models.content_digests import architecture_digest, tensors_digest, weights_digest
from harness.models.load import Loaded
from harness.study.adapter_base import MadeOn
from harness.study.axes import Tuning

__all__ = [
    "ADAPTER",
    "Base",
    "can_be_whole",
    "load_delta",
    "save_delta",
    "take_stored",
    "trained_digest",
    "whole_model",
]

FILE, ADAPTER = "delta.safetensors", "adapter_model.safetensors"


def trained_digest(loaded: Loaded, tuning: Tuning) -> str:
    """Return a short content hash of the tensors that a tuning trains, as they are; of all where it trains nothing."""
    return tensors_digest(snapshot(loaded.model)) if tuning.trains else weights_digest(loaded.model)


def can_be_whole(loaded: Loaded, tuning: Tuning) -> bool:
    """Return whether a model that is under its tuning can be stored as one that nothing need be put on."""
    if not tuning.adapter:
        return True
    from harness.models.adapters.stored_adapter import merges

    return merges(trainable_of(loaded.model))


def whole_model(loaded: Loaded, tuning: Tuning) -> PreTrainedModel:
    """Return a model that is under its tuning as it is stored whole: with an adapter as part of its weights."""
    if not tuning.adapter:
        return loaded.model
    from harness.models.adapters.stored_adapter import merged

    return merged(trainable_of(loaded.model))


def save_delta(folder: Path, loaded: Loaded, tuning: Tuning, base: Base) -> None:
    """Write the tensors that train, in a model that is under its tuning; for zero-shot an empty file.

    Of an adapter that is PEFT's own folder.
    """
    if tuning.adapter:
        from harness.models.adapters.stored_adapter import save_adapter

        # One name cannot say what both are; one that leads nowhere is better than that of other weights.
        save_adapter(folder, trainable_of(loaded.model), str(MadeOn(base.folder or base.name, adapter=base.adapter)))
        return
    values = snapshot(loaded.model) if tuning.trains else {}
    save_file({name: value.contiguous() for name, value in values.items()}, folder / FILE, metadata={"format": "pt"})


def load_delta(folder: Path, loaded: Loaded, *, tuning: Tuning, base: Base) -> Loaded:
    """Turn a pretrained model into the tuned one; a tied head is untied where the delta holds a head of its own.

    Args:
        folder: Where `save_delta` wrote.
        loaded: The base, as it is found now; it becomes the result.
        tuning: What trained.
        base: The base as it was then.

    Raises:
        ModelError: The base is no longer what it was, the file does not fit it, or its weights are not finite.
    """
    _verify(folder, loaded, base)
    file = ADAPTER if tuning.adapter else FILE
    try:
        values = load_file(folder / file)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"model {folder}: {file} cannot be read: {error}; bring it back, or run its study again"
        ) from error
    refuse_non_finite(str(folder), values)
    if not _fill(loaded.model, apply(loaded.model, tuning), values):
        raise ModelError(f"model {folder}: {file} holds other tensors than tuning {tuning.name} trains; store it again")
    context = context_beside(loaded.context, tuning.virtual_tokens)
    return loaded._replace(model=loaded.model.eval(), digest=weights_digest(loaded.model), context=context)


def take_stored(folder: Path, model: PreTrainedModel, trainable: Trainable, digest: str) -> bool:
    """Give what trains the values of a stored model, a delta or a whole one, if it holds those of a digest.

    Of an adapter that became part of the weights it does not, nor of virtual tokens, which a network made.

    Returns:
        Whether it did; else nothing is changed.
    """
    file, begun = folder / (ADAPTER if trainable.adapter else FILE), snapshot(model)
    if trainable.adapter and (trainable.adapter.is_soft_prompt or not file.is_file()):
        return False
    try:
        files = [file] if file.is_file() else sorted(folder.glob("*.safetensors"))
        values = {name: value for one in files for name, value in load_file(one).items()}
    except (OSError, SafetensorError):
        return False
    if not file.is_file():
        values = {name: values[name] for name in trainable.names if name in values}
    if _fill(model, trainable, values) and tensors_digest(snapshot(model)) == digest:
        return True
    restore(model, begun)
    return False


def _fill(model: PreTrainedModel, trainable: Trainable, values: dict[str, Tensor]) -> bool:
    """Give what trains its stored values, and return whether they fit."""
    if trainable.adapter:
        from harness.models.adapters.stored_adapter import fill_adapter

        return fill_adapter(model, trainable, values)
    own = {name: tuple(model.get_parameter(name).shape) for name in trainable.names}
    if own != {name: tuple(value.shape) for name, value in values.items()}:
        return False
    restore(model, values)
    return True


def _verify(folder: Path, loaded: Loaded, base: Base) -> None:
    now = {"weights": loaded.digest, "configuration": architecture_digest(loaded.model)}
    for what, then in {"weights": base.weights, "configuration": base.architecture}.items():
        if now[what] != then:
            raise ModelError(
                f"model {folder} is a delta on {base.name}, whose {what} had the digest {then} then and {now[what]} "
                "now; bring that base back, or train again with final.store: full"
            )
