"""Noun phrases and subjects in both languages at once."""

from __future__ import annotations

from typing import NamedTuple

from tools.world.draw import Draw
from tools.world.english import article
from tools.world.german import declined, place_phrase
from tools.world.lexicon import ADJECTIVES, NOUNS, Noun
from tools.world.surroundings import FEMALE, MALE, PLACES, Phrase, Place

__all__ = ["NOUN", "PLACE", "NounPhrase", "Subject", "at_place", "noun_phrase", "possessed", "subject", "to_place"]

NOUN = {noun.en: noun for noun in NOUNS}
"""The nouns by their English name."""

PLACE = {place.en: place for place in PLACES}
"""The places by their English name."""

_NUMBERS = (("two", "zwei"), ("three", "drei"), ("four", "vier"), ("five", "fünf"), ("six", "sechs"))
_POSSESSIVES = (("my", "mein"), ("our", "unser"))
_PLAIN = ("the", "the", "a", "plural", "owned")
_DETERMINERS = ("the", "the", "the", "a", "a", "plural", "owned", "number")
_ROLES = [noun for noun in NOUNS if "role" in noun.kinds]
_KIN = [noun for noun in NOUNS if "kin" in noun.kinds]
_MANY_KIN = [noun for noun in _KIN if noun.en.removeprefix("grand") not in ("mother", "father")]
_PRONOUNS = (
    ("I", "ich", "1s"),
    ("you", "du", "2s"),
    ("he", "er", "3s"),
    ("she", "sie", "3s"),
    ("we", "wir", "1p"),
    ("they", "sie", "3p"),
)


class NounPhrase(NamedTuple):
    """An object: one English form, the German cases, and whether it is definite."""

    en: str
    de: dict[str, str]
    definite: bool
    plural: bool = False


class Subject(NamedTuple):
    """Who does something."""

    en: str
    de: str
    person: str
    """Person and number, as ``3s``."""
    again: Phrase | None
    """The pronoun that takes it up, where both languages agree on one."""


def possessed(noun: Noun, draw: Draw) -> NounPhrase:
    """Return a person as somebody's or as the only one: ``my aunt``, ``the plumber``."""
    if "role" in noun.kinds:
        return NounPhrase(f"the {noun.en}", declined(noun, "the"), True)
    en, de = draw.pick(_POSSESSIVES)
    return NounPhrase(f"{en} {noun.en}", declined(noun, de), True)


def noun_phrase(noun: Noun, draw: Draw, *, form: str = "") -> NounPhrase:
    """Return a phrase around a noun.

    Args:
        noun: The noun; a person is always somebody's or the only one.
        draw: The choices.
        form: ``the``, ``a``, ``owned`` or ``plural`` (without adjectives), ``plain`` for one of these,
            or empty for any determiner or number, with an adjective now and then.
    """
    if "person" in noun.kinds:
        return possessed(noun, draw)
    fitting = [adjective for adjective in ADJECTIVES if adjective.kinds & noun.kinds]
    adjective = draw.pick(fitting) if not form and draw.chance(0.4) else None
    en, de = (adjective.en + " ", adjective.de) if adjective else ("", "")
    kind = draw.pick(_PLAIN if form == "plain" else _DETERMINERS) if form in ("", "plain") else form
    if kind == "number":
        number_en, number_de = draw.pick(_NUMBERS)
        german = declined(noun, "", de, plural=True, number=number_de)
        return NounPhrase(f"{number_en} {en}{noun.en_plural}", german, False, True)
    if kind == "plural":
        return NounPhrase(f"the {en}{noun.en_plural}", declined(noun, "the", de, plural=True), True, True)
    if kind == "a":
        return NounPhrase(article(en + noun.en), declined(noun, "ein", de), False)
    owner_en, owner_de = draw.pick(_POSSESSIVES) if kind == "owned" else ("the", "the")
    return NounPhrase(f"{owner_en} {en}{noun.en}", declined(noun, owner_de, de), True)


def subject(draw: Draw) -> Subject:
    """Return somebody: a name, a pronoun, a relative, a role, or several people."""
    form = draw.number(0, 9)
    if form < 4:
        female = draw.chance(0.5)
        name = draw.pick(FEMALE if female else MALE)
        return Subject(name, name, "3s", Phrase("she", "sie") if female else Phrase("he", "er"))
    if form < 6:
        en, de, person = draw.pick(_PRONOUNS)
        return Subject(en, de, person, Phrase(en, de))
    role = draw.chance(0.5)
    if form == 6:
        noun = draw.pick(_ROLES if role else _MANY_KIN)
        determiner = ("the", "the") if role else ("our", "unser")
        german = declined(noun, determiner[1], plural=True)["nom"]
        return Subject(f"{determiner[0]} {noun.en_plural}", german, "3p", Phrase("they", "sie"))
    noun = draw.pick(_ROLES if role else _KIN)
    phrase = possessed(noun, draw)
    pronoun = {"m": Phrase("he", "er"), "f": Phrase("she", "sie")}.get(noun.gender)
    return Subject(phrase.en, phrase.de["nom"], "3s", pronoun)


def at_place(place: Place) -> Phrase:
    """Say being at a place: ``in the garden``, ``im Garten``."""
    return Phrase(f"{place.en_at} the {place.en}", place_phrase(place.de_at, place.de, place.gender, case="dat"))


def to_place(place: Place) -> Phrase:
    """Say going to a place: ``to the garden``, ``in den Garten``."""
    case = "dat" if place.de_to == "zu" else "acc"
    return Phrase(f"to the {place.en}", place_phrase(place.de_to, place.de, place.gender, case=case))
