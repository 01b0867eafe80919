"""Rows that are chats, as a stored model is asked: their turns, or one message about what they hold instead."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.errors import DataError
from harness.data.chat import Chat
from harness.data.tokenization import Limits
from harness.models.base_of_delta import Base
from harness.serving.recipe import Recipe
from harness.study.axes import tuning_of
from harness.study.decoding_settings import Decoding

BASE = Base("embedded", None, None, "float32", False, False, "w", "a", {})
USER = {"role": "user", "content": "Where?"}


def recipe(*, of_turns: bool = True, **keys: Any) -> Recipe:
    chat = Chat("own", **keys)
    parts = (chat, Limits(90, 12), Decoding(8), "float32", tuning_of("head"), BASE, "full", "w")
    return Recipe(*parts, of_turns=of_turns)


@pytest.mark.parametrize("of_turns", [True, False])
@pytest.mark.parametrize(
    ("held", "told"),
    [
        ("hello", "column 'messages' holds hello; a chat is a list of turns"),
        (USER, "column 'messages' holds {'role': 'user', 'content': 'Where?'}; a chat is a list of turns"),
        (7, "column 'messages' holds 7; a chat is a list of turns"),
    ],
    ids=["text", "one_turn", "number"],
)
def test_what_is_no_chat_is_told_to_who_asks(held: Any, told: str, of_turns: bool) -> None:
    with pytest.raises(DataError) as caught:
        recipe(of_turns=of_turns).with_turns({"id": "1", "messages": held})
    assert told in str(caught.value)


@pytest.mark.parametrize("keys", [{}, {"user": "{{ source }}"}], ids=["turns", "text"])
def test_a_chat_without_a_user_has_nothing_to_answer(keys: dict[str, Any]) -> None:
    system = {"role": "system", "content": "Be brief."}
    made = recipe(**keys)
    assert made.with_turns({"messages": [system, USER]})["messages"] == [system, USER]
    for turns in ([system], [system, {"role": "assistant", "content": "Yes."}]):
        with pytest.raises(DataError, match="has no turn to answer; put a user's before its end"):
            made.with_turns({"messages": turns})
