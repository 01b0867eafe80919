"""Words of every script, and what is counted in them."""

from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.tokenize import tokenize

from harness.metrics.tokens import EXACT_MATCH, LENGTH_RATIO, TOKEN_F1, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n—…!", []),
        ("Die Straße, größer als ÄRGER", ["die", "straße", "größer", "als", "ärger"]),
        ("snake_case e-mail", ["snake", "case", "e", "mail"]),
        ("Мы ушли", ["мы", "ушли"]),
        ("我们用GPT4开会。", ["我", "们", "用", "gpt4", "开", "会"]),
        ("東京タワーへ行く々", ["東", "京", "タ", "ワ", "ー", "へ", "行", "く", "々"]),
        ("ﾃｽﾄ", ["ﾃ", "ｽ", "ﾄ"]),
        ("우리는 내일", ["우리는", "내일"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),  # vowel signs are marks, and stay
        ("مَرحبا", ["مَرحبا"]),
        ("co\u00adoperate می\u200cخواهم", ["cooperate", "میخواهم"]),  # soft hyphen, zero-width joiner
        ("I ❤\ufe0f it", ["i", "it"]),  # no token for the heart's style selector
        ("𠮷野家", ["𠮷", "野", "家"]),  # beyond the basic plane
    ],
)
def test_words(text, expected):
    assert words(text) == expected


def test_composed_and_decomposed_letters_are_one():
    assert words("u\u0308ber") == words("über") == ["über"]
    assert words("über müde") != words("ber m de")


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_text_reads_as_in_the_original_rouge(text):
    assert words(text) == tokenize(text, None)


@given(st.text())
@settings(max_examples=300)
def test_words_lose_no_letter_or_digit_and_are_stable(text):
    lowered = unicodedata.normalize("NFC", text.lower())
    assert "".join(filter(str.isalnum, "".join(words(text)))) == "".join(filter(str.isalnum, lowered))
    assert words(" ".join(words(text))) == words(text)


@pytest.mark.parametrize(
    ("text", "references", "f1"),
    [
        ("the cat", ("the dog",), 0.5),
        ("a a b", ("a b b",), 2 / 3),
        ("Cat!", ("the cat",), 2 / 3),
        ("the cat", ("a dog", "the cat sat"), 0.8),
        ("", ("",), 1.0),
        ("...", ("",), 1.0),
        ("", ("a",), 0.0),
        ("a", ("",), 0.0),
        ("a b", ("c d",), 0.0),
    ],
)
def test_token_f1(text, references, f1, make, score):
    assert score(TOKEN_F1, [make(text, *references)]) == pytest.approx(f1)


def test_token_f1_is_the_harmonic_mean_of_precision_and_recall(cases, score):
    """Spelled out the long way, word by word."""

    def f1(text: str, reference: str) -> float:
        left, hits = words(reference), 0
        for word in words(text):
            if word in left:
                left.remove(word)
                hits += 1
        if not words(text) or not words(reference):
            return float(words(text) == words(reference))
        precision, recall = hits / len(words(text)), hits / len(words(reference))
        return 2 * precision * recall / (precision + recall) if hits else 0.0

    expected = [max(f1(p.text, reference) for reference in e.references) for p, e in cases]
    assert score(TOKEN_F1, cases) == pytest.approx(sum(expected) / len(expected), rel=1e-12)


def test_exact_match_forgives_white_space_alone(make, score):
    cases = [
        make(" the\n cat ", "a dog", "the cat"),
        make("The cat", "the cat"),
        make("", ""),
        make("thecat", "the cat"),
    ]
    assert [EXACT_MATCH.statistics(*one).tolist() for one in cases] == [[1], [0], [1], [0]]
    assert score(EXACT_MATCH, cases) == 0.5


def test_length_ratio_takes_the_closest_reference_and_the_shorter_on_a_tie(make, score):
    cases = [make("a b c", "a", "a b c d e f", "a b"), make("a b c", "a b c d", "a b"), make("", "a b")]
    assert [LENGTH_RATIO.statistics(*one).tolist() for one in cases] == [[3, 2], [3, 2], [0, 2]]
    assert score(LENGTH_RATIO, cases) == 1.0


def test_length_ratio_sums_before_it_divides(make, score):
    assert score(LENGTH_RATIO, [make("a b c d", "a"), make("a", "a b c")]) == 5 / 4


def test_length_ratio_of_empty_references_is_undefined(make, score):
    assert math.isnan(score(LENGTH_RATIO, [make("a", "")]))


def test_signatures():
    assert TOKEN_F1.signature() == (
        f"token_f1|tok:unicode-{unicodedata.unidata_version}|case:lc|articles:kept|refs:max|version:harness-1"
    )
    assert EXACT_MATCH.signature() == "exact_match|space:normalized|case:mixed|refs:max|version:harness-1"
    assert "|refs:closest|" in LENGTH_RATIO.signature()
