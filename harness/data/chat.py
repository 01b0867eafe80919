"""Chats, the form of a prompt for instruction-tuned models: turns that the model's own chat template writes.

The loss is on the assistant's turn behind what begins it, and on the token that ends it, which ends predictions too.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from typing import Any, Literal, get_args

from harness.core.errors import TemplateError
from harness.core.example import Example
from harness.core.plain_yaml import shown
from harness.data.answer_turn import bare_ids
from harness.data.chat_faults import STANDS_FOR_TURNS, refuse_arguments, refuse_turns
from harness.data.chat_writing import answered, prompt_of, target_of, turn_of
from harness.data.demonstrations import Pick
from harness.data.label_words import Answers, Calibration, Label
from harness.data.shortening import Keep, fitted
from harness.data.template import Template, refuse_names
from harness.data.tokenization import Ids, Reader, Row

__all__ = ["DATE", "Chat", "Message", "Role"]

DATE = "2024-07-26"
"""What a chat template is told where it asks for the date, whatever the day: results must not change with it."""

OWN_TURNS = "{{ messages }}"
"""The text of a turn that stands for the row's own turns."""

NO_TURNS = (
    "takes the turns of rows that are chats, and the rows have none; write what the user says, such as "
    'user: "{{ source }}", or have a column messages'
)

SETTING = ("system", "developer")
"""Roles of turns that hold for the whole conversation, before all demonstrations."""

OF_LABELS = ("answers", "labels", "calibration")
"""Fields that say nothing of what is written."""

Role = Literal["system", "developer", "user", "assistant", "tool"]


@dataclass(frozen=True)
class Message:
    """One turn of a chat."""

    role: Role
    """Who speaks."""
    content: str
    """Jinja2 text."""


