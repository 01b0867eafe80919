"""Perplexity and bits per byte in closed form."""

from __future__ import annotations

import math

import pytest

from harness.core.example import Example, Prediction
from harness.metrics.likelihood import BITS_PER_BYTE, PERPLEXITY


def test_a_uniform_model_is_as_perplexed_as_it_has_choices(make, score):
    cases = [make("", "x", nll=tokens * math.log(50), tokens=tokens) for tokens in (1, 7, 30)]
    assert score(PERPLEXITY, cases) == pytest.approx(50)


def test_a_certain_model_is_not_perplexed(make, score):
    assert score(PERPLEXITY, [make("", "x", nll=0.0, tokens=3)]) == 1.0


def test_tokens_weigh_alike_whatever_the_example(make, score):
    cases = [make("", "x", nll=math.log(2), tokens=1), make("", "x", nll=3 * math.log(8), tokens=3)]
    assert score(PERPLEXITY, cases) == pytest.approx(2 ** (10 / 4))


@pytest.mark.parametrize("nll", [1e6, math.inf])
def test_a_model_gone_astray_is_infinitely_perplexed(nll, make, score):
    assert score(PERPLEXITY, [make("", "x", nll=nll, tokens=1)]) == math.inf


def test_no_tokens_and_unknown_likelihoods_are_undefined(make, score):
    assert math.isnan(score(PERPLEXITY, [make("", "x", nll=0.0, tokens=0)]))
    assert math.isnan(score(PERPLEXITY, [make("", "x", nll=math.nan, tokens=2)]))


def test_signature():
    assert PERPLEXITY.signature() == "perplexity|text:target+end|per:token|version:harness-1"


def test_bits_are_counted_by_byte_of_the_target(make, score):
    cases = [make("", "ab", nll=3 * math.log(2), tokens=9), make("", "ü日", nll=4 * math.log(2), tokens=1)]
    assert score(BITS_PER_BYTE, cases) == pytest.approx((3 + 4) / (2 + 2 + 3))


def test_bits_are_counted_by_byte_of_what_was_scored(make, score):
    block = Example("block-1", {"source": "a", "scored_bytes": 5}, "bcd")
    assert score(BITS_PER_BYTE, [(Prediction("block-1", "", 10 * math.log(2), 4), block)]) == pytest.approx(2)


def test_no_text_has_no_bits_per_byte(make, score):
    assert math.isnan(score(BITS_PER_BYTE, [make("", "", nll=1.0, tokens=1)]))
    assert math.isnan(score(BITS_PER_BYTE, []))


def test_signature_of_bits():
    assert BITS_PER_BYTE.signature() == "bits_per_byte|text:target+end|per:byte|version:harness-1"
