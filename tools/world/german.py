"""German inflection: cases, adjective endings, contractions, verb forms and the sentence bracket."""

from __future__ import annotations

from typing import NamedTuple

from tools.world.lexicon import Noun

__all__ = [
    "CASES", "IT", "SEIN", "WAR", "Bracket", "declined", "infinitive", "place_phrase", "to_infinitive", "verb_bracket",
]  # fmt: skip

CASES = ("nom", "acc", "dat")

_PERSONS = ("1s", "2s", "3s", "1p", "3p")
IT = {"m": "er", "f": "sie", "n": "es"}
"""The pronoun for a noun by its gender."""

_DEFINITE = {
    "nom": {"m": "der", "f": "die", "n": "das", "p": "die"},
    "acc": {"m": "den", "f": "die", "n": "das", "p": "die"},
    "dat": {"m": "dem", "f": "der", "n": "dem", "p": "den"},
}
_EIN_ENDING = {
    "nom": {"m": "", "f": "e", "n": "", "p": "e"},
    "acc": {"m": "en", "f": "e", "n": "", "p": "e"},
    "dat": {"m": "em", "f": "er", "n": "em", "p": "en"},
}
_MIXED_ENDING = {"m": "er", "f": "e", "n": "es"}
_WEAK_NOUNS = {"Nachbar", "Kollege", "Kunde"}
_CONTRACTED = {
    "in dem": "im", "an dem": "am", "in das": "ins", "an das": "ans", "auf das": "aufs", "zu dem": "zum",
    "zu der": "zur", "bei dem": "beim", "von dem": "vom",
}  # fmt: skip
_AUXILIARIES = {
    "haben": ("habe", "hast", "hat", "haben", "haben"),
    "sein": ("bin", "bist", "ist", "sind", "sind"),
    "will": ("werde", "wirst", "wird", "werden", "werden"),
    "can": ("kann", "kannst", "kann", "können", "können"),
    "must": ("muss", "musst", "muss", "müssen", "müssen"),
    "should": ("sollte", "solltest", "sollte", "sollten", "sollten"),
    "want": ("will", "willst", "will", "wollen", "wollen"),
}
SEIN = dict(zip(_PERSONS, _AUXILIARIES["sein"], strict=True))
"""Present forms of *sein* by person and number."""
WAR = dict(zip(_PERSONS, ("war", "warst", "war", "waren", "waren"), strict=True))
"""Past forms of *sein* by person and number."""


class Bracket(NamedTuple):
    """The two ends of a German verb: the finite form, and what closes the sentence (may be empty)."""

    finite: str
    right: str


def _ending(determiner: str, case: str, gender: str) -> str:
    """Return the ending of an adjective after a determiner; the gender ``p`` is the plural."""
    if determiner.isdigit():
        return "en" if case == "dat" else "e"
    if gender == "p" or case == "dat" or (case, gender) == ("acc", "m"):
        return "en"
    return "e" if determiner == "the" else _MIXED_ENDING[gender]


def _determiner(determiner: str, case: str, gender: str) -> str:
    if determiner == "the":
        return _DEFINITE[case][gender]
    return determiner + _EIN_ENDING[case][gender]


def _noun_form(noun: Noun, case: str, *, plural: bool) -> str:
    if not plural:
        return noun.de_plural if noun.de in _WEAK_NOUNS and case != "nom" else noun.de
    return noun.de_plural + ("" if case != "dat" or noun.de_plural.endswith(("n", "s")) else "n")


def declined(
    noun: Noun, determiner: str, adjective: str = "", *, plural: bool = False, number: str = ""
) -> dict[str, str]:
    """Return a noun phrase in each of the `CASES`.

    Args:
        noun: The noun.
        determiner: ``the``, or the stem of an *ein* word (``ein``, ``mein``, ``unser``); unused with a number.
        adjective: Its base form, or empty.
        plural: Whether the noun is plural.
        number: A German numeral from two on, in place of the determiner.
    """
    gender = "p" if plural else noun.gender
    stem = "teur" if adjective == "teuer" else adjective.removesuffix("e")
    phrases = {}
    for case in CASES:
        words = [number or _determiner(determiner, case, gender)]
        if adjective:
            words.append(stem + _ending("2" if number else determiner, case, gender))
        words.append(_noun_form(noun, case, plural=plural))
        phrases[case] = " ".join(words)
    return phrases


def place_phrase(preposition: str, noun: str, gender: str, *, case: str) -> str:
    """Return a preposition with its place, contracted where German contracts.

    >>> place_phrase("in", "Garten", "m", case="acc"), place_phrase("zu", "Schule", "f", case="dat")
    ('in den Garten', 'zur Schule')
    """
    head = f"{preposition} {_DEFINITE[case][gender]}"
    return f"{_CONTRACTED.get(head, head)} {noun}"


def infinitive(verb: str) -> str:
    """Join a separable prefix to its verb, as in the infinitive."""
    return verb.replace("|", "")


def to_infinitive(verb: str) -> str:
    """Return the infinitive with *zu*.

    >>> to_infinitive("ab|holen"), to_infinitive("lesen")
    ('abzuholen', 'zu lesen')
    """
    prefix, bar, stem = verb.rpartition("|")
    return f"{prefix}zu{stem}" if bar else f"zu {stem}"


def _present(verb: str, er: str, person: str) -> str:
    """Conjugate in the present, without the separable prefix."""
    base = verb.rpartition("|")[2]
    if person in ("1p", "3p"):
        return base
    if person == "1s":
        return (base[:-1] if base.endswith("ern") else base[:-2]) + "e"
    if person == "3s":
        return er
    stem = er[:-1]
    return er if stem.endswith(("s", "ß", "z")) else stem + "st"


def verb_bracket(verb: str, er: str, participle: str, tense: str, person: str, *, sein: bool = False) -> Bracket:
    """Inflect a verb for a main clause.

    Args:
        verb: The infinitive, a separable prefix marked with ``|``.
        er: Its third person singular, present, without the prefix.
        participle: Its past participle.
        tense: ``present``, ``past`` (the perfect), or a modal as in `english.verb_group`.
        person: Person and number, as ``3s``.
        sein: Whether the perfect takes *sein*.
    """
    if tense == "present":
        return Bracket(_present(verb, er, person), verb.rpartition("|")[0])
    helper = ("sein" if sein else "haben") if tense == "past" else tense
    finite = _AUXILIARIES[helper][_PERSONS.index(person)]
    return Bracket(finite, participle if tense == "past" else infinitive(verb))
