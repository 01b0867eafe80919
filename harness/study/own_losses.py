"""A loss of one's own as a study names it, ``losses.py:mine``: its file, which is read here and not run.

Whose code may run, and what a store keeps of it, is as for task files: `harness.study.task_files`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from harness.core.closest_match import closest
from harness.core.errors import TaskError
from harness.core.example import digest
from harness.core.named_path import OF_FILE, named_path
from harness.core.passwords import masked
from harness.study.problems import Problems
from harness.study.spec import StudySpec
from harness.study.task import task_text
from harness.study.task_files import task_path

__all__ = ["OwnLoss", "code_files", "own_loss", "refuse_loss"]


class OwnLoss(NamedTuple):
    """A function of a Python file."""

    file: Path
    function: str

    def text(self) -> str:
        """Return the file's text.

        Raises:
            TaskError: It cannot be read, or is no text.
        """
        return task_text(self.file, "loss file")

    def stored(self) -> str:
        """Return the text as a store holds it, without passwords."""
        return masked(self.text())

    def digest(self) -> str:
        """Return the digest of the text: another text is another loss."""
        return digest(self.text())


def own_loss(study: StudySpec) -> OwnLoss | None:
    """Return the loss of a study whose paths start at the working folder, ``None`` where it is one of the harness."""
    found = OF_FILE.fullmatch(study.training.loss)
    return OwnLoss(named_path(found["file"]), found["function"]) if found else None


def code_files(study: StudySpec) -> list[Path]:
    """Return the files of code that a study names: of its task, of the tasks of its generality, of a loss."""
    own = own_loss(study)
    return [*map(task_path, (study.task, *study.generality.tasks)), *([own.file] if own else ())]


def refuse_loss(study: StudySpec, problems: Problems) -> None:
    """See that a loss of one's own is a Python file, and that the file defines a function of that name."""
    with problems.at("training", "loss"):
        if (own := own_loss(study)) is None:
            return
        if not own.file.is_file():
            raise TaskError(f"loss file {str(own.file)!r} does not exist; write it, or correct the path")
        try:
            known = list(_defined(ast.parse(own.text())))
        except SyntaxError as error:
            raise TaskError(f"loss file {own.file} is no Python: {error}; correct it") from None
        if own.function not in known:
            raise TaskError(f"loss file {own.file} defines no {own.function!r}; {closest(own.function, known)}")


def _defined(module: ast.Module) -> Iterator[str]:
    """Yield the names that a file gives to functions, to values, and to what it imports from elsewhere."""
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))
