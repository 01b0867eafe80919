"""Checkpoint values: the float32 weights of a model as its files hold them, found once and read again when needed.

Which entry of a file a weight came from is told by its content, so that no rule about names can be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from harness.core.errors import ModelError

__all__ = ["Entry", "entries", "value"]


class Entry(NamedTuple):
    """Where a weight's float32 values are."""

    file: Path | None
    """``None``: they are those that it is held in, which lost nothing."""
    key: str = ""


def entries(
    weights: Mapping[str, Tensor], names: Mapping[str, Sequence[str]], files: Iterable[Path]
) -> dict[str, Entry]:
    """Return where the float32 values of some weights can be read again; those that are in no file are left out.

    Args:
        weights: As they were loaded, by name, in float32 or bfloat16.
        names: All names of each, where it has several.
        files: The checkpoint's safetensors.
    """
    found = {name: Entry(None) for name, weight in weights.items() if _is_exact(weight)}
    with ExitStack() as undo:
        opened = {file: undo.enter_context(safe_open(file, framework="pt")) for file in files}
        keys = [(file, key) for file, content in opened.items() for key in content.keys()]  # noqa: SIM118
        for name, weight in weights.items():
            if name in found:
                continue
            likely = sorted(keys, key=lambda entry: not any(_is_alike(entry[1], other) for other in names[name]))
            place = next((Entry(file, key) for file, key in likely if _holds(opened[file], key, weight)), None)
            if place and place.file and opened[place.file].get_slice(place.key).get_dtype() == "BF16":
                place = Entry(None)
            found |= {name: place} if place else {}
    return found


def _is_exact(weight: Tensor) -> bool:
    """Return whether bfloat16 holds all of a float32 weight."""
    return weight.dtype == torch.float32 and torch.equal(weight.bfloat16().float(), weight)


def value(entry: Entry, held: Tensor) -> Tensor:
    """Return a weight's float32 values, on its device.

    Args:
        entry: Where they are.
        held: What it is held in, bfloat16.

    Raises:
        ModelError: The file has changed since it was loaded.
    """
    if entry.file is None:
        return held.float()
    try:
        with safe_open(entry.file, framework="pt") as content:
            tensor: Tensor = content.get_tensor(entry.key).to(held.device, torch.float32, copy=True)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{entry.file}: {entry.key} cannot be read again: {error}; bring the file back") from error
    if tensor.shape != held.shape or not torch.equal(tensor.to(held.dtype), held):
        raise ModelError(f"{entry.file} has changed since the model was loaded; bring it back, or start again")
    return tensor


def _is_alike(key: str, name: str) -> bool:
    """Return whether two names are likely of one weight: models have prefixes that checkpoints lack, or lack theirs."""
    return key == name or key.endswith(f".{name}") or name.endswith(f".{key}")


def _holds(content: Any, key: str, weight: Tensor) -> bool:
    stored = content.get_slice(key)
    if stored.get_shape() != list(weight.shape) or not torch.equal(stored[:1].to(weight.dtype), weight[:1]):
        return False
    return torch.equal(content.get_tensor(key).to(weight.dtype), weight)
