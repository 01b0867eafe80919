"""Faults of chats that are seen without a model: turns that nobody answers, and arguments that no template takes."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from datetime import date
from typing import TYPE_CHECKING

from harness.core.closest_match import closest
from harness.core.errors import TemplateError
from harness.core.plain_yaml import shown
from harness.data.chat_template import malformed_arguments, own_arguments

if TYPE_CHECKING:
    from harness.data.chat import Chat

__all__ = ["STANDS_FOR_TURNS", "refuse_arguments", "refuse_turns"]

STANDS_FOR_TURNS = re.compile(r"\{\{-?\s*messages\s*-?\}\}")
"""What stands for the row's own turns where it is all that a turn says, with whatever spaces around."""

CUT = 'write user: "{{ source }}", shorten: source, keep: end'


def refuse_turns(chat: Chat, roles: Collection[str]) -> None:
    """Refuse turns that are written twice, of an unknown role, or that no answer follows.

    Raises:
        TemplateError: They are such.
    """
    written = [key for key in ("system", "user") if getattr(chat, key) is not None]
    if chat.messages and written:
        raise TemplateError(f"prompt {chat.name!r} has messages and {written[0]}; write all turns in messages")
    for turn in chat.turns:
        if turn.role not in roles:
            raise TemplateError(f"prompt {chat.name!r} has a turn of {turn.role!r}; {closest(turn.role, roles)}")
        if STANDS_FOR_TURNS.search(turn.content) and not STANDS_FOR_TURNS.fullmatch(turn.content.strip()):
            raise TemplateError(
                f"prompt {chat.name!r} has text around {{{{ messages }}}} in a turn of the {turn.role}, which would "
                "show it as a list; give {{ messages }} a turn of its own, where it stands for the row's turns, or "
                "write {{ source }}, which is these turns as text"
            )
    if not chat.turns or chat.turns[-1].role not in ("user", "tool"):
        last = f"ends with a turn of the {chat.turns[-1].role}" if chat.turns else "has no turn"
        raise TemplateError(
            f"prompt {chat.name!r} {last}, but a model answers a user's or a tool's; end with one, such as "
            'user: "{{ source }}", and write what begins the answer in assistant'
        )


def refuse_arguments(chat: Chat) -> None:
    """Refuse a field to shorten that is no text, a date that is none, and arguments that no chat template takes.

    Raises:
        TemplateError: There is one.
    """
    if chat.shorten == "messages":
        raise TemplateError(f"prompt {chat.name!r} shortens messages, which are turns and no text; {CUT}")
    if own := own_arguments(chat.template_args):
        raise TemplateError(
            f"prompt {chat.name!r}: template_args sets {own[0]}, which the harness sets itself; leave it out"
        )
    try:
        date.fromisoformat(chat.date)
        json.dumps(chat.template_args, allow_nan=False)
    except (ValueError, TypeError) as error:
        raise TemplateError(
            f"prompt {chat.name!r}: {error}; date is a day such as 2024-07-26, and template_args holds plain values"
        ) from None
    if wrong := malformed_arguments(chat.template_args):
        raise TemplateError(
            f"prompt {chat.name!r}: template_args.{wrong[0]} is {shown(chat.template_args[wrong[0]])}; it must be "
            "a list of mappings, such as [{name: search}]"
        )
