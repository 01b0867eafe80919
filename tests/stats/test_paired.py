"""Paired tests against sacreBLEU's own on six WMT17 systems, and what any paired test must obey."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest

from harness import metrics
from harness.core.example import Example, Prediction
from harness.metrics import bleu
from harness.metrics.base import mean
from harness.stats import Paired, approximate_randomization, paired_bootstrap

WMT17 = Path(__file__).parents[2].parent / "shared" / "data" / "metrics" / "wmt17_ende_significance.json.gz"
BOOTSTRAPS, SWAPS = 1000, 3000
"""Resamples of each side; sacreBLEU holds all of a bootstrap's statistics at once."""

Statistics = list[np.ndarray]


@pytest.fixture(scope="module")
def wmt17() -> dict[str, Any]:
    if not WMT17.exists():
        pytest.skip("the WMT17 systems are not at hand")
    return json.loads(gzip.decompress(WMT17.read_bytes()))


@pytest.fixture(scope="module")
def statistics(wmt17: dict[str, Any]) -> dict[str, Statistics]:
    metric = bleu(tokenize=wmt17["tokenize"])
    examples = [Example("x", {}, reference, (reference,)) for reference in wmt17["refs"][0]]
    return {
        name: [metric.statistics(Prediction("x", t, math.nan, 0), e) for t, e in zip(texts, examples, strict=True)]
        for name, texts in wmt17["systems"].items()
    }


def _ours(statistics: dict[str, Statistics], baseline: str, test: Any, resamples: int) -> dict[str, Paired]:
    reduce, generator = bleu().reduce, np.random.default_rng(11)
    return {
        name: test(statistics[baseline], system, reduce, generator=generator, resamples=resamples)
        for name, system in statistics.items()
        if name != baseline
    }


def _theirs(wmt17: dict[str, Any], kind: str, resamples: int) -> dict[str, Paired]:
    baseline = wmt17["baseline"]
    systems = sorted(wmt17["systems"].items(), key=lambda item: item[0] != baseline)
    tested = PairedTest(systems, {"BLEU": BLEU(tokenize=wmt17["tokenize"])}, wmt17["refs"], kind, resamples)
    _, scores = tested()
    named = dict(zip(scores["System"], scores["BLEU"], strict=True))
    start = named.pop(baseline).score
    return {name: Paired(result.score - start, result.p_value, resamples) for name, result in named.items()}


def _chance(p: float, *resamples: int) -> float:
    """Return four standard errors of a difference of two shares, and room for where there is none to count."""
    return 4 * math.sqrt(p * (1 - p) * sum(1 / n for n in resamples)) + 3 / min(resamples)


@pytest.mark.parametrize(
    ("test", "kind", "resamples"),
    [(paired_bootstrap, "bs", BOOTSTRAPS), (approximate_randomization, "ar", SWAPS)],
    ids=["bootstrap", "randomization"],
)
def test_paired_tests_agree_with_sacrebleu_on_wmt17(wmt17, statistics, test, kind, resamples):
    ours, theirs = _ours(statistics, wmt17["baseline"], test, resamples), _theirs(wmt17, kind, resamples)
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        assert ours[name].difference == expected.difference
        assert ours[name].p == pytest.approx(expected.p, abs=_chance(expected.p, resamples, resamples)), name


@pytest.mark.parametrize(
    ("test", "published", "resamples", "theirs"),
    [
        (paired_bootstrap, "paired_bootstrap_p_moses_2000", 2000, 2000),
        (approximate_randomization, "approx_randomization_p_multeval_10000", SWAPS, 10_000),
    ],
    ids=["moses", "multeval"],
)
def test_paired_tests_agree_with_moses_and_multeval(wmt17, statistics, test, published, resamples, theirs):
    for name, ours in _ours(statistics, wmt17["baseline"], test, resamples).items():
        expected = wmt17[published][name]
        assert ours.p == pytest.approx(expected, abs=_chance(max(expected, ours.p), resamples, theirs)), name


SCORES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30)
TESTS = pytest.mark.parametrize("test", [paired_bootstrap, approximate_randomization])


def _vectors(values) -> Statistics:
    return [np.array([value], dtype=np.float64) for value in values]


@TESTS
@settings(deadline=None, max_examples=60)
@given(pairs=SCORES, seed=st.integers(0, 2**32))
def test_swapping_two_systems_turns_the_sign_alone(test, pairs, seed):
    first, second = (_vectors(values) for values in zip(*pairs, strict=True))
    there = test(first, second, mean, generator=np.random.default_rng(seed), resamples=200)
    back = test(second, first, mean, generator=np.random.default_rng(seed), resamples=200)
    assert (back.difference, back.p) == (-there.difference, there.p)
    assert 0 < there.p <= 1


@TESTS
@pytest.mark.parametrize("name", ["rougeL", "bleu", "chrf", "ter", "distinct2", "exact_match"])
def test_a_system_does_not_differ_from_itself(test, name):
    metric = metrics.get(name)
    example = Example("x", {}, "the cat sat on the mat today", ("the cat sat on the mat today",))
    texts = ["the cat sat", "a cat sat on the mat today", "on the mat today", ""] * 5
    said = [metric.statistics(Prediction("x", text, 1.0, 1), example) for text in texts]
    assert test(said, said, metric.reduce, generator=np.random.default_rng(0), resamples=99)[:2] == (0.0, 1.0)


def test_randomization_of_few_examples_counts_every_swap():
    first, second = _vectors([0.1, 0.2, 0.3, 0.4]), _vectors([0.4, 0.9, 0.5, 0.8])
    differences = np.array([0.3, 0.7, 0.2, 0.4])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1).T
    exact = np.mean(np.abs(signs @ differences) >= differences.sum() - 1e-9)
    p = approximate_randomization(first, second, mean, generator=np.random.default_rng(0), resamples=20_000).p
    assert p == pytest.approx(exact, abs=_chance(exact, 20_000))


def test_examples_that_cannot_be_paired_are_refused():
    with pytest.raises(ValueError, match="3 and 2 examples cannot be paired"):
        paired_bootstrap(_vectors([1, 2, 3]), _vectors([1, 2]), mean, generator=np.random.default_rng(0))
