"""English inflection: articles, verb forms and agreement."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BE", "WAS", "Group", "article", "capital", "ing", "third", "verb_group"]

BE = {"1s": "am", "2s": "are", "3s": "is", "1p": "are", "3p": "are"}
"""Present forms of *to be* by person and number."""

WAS = {"1s": "was", "2s": "were", "3s": "was", "1p": "were", "3p": "were"}
"""Past forms of *to be* by person and number."""

_DOUBLED = {"cut", "wrap", "forget"}


class Group(NamedTuple):
    """What an English verb looks like in one tense, for one subject."""

    plain: str
    """In a statement."""
    helper: str
    """The auxiliary that moves to the front in a question and carries *not*."""
    rest: str
    """What stays behind."""


def article(words: str) -> str:
    """Put the indefinite article before a noun phrase.

    >>> article("old lamp"), article("lamp"), article("unpaid bill")
    ('an old lamp', 'a lamp', 'an unpaid bill')
    """
    return ("an " if words[0] in "aeiou" else "a ") + words


def capital(text: str) -> str:
    """Make the first letter a capital and leave the others alone."""
    return text[:1].upper() + text[1:]


def third(verb: str) -> str:
    """Return the third person singular of a verb that may have a particle.

    >>> third("carry"), third("wash"), third("pick up")
    ('carries', 'washes', 'picks up')
    """
    head, space, particle = verb.partition(" ")
    if head.endswith(("s", "x", "ch", "sh", "o")):
        head += "es"
    elif head.endswith("y") and head[-2] not in "aeiou":
        head = head[:-1] + "ies"
    else:
        head += "s"
    return head + space + particle


def ing(verb: str) -> str:
    """Return the present participle of a verb that may have a particle.

    >>> ing("bake"), ing("see"), ing("throw away"), ing("cut")
    ('baking', 'seeing', 'throwing away', 'cutting')
    """
    head, space, particle = verb.partition(" ")
    if head in _DOUBLED:
        head += head[-1]
    elif head.endswith("e") and not head.endswith("ee"):
        head = head[:-1]
    return head + "ing" + space + particle


def verb_group(verb: str, past: str, tense: str, person: str, *, stative: bool = False) -> Group:
    """Inflect a verb.

    Args:
        verb: The base form.
        past: The simple past.
        tense: ``present``, ``past``, ``will``, ``can``, ``must``, ``should`` or ``want``.
        person: A key of `BE`.
        stative: Whether the present is simple, not continuous.
    """
    single = person == "3s"
    if tense == "past":
        return Group(past, "did", verb)
    if tense == "want":
        return Group(("wants to " if single else "want to ") + verb, "does" if single else "do", f"want to {verb}")
    if tense == "present" and stative:
        return Group(third(verb) if single else verb, "does" if single else "do", verb)
    helper, rest = (BE[person], ing(verb)) if tense == "present" else (tense, verb)
    return Group(f"{helper} {rest}", helper, rest)
