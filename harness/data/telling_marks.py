"""Telling marks: the punctuation and symbols of a text that change what it says, apart from those that dress it.

``1.5 mg`` is not ``15 mg``, ``-5`` not ``5``, ``C++`` not ``C``; but ``Don't!`` is ``dont``. Telling are

* symbols: mathematical signs, currencies, emoji, ``% & * # @ / _``, square and curly brackets;
* marks inside a number, in front of one or of a sum, and feet and inches behind it: ``1.5``, ``1e-5``, ``-$5``, ``5'``;
* a dash between, before or behind operands (numbers, single letters), or in front of an option: ``x - 5``, ``-x``,
  ``A-``, ``ls -l``;
* marks that join a sign: ``!=``, ``->``, ``:=``; a bracket that calls or groups: ``f(x)``, ``2 * (3 + 4)``; ``:)``;
  an exclamation mark in front of a word: ``!done``;
* a capital inside a short word behind a number, or a unit's where it alone tells: ``5 mW`` (not ``MW``), ``8 Mb``;
* a charge behind a formula: ``Cl-``, ``OH-``; a factorial by itself or within a sentence: ``5!``, ``n! is``;
* all marks inside an address: ``user@example.com``;
* close to such signs, as in code and mathematics, all marks but those around the whole text.

Other marks (those that end or part sentences, quotation marks, hyphens, brackets around an aside) dress a text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

__all__ = ["pieces", "undressed"]

REACH = 5
"""So many words and runs of marks around a sign are read as code or mathematics."""

_SYMBOLS = re.compile(
    "PERCENT|PER MILLE|PER TEN|AMPERSAND|ASTERISK|NUMBER SIGN|COMMERCIAL AT|SOLIDUS|SECTION SIGN|PILCROW|DAGGER|PRIME"
    "|REFERENCE MARK|(?<!KATAKANA )MIDDLE DOT"
)
"""In the Unicode names of what is classed as other punctuation and is a symbol all the same."""

_QUOTES = re.compile("QUOTATION|APOSTROPHE|GRAVE ACCENT|ACUTE ACCENT")


class _Classes(dict[int, str]):
    """One letter for what each character is, worked out when it is first met (a table for `str.translate`).

    ``w`` letter, ``n`` number, a space, a line's end, ``s`` sign as in code and mathematics, ``e`` any other symbol,
    ``-`` dash, ``.`` point or comma, ``(`` and ``)``, ``q`` quotation mark, ``d`` any other mark that dresses.
    """

    def __missing__(self, code: int) -> str:
        self[code] = letter = _class(chr(code))
        return letter


def _class(character: str) -> str:
    category, name = unicodedata.category(character), unicodedata.name(character, "")
    if character == "\n":
        return character
    if category[0] in "LM":
        return "w"
    if category[0] == "N":
        return "n"
    if category in ("Pi", "Pf") or (category in ("Po", "Sk") and _QUOTES.search(name)):
        return "q"
    if category == "Pd":
        return "-"
    if "PARENTHESIS" in name:
        return "(" if category == "Ps" else ")"
    if character in "[]{}\\" or category in ("Sm", "Pc") or character == "^":
        return "s"
    if category[0] == "S" or category == "Co" or (category == "Po" and _SYMBOLS.search(name)):
        return "e"
    if character in ".,":
        return "."
    return "d" if category[0] == "P" else " "


_classes = _Classes()

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]")
"""Soft hyphens, joiners, directions, emoji styles: they steer the rendering."""

_RUN = re.compile(r"[se.()qd-]+")

_TOKEN = re.compile(r"[wn]+|[se.()qd-]+")

_LITERAL = re.compile(r"[:;=]['-]?[()]|(?<!\w)!(?=\w)")
"""Emoticons, and the sign for not."""

_MEASURE = re.compile(r"(?<=\d)['\"](?!\w)")
"""Feet or inches, unless such marks stand in pairs."""

_ADDRESS = re.compile(r"(?<!\w)\w[^\s@:]{0,99}(?:@|://)\S*\w")

_UNIT = re.compile(r"(?<=\d)[ \u00a0\u202f]?(?:(?=\w{2,4}\b)[^\W\d_]*[a-zµμ][A-ZΩ]\w*|M[gms]|[KMGTP]b(?:ps|it|its)?)\b")
"""Units behind a number by whose capitals they are told from others (milli and mega, molar and meter, bit and byte).
All capitals and all small letters say nothing: a text may be set so."""

_CHARGE = re.compile(r"(?<![\w-])(?:[A-Z][a-z]?[0-9₀-₉]*){1,4}[-−](?![\w-])")
"""A chemical formula with the sign of its charge."""

_FACTORIAL = re.compile(r"(?<![\w!])(?:\d+|[a-zA-Z])!(?=\s*[,;:?.)]|\s+[a-z])|\A\W*(?:\d+|[a-zA-Z])!\W*\Z")

_MARKED = "\ue000"
"""A sign of no text: stands behind the capitals that tell, since what follows is case folded."""

_AROUND = " \n.qd"
"""What may stand around a whole text and say nothing."""

_OPERAND = r"(?:n|(?<![wn])w(?![wn]))"

_TELLING = re.compile(
    r"(?<=n)[se.()qd-]+(?=n)"  # inside a number
    r"|(?<![wn.-])[.-]+(?=[e(]*n)|(?<=nw)-(?=n)"  # in front of one, of its power
    r"|(?<![wn.-])-+(?=w(?![wn]))|(?<=(?<![wn])w)-(?![wn]{2})|(?<=n)-(?![wn])"  # on a side of an operand
    rf"|(?<={_OPERAND} )-(?= {_OPERAND})"
    r"|(?<=[^\n] )-+(?=w)"  # in front of an option
    r"|[d.-]{1,40}(?=s)|(?<=s)[d.-]+(?=[wn])"  # joining a sign
    r"|(?<=[wn])\(|(?<=s)\(|(?<=s )\(|\)(?= ?s)|\)(?=[wn])"  # calling or grouping
    r"|[se]"
)


_MAY_TELL = re.compile(r"[se()-]|\.n|n(?:q|[.d][.qd]*n)")
"""What has to be in a text that has a telling mark, unless it is an exclamation mark: a sign, a dash, a bracket, or a
mark in front of a number, behind one (feet, inches) or inside one."""

_DIGIT = re.compile(r"\d")


def pieces(text: str) -> Iterator[tuple[str, bool]]:
    """Yield a text in pieces, case folded: each telling mark by itself, and what stands between them.

    Args:
        text: Any text.

    Yields:
        A piece, and whether it is a telling mark.

    >>> [piece for piece, telling in pieces("1.5 mg of -5 C++!") if telling]
    ['.', '-', '+', '+']
    """
    text = unicodedata.normalize("NFC", _capitals_marked(text).casefold())
    if not text.isascii():
        text = _INVISIBLE.sub("", text)
    start = 0
    for place in sorted(_places(text)):
        yield text[start:place], False
        yield text[place], True
        start = place + 1
    yield text[start:], False


def _capitals_marked(text: str) -> str:
    """Return a text in which what case folding, or the end of a word, would take from it is marked."""
    if _DIGIT.search(text):
        text = _UNIT.sub(lambda unit: re.sub(r"[A-ZΩ]", rf"\g<0>{_MARKED}", unit[0]), text)
    if "-" in text or "−" in text:
        text = _CHARGE.sub(lambda formula: formula[0][:-1] + _MARKED, text)
    if "!" in text:
        text = _FACTORIAL.sub(lambda product: product[0].replace("!", _MARKED), text)
    return text


class _Undressed(dict[int, str]):
    """What is left of each character without marks (a table for `str.translate`)."""

    def __missing__(self, code: int) -> str:
        self[code] = bare = "" if _classes[code] in "se.()qd-" else chr(code)
        return bare


_undressed = _Undressed()


def undressed(text: str) -> str:
    """Return a text without punctuation and symbols.

    >>> undressed("don't!")
    'dont'
    """
    return text.translate(_undressed)


def _places(text: str) -> set[int]:
    """Return where the telling marks are."""
    classes = text.translate(_classes)
    if not _MAY_TELL.search(classes) and "!" not in text:  # as most texts, of words, numbers and sentences alone
        return set()
    places = {place for match in _TELLING.finditer(classes) for place in range(*match.span())}
    places |= {place for match in _LITERAL.finditer(text) for place in range(*match.span())}
    places |= {match.start() for match in _MEASURE.finditer(text) if text.count(match[0]) % 2}
    spans = [match.span() for match in _ADDRESS.finditer(text)]
    places |= {place for span in spans for place in range(*span) if classes[place] not in "wn "}
    return places | _around_signs(classes, places)


def _around_signs(classes: str, places: set[int]) -> set[int]:
    """Return where marks stand so near a sign that the passage is code or mathematics."""
    if not any(classes[place] in "s()" for place in places):
        return set()
    tokens = [match.span() for match in _TOKEN.finditer(classes)]
    signs = [n for n, span in enumerate(tokens) if any(p in places and classes[p] in "s()" for p in range(*span))]
    near = {number for sign in signs for number in range(sign - REACH, sign + REACH + 1)}
    start, end = len(classes) - len(classes.lstrip(_AROUND)), len(classes.rstrip(_AROUND))
    marks = [span for number, span in enumerate(tokens) if number in near and _RUN.match(classes, *span)]
    return {place for span in marks for place in range(*span) if start <= place < end}
