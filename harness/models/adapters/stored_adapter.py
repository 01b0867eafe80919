"""An adapter on disk: PEFT's own folder, which ``PeftModel.from_pretrained`` loads onto the same base, or merged."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peft import get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.models.apply_tuning import Trainable, restore
from harness.models.delta import ADAPTER
from harness.models.find_blocks import is_inside

__all__ = ["fill_adapter", "merged", "merges", "save_adapter"]

INNER = "base_model.model."
"""What PEFT calls the model inside its own."""


def save_adapter(folder: Path, trainable: Trainable, base: str) -> None:
    """Write an adapter as PEFT does, with the modules that trained beside it.

    Args:
        folder: Which is there.
        trainable: What the tuning trains, whose adapter is on its model.
        base: What the model is called.
    """
    assert trainable.adapter is not None
    peft = trainable.adapter.peft
    config = copy.copy(peft.active_peft_config)
    config.base_model_name_or_path, config.inference_mode = base, True
    if beside := _beside(trainable):
        config.modules_to_save = list(beside)
    config.save_pretrained(str(folder))
    save_file(_apart(_tensors(trainable)), folder / ADAPTER, metadata={"format": "pt"})


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors that share no memory, as a file of them must: RandLora's layers have one matrix."""
    apart, seen = dict[str, Tensor](), set[int]()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        apart[name] = own.clone() if own.untyped_storage().data_ptr() in seen else own
        seen.add(own.untyped_storage().data_ptr())
    return apart


def fill_adapter(model: PreTrainedModel, trainable: Trainable, tensors: Mapping[str, Tensor]) -> bool:
    """Give the adapter that is on a model, and the modules beside it, the values that `save_adapter` wrote.

    Returns:
        Whether the values fit; of what does not, nothing is changed.
    """
    assert trainable.adapter is not None
    peft, own = trainable.adapter.peft, _tensors(trainable)
    if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in tensors.items()}:
        return False
    beside = {name: tensors[INNER + name] for name in trainable.names if INNER + name in tensors}
    values = {name: value for name, value in tensors.items() if name.removeprefix(INNER) not in beside}
    if trainable.adapter.is_soft_prompt:
        _answer_as_stored(peft, values["prompt_embeddings"])
    else:
        set_peft_model_state_dict(peft, dict(values))
    restore(model, beside)
    return True


def merges(trainable: Trainable) -> bool:
    """Return whether an adapter can become part of the weights that it stands at.

    Virtual tokens cannot, nor can what stands at weights that other layers share, as Zamba's blocks do. Else it is
    tried on a layer of each sort: some of PEFT's methods merge nothing, or into no layer without a bias.
    """
    if trainable.adapter is None:
        return True
    layers = [layer for layer in trainable.adapter.peft.modules() if isinstance(layer, BaseTunerLayer)]
    places = Counter(id(weight) for _, weight in trainable.adapter.peft.named_parameters(remove_duplicate=False))
    shared = any(places[id(weight)] > 1 for layer in layers for weight in layer.get_base_layer().parameters())
    sorts = {(type(layer), getattr(layer.get_base_layer(), "bias", None) is None): layer for layer in layers}
    return bool(layers) and not shared and all(map(_merges, sorts.values()))


def _merges(layer: BaseTunerLayer) -> bool:
    try:
        copy.deepcopy(layer).merge()
    except (NotImplementedError, RuntimeError, ValueError):  # methods say it in one of these
        return False
    return True


def merged(trainable: Trainable) -> PreTrainedModel:
    """Return a copy of the model whose weights hold what the adapter on it does."""
    assert trainable.adapter is not None
    peft = copy.deepcopy(trainable.adapter.peft)
    config = peft.get_base_model().config
    ties = {name: value for name, value in vars(config).items() if name == "tie_word_embeddings"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a head that is tied no more, which `apply` has seen to
        whole: PreTrainedModel = peft.merge_and_unload()
    vars(whole.config).update(ties)
    return whole


def _beside(trainable: Trainable) -> tuple[str, ...]:
    """Return the modules that train whole beside an adapter, by their paths."""
    assert trainable.adapter is not None
    return tuple(path for path in trainable.modules if path not in trainable.adapter.modules)


def _tensors(trainable: Trainable) -> dict[str, Tensor]:
    """Return what is stored, by PEFT's names."""
    assert trainable.adapter is not None
    peft, beside = trainable.adapter.peft, _beside(trainable)
    own: dict[str, Tensor] = get_peft_model_state_dict(peft, save_embedding_layers=False)
    model = peft.get_base_model()
    return own | {INNER + name: model.get_parameter(name) for name in trainable.names if is_inside(name, beside)}


def _answer_as_stored(peft: Any, values: Tensor) -> None:
    """Let virtual tokens be what was stored of them, whatever network made them."""
    encoder = peft.prompt_encoder[peft.active_adapter]
    count, width = values.shape
    encoder.embedding = nn.Embedding(count, width, _weight=values.to(encoder.embedding.weight))
    peft.active_peft_config.inference_mode = True
