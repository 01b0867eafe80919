"""The adapter of a tuning: put on a model where the tuning's kind has one, and told of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch import nn
from transformers import PreTrainedModel

from harness.core.errors import ModelError
from harness.models.find_blocks import Anatomy
from harness.models.tuning_table import inner_paths
from harness.study.axes import Tuning

if TYPE_CHECKING:
    from harness.models.adapters.attach import Adapter  # PEFT takes seconds to import, and few tunings ask for it

__all__ = ["START", "VIRTUAL", "Start", "adapter_notes", "put_on"]


VIRTUAL = "prompt_encoder"
"""The part of a model that its virtual tokens are, as PEFT calls it."""


class Start(NamedTuple):
    """What the first weights of an adapter depend on, beside the model."""

    seed: int = 0
    """Of what is drawn."""
    words: tuple[int, ...] = ()
    """Tokens of the prompt's own words: what virtual tokens begin as, again and again; none: drawn ones."""


START = Start()


def put_on(
    model: PreTrainedModel, tuning: Tuning, parts: Anatomy, start: Start = START
) -> tuple[Adapter | None, list[nn.Parameter]]:
    """Put a tuning's adapter on a model, if it has one; return it, and its parameters that train.

    Raises:
        ModelError: The model takes no such adapter, or nothing of it trains.
    """
    if not tuning.adapter:
        return None, []
    from harness.models.adapters.attach import attach

    own = set(model.parameters())
    adapter = attach(model, tuning, parts, start)
    added = [weight for weight in model.parameters() if weight.requires_grad and weight not in own]
    if not added:
        adapter.take_off()
        raise ModelError(f"tuning {tuning.name}: this adapter has no weights that train; correct its options")
    return adapter, added


def adapter_notes(parts: Anatomy, tuning: Tuning, adapter: Adapter | None) -> tuple[str, ...]:
    """Say where an adapter stands, and why nothing is replayed where that is so."""
    if adapter is None:
        return ()
    if adapter.is_soft_prompt:
        return (f"{tuning.words}: they come before all blocks, so that nothing of the network can be replayed",)
    return inner_paths(parts, adapter.modules, "stand adapters at")
