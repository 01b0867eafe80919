"""Documents made of grammar sentences: in English, in German, or in both."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tools.world.draw import Draw
from tools.world.english import article, capital
from tools.world.german import declined
from tools.world.grammar import Sentence
from tools.world.lexicon import NOUNS, words
from tools.world.phrases import at_place, noun_phrase, to_place
from tools.world.surroundings import DAYS, FUTURE, MONTHS, NAMES, PAST, PLACES, SURNAMES

__all__ = ["Speech", "dialogue", "diary", "glossary", "letter", "notice", "shopping"]

Speak = Callable[[Draw], Sentence]


class Speech(NamedTuple):
    """The set phrases of one language."""

    index: int
    """Which side of a `Sentence` to take."""
    subject: str
    openings: tuple[str, ...]
    starts: tuple[str, ...]
    ends: tuple[str, ...]
    closings: tuple[str, ...]
    answers: tuple[str, ...]
    weather: tuple[str, ...]


ENGLISH = Speech(
    index=0,
    subject="Subject",
    openings=("Dear {},", "Hi {},", "Hello {},", "Good morning {},"),
    starts=(
        "how are you?",
        "thank you for your letter.",
        "I have some news for you.",
        "I hope that you are well.",
        "just a few lines today.",
    ),
    ends=("See you soon!", "Write to me when you have time.", "Tell me what you think.", "More next week.", "Call me!"),
    closings=("Best wishes", "Yours", "Love", "Many greetings", "Kind regards"),
    answers=(
        *(
            "Yes, of course.",
            "No, not yet.",
            "I do not know.",
            "Really?",
            "That is a pity.",
            "Good idea.",
            "Thank you!",
        ),
        *("I am glad to hear that.", "Why not?", "Perhaps tomorrow.", "Ask your sister.", "I think so."),
    ),
    weather=(
        *("Rain all day.", "Sunny and warm.", "It was cold this morning.", "A little snow.", "Windy, but dry."),
        "Fog until noon.",
    ),
)
GERMAN = Speech(
    index=1,
    subject="Betreff",
    openings=("Hallo {},", "Guten Morgen {},", "Guten Tag {},"),
    starts=(
        "wie geht es dir?",
        "vielen Dank für deinen Brief.",
        "ich habe Neuigkeiten für dich.",
        "ich hoffe, dass es dir gut geht.",
        "heute nur ein paar Zeilen.",
    ),
    ends=(
        "Bis bald!",
        "Schreib mir, wenn du Zeit hast.",
        "Sag mir, was du denkst.",
        "Nächste Woche mehr.",
        "Ruf mich an!",
    ),
    closings=("Viele Grüße", "Liebe Grüße", "Herzliche Grüße", "Alles Gute", "Mit freundlichen Grüßen"),
    answers=(
        *("Ja, natürlich.", "Nein, noch nicht.", "Ich weiß es nicht.", "Wirklich?", "Das ist schade.", "Gute Idee."),
        *(
            "Das freut mich.",
            "Warum nicht?",
            "Vielleicht morgen.",
            "Danke!",
            "Frag deine Schwester.",
            "Ich glaube schon.",
        ),
    ),
    weather=(
        *("Den ganzen Tag Regen.", "Sonnig und warm.", "Heute Morgen war es kalt.", "Ein wenig Schnee."),
        *("Windig, aber trocken.", "Nebel bis zum Mittag."),
    ),
)

_GERMAN_DAYS = dict(zip(DAYS, words("Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag"), strict=True))
_NOTICE_HEADS = (
    "",
    "",
    "Notice / Aushang\n",
    "To all / An alle\n",
    "News / Neues\n",
    "For our guests / Für unsere Gäste\n",
)


def _dated(draw: Draw, speech: Speech) -> str:
    day, month, number = draw.pick(DAYS), draw.pick(MONTHS), draw.number(1, 30)
    if speech is ENGLISH:
        return f"{day}, {number} {month.en}"
    return f"{_GERMAN_DAYS[day]}, {number}. {month.de}"


def _lines(draw: Draw, speech: Speech, speak: Speak, count: int) -> list[str]:
    return [speak(draw)[speech.index] for _ in range(count)]


def diary(draw: Draw, speech: Speech, speak: Speak) -> str:
    """Return a day of a diary."""
    lines = [draw.pick(speech.weather), *_lines(draw, speech, speak, draw.number(2, 6))]
    return f"{_dated(draw, speech)}\n{' '.join(lines)}"


def letter(draw: Draw, speech: Speech, speak: Speak) -> str:
    """Return an e-mail with a subject line."""
    one, two = draw.some(NAMES, 2)
    noun = noun_phrase(draw.pick(NOUNS), draw)
    subject = capital(noun.de["nom"] if speech is GERMAN else noun.en)
    body = " ".join([draw.pick(speech.starts), *_lines(draw, speech, speak, draw.number(2, 5)), draw.pick(speech.ends)])
    opening, closing = draw.pick(speech.openings).format(two), draw.pick(speech.closings)
    return f"{speech.subject}: {subject}\n\n{opening}\n{body}\n{closing}\n{one}"


def dialogue(draw: Draw, speech: Speech, speak: Speak) -> str:
    """Return two people talking."""
    speakers = draw.some(NAMES, 2)
    lines = []
    for turn in range(draw.number(3, 8)):
        said = speak(draw)[speech.index] if turn % 2 == 0 or draw.chance(0.4) else draw.pick(speech.answers)
        lines.append(f"{speakers[turn % 2]}: {said}")
    return "\n".join(lines)


_SHOPPING = [noun for noun in NOUNS if noun.kinds & {"item", "food", "thing"}]


def shopping(draw: Draw, speech: Speech) -> str:
    """Return a shopping list with prices."""
    one, two = draw.some(NAMES, 2)
    english = speech is ENGLISH
    head, euros, ask = ("List for", "euros", "Questions?") if english else ("Liste für", "Euro", "Fragen?")
    lines = [f"{head} {one}"]
    for noun in draw.some(_SHOPPING, draw.number(3, 6)):
        plural = noun.en_plural if english else noun.de_plural
        lines.append(f"- {draw.number(2, 12)} {plural}: {draw.number(1, 99)} {euros}")
    phone = f"0{draw.number(20, 99)} {draw.number(1000, 99999)}"
    return "\n".join([*lines, f"{ask} {two} {draw.pick(SURNAMES)}, {phone}"])


def notice(draw: Draw, speak: Speak) -> str:
    """Return a few sentences in both languages: side by side, labeled, or as two paragraphs.

    A German line never stands alone below its English line, which is how the translation task asks.
    """
    head, said = draw.pick(_NOTICE_HEADS), [speak(draw) for _ in range(draw.number(2, 6))]
    form = draw.number(0, 9)
    if form < 4:
        lines = [f"{one.en} / {one.de}" for one in said]
    elif form < 6:
        lines = [f"{one.de} / {one.en}" for one in said]
    elif form < 7:
        lines = [f"(en) {one.en} (de) {one.de}" for one in said]
    else:
        lines = [" ".join(one.en for one in said), "", " ".join(one.de for one in said)]
    return head + "\n".join(lines)


def glossary(draw: Draw) -> str:
    """Return a page of a phrase book: things, places and times, English and German."""
    lines, between = [], " = " if draw.chance(0.1) else " - "
    for _ in range(draw.number(4, 12)):
        form = draw.number(0, 5)
        if form < 3:
            noun = noun_phrase(draw.pick(NOUNS), draw)
            pair = (noun.en, noun.de["nom"])
        elif form == 3:
            noun = draw.pick(NOUNS)
            pair = (article(noun.en), declined(noun, "ein")["nom"])
        elif form == 4:
            pair = (at_place if draw.chance(0.5) else to_place)(draw.pick(PLACES))
        else:
            pair = draw.pick(FUTURE if draw.chance(0.6) else PAST)
        lines.append(between.join(pair))
    return "\n".join(lines)
