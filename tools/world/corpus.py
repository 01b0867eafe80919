"""The pretraining corpus: everyday documents in English and German, each from its own seed.

The corpus teaches the words, both languages and how people write, not the tasks: a note may have a
headline, or a form filled in from it, but not its summary; an answer may follow an e-mail; German may
stand beside English. The cues of the tasks' prompts occur in a few percent of the documents, with
other text after them.
Held-out combinations and the sources of validation and test do not occur.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from typing import NamedTuple

from tools.world import bilingual
from tools.world.bilingual import ENGLISH, GERMAN
from tools.world.chatter import chatter
from tools.world.draw import Draw
from tools.world.grammar import Sentence, sentence
from tools.world.messages import Message, message
from tools.world.notes import Note, note
from tools.world.surroundings import NAMES

__all__ = ["DOCUMENTS", "SHARES", "Writer", "corpus"]

DOCUMENTS = 60_000
"""How many documents the model is pretrained on."""


class Writer:
    """Makes documents that hold no source of validation or test.

    Args:
        draw: The choices of one document.
        avoid: The sources that must not occur.
    """

    def __init__(self, draw: Draw, avoid: Set[str] = frozenset()) -> None:
        self.draw = draw
        self._avoid = avoid

    def speak(self, draw: Draw) -> Sentence:
        """Return a sentence that is no source of validation or test."""
        said = sentence(draw)
        while said.en in self._avoid:
            said = sentence(draw)
        return said

    def _note(self) -> Note:
        made = note(self.draw)
        while made.text in self._avoid:
            made = note(self.draw)
        return made

    def _message(self) -> Message:
        made = message(self.draw)
        while made.text in self._avoid:
            made = message(self.draw)
        return made

    def note(self) -> str:
        """A note alone."""
        return self._note().text

    def headline(self) -> str:
        """A note below its headline."""
        made = self._note()
        return f"{made.headline}\n\n{made.text}"

    def agenda(self) -> str:
        """Plans for a week, one a line, without the notes they came from."""
        lines = [self._note().summary for _ in range(self.draw.number(3, 6))]
        return "\n".join(
            [self.draw.pick(("This week", "To do", "Plans", "Please remember")), *(f"- {line}" for line in lines)]
        )

    def gossip(self) -> str:
        """Small news in English."""
        return " ".join(chatter(self.draw) for _ in range(self.draw.number(3, 6)))

    def _mail(self, made: Message) -> str:
        return f"Subject: {made.subject}\n\n{made.opening}\n{made.body}\n{made.closing}"

    def mail(self) -> str:
        """An e-mail with a request."""
        return self._mail(self._message())

    def thread(self) -> str:
        """An e-mail with a request, and what came back."""
        made = self._message()
        greeting, _, reply = made.reply.partition(", ")
        answer = f"{greeting},\n{reply}\n{made.receiver}" if self.draw.chance(0.7) else f"{made.brief}!"
        return f"{self._mail(made)}\n\n---\n{answer}"

    def forward(self) -> str:
        """An e-mail with a request, quoted to somebody else."""
        made = self._message()
        other = self.draw.pick(NAMES)
        return f"{self._mail(made)}\n\n---\n{made.receiver} to {other}:\n> {made.opening} {made.body}\n> {made.closing}"

    def form(self) -> str:
        """A note or an e-mail, and a form filled in from it."""
        made = self._note() if self.draw.chance(0.5) else self._message()
        lines = [f"{label}: {value}" for label, value in self.draw.shuffled(made.fields)]
        return f"{made.text}\n\n" + self.draw.pick(("\n", " | ")).join(lines)

    def notice(self) -> str:
        """A few lines in both languages."""
        return bilingual.notice(self.draw, self.speak)

    def glossary(self) -> str:
        """A page of a phrase book."""
        return bilingual.glossary(self.draw)

    def english(self) -> str:
        """A letter, a diary page, a dialogue or a list in English."""
        return self._told(ENGLISH)

    def german(self) -> str:
        """A letter, a diary page, a dialogue or a list in German."""
        return self._told(GERMAN)

    def _told(self, speech: bilingual.Speech) -> str:
        form = self.draw.number(0, 6)
        if form == 0:
            return bilingual.shopping(self.draw, speech)
        make = (bilingual.diary, bilingual.letter, bilingual.dialogue)[form % 3]
        return make(self.draw, speech, self.speak)

    def cue(self) -> str:
        """Labels as people use them: what follows is shorter or looser than what the tasks ask for."""
        form = self.draw.number(0, 2)
        if form == 0:
            made = self._note()
            return f"{made.text}\nTL;DR: {made.headline}"
        if form == 1:
            mail = self._message()
            return f"{mail.text}\nReply: {mail.brief}, {mail.sender}."
        said = self.speak(self.draw)
        return f"Sign of the day\nEnglish: {said.en}\nGerman: {said.de}"


class Share(NamedTuple):
    """How often a kind of document occurs."""

    weight: int
    make: Callable[[Writer], str]


SHARES = {
    "note": Share(6, Writer.note),
    "headline": Share(4, Writer.headline),
    "agenda": Share(3, Writer.agenda),
    "gossip": Share(2, Writer.gossip),
    "mail": Share(5, Writer.mail),
    "thread": Share(13, Writer.thread),
    "forward": Share(5, Writer.forward),
    "form": Share(10, Writer.form),
    "notice": Share(22, Writer.notice),
    "glossary": Share(6, Writer.glossary),
    "english": Share(8, Writer.english),
    "german": Share(13, Writer.german),
    "cue": Share(3, Writer.cue),
}
"""The kinds of document and their shares in percent."""

_KINDS = [kind for kind, share in SHARES.items() for _ in range(share.weight)]


def corpus(count: int = DOCUMENTS, *, seed: str = "corpus", avoid: Set[str] = frozenset()) -> Iterator[tuple[str, str]]:
    """Yield documents with their kinds; document *i* depends on the seed and *i* alone.

    Args:
        count: How many.
        seed: Another seed gives other documents.
        avoid: Sources that must not occur, as of `tools.world.datasets.evaluation_sources`.
    """
    for index in range(count):
        draw = Draw(f"{seed}/{index}")
        kind = draw.pick(_KINDS)
        yield kind, SHARES[kind].make(Writer(draw, avoid))
