"""Tunable parts: what kinds of tuning choose from in a loaded model; what only some ask for is found when asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from harness.core.errors import ModelError
from harness.models.classification_head import classifies
from harness.models.find_blocks import Anatomy, Part, is_inside
from harness.models.find_sublayers import Sublayers, sublayers
from harness.models.hooks import look

__all__ = ["TunableParts"]


LINEAR = (nn.Linear, Conv1D)


def _numberless(name: str) -> str:
    return re.sub(r"\.\d+(?=\.|$)", "", name)


class TunableParts:
    """A `harness.study.tunings.tuning_kind.ModelParts`.

    Args:
        model: The model.
        parts: Its anatomy.
    """

    def __init__(self, model: PreTrainedModel, parts: Anatomy) -> None:
        self._model, self._parts = model, parts

    @property
    def blocks(self) -> tuple[Part, ...]:
        """Encoder first, then decoder."""
        return self._parts.blocks

    @property
    def embeddings(self) -> tuple[Part, ...]:
        """What a stack calls before its first block."""
        return self._parts.embeddings

    @property
    def final_norms(self) -> tuple[Part, ...]:
        """The norms after a stack's last block."""
        return self._parts.final_norms

    @property
    def head(self) -> Part:
        """The output projection."""
        return self._parts.head

    @property
    def transform(self) -> tuple[Part, ...]:
        """What a masked model's head does before it."""
        return self._parts.transform

    @property
    def new(self) -> tuple[str, ...]:
        """What trains with whatever trains: a classification head, which says nothing as it was drawn."""
        parts = (*self.transform, self.head) if classifies(self._model) else ()
        return tuple(part.name for part in parts)

    def norms_in(self, path: str) -> tuple[str, ...]:
        """Return the norms inside a module."""
        return tuple(name for name in self._sublayers.norms if is_inside(name, [path]))

    def biases_in(self, path: str) -> tuple[str, ...]:
        """Return the parameters inside a module that torch's modules, and those of families, call biases.

        T5's biases of relative positions are an embedding's matrix, and none of them.
        """
        named = self._model.named_parameters(remove_duplicate=False)
        return tuple(name for name, _ in named if name.endswith("bias") and is_inside(name, [path]))

    def attention_in(self, block: str) -> tuple[str, ...]:
        """Return the modules of a block's attention."""
        return self._found(block, self._sublayers.attention, "no attention in a module of its own")

    def feed_forward_in(self, block: str) -> tuple[str, ...]:
        """Return the modules of a block's feed-forward part."""
        what = "beside its attention no one feed-forward part, of matrices into an inner width and back"
        return self._found(block, self._sublayers.feed_forward, what)

    def linear_in(self, path: str) -> tuple[str, ...]:
        """Return the linear layers inside a module that text goes through, transposed ones as GPT-2's among them.

        Raises:
            ModelError: One of them stands in several places, of which an adapter would change a single one.
        """
        own = self._parts.head.module
        places: dict[nn.Module, list[str]] = {}
        for name, module in self._model.named_modules(remove_duplicate=False):
            if isinstance(module, LINEAR) and module is not own and _numberless(name) in self._called:
                places.setdefault(module, []).append(name)
        found = [names for names in places.values() if any(is_inside(name, [path]) for name in names)]
        if shared := next((names for names in found if len(names) > 1), None):
            raise ModelError(
                f"{type(self._model).__name__}: {shared[0]} is {shared[1]} as well, and an adapter would change one of "
                "them alone; name other targets or blocks, or use another tuning"
            )
        return tuple(name for (name,) in found)

    @cached_property
    def _called(self) -> set[str]:
        """The linear layers that a forward pass calls, without numbers: of a mixture's experts it may call a few."""
        called: set[str] = set()
        with ExitStack() as undo:
            for name, module in self._model.named_modules(remove_duplicate=False):
                if isinstance(module, LINEAR):
                    undo.enter_context(
                        module.register_forward_hook(lambda *_, name=name: called.add(_numberless(name)))
                    )
            look(self._model, rows=1, positions=2)
        return called

    def usual_targets(self, method: str) -> Mapping[str, tuple[str, ...]]:
        """Return what PEFT names for the architecture."""
        from peft.utils import constants  # takes seconds, and few ask

        kind = str(self._model.config.model_type)
        found = {
            key: tuple(getattr(constants, f"TRANSFORMERS_MODELS_TO_{method}_{name}_MODULES_MAPPING").get(kind, ()))
            for key, name in (("target_modules", "TARGET"), ("feedforward_modules", "FEEDFORWARD"))
        }
        if not found["target_modules"]:
            raise ModelError(f"PEFT does not say where {method} stands in a {type(self._model).__name__}")
        return found

    @cached_property
    def _sublayers(self) -> Sublayers:
        return sublayers(self._model, self._parts.blocks)

    def _found(self, block: str, by_block: Mapping[str, tuple[str, ...]], what: str) -> tuple[str, ...]:
        if not by_block[block]:
            having = [number for number, paths in enumerate(by_block.values()) if paths]
            others = f"name blocks that have one, {having}, or take" if having else "take"
            raise ModelError(f"{type(self._model).__name__}: {block} has {what}; {others} whole blocks")
        return by_block[block]
