"""The German of the embedded world, checked by rules written down here and not by the generator's."""

from __future__ import annotations

import re

import pytest

from tools.world.datasets import SIZES, read
from tools.world.lexicon import ADJECTIVES, NOUNS
from tools.world.verbs import VERBS

ENDINGS = {
    "m": {"der": "e", "den": "en", "dem": "en", "ein": "er", "einen": "en", "einem": "en"},
    "f": {"die": "e", "der": "en", "eine": "e", "einer": "en"},
    "n": {"das": "e", "dem": "en", "ein": "es", "einem": "en"},
    "p": {"die": "en", "den": "en", "eine": "en", "einen": "en"},
}
"""The ending of an adjective by the gender of its noun and the determiner, *ein* standing for *mein* and *unser*."""
GENDERS: dict[str, set[str]] = {}
for _noun in NOUNS:
    GENDERS.setdefault(_noun.de, set()).add(_noun.gender)
    for _form in (_noun.de_plural, _noun.de_plural + "n"):
        GENDERS.setdefault(_form, set()).add("p")
for _weak in ("Nachbarn", "Kollegen", "Kunden"):
    GENDERS[_weak].add("m")
_NOUNS = "|".join(sorted(GENDERS, key=len, reverse=True))
PHRASE = re.compile(
    rf"\b(?<!um )(d(?:er|ie|as|en|em)|(?:ein|mein|unser)(?:e[nmr]?)?) (?:([a-zäöüß]+) )?({_NOUNS})\b",
    re.IGNORECASE,
)
STEMS = {("teur" if word.de == "teuer" else word.de.rstrip("e")) for word in ADJECTIVES}


def german() -> list[str]:
    return [row.target for split in SIZES for row in read("translation", split)]


def test_articles_and_adjectives_agree_with_their_nouns() -> None:
    checked = inflected = 0
    for text in german():
        for determiner, adjective, noun in PHRASE.findall(text):
            article = re.sub(r"^(mein|unser)", "ein", determiner.lower())
            allowed = {ENDINGS[gender].get(article) for gender in GENDERS[noun]} - {None}
            assert allowed, text
            checked += 1
            if adjective:
                assert any(adjective == stem + ending for stem in STEMS for ending in allowed), text
                inflected += 1
    assert checked > 2000
    assert inflected > 400


def test_verbs_stand_where_german_wants_them() -> None:
    bracket = {verb.de.partition("|")[0]: verb.er for verb in VERBS if "|" in verb.de}
    participles = {verb.participle for verb in VERBS}
    perfect = separable = last = 0
    for text in german():
        main, _, clause = text.rstrip(".?").partition(", weil ")
        words = main.split()
        if clause:
            assert re.search(r"\b(bin|bist|ist|sind|war|warst|waren|hat|hatte|regnet|schneit)$", clause), text
            last += 1
        if re.search(r"\b(habe|hast|hat|haben)\b", main) and set(words) & (participles - {"vergessen,"}):
            assert words[-1] in participles, text
            perfect += 1
        for prefix, er in bracket.items():
            if er in words and prefix in words:
                assert words[-1] == prefix, text
                separable += 1
    assert min(perfect, separable, last) > 30


@pytest.mark.parametrize("question", ["Who", "When", "Did", "Is"])
def test_questions_are_questions_in_both_languages(question: str) -> None:
    rows = [row for row in read("translation", "train") if row.source.startswith(question + " ")]
    assert len(rows) > 20
    for row in rows:
        assert row.source.endswith("?")
        assert row.target.endswith("?")
