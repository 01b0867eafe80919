"""Chat templates: what a tokenizer's own ``chat_template`` makes of turns, without transformers and without a clock.

The names and filters are those that transformers' ``apply_chat_template`` gives a template, and so is what comes of it;
but a template that asks for today's date gets the one of the prompt, and none can draw or work without end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any, NoReturn

from jinja2 import Template as JinjaTemplate
from jinja2 import TemplateRuntimeError, Undefined, nodes
from jinja2.defaults import KEEP_TRAILING_NEWLINE
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from harness.core.errors import TemplateError
from harness.data.template_sandbox import Sandbox

__all__ = ["ASKS_FOR_DATE", "chat_template", "malformed_arguments", "own_arguments", "written"]

ASKS_FOR_DATE = "strftime_now"
"""The function by which a chat template asks for the date."""

OWN = (
    *("messages", "conversation", "chat_template", "add_generation_prompt", "continue_final_message", "tokenize"),
    *("padding", "truncation", "max_length", "return_tensors", "return_dict", "return_assistant_tokens_mask"),
    *("tokenizer_kwargs", "sanitize_control_tokens", "self", ASKS_FOR_DATE),
)
"""Arguments of ``apply_chat_template`` that are not a study's to set."""

LISTS = ("tools", "documents")
"""Those of which it takes a list of mappings alone."""


def own_arguments(arguments: Mapping[str, Any]) -> list[str]:
    """Return those of some arguments that are not a study's to set."""
    return [name for name in arguments if name in OWN]


def malformed_arguments(arguments: Mapping[str, Any]) -> list[str]:
    """Return those of some arguments that transformers would refuse, whatever the template."""
    each = {name: arguments[name] for name in LISTS if arguments.get(name) is not None}
    return [
        name
        for name, value in each.items()
        if not isinstance(value, list | tuple) or not all(isinstance(one, Mapping) for one in value)
    ]


def chat_template(tokenizer: Any, arguments: Mapping[str, Any]) -> str | None:
    """Return the chat template that a tokenizer uses with some arguments, ``None`` where it has none.

    Args:
        tokenizer: Of transformers, or what stands for one: one template, or several by their names.
        arguments: With ``tools``, the one that is made for them.
    """
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, Mapping):
        named = "tool_use" if arguments.get("tools") is not None and "tool_use" in template else "default"
        template = template.get(named)
    return template if isinstance(template, str) and template else None


def written(
    tokenizer: Any,
    turns: Sequence[Mapping[str, str]],
    arguments: Mapping[str, Any],
    day: date,
    *,
    generation_prompt: bool,
) -> str:
    """Return turns as a tokenizer's chat template writes them.

    Args:
        tokenizer: With a chat template.
        turns: Each with its ``role`` and ``content``.
        arguments: Further ones of the template.
        day: What it is given where it asks for the date.
        generation_prompt: Whether the answer's turn is begun.

    Raises:
        TemplateError: The template does not parse, or refuses these turns.
    """
    template = chat_template(tokenizer, arguments)
    assert template is not None
    given = {
        **tokenizer.special_tokens_map,
        "tools": None,
        "documents": None,
        **arguments,
        "messages": [dict(turn) for turn in turns],
        "add_generation_prompt": generation_prompt,
        ASKS_FOR_DATE: day.strftime,
    }
    try:
        return _SANDBOX.render(_compiled(template), given)
    except Exception as error:  # a template may raise whatever Python does
        reason = str(error) or type(error).__name__
        raise TemplateError(f"the model's chat template refuses these turns: {reason}") from error


class _ChatSandbox(Sandbox):
    """Jinja2 as transformers sets it up for chat templates."""

    def __init__(self) -> None:
        super().__init__()
        self.undefined, self.finalize = Undefined, None
        self.trim_blocks, self.lstrip_blocks, self.keep_trailing_newline = True, True, KEEP_TRAILING_NEWLINE
        self.add_extension(loopcontrols)
        self.add_extension(_Generation)
        self.filters["tojson"] = _json
        self.globals["raise_exception"] = _refuse

    def text(self, value: Any) -> str:
        """Return a value's text as Jinja2 itself does."""
        return str(value)


class _Generation(Extension):
    """``{% generation %}``, by which some templates mark answers; here it marks nothing."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja2 declares it

    def parse(self, parser: Parser) -> nodes.Node:
        """Return what stands between the marks."""
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def _json(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """Return a value as JSON; Jinja2's own filter escapes what HTML would misread."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: object) -> NoReturn:
    raise TemplateRuntimeError(str(message))


_SANDBOX = _ChatSandbox()


@cache
def _compiled(template: str) -> JinjaTemplate:
    return _SANDBOX.compiled(template)
