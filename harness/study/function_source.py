"""The source of functions, with all that they use: a module that stands by itself, made of what lies in memory.

A function may use modules, what can be imported from an installed package, plain values, and functions and classes of
its own module, which are taken along. What else it uses lives in its own process alone, and is refused.
"""

from __future__ import annotations

import ast
import builtins
import dis
import enum
import functools
import inspect
import linecache
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from harness.core.errors import TaskError

__all__ = ["SourceModule"]

PLAIN = (bool, int, str, bytes, type(None), type(...))
COLLECTIONS = (list, tuple, set, frozenset, dict)

LOOKED_UP = "_GLOBAL", "LOAD_NAME"
"""What steps of code are called, in part, that look a name up outside of a function, or in the body of a class."""


@dataclass
class SourceModule:
    """A module's text as it grows: imports, then definitions, each behind those that it needs."""

    what: str
    """How messages call what it is of."""
    remedy: str = "write the task into a file, and give its path"
    """What messages advise."""
    imports: dict[str, None] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    """By name, in their order."""
    _bound: dict[str, Any] = field(default_factory=dict)
    """What each name of the module stands for."""

    def text(self) -> str:
        """Return it."""
        head = ["from __future__ import annotations", *sorted(self.imports)]
        return "\n\n".join(["\n".join(head), *self.definitions.values()]) + "\n"

    def expression(self, value: Any, where: str) -> str:
        """Return Python for a value; what it needs is added to the module.

        Args:
            value: Plain, a function, a class, a module, a dataclass, or a collection of such.
            where: How messages call it.

        Raises:
            TaskError: It lives in this process alone.
        """
        if isinstance(value, enum.Enum):
            return f"{self._named(type(value), where)}[{value.name!r}]"
        if type(value) in PLAIN:  # a kind of one's own is more than its value
            return repr(value)
        if type(value) is float:
            return repr(value) if value - value == 0 else f"float({str(value)!r})"
        if isinstance(value, FunctionType | BuiltinFunctionType | type):
            return self._named(value, where)
        if type(value) in COLLECTIONS:
            try:
                return self._collection(value, where)
            except RecursionError:
                raise TaskError(f"{self.what}: {where} holds itself, or is nested too deep; {self.remedy}") from None
        if isinstance(value, functools.partial):
            self.imports["import functools"] = None
            arguments = [self.expression(part, where) for part in (value.func, *value.args)]
            arguments += [f"{key}={self.expression(part, where)}" for key, part in value.keywords.items()]
            return f"functools.partial({', '.join(arguments)})"
        if is_dataclass(value):
            said = [(part, getattr(value, part.name)) for part in fields(value) if part.init]
            parts = {part.name: given for part, given in said if given != part.default}
            arguments = [f"{name}={self.expression(part, f'{where}.{name}')}" for name, part in parts.items()]
            return f"{self._named(type(value), where)}({', '.join(arguments)})"
        if type(value).__module__ == "re" and hasattr(value, "pattern"):
            self.imports["import re"] = None
            return f"re.compile({value.pattern!r}, {int(value.flags)})"
        remedy = f"which another process cannot have; make it inside a function, or {self.remedy}"
        raise TaskError(f"{self.what}: {where} is {type(value).__name__} {repr(value)[:40]}, {remedy}")

    def _collection(self, value: Any, where: str) -> str:
        if isinstance(value, dict):
            pairs = [(self.expression(key, where), self.expression(inner, where)) for key, inner in value.items()]
            return f"{{{', '.join(f'{key}: {inner}' for key, inner in pairs)}}}"
        inside = [self.expression(item, where) for item in value]
        if isinstance(value, tuple):
            return f"({', '.join(inside)}{',' * (len(inside) == 1)})"
        if isinstance(value, list):
            return f"[{', '.join(inside)}]"
        return f"{type(value).__name__}([{', '.join(sorted(inside))}])"  # a set's order differs between processes

    def _named(self, value: Any, where: str) -> str:
        """Return the name by which the module knows a function or a class."""
        name, home = value.__qualname__, value.__module__ or "builtins"
        if home == "builtins" and hasattr(builtins, name):
            return str(name)
        if _is_installed(home) and getattr(sys.modules.get(home), name, None) is value:
            self._bind(name, value, where)
            self.imports[f"from {home} import {name}"] = None
            return str(name)
        if isinstance(value, FunctionType) and value.__name__ == "<lambda>":
            text, node = self._node(value, where, ast.Lambda)
            self._take_along(node, value.__code__, _names_of(value), where)
            return f"({text})"
        is_wrapped = isinstance(value, FunctionType) and value.__code__.co_name != value.__name__
        if is_wrapped or not isinstance(value, FunctionType | type) or "." in name.rpartition("<locals>.")[2]:
            raise TaskError(f"{self.what}: {where} is {name}, whose source is not to be had; {self.remedy}")
        self._define(value, where)
        return value.__name__

    def _define(self, value: Any, where: str) -> None:
        """Add a function or a class of the user's own module, and all that it uses."""
        name = value.__name__
        if not self._bind(name, value, where):
            return
        lines, node = self._node(value, where, ast.ClassDef if isinstance(value, type) else ast.FunctionDef)
        is_function = isinstance(value, FunctionType)
        code = value.__code__ if is_function else _class_code(node)
        self._take_along(node, code, _names_of(value), f"{name}()" if is_function else name)
        self.definitions[name] = lines

    def _node(self, value: Any, where: str, kind: type[ast.AST]) -> tuple[str, Any]:
        """Return the lines of a definition, and its syntax tree."""
        refusal = f"{self.what}: the source of {where} is not to be had, or does not stand alone; {self.remedy}"
        try:
            if isinstance(value, type):
                return _standing_alone(inspect.getsource(value))
            source = "".join(linecache.getlines(value.__code__.co_filename, value.__globals__))
            nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kind)]
            found: list[Any] = [node for node in nodes if _is_of(node, value.__code__)]
        except (OSError, TypeError, SyntaxError):
            raise TaskError(refusal) from None
        if len(found) != 1:  # two lambdas in a line
            raise TaskError(refusal)
        (node,) = found
        if isinstance(node, ast.Lambda):
            return ast.unparse(node), node
        text = source.splitlines(keepends=True)[_first_line(node) - 1 : node.end_lineno]
        return _standing_alone("".join(text))

    def _take_along(self, node: ast.AST, code: CodeType, known: Mapping[str, Any], where: str) -> None:
        """Add what the names of a definition stand for."""
        said = [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
        used = {*_global_names(code), *_names_outside(node)}
        for name in dict.fromkeys(said):
            if name in used and name in known and getattr(builtins, name, self) is not known[name]:
                self._assign(name, known[name], where)

    def _assign(self, name: str, value: Any, where: str) -> None:
        """Add a name that a definition uses."""
        said = f"`{name}`, which {where} uses,"
        if isinstance(value, ModuleType):
            if not _is_installed(value.__name__):
                raise TaskError(f"{self.what}: {said} is module {value.__name__} of your own; {self.remedy}")
            self._bind(name, value, said)
            self.imports[f"import {value.__name__}{f' as {name}' * (name != value.__name__)}"] = None
            return
        if name in self._bound:
            self._bind(name, value, said)
            return
        expression = self.expression(value, said)
        if expression != name:
            self._bind(name, value, said)
            self.definitions[name] = f"{name} = {expression}"

    def _bind(self, name: str, value: Any, where: str) -> bool:
        """Take a name for a value; return whether it was free."""
        if name in self._bound and self._bound[name] is not value:
            raise TaskError(f"{self.what}: {where} needs a second thing that is called `{name}`; rename one of the two")
        is_free = name not in self._bound
        self._bound[name] = value
        return is_free


def _is_installed(module: str) -> bool:
    """Return whether a module can be imported wherever the harness can: no notebook's, script's or folder's own."""
    if module.partition(".")[0] in {"harness", *sys.stdlib_module_names}:
        return module != "__main__"
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


def _names_of(value: Any) -> Mapping[str, Any]:
    """Return what the names around a function or a class stand for."""
    if isinstance(value, FunctionType):
        return {**value.__globals__, **_closure(value)}
    names = dict(vars(sys.modules[value.__module__]))
    for member in vars(value).values():
        function = getattr(member, "fget", None) or getattr(member, "__func__", member)
        names |= _closure(function) if isinstance(function, FunctionType) else {}
    return names


def _closure(function: FunctionType) -> dict[str, Any]:
    """Return what the names stand for that a function takes from those around it, as far as they have values yet."""
    closed = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):
            closed[name] = cell.cell_contents
    return closed


