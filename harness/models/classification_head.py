"""Classification heads: transformers' own, of its classes for sequence classification, on a pretrained trunk.

Such a class reads a text by the language model's trunk and makes the scores of all labels of one position: that of the
last token (a causal model), of the end token behind a decoder that reads the text again (an encoder-decoder), of the
first one or a mean (a masked model). What a checkpoint of a language model lacks of it is drawn; the rest, as BERT's
pooler or ModernBERT's dense layer where they are stored, is the checkpoint's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.core.errors import ModelError
from harness.models.transformers_compat import draw_again

__all__ = [
    "begin_head",
    "classifies",
    "configure_head",
    "drawn_alike",
    "label_projection",
    "last_read",
    "name_labels",
    "refuse_foreign_trunk",
]


def classifies(model: PreTrainedModel) -> bool:
    """Return whether a model scores labels, by what transformers calls all classes of such models."""
    return type(model).__name__.endswith("ForSequenceClassification")


def name_labels(config: Any, labels: Sequence[str]) -> None:
    """Have a configuration name the labels that its head scores, in their order; without labels it stays as it is."""
    if not labels:
        return
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}


def configure_head(model: PreTrainedModel, pad: int) -> None:
    """Have a model that was loaded under a head say so, as storing it would, and where a text ends; no other one.

    Args:
        model: Its configuration is that of the language model as yet.
        pad: The id of the tokenizer's padding token.
    """
    if not classifies(model):
        return
    model.config.architectures = [type(model).__name__]
    model.config.get_text_config().pad_token_id = pad


@contextmanager
def drawn_alike() -> Iterator[None]:
    """Let what a checkpoint lacks be the same whenever it is loaded; the process's generator is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def refuse_foreign_trunk(name: str, model: PreTrainedModel, missing: Collection[str], heads: Sequence[str]) -> None:
    """See that a checkpoint lacks nothing of a model but what its head is made of.

    Args:
        name: The model's, for the message.
        model: Under its head.
        missing: The weights that were drawn.
        heads: Paths of the modules that the head is made of.

    Raises:
        ModelError: It lacks more.
    """
    lost = sorted(key for key in missing if not any(key.startswith(f"{path}.") for path in heads))
    if lost:
        raise ModelError(
            f"model {name}: its checkpoint lacks {len(lost)} weights of {type(model).__name__} that are not of its "
            f"head ({lost[0]}); use a checkpoint of a language model of this family"
        )


def begin_head(model: PreTrainedModel, drawn: Collection[str], seed: int) -> None:
    """Draw what the checkpoint lacks of a head anew, by the family's own rule, as a seed says.

    Args:
        model: Under its head.
        drawn: The weights that are drawn.
        seed: The run's.
    """
    if not drawn:
        return
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.no_grad():
        torch.manual_seed(seed)
        draw_again(model, drawn)


def label_projection(model: PreTrainedModel) -> nn.Module | None:
    """Return the layer that makes the scores of labels: behind the trunk, the last with an output for each."""
    inside = {id(module) for module in model.base_model.modules()}
    outside = [module for module in model.modules() if isinstance(module, nn.Linear) and id(module) not in inside]
    fitting = [module for module in outside if module.out_features == model.config.num_labels]
    return fitting[-1] if fitting else None


def last_read(model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> Tensor:
    """Return where a causal model's head is asked, the last token that pads nothing, shape (rows, positions).

    It is found by the padding token, as the classes of transformers find it.
    """
    ids = inputs["input_ids"]
    read = (ids != model.config.get_text_config().pad_token_id).int()
    last = (read * torch.arange(ids.size(1), device=ids.device)).argmax(dim=1)
    return torch.zeros_like(ids, dtype=torch.bool).scatter_(1, last[:, None], value=True)
