"""The layers of a checkpoint's blocks, by the headers of its files: names and shapes, and no weight."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.study.model_files import Source, weight_files
from harness.study.weights_on_disk import header

__all__ = ["Layers", "block_layers", "is_end", "tensor_shapes"]

Shape = tuple[int, ...]

Layers = Mapping[str, Shape]
"""The shape of each matrix, by the path of the layer that it is of."""

SHARD = re.compile(r"-of-(\d+)\.safetensors$")
"""How the name of a part of a checkpoint ends."""

IN_BLOCK = re.compile(r"(?:^|\.)\d+\.")
"""What a path has that leads into one of several blocks."""


def block_layers(source: Source) -> Layers | None:
    """Return the matrices inside a checkpoint's blocks, all linear layers among them.

    ``None`` where its files do not say: they are elsewhere or no safetensors, their names are changed when they are
    loaded, or code of the model's own says what they mean.
    """
    files = weight_files(source)
    parts = {int(part[1]) for file in files if (part := SHARD.search(file.name))}
    if not files or (parts and parts != {len(files)}) or "auto_map" in source.config or _renamed(source.config):
        return None
    found = {name: shape for file in files for name, shape in tensor_shapes(file).items()}
    layers = {name.removesuffix(".weight"): shape for name, shape in found.items() if name.endswith(".weight")}
    return {path: shape for path, shape in layers.items() if len(shape) == 2 and IN_BLOCK.search(path)} or None


def tensor_shapes(file: Path) -> dict[str, Shape]:
    """Return the shape of each tensor in a safetensors file, nothing of one that cannot be read as such."""
    entries = header(file)
    return {
        name: tuple(entry["shape"])
        for name, entry in entries.items()
        if isinstance(entry, Mapping) and isinstance(entry.get("shape"), list)
    }


def is_end(name: str, path: str) -> bool:
    """Return whether a dotted name is a path's end, or the path its own: a checkpoint may leave a model's prefix out.

    >>> is_end("q_proj", "layers.0.attn.q_proj"), is_end("model.layers.0.q", "layers.0.q"), is_end("proj", "q_proj")
    (True, True, False)
    """
    return f".{path}".endswith(f".{name}") or name.endswith(f".{path}")


def _renamed(config: Mapping[str, Any]) -> bool:
    """Return whether transformers gives the weights of a model other names than its files do, or may."""
    spec = find_spec("transformers")
    file = Path(spec.origin).parent / "conversion_mapping.py" if spec and spec.origin else None
    if file is None or not file.is_file():
        return True
    table = file.read_text(encoding="utf-8")
    return any(f'"{kind}"' in table for kind in _kinds(config))


def _kinds(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a configuration, and those inside it, call the model."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _kinds(value)
        elif key == "model_type" and isinstance(value, str):
            yield value
        elif key == "architectures" and isinstance(value, list):
            yield from (each for each in value if isinstance(each, str))
