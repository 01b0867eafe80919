"""The methods of PEFT and their keys, read from its source: importing PEFT imports torch, and takes seconds."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["UNLIKE", "method_keys", "methods"]

UNLIKE = {"ADAPTION_PROMPT", "CPT", "CARTRIDGE", "MULTITASK_PROMPT_TUNING", "POLY", "SHADOW", "XLORA"}
"""Methods of PEFT that need more than a model and its rows: tasks, other adapters, a forward pass of their own."""

UNTOLD: Mapping[str, Any] = {}
"""The keys of a method whose source says none."""


def methods() -> tuple[str, ...]:
    """Return the names of PEFT's methods that can be compared here; none where its source does not say."""
    declared = _classes(_package() / "utils" / "peft_types.py").get("PeftType")
    named = [name for name, _ in _assigned(declared)] if declared else []
    return tuple(sorted(name for name in named if name.isupper() and name not in UNLIKE))


@cache
def method_keys(method: str) -> Mapping[str, Any]:
    """Return the keys of a method's configuration, each with its default where that is a plain value, else ``None``.

    Nothing where PEFT's source does not say, as where it is not installed.
    """
    tuners = _package() / "tuners"
    own = re.compile(rf"PeftType\.{re.escape(method)}\b")
    file = next((each for each in sorted(tuners.glob("*/config.py")) if own.search(_text(each))), None)
    if file is None:
        return UNTOLD
    known = _classes(_package() / "config.py") | _classes(tuners / "lycoris_utils.py")
    for each in ("lora", "prompt_tuning"):  # of which other methods' configurations are kinds
        known |= _classes(tuners / each / "config.py")
    known |= (here := _classes(file))
    named = next((name for name, body in here.items() if own.search(ast.unparse(body))), "")
    found = dict[str, Any]()
    while named in known:
        found = {**dict(_assigned(known[named])), **found}
        named = next((ast.unparse(base) for base in known[named].bases), "")
    return found if "peft_type" in found else UNTOLD


def _package() -> Path:
    spec = find_spec("peft")
    return Path(spec.origin).parent if spec and spec.origin else Path()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""


def _classes(file: Path) -> dict[str, ast.ClassDef]:
    """Return the classes that a file of source defines, by name."""
    return {node.name: node for node in ast.parse(_text(file)).body if isinstance(node, ast.ClassDef)}


def _assigned(body: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    """Yield what a class gives a value: its name, and the value where it is plain; of a ``field`` its default."""
    for node in body.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    yield target.id, _plain(node.value)


def _plain(value: ast.expr | None) -> Any:
    if isinstance(value, ast.Call):
        value = next((word.value for word in value.keywords if word.arg == "default"), None)
    return value.value if isinstance(value, ast.Constant) else None
