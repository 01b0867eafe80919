"""What `check` refuses of adapters, by PEFT's source and the headers of a checkpoint alone.

What only the loaded model can tell, as whether text goes through a layer, is refused before anything trains.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.core.closest_match import closest
from harness.core.named_path import named_path
from harness.core.plain_yaml import shown
from harness.study.adapter_files import ADAPTER_WEIGHTS
from harness.study.axes import Tuning
from harness.study.checkpoint_layers import Layers, block_layers, is_end, tensor_shapes
from harness.study.model_config import Description
from harness.study.peft_methods import method_keys, methods
from harness.study.problems import Problems
from harness.study.spec import StudySpec
from harness.study.tunings.peft_config import OWN

__all__ = ["refuse_adapters"]

ELSEWHERE = {
    "modules_to_save": "leave it out, and name what trains beside the adapter by with: [head], norms or embeddings",
    "layer_replication": "leave it out: the model would have other blocks than in other cells",
}
"""Keys of PEFT's that cannot be taken here, with the remedy."""

REWRITING = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""How the ways to begin LoRA are called that take a part out of the weights beside it; `run` sees that of any."""

FACTOR = re.compile(r"base_model\.model\.(?P<path>.+)\.lora_(?P<side>[AB])\.weight")
"""What PEFT calls one of LoRA's two matrices in a file."""


def refuse_adapters(study: StudySpec, description: Description | None, problems: Problems) -> None:
    """Note methods and keys that PEFT does not have, layers that the model does not have, an adapter of another one."""
    asked = study.model.adapter or any("targets" in _options(tuning) for tuning in study.tuning)
    source = description.source if description else None
    layers = block_layers(source) if source and asked else None
    for index, tuning in enumerate(study.tuning):
        faults = _method_faults(tuning) if tuning.kind == "peft" else _target_faults(tuning, layers or {})
        for fault in faults:
            problems.add(f"tuning {tuning.name}: {fault}", "tuning", index)
    if study.model.adapter and layers:
        for fault in _shape_faults(study.model.adapter, layers):
            told = f"model.adapter {study.model.adapter!r} does not fit model {study.model.name}: {fault}"
            problems.add(f"{told}; name the model that it was made on", "model", "adapter")
            return


def _options(tuning: Tuning) -> dict[str, object]:
    return tuning.settings.model_dump() if tuning.adapter else {}


def _method_faults(tuning: Tuning) -> Iterator[str]:
    said, known = _options(tuning), methods()
    method = str(said.pop("peft_type"))
    if known and method not in known:
        hint = f"did you mean {method.upper()!r}?" if method.upper() in known else closest(method, known)
        yield f"peft_type {method!r} is no method that can be compared here; {hint}"
        return
    keys = {key: default for key, default in method_keys(method).items() if key not in OWN}
    for key, value in said.items() if keys else ():
        if key not in keys:
            hint = "did you mean 'r'?" if key == "rank" and "r" in keys else closest(key, keys)
            yield f"{method} has no key {key!r}; {hint}"
        elif key in ELSEWHERE and value:
            yield f"{key} is {shown(value)}; {ELSEWHERE[key]}"
        elif key == "init_lora_weights" and str(value).startswith(REWRITING):
            yield f"{key} is {value!r}; leave it out: it changes the model's own weights, which other cells start from"
        elif key == "r" and isinstance(keys["r"], int) and keys["r"] > 0 and not _is_rank(value):
            yield f"r is {value}; it must be a whole number of at least 1"


def _is_rank(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _target_faults(tuning: Tuning, layers: Layers) -> Iterator[str]:
    """Yield what names no layer, as `harness.study.tunings.adapter_form.linear_targets` says when it looks."""
    said = _options(tuning) if layers else {}
    for key in ("targets", "feed_forward"):
        names = said.get(key)
        for name in names if isinstance(names, tuple | list) else ():
            if not any(is_end(str(name), path) for path in layers):
                there = dict.fromkeys(path.rpartition(".")[2] for path in layers)
                hint = closest(str(name), there)
                yield f"{key} name {name!r}, which no linear layer of the model's blocks is; {hint}"


def _shape_faults(adapter: str, layers: Layers) -> Iterator[str]:
    """Yield where LoRA's matrices stand at no layer of a model's blocks, or at one of other sizes."""
    for name, shape in tensor_shapes(named_path(adapter) / ADAPTER_WEIGHTS).items():
        factor = FACTOR.fullmatch(name)
        if factor is None or len(shape) != 2 or not re.search(r"\.\d+\.", factor["path"]):
            continue
        there = next((sizes for path, sizes in layers.items() if is_end(factor["path"], path)), None)
        if there is None:
            yield f"it stands at {factor['path']}, which is no layer of this model's blocks"
        elif (width := shape[1] if factor["side"] == "A" else shape[0]) not in there:
            yield f"at {factor['path']} it has {width} numbers, and the layer {there[0]} by {there[1]}"