@dataclass(frozen=True)
class Chat:
    """A named chat, which the model's own chat template writes.

    Args:
        name: How study files, ids and tables call it.
        system: Jinja2 text of the system's turn; ``None``: there is none, or the template's own.
        user: Jinja2 text of the user's turn; ``{{ messages }}``, or left out: the row's own turns, of which a system's
            gives way to the prompt's.
        messages: All turns, instead of these two, the last one a user's or a tool's.
        assistant: Jinja2 text that begins the answer's turn; no loss is on it, and predictions begin behind it.
        template_args: Further arguments of the chat template, as ``{"enable_thinking": False}``.
        shorten: The one field that may be shortened to fit; ``None``: nothing may.
        keep: Which part of that field stays: its start (articles) or its end (dialogues).
        date: What the chat template is told where it asks for today's date, as ``2024-07-26``.
        shots: How many training rows stand before its own turns as demonstrations, in turns as these, at most.
        pick: Which ones: the same for all rows, drawn for each row, or those with the nearest sources.
        answers: How it is answered; ``None``: as its study or its task says.
        labels: Those that it is answered by, which a study works out.
        calibration: What is done to their probabilities; ``None``: nothing.

    >>> Chat("brief", system="Answer in one line.", user="{{ source }}", shorten="source").names()
    frozenset({'source'})
    """

    name: str
    system: str | None = None
    user: str | None = None
    messages: tuple[Message, ...] = ()
    assistant: str | None = None
    template_args: Mapping[str, Any] = field(default_factory=dict, hash=False)
    shorten: str | None = None
    keep: Keep = "start"
    date: str = DATE
    shots: int = 0
    pick: Pick = "fixed"
    answers: Answers | None = None
    labels: tuple[Label, ...] = ()
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        given = self.messages if isinstance(self.messages, list | tuple) else (self.messages,)
        messages = tuple(_message(self.name, one) for one in given)
        roles = [one.role for one in messages]
        if self.system is None and self.user is None and roles in (["user"], ["system", "user"]):
            said = {one.role: one.content for one in messages}  # the same chat, however it is written
            object.__setattr__(self, "system", said.get("system"))
            object.__setattr__(self, "user", said["user"])
            messages = ()
        object.__setattr__(self, "messages", messages)
        if self.user is None and not messages:
            object.__setattr__(self, "user", OWN_TURNS)

    @property
    def turns(self) -> tuple[Message, ...]:
        """The turns before the answer's."""
        short = [("system", self.system), ("user", self.user)]
        return self.messages or tuple(Message(role, text) for role, text in short if text is not None)  # type: ignore[arg-type]

    @property
    def text(self) -> str:
        """All turns for people: a line with who speaks, and what is said."""
        return _layout([(turn.role, turn.content) for turn in self.turns], self.assistant)

    def contract(self) -> dict[str, str]:
        """Return all that it says beside its turns, but for defaults; what is no text is JSON."""
        apart, plain = ("name", "system", "user", "messages", *OF_LABELS), asdict(Chat(self.name))
        said = {key: value for key, value in asdict(self).items() if key not in apart and value != plain[key]}
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in said.items()}

    def names(self) -> frozenset[str]:
        """Return the fields that its turns use.

        Raises:
            TemplateError: A text is no valid Jinja2, or the turns are none of a chat that is to be answered.
        """
        refuse_turns(self, get_args(Role))
        refuse_arguments(self)
        return frozenset().union(*(part.names() for part in self._parts()))

    def shown_names(self) -> frozenset[str]:
        """Return the fields of training rows that demonstrations show."""
        return self.names()

    def validate(self, fields: Collection[str]) -> None:
        """Check it against the names of fields that examples have; not each needs to have all of them.

        Raises:
            TemplateError: It uses a field that none has, or shortens one that it does not use.
        """
        if "messages" in self.names() and "messages" not in fields:
            raise TemplateError(f"prompt {self.name!r} {NO_TURNS}")
        refuse_names(self.name, self.names(), self.shorten, fields)

    def is_plain(self) -> bool:
        """Return whether each text is plain text and fields alone, so that it renders alike wherever it is rendered.

        Raises:
            TemplateError: A text is no valid Jinja2.
        """
        return all(not part.text or part.is_plain() for part in self._parts())

    def render(self, fields: Mapping[str, Any], shots: Sequence[Example] = ()) -> str:
        """Return all turns for people, the fields filled in and nothing shortened.

        Raises:
            TemplateError: A field is undefined, or a text asks for what the sandbox forbids.
        """
        turns = [(turn["role"], turn["content"]) for turn in self.filled(fields, shots)]
        return _layout(turns, self.beginning(fields))

    def filled(self, fields: Mapping[str, Any], shots: Sequence[Example] = ()) -> list[dict[str, Any]]:
        """Return the turns before the answer's, the fields filled in; demonstrations stand behind the system's turn.

        Raises:
            TemplateError: A field is undefined, or a text asks for what the sandbox forbids.
        """
        start = next((place for place, turn in enumerate(self.turns) if turn.role not in SETTING), 0)
        own = self._filled(self.turns[start:], fields)
        lead = list(takewhile(_is_setting, own))  # of a row that is a chat
        shown = [turn for shot in shots for turn in self._demonstration(shot, self.turns[start:])]
        return [*self._filled(self.turns[:start], fields), *lead, *shown, *own[len(lead) :]]

    def says(self, fields: Mapping[str, Any], target: str) -> str:
        """Return what the assistant says: a target behind what begins it, after a space where that ends in no new line.

        Raises:
            TemplateError: As `filled`.
        """
        begins = self.beginning(fields)
        return f"{begins}{target}" if not begins or begins.endswith("\n") else f"{begins} {target}"

    def _demonstration(self, row: Example, turns: Sequence[Message]) -> list[dict[str, Any]]:
        try:
            said = {"role": "assistant", "content": self.says(row.fields, row.target.strip())}
            return [*(turn for turn in self._filled(turns, row.fields) if not _is_setting(turn)), said]
        except TemplateError as error:
            raise TemplateError(f"training row {row.id!r} as a demonstration: {error}") from error

    def _filled(self, turns: Sequence[Message], fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        filled: list[dict[str, Any]] = []
        for turn in turns:
            if STANDS_FOR_TURNS.fullmatch(turn.content.strip()):
                filled += self._own_turns(fields)
            else:
                filled.append({"role": turn.role, "content": Template(self.name, turn.content).render(fields)})
        return filled

    def _own_turns(self, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the turns of a row that is a chat, without a system's where the prompt has its own."""
        turns = fields.get("messages")
        if not isinstance(turns, list | tuple) or not all(isinstance(turn, Mapping) for turn in turns):
            raise TemplateError(f"prompt {self.name!r} {NO_TURNS}")
        has_system = any(turn.role == "system" for turn in self.turns)
        return [dict(turn) for turn in turns if not (has_system and turn["role"] == "system")]

    def beginning(self, fields: Mapping[str, Any]) -> str:
        """Return what begins the answer's turn; as a text prompt, it ends in no space.

        Raises:
            TemplateError: As `filled`.
        """
        return Template(self.name, self.assistant).render(fields).lstrip().rstrip(" \t") if self.assistant else ""

    def reads(self, fields: Mapping[str, Any], reader: Reader, shots: Sequence[Example] = ()) -> str:
        """Return the prompt as the model reads it: the turns as its template writes them, and what begins the answer.

        Raises:
            TemplateError: A field is undefined, or the model cannot be prompted so.
        """
        return prompt_of(self, fields, reader, shots)

    def ids(self, text: str, reader: Reader) -> Ids:
        """Return the ids of what `reads` gave, which has its special tokens from the template."""
        return bare_ids(reader, text)

    def ahead(self, example: Example, text: str, reader: Reader) -> tuple[list[str], list[str]]:
        """Return what `tokenize` has tokenized for an example that fits: nothing with special tokens."""
        return [], [text, text + answered(self, example.fields, example.target.strip(), reader)[1]]

    def ends(self, reader: Reader) -> Ids:
        """Return the token that ends the assistant's turn.

        Raises:
            TemplateError: The model has no chat template, or one that does not let prompt and answer be told apart.
        """
        return (turn_of(self, reader).end,)

    def tokenize(self, example: Example, reader: Reader, *, limit: int) -> tuple[Row, str]:
        """Return an example in token ids, its target whole, and the prompt as the model reads it.

        Raises:
            LongPrompt: The prompt does not fit even with the shortened field empty.
            TemplateError: The model cannot be prompted so, or its template does not write this row's answer as it is.
        """
        made = fitted(
            self,
            example,
            limit=limit,
            write=lambda fields, shots: self.reads(fields, reader, shots),
            count=lambda text: len(self.ids(text, reader)),
        )
        target = target_of(self, made, example.target.strip(), reader)
        return Row(example.id, self.ids(made.text, reader), target, made.truncated, len(made.shots)), made.text

    def _parts(self) -> list[Template]:
        texts = [*(turn.content for turn in self.turns), *([self.assistant] if self.assistant else [])]
        return [Template(self.name, text) for text in texts]


def _is_setting(turn: Mapping[str, Any]) -> bool:
    return turn["role"] in SETTING


def _message(name: str, given: Any) -> Message:
    if isinstance(given, Mapping) and given.keys() == {"role", "content"}:
        return Message(**given)
    if not isinstance(given, Message):
        raise TemplateError(f"prompt {name!r} has the turn {shown(given)}; a turn is {{role: user, content: '...'}}")
    return given


def _layout(turns: Sequence[tuple[str, str]], begins: str | None) -> str:
    """Return turns for people: a line with who speaks, and what is said; last, what begins the answer."""
    last = [("assistant", begins)] if begins else []
    return "\n\n".join(f"{role}:\n{content}" for role, content in [*turns, *last])
