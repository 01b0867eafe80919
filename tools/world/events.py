"""What happens: a verb inflected for somebody, with its things, time and place, in both languages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tools.world.draw import Draw, Pair, split_pairs
from tools.world.english import Group, verb_group
from tools.world.german import Bracket, verb_bracket
from tools.world.lexicon import NOUNS, Noun
from tools.world.phrases import NOUN, PLACE, NounPhrase, Subject, at_place, noun_phrase, possessed, subject, to_place
from tools.world.surroundings import CITIES, FUTURE, PAST, PLACES, Phrase
from tools.world.verbs import GIFTS, MOTIONS, VERBS, Verb

__all__ = ["Event", "action", "errand", "gift", "join", "journey"]

_NOWHERE = Phrase("", "")
_MODALS = ("can", "must", "should", "want", "will")
_VERB = {verb.en: verb for verb in VERBS}
_GIFT = {verb.en: verb for verb in GIFTS}
_MOTION = {verb.en: verb for verb in MOTIONS}
_RECEIVERS = [noun for noun in NOUNS if "person" in noun.kinds]

_ACTIONS = split_pairs((verb.en, noun.en) for verb in VERBS for noun in NOUNS if verb.kinds & noun.kinds)
_PRESENTS = split_pairs((verb.en, noun.en) for verb in GIFTS for noun in NOUNS if verb.kinds & noun.kinds)
_ERRANDS = split_pairs((verb.en, place.en) for verb in MOTIONS for place in PLACES)
_JOURNEYS = split_pairs(("drive", city.en) for city in CITIES)


class Event(NamedTuple):
    """What a clause needs, in both languages."""

    who: Subject
    verb: Verb
    tense: str
    group: Group
    bracket: Bracket
    when: Phrase
    object_en: str
    object_de: str
    where: Phrase
    noun: Noun | None
    """The last of the things."""
    plural: bool
    """Whether that thing is more than one."""
    definite: bool
    """Whether every thing in it is a definite one."""
    pair: Pair
    """The combination that it shows."""


def join(words: Sequence[str]) -> str:
    """Join the parts of a sentence that are not empty."""
    return " ".join(word for word in words if word)


def _tense(draw: Draw, verb: Verb) -> str:
    if "PAST" in verb.kinds:
        return "past"
    return draw.pick(("present", "present", "past", "past", draw.pick(_MODALS)))


def _event(
    draw: Draw, pair: Pair, verb: Verb, *, who: Subject, things: Sequence[NounPhrase], where: Phrase, tense: str = ""
) -> Event:
    """Inflect a verb for its subject and put the things in their cases; of two, the first receives the second."""
    tense = tense or _tense(draw, verb)
    group = verb_group(verb.en, verb.en_past, tense, who.person, stative="STATIVE" in verb.kinds)
    bracket = verb_bracket(verb.de, verb.er, verb.participle, tense, who.person, sein="SEIN" in verb.kinds)
    cases = ("dat", "acc") if len(things) == 2 or "DAT" in verb.kinds else ("acc",)
    return Event(
        who=who,
        verb=verb,
        tense=tense,
        group=group,
        bracket=bracket,
        when=draw.pick(PAST if tense == "past" else FUTURE),
        object_en=join([thing.en for thing in things]),
        object_de=join([thing.de[case] for thing, case in zip(things, cases, strict=False)]),
        where=where,
        noun=NOUN[pair[1]] if things else None,
        plural=bool(things) and things[-1].plural,
        definite=all(thing.definite for thing in things),
        pair=pair,
    )


def action(draw: Draw, *, main: bool = True, who: Subject | None = None, tense: str = "") -> Event:
    """Somebody does something to a thing or a person."""
    pair = draw.pair(_ACTIONS, main=main)
    things = [noun_phrase(NOUN[pair[1]], draw)]
    where = at_place(draw.pick(PLACES)) if draw.chance(0.15) else _NOWHERE
    return _event(draw, pair, _VERB[pair[0]], who=who or subject(draw), things=things, where=where, tense=tense)


def gift(draw: Draw, *, main: bool = True) -> Event:
    """Somebody gives somebody something."""
    pair = draw.pair(_PRESENTS, main=main)
    things = [possessed(draw.pick(_RECEIVERS), draw), noun_phrase(NOUN[pair[1]], draw, form="plain")]
    return _event(draw, pair, _GIFT[pair[0]], who=subject(draw), things=things, where=_NOWHERE)


def errand(draw: Draw, *, main: bool = True) -> Event:
    """Somebody goes somewhere, or does something there."""
    pair = draw.pair(_ERRANDS, main=main)
    verb, place = _MOTION[pair[0]], PLACE[pair[1]]
    where = to_place(place) if "TO" in verb.kinds else at_place(place)
    return _event(draw, pair, verb, who=subject(draw), things=(), where=where)


def journey(draw: Draw, *, main: bool = True) -> Event:
    """Somebody drives to a city."""
    pair = draw.pair(_JOURNEYS, main=main)
    city = next(city for city in CITIES if city.en == pair[1])
    where = Phrase(f"to {city.en}", f"nach {city.de}")
    return _event(draw, pair, _MOTION["drive"], who=subject(draw), things=(), where=where)