def _standing_alone(lines: str) -> tuple[str, Any]:
    """Return the lines of a definition as a module has them, and its syntax tree; its texts stay as they are."""
    is_inside = lines[:1].isspace()
    outer: Any = ast.parse(f"if True:\n{lines}" if is_inside else lines).body[0]
    node = outer.body[0] if is_inside else outer
    text = textwrap.dedent(lines).rstrip("\n")
    with suppress(SyntaxError):  # a line of a text stands further left, or is moved
        if ast.dump(ast.parse(text).body[0]) == ast.dump(node):
            return text, node
    return ast.unparse(node), node


def _class_code(node: ast.ClassDef) -> CodeType:
    """Return the code that makes a class: all that its body and its methods look up is looked up in it."""
    return compile(ast.Module([node], []), "<class>", "exec", dont_inherit=True)


def _global_names(code: CodeType) -> Iterator[str]:
    """Yield the names that a function or a class and those within it look up outside of it; a local one is none."""
    yield from code.co_freevars
    yield from (step.argval for step in dis.get_instructions(code) if any(part in step.opname for part in LOOKED_UP))
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _global_names(part)


def _names_outside(node: ast.AST) -> Iterator[str]:
    """Yield the names in the defaults and decorators of a function, which are looked up when it is made."""
    if not isinstance(node, ast.FunctionDef | ast.Lambda):
        return
    outside = [*node.args.defaults, *filter(None, node.args.kw_defaults), *getattr(node, "decorator_list", ())]
    yield from (part.id for part in outside for part in ast.walk(part) if isinstance(part, ast.Name))


def _first_line(node: Any) -> int:
    line: int = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])
    return line


def _is_of(node: Any, code: CodeType) -> bool:
    """Return whether a definition is a function's, by its name and first line."""
    if getattr(node, "name", "<lambda>") != code.co_name or _first_line(node) != code.co_firstlineno:
        return False
    return not isinstance(node, ast.Lambda) or _covers(node.body, code)


def _covers(body: ast.expr, code: CodeType) -> bool:
    """Return whether all that a lambda does stands in an expression; a line may have several lambdas."""
    first, last = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
    places = [place for place in code.co_positions() if None not in place and place[2] != place[3]]
    return all(first <= (line, start) and (until, end) <= last for line, until, start, end in places)
