"""The sandbox that prompts are rendered in: it can neither reach out, nor draw, nor work without end.

A rendering has an amount of work, in characters: those that it writes, the template's for each round of a loop and each
call of a macro, and what an operator, a method or a filter may make of what it is given.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any

from jinja2 import StrictUndefined, TemplateRuntimeError, Undefined, nodes
from jinja2 import Template as JinjaTemplate
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from harness.core.example import as_text

__all__ = ["WORK", "Sandbox"]

WORK = 2**24
"""Characters: some hundred times what the largest models read."""

CALL = 256
"""What a call counts for beside what it makes: a macro may call itself for ever and write nothing."""

GROWING = {
    *("batch", "center", "format", "indent", "join", "replace", "round", "slice", "tojson", "wordwrap"),  # filters
    *("expandtabs", "format_map", "ljust", "rjust", "translate", "zfill"),  # further methods of texts
}
"""What may make so many times more of a text or list as a number, or as a text beside it is long."""


OF_TEXT = {
    *("capitalize", "center", "e", "escape", "forceescape", "indent", "lower", "replace", "safe", "string", "title"),
    *("striptags", "trim", "truncate", "upper", "urlize", "wordcount", "wordwrap"),
}
"""Filters that take a value for its text."""

UNREAD = {"count", "length"}
"""Filters that look at no part of their value; chat templates ask for the number of turns in every turn."""


class _Left(threading.local):
    work = 0  # so that nothing is worked out beforehand, when a template is compiled


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2 in which the same fields give the same text, in every process, and soon."""

    intercepted_binops = frozenset(["+", "-", "*", "**", "%"])

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False, finalize=self._written
        )
        self._left = _Left()
        del self.filters["random"], self.globals["lipsum"]
        for name, function in self.filters.items():
            self.filters[name] = function if name in UNREAD else self._costing(name, function)

    def compiled(self, text: str) -> JinjaTemplate:
        """Return a template that takes note of its work."""
        tree = _Counting(len(text)).visit(self.parse(text))
        tree.set_environment(self)
        return self.from_string(tree)

    def render(self, template: JinjaTemplate, fields: Mapping[str, object]) -> str:
        """Render what was compiled here.

        Raises:
            TemplateRuntimeError: It takes too much work.
            UnicodeEncodeError: What comes of it is no text.
        """
        self._left.work = WORK
        text = template.render(fields)
        text.encode()  # half of a surrogate pair is no text
        return text

    def spend(self, work: int) -> None:
        """Take note of work that is to be done now."""
        self._left.work -= work
        if self._left.work < 0:
            raise TemplateRuntimeError(
                f"it takes the work of more than {WORK:,} characters for a row; leave out what repeats"
            )

    def joined(self, *parts: Any) -> str:
        """Return what ``~`` makes of its parts."""
        self.spend(sum(map(_size, parts)))
        return "".join(map(self.text, parts))

    def text(self, value: Any) -> str:
        """Return what a template takes for a value's text: what it would show of it."""
        return as_text(value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Return what an operator makes; the difference of two views of a dictionary would be a set."""
        if isinstance(left, int) and isinstance(right, int):
            self.spend(left.bit_length() * abs(right) if operator == "**" else left.bit_length() + right.bit_length())
        elif operator == "*":
            self.spend(_times(left) * _times(right))
        else:
            self.spend(_size(left) + _size(right) + (_widths(left, (right,)) if operator == "%" else 0))
        return _with_a_fixed_text(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *arguments: Any, **named: Any) -> Any:  # noqa: B902, N805
        """Call a function, a macro or a method; the names are those of the overridden one, which no keyword has."""
        __self.spend(CALL)
        method = getattr(__obj, "__wrapped__", __obj)
        owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        if isinstance(owner, str | bytes) and name in GROWING:
            __self.spend(_product(owner, (*arguments, *named.values())))
        return super().call(__context, __obj, *arguments, **named)

    def _costing(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a filter that takes note of its work."""
        passed = hasattr(function, "jinja_pass_arg")  # its first argument is Jinja's

        @wraps(function)
        def costing(*arguments: Any, **named: Any) -> Any:
            value, *others = (*arguments[passed:], *named.values())
            self.spend(_product(value, others) if name in GROWING else _size(value))
            if arguments[passed:]:
                arguments = (*arguments[:passed], self._taken(name, value, others), *arguments[passed + 1 :])
            return function(*arguments, **named)

        return costing

    def _taken(self, name: str, value: Any, others: Sequence[Any]) -> Any:
        """Return a value as a filter takes it; what is joined by an attribute is left to Jinja."""
        if name in OF_TEXT and not isinstance(value, str):
            return self.text(value)
        if name == "join" and len(others) < 2 and not isinstance(value, Undefined):
            return list(map(self.text, value))
        return value

    def _written(self, value: Any) -> Any:
        """Return a value as a prompt shows it; one that is undefined is left to raise."""
        self.spend(_size(value))
        return value if isinstance(value, Undefined) else as_text(_with_a_fixed_text(value))


class _Counting(NodeTransformer):
    """Has each round of a loop and each call of a macro or block take note of a template's length."""

    def __init__(self, length: int) -> None:
        self._length = length

    def visit_repeated(self, node: Any) -> nodes.Node:
        """Begin a body with the note."""
        self.generic_visit(node)
        spend = _call("spend", [nodes.Const(self._length)])
        node.body.insert(0, nodes.ExprStmt(spend, lineno=node.lineno))
        return node  # type: ignore[no-any-return]

    visit_For = visit_Macro = visit_CallBlock = visit_Block = visit_repeated  # noqa: N815

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        """Have parts joined where that is counted."""
        self.generic_visit(node)
        return _call("joined", node.nodes, node.lineno)


def _call(method: str, arguments: list[nodes.Expr], line: int = 1) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(method), arguments, [], None, None, lineno=line)


