"""A harness for studies of prompt-based fine-tuning: which prompt, and how much of the network to train.

>>> import harness
>>> study = harness.Study(name="first", task="summarization", prompts=["bare", "cue"], tuning=["head", "full"])
>>> study
Study('first', 2 prompts x 3 tunings)

``study.run()`` gives a `Result`; ``Result.load("first")`` reads it back from the store.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from harness.core.quiet_libraries import keep_quiet
from harness.core.waiting_threads import wait_patiently

if TYPE_CHECKING:
    from harness.core.errors import UserError
    from harness.core.example import Example, Prediction
    from harness.core.progress import Progress
    from harness.core.workspace import Workspace
    from harness.data.chat import Chat
    from harness.data.plain_text import PlainText
    from harness.data.template import Template
    from harness.metrics.base import Metric
    from harness.report.compare.compare_studies import Compared
    from harness.runner.compare_results import compare
    from harness.runner.result import Result
    from harness.runner.study import Study
    from harness.study.task import Task

    __version__: str

__all__ = [
    "Chat",
    "Compared",
    "Example",
    "Metric",
    "PlainText",
    "Prediction",
    "Progress",
    "Result",
    "Study",
    "Task",
    "Template",
    "UserError",
    "Workspace",
    "__version__",
    "compare",
]

_PUBLIC = {
    "Chat": "harness.data.chat",
    "Compared": "harness.report.compare.compare_studies",
    "Example": "harness.core.example",
    "Metric": "harness.metrics.base",
    "PlainText": "harness.data.plain_text",
    "Prediction": "harness.core.example",
    "Progress": "harness.core.progress",
    "Result": "harness.runner.result",
    "Study": "harness.runner.study",
    "Task": "harness.study.task",
    "Template": "harness.data.template",
    "UserError": "harness.core.errors",
    "Workspace": "harness.core.workspace",
    "compare": "harness.runner.compare_results",
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
    if name == "__version__":
        from importlib.metadata import version  # with the parsing of mails, which most do without

        return version("prompt-depth-harness")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


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
keep_quiet()  # here, since libraries decide when they are imported, as torch does of its threads
wait_patiently()
