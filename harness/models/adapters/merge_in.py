"""An adapter that one has, merged into the model that a study starts from."""

from __future__ import annotations

import warnings
from pathlib import Path

from peft import PeftConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedModel

from harness.core.errors import ModelError
from harness.models.content_digests import weights_digest
from harness.models.hooks import misfits_told
from harness.study.adapter_base import made_on
from harness.study.adapter_files import ADAPTER_WEIGHTS

__all__ = ["merge_in"]


def merge_in(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Return a loaded model with an adapter merged into its weights.

    Raises:
        ModelError: The adapter cannot be read, is not this model's, or cannot be merged.
        UserError: What it was made on cannot be read.
    """
    _refuse_other_weights(model, folder)
    flags = {weight: weight.requires_grad for weight in model.parameters()}
    told = f"adapter {folder} does not fit {type(model).__name__}"
    try:
        tensors = load_file(folder / ADAPTER_WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"adapter {folder}: {ADAPTER_WEIGHTS} cannot be read: {error}; bring it back") from error
    with misfits_told(told, "name the model that it was made on"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = False
        peft = get_peft_model(model, config)
        own = get_peft_model_state_dict(peft, save_embedding_layers=False)
        if own.keys() != tensors.keys():
            stray = min(own.keys() ^ tensors.keys())
            raise ModelError(f"{told}: {stray} is in one of the two alone; name the model that it was made on")
        set_peft_model_state_dict(peft, tensors)
        whole: PreTrainedModel = peft.merge_and_unload()
    for weight in whole.parameters():
        weight.requires_grad_(flags.get(weight, True))
    return whole.eval()


def _refuse_other_weights(model: PreTrainedModel, folder: Path) -> None:
    """See that a model is the base of an adapter that a study stored, by its weights."""
    base = made_on(folder)
    if base.weights and base.dtype == str(model.dtype).removeprefix("torch."):
        now = weights_digest(model)
        if now != base.weights:
            raise ModelError(
                f"adapter {folder} was made on {base}, whose weights had the digest {base.weights} then, and those of "
                f"the model have {now}; name the model that it was made on"
            )