def _size(value: Any) -> int:
    """Return about how many characters show a value; beyond `WORK` it is not looked at further."""
    size, rest = 0, [value]
    while rest and size <= WORK:
        one = rest.pop()
        size += len(one) if isinstance(one, str | bytes) else 8
        if isinstance(one, Mapping):
            rest += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            rest += one
    return size


def _times(value: Any) -> int:
    return abs(value) if isinstance(value, int) else _size(value)


def _product(value: Any, others: Iterable[Any]) -> int:
    """Return how much may come of a value: a number or text beside it may repeat all of it."""
    product = 1 + _size(value) + _widths(value, others)
    for other in others:
        product *= 1 + _times(other)
    return product


def _widths(text: Any, others: Iterable[Any]) -> int:
    """Return the numbers that a format holds, or is given: each may be a width."""
    written = re.findall(r"\d{1,18}", text) if isinstance(text, str) else ()
    return sum(map(int, written)) + sum(abs(other) for other in others if isinstance(other, int))


def _with_a_fixed_text(value: Any) -> Any:
    """Return a value that a prompt shows, unless its text would be another one in another process."""
    if value is None or isinstance(value, (str, int, float, Undefined)):
        return value
    if isinstance(value, (set, frozenset)):
        raise TemplateRuntimeError("it uses a set, whose order changes from run to run; sort a list instead")
    if isinstance(value, (list, tuple)):
        for item in value:
            _with_a_fixed_text(item)
    elif _ADDRESS.search(shown := str(value)):
        shown = _ADDRESS.sub("", shown)
        raise TemplateRuntimeError(f"it shows {shown}, with an address that changes from run to run; {_remedy(value)}")
    elif type(value).__module__.startswith("jinja2."):
        remedy = "name what of it is meant, as loop.index, or call it with ()"
        raise TemplateRuntimeError(f"it shows {shown}, which is a part of the template and no text; {remedy}")
    return value


def _remedy(value: Any) -> str:
    return "call it with ()" if callable(value) else "list its items, as with | join(', ')"


_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
