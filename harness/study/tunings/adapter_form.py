"""What a kind of adapter states beside a kind of tuning: its options, and PEFT's configuration of it.

An adapter is new weights in or before a model whose own stay frozen. PEFT makes, applies and stores them; what is said
here needs neither PEFT nor torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationInfo, field_validator

from harness.core.closest_match import closest
from harness.core.errors import ModelError
from harness.core.plain_yaml import shown
from harness.core.yaml_section import Section
from harness.study.tunings.block_choice import BlockChoice
from harness.study.tunings.model_parts import ModelParts, chosen_blocks

__all__ = ["ALL_LINEAR", "AdapterForm", "AdapterOptions", "linear_targets"]

ALL_LINEAR: Final = "all-linear"


class AdapterOptions(Section):
    """The base of what a study says of an adapter; an option that says what its default says is left out of ids."""

    @field_validator("targets", "feed_forward", mode="before", check_fields=False)
    @classmethod
    def _listed(cls, value: Any, info: ValidationInfo) -> Any:
        """See that names of layers are a list of texts, and say so in one sentence where they are not."""
        is_list = isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value)
        if not is_list and value not in (None, ALL_LINEAR):
            one = value if isinstance(value, str) else "q_proj"
            raise ValueError(f"{info.field_name} is {shown(value)}; list the ends of the names of layers: [{one}]")
        return value


@dataclass(frozen=True)
class AdapterForm:
    """How a kind of adapter is written, and what PEFT is told of it."""

    options: type[AdapterOptions]
    """Its keys in a study file, beside ``blocks`` where it stands in blocks."""

    config: Callable[[Any], dict[str, Any]]
    """From its options to PEFT's configuration, all but the modules that it stands at."""

    targets: Callable[[ModelParts, Any, Any], Mapping[str, tuple[str, ...]]] = lambda *_: {}
    """From a model's parts, a choice of blocks and its options to the modules that it stands at, by PEFT's key."""

    merges: bool = True
    """Whether it can become part of the weights that it stands at, so that a model with it is stored whole."""

    leading: str = ""
    """The option that ids name right behind the kind, whatever it says; empty: none."""

    searched: tuple[str, ...] = ()
    """The options that ``search.space`` takes, as ``tuning.lora.rank``."""


def linear_targets(parts: ModelParts, choice: BlockChoice | None, names: str | Sequence[str]) -> tuple[str, ...]:
    """Return the paths of chosen blocks' linear layers: all of them, or those whose paths end with some names.

    Raises:
        ModelError: There are none, or none that ends with one of the names.
    """
    found = [path for block in chosen_blocks(parts, choice) for path in parts.linear_in(block.name)]
    if not found:
        raise ModelError("there is no linear layer in these blocks that an adapter could stand at; leave it out")
    if names == ALL_LINEAR:
        return tuple(found)
    chosen = {name: [path for path in found if path == name or path.endswith(f".{name}")] for name in names}
    for name, paths in chosen.items():
        if not paths:
            there = dict.fromkeys(path.rpartition(".")[2] for path in found)
            raise ModelError(f"targets name {name!r}, which no linear layer of these blocks is; {closest(name, there)}")
    wanted = {path for paths in chosen.values() for path in paths}
    return tuple(path for path in found if path in wanted)
