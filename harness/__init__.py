"""A harness for studies of prompt-based fine-tuning: which prompt, and how much of the network to train."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from harness.core.quiet_libraries import keep_quiet

if TYPE_CHECKING:
    from harness.core.example import Example, Prediction
    from harness.data.template import Template
    from harness.metrics.base import Metric
    from harness.runner.result import Result
    from harness.runner.study import Study
    from harness.study.task import Task

__all__ = ["Example", "Metric", "Prediction", "Result", "Study", "Task", "Template"]

_PUBLIC = {
    "Example": "harness.core.example",
    "Metric": "harness.metrics.base",
    "Prediction": "harness.core.example",
    "Result": "harness.runner.result",
    "Study": "harness.runner.study",
    "Task": "harness.study.task",
    "Template": "harness.data.template",
}
"""Public names, and the modules that they are imported from at first use."""

_ALIASES = {
    "harness.errors": "harness.core.errors",
    "harness.example": "harness.core.example",
    "harness.task": "harness.study.task",
    "harness.template": "harness.data.template",
}
"""Old modules' names, which task files, stored models and stored studies still import, and where they are now."""


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


class _AliasFinder(MetaPathFinder):
    """Finds a module under its old name: the very module, so that its classes are the same under both."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, _AliasLoader()) if name in _ALIASES else None


class _AliasLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(_ALIASES[spec.name])
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._own  # the import system has just put the alias's there


sys.meta_path.append(_AliasFinder())
keep_quiet()  # here, since libraries decide when they are imported
