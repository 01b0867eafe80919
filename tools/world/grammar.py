"""Sentences in English and German at once, with word order and agreement by rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tools.world.draw import Draw, Pair, held_out, split_pairs
from tools.world.english import BE, WAS, capital
from tools.world.events import Event, action, errand, gift, join, journey
from tools.world.german import IT, SEIN, WAR, infinitive, to_infinitive
from tools.world.lexicon import ADJECTIVES, NOUNS
from tools.world.phrases import NOUN, PLACE, Subject, at_place, noun_phrase
from tools.world.surroundings import PLACES, Phrase

__all__ = ["FORMS", "Sentence", "sentence"]

_GERMAN = {adjective.en: adjective.de for adjective in ADJECTIVES}
_STATES = split_pairs((noun.en, word.en) for noun in NOUNS for word in ADJECTIVES if word.kinds & noun.kinds)
_SPOTS = split_pairs((noun.en, place.en) for noun in NOUNS if "item" in noun.kinds for place in PLACES)
_MOODS = (
    Phrase("tired", "müde"),
    Phrase("ill", "krank"),
    Phrase("hungry", "hungrig"),
    Phrase("late", "spät dran"),
    Phrase("happy", "glücklich"),
    Phrase("alone", "allein"),
)
_WEATHER = {
    False: (
        Phrase("it is raining", "es regnet"),
        Phrase("it is snowing", "es schneit"),
        Phrase("it is late", "es spät ist"),
        Phrase("the weather is nice", "das Wetter schön ist"),
        Phrase("the bus is late", "der Bus Verspätung hat"),
        Phrase("there is no time", "keine Zeit ist"),
    ),
    True: (
        Phrase("it was raining", "es geregnet hat"),
        Phrase("it was snowing", "es geschneit hat"),
        Phrase("it was late", "es spät war"),
        Phrase("the weather was nice", "das Wetter schön war"),
        Phrase("the bus was late", "der Bus Verspätung hatte"),
        Phrase("there was no time", "keine Zeit war"),
    ),
}
"""Reasons that anything may have; the key says whether they are past."""
_DEGREES = (Phrase("", ""), Phrase("very", "sehr"), Phrase("too", "zu"), Phrase("not", "nicht"))


class Sentence(NamedTuple):
    """A sentence in both languages."""

    en: str
    de: str
    pair: Pair
    """The combination that it shows."""


def _finish(en: list[str], de: list[str], pair: Pair, mark: str = ".") -> Sentence:
    return Sentence(capital(join(en)) + mark, capital(join(de)) + mark, pair)


def _any_event(draw: Draw, *, main: bool = True) -> Event:
    make = draw.pick((action, action, action, action, gift, errand, errand, journey))
    return make(draw, main=main)


def statement(draw: Draw, *, main: bool = True) -> Sentence:
    """Tell it, with the time at the front now and then."""
    event = _any_event(draw, main=main)
    who, group, bracket, when, where = event.who, event.group, event.bracket, event.when, event.where
    if draw.chance(0.3):
        en = [when.en + ",", who.en, group.plain, event.object_en, where.en]
        de = [when.de, bracket.finite, who.de, event.object_de, where.de, bracket.right]
    else:
        en = [who.en, group.plain, event.object_en, where.en, when.en]
        de = [who.de, bracket.finite, when.de, event.object_de, where.de, bracket.right]
    return _finish(en, de, event.pair)


def question(draw: Draw, *, main: bool = True) -> Sentence:
    """Ask whether it is so, or when."""
    event = _any_event(draw, main=main)
    who, group, bracket, where = event.who, event.group, event.bracket, event.where
    ask, when = (Phrase("when", "wann"), Phrase("", "")) if draw.chance(0.3) else (Phrase("", ""), event.when)
    en = [ask.en, group.helper, who.en, group.rest, event.object_en, where.en, when.en]
    de = [ask.de, bracket.finite, who.de, when.de, event.object_de, where.de, bracket.right]
    return _finish(en, de, event.pair, "?")


def who_question(draw: Draw, *, main: bool = True) -> Sentence:
    """Ask for the subject."""
    event = action(draw, main=main, who=Subject("who", "wer", "3s", None))
    en = ["who", event.group.plain, event.object_en, event.where.en, event.when.en]
    de = ["wer", event.bracket.finite, event.when.de, event.object_de, event.where.de, event.bracket.right]
    return _finish(en, de, event.pair, "?")


def denial(draw: Draw, *, main: bool = True) -> Sentence:
    """Say that it is not so: *nicht* stands before a place and after a definite object.

    Indefinite objects (*kein*) and *must* (whose denial means something else in English) are passed over.
    """
    event = _any_event(draw, main=main)
    while not event.definite or event.tense == "must":
        event = _any_event(draw, main=main)
    who, group, bracket, when, where = event.who, event.group, event.bracket, event.when, event.where
    en = [who.en, group.helper, "not", group.rest, event.object_en, where.en, when.en]
    de = [who.de, bracket.finite, when.de, event.object_de, "nicht", where.de, bracket.right]
    return _finish(en, de, event.pair)


def reason(draw: Draw, *, main: bool = True) -> Sentence:
    """Tell it and add why, in a subordinate clause with its verb last."""
    event = _any_event(draw, main=main)
    who, group, bracket = event.who, event.group, event.bracket
    cause = _cause(event, draw)
    en = [who.en, group.plain, event.object_en, event.where.en, "because", cause.en]
    de = [who.de, bracket.finite, event.object_de, event.where.de, bracket.right]
    return _finish(en, [join(de) + ",", "weil", cause.de], event.pair)


def _cause(event: Event, draw: Draw) -> Phrase:
    """Give a reason: the mood of who does it, the state of the thing, or the weather."""
    past = event.tense == "past"
    be, sein = (WAS, WAR) if past else (BE, SEIN)
    noun, again, person = event.noun, event.who.again, event.who.person
    if noun and "person" not in noun.kinds and draw.chance(0.6):
        word = draw.pick([word for word in ADJECTIVES if word.kinds & noun.kinds and not held_out((noun.en, word.en))])
        en, de, person = ("they", "sie", "3p") if event.plural else ("it", IT[noun.gender], "3s")
        return Phrase(f"{en} {be[person]} {word.en}", f"{de} {word.de} {sein[person]}")
    if again and draw.chance(0.6):
        mood = draw.pick(_MOODS)
        return Phrase(f"{again.en} {be[person]} {mood.en}", f"{again.de} {mood.de} {sein[person]}")
    return draw.pick(_WEATHER[past])


def _doable(draw: Draw, *, main: bool, tense: str) -> Event:
    """Return an action that one may intend, unlike losing or needing something."""
    event = action(draw, main=main, tense=tense)
    while event.verb.kinds & {"PAST", "STATIVE"}:
        event = action(draw, main=main, tense=tense)
    return event


def forgotten(draw: Draw, *, main: bool = True) -> Sentence:
    """Say what somebody forgot to do: an infinitive with *zu* after the comma."""
    event = _doable(draw, main=main, tense="past")
    helper = {"1s": "habe", "2s": "hast", "3s": "hat"}.get(event.who.person, "haben")
    en = [event.who.en, "forgot to", event.verb.en, event.object_en]
    de = [event.who.de, helper, "vergessen,", event.object_de, to_infinitive(event.verb.de)]
    return _finish(en, de, event.pair)


def request(draw: Draw, *, main: bool = True) -> Sentence:
    """Ask as signs do: an imperative in English, *bitte* with the infinitive in German."""
    event = _doable(draw, main=main, tense="will")
    when = event.when if draw.chance(0.5) else Phrase("", "")
    en = ["please", event.verb.en, event.object_en, event.where.en, when.en]
    de = ["bitte", when.de, event.object_de, event.where.de, infinitive(event.verb.de)]
    return _finish(en, de, event.pair)


def state(draw: Draw, *, main: bool = True) -> Sentence:
    """Say how something is."""
    pair = draw.pair(_STATES, main=main)
    noun, degree = NOUN[pair[0]], draw.pick(_DEGREES)
    form = draw.pick(("the", "owned", "plural"))
    thing = noun_phrase(noun, draw, form=form)
    be, ist = ("are", "sind") if thing.plural else ("is", "ist")
    if draw.chance(0.35):
        where = at_place(draw.pick(PLACES))
        if noun.kinds & {
            "thing",
            "vehicle",
            "opening",
            "item",
        }:  # "the lamp in the cellar is broken", but not "my aunt in the cellar"
            thing = thing._replace(en=f"{thing.en} {where.en}", de={"nom": f"{thing.de['nom']} {where.de}"})
    words_en, words_de = [degree.en, pair[1]], [degree.de, _GERMAN[pair[1]]]
    if degree.en != "not" and draw.chance(0.3):
        return _finish([be, thing.en, *words_en], [ist, thing.de["nom"], *words_de], pair, "?")
    return _finish([thing.en, be, *words_en], [thing.de["nom"], ist, *words_de], pair)


def spot(draw: Draw, *, main: bool = True) -> Sentence:
    """Say or ask where something is, or where it was yesterday."""
    pair = draw.pair(_SPOTS, main=main)
    thing, where = noun_phrase(NOUN[pair[0]], draw), at_place(PLACE[pair[1]])
    be, ist = ("are", "sind") if thing.plural else ("is", "ist")
    was, war = ("were", "waren") if thing.plural else ("was", "war")
    form = draw.number(0, 3)
    if form == 0:
        return _finish([be, thing.en, "still", where.en], [ist, thing.de["nom"], "noch", where.de], pair, "?")
    if form == 1:
        return _finish(
            ["yesterday", thing.en, was, "still", where.en], ["gestern", war, thing.de["nom"], "noch", where.de], pair
        )
    if form == 2 and not thing.definite:
        return _finish(["there", be, thing.en, where.en], [where.de, ist, thing.de["nom"]], pair)
    return _finish([thing.en, be, where.en], [thing.de["nom"], ist, where.de], pair)


FORMS: tuple[Callable[..., Sentence], ...] = (
    statement, statement, statement, question, question, who_question, denial, reason, forgotten, request, state, spot,
)  # fmt: skip
"""The forms of a sentence, the common ones more than once."""


def sentence(draw: Draw, *, main: bool = True) -> Sentence:
    """Return a sentence of a random form."""
    return draw.pick(FORMS)(draw, main=main)
