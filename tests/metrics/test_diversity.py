"""distinct-n against sets of n-grams, and hashes that every process agrees on."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics import distinct


def _share(texts, order):
    ngrams = [tuple(t[i : i + order]) for t in map(str.split, texts) for i in range(len(t) - order + 1)]
    return len(set(ngrams)) / len(ngrams) if ngrams else 0.0


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=6).map(" ".join), min_size=1, max_size=12))
def test_equals_the_set_over_the_list(make, score, texts):
    for order in (1, 2, 3):
        assert score(distinct(order), [make(text, "x") for text in texts]) == _share(texts, order)


@pytest.mark.parametrize(
    ("texts", "first", "second"),
    [
        (["yes", "yes", "yes", "no"], 0.5, 0.0),
        (["I see", "I see", "I know"], 3 / 6, 2 / 3),
        (["a b a b"], 0.5, 2 / 3),
        (["", ""], 0.0, 0.0),
        (["你好你好"], 0.5, 2 / 3),
    ],
)
def test_closed_forms(texts, first, second, make, score):
    cases = [make(text, "x") for text in texts]
    assert score(distinct(1), cases) == pytest.approx(first)
    assert score(distinct(2), cases) == pytest.approx(second)


def test_word_boundaries_count(make, score):
    assert score(distinct(2), [make("ab c", "x"), make("a bc", "x")]) == 1.0


def test_hashes_do_not_depend_on_the_process():
    code = (
        "from harness.metrics import distinct; from harness.core.example import Example, Prediction;"
        "print(distinct(2).statistics(Prediction('', 'über den Fluss', 0.0, 0), Example('', {}, '')).tolist())"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1]
    assert len(json.loads(printed[0])) == 2
