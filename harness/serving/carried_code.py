"""The code that a stored model carries, so that it answers where the harness is not installed.

These are the modules that answering takes: `ENTRY`, and whatever it imports. The embedded model comes along where it is
the base of what is stored.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from harness.serving.recipe import Recipe
from harness.study.packaged_files import EMBEDDED, packaged

__all__ = ["carried_files", "carried_packages"]

ENTRY = "harness.serving.generator"

ADAPTERS = "harness/models/adapters/"
"""Modules that import PEFT, which only an adapter that is stored by itself is answered with."""

ROOT = Path(__file__).parents[2]
"""The folder that the package is in."""


def carried_files(recipe: Recipe) -> dict[str, Path]:
    """Return what a model of a recipe carries: the place of each file below a folder of code, and the file."""
    modules = dict(_modules())
    if not _is_adapter(recipe):
        modules = {place: file for place, file in modules.items() if not place.startswith(ADAPTERS)}
    if recipe.store == "full" or recipe.base.name != "embedded":
        return modules
    base = {f"harness/tasks/{EMBEDDED}/{file.name}": file for file in (packaged() / EMBEDDED).iterdir()}
    return {**modules, **base}


def carried_packages(recipe: Recipe) -> tuple[str, ...]:
    """Return the published packages that a model of a recipe needs, and others do not."""
    return ("peft",) if _is_adapter(recipe) else ()


def _is_adapter(recipe: Recipe) -> bool:
    """Return whether a model is answered with an adapter that stands by itself."""
    return recipe.store == "delta" and recipe.tuning.adapter is not None


@cache
def _modules() -> Mapping[str, Path]:
    waiting, found = {ENTRY}, dict[str, Path]()
    while waiting:
        name = waiting.pop()
        file = _file(name)
        if file is None or name in found:  # a name that a module holds, and no module
            continue
        found[name] = file
        waiting |= {name.rpartition(".")[0], *_imported(ast.parse(file.read_text(encoding="utf-8")))} - {""}
    return {file.relative_to(ROOT).as_posix(): file for file in found.values()}


def _file(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _imported(node: ast.AST) -> Iterator[str]:
    """Yield the modules of the harness that code imports, at its top or later; not what only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        names = [alias.name for alias in child.names] if isinstance(child, ast.Import | ast.ImportFrom) else []
        if isinstance(child, ast.ImportFrom):
            names = [str(child.module), *(f"{child.module}.{name}" for name in names)]
        yield from (name for name in names if name.split(".")[0] == "harness")
        yield from _imported(child)
