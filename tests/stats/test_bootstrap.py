"""Rescoring against plain reduction, and bootstrap intervals against scipy's, for every kind of metric."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF, TER
from scipy.stats import bootstrap as scipy_bootstrap

from harness import metrics
from harness.core.example import Example, Prediction
from harness.metrics.base import mean
from harness.stats import bootstrap
from harness.stats.resampling import draw, rescorer

VECTORS = Path(__file__).parents[2].parent / "shared" / "data" / "metrics" / "sacrebleu_vectors.json"
WORDS = ["the", "a", "cat", "dog", "sat", "ran", "on", "under", "mat", "tree", "today"]


def _statistics(name: str, examples: int = 40) -> list:
    """Return seeded statistics of one metric for noisy copies of random sentences."""
    rng, metric, made = random.Random(3), metrics.get(name), []
    for _ in range(examples):
        wanted = rng.choices(WORDS, k=rng.randint(4, 12))
        said = [word for word in wanted if rng.random() < 0.8] + rng.choices(WORDS, k=rng.randint(0, 2))
        prediction = Prediction("x", " ".join(said), rng.uniform(1, 30), rng.randint(1, 12))
        made.append(metric.statistics(prediction, Example("x", {}, " ".join(wanted), (" ".join(wanted),))))
    return made


@pytest.mark.parametrize("name", metrics.names())
def test_resamples_are_scored_as_their_listed_examples(name):
    statistics, reduce = _statistics(name), metrics.get(name).reduce
    counts = next(draw(40, 30, np.random.default_rng(5)))
    listed = [reduce([statistics[place] for place in range(40) for _ in range(int(row[place]))]) for row in counts]
    assert rescorer(statistics, reduce)(counts) == pytest.approx(listed, rel=1e-9)
    assert len(set(listed)) > 4


@pytest.mark.parametrize(
    ("name", "theirs"), [("bleu", BLEU()), ("chrf", CHRF(word_order=2)), ("ter", TER())], ids=["bleu", "chrf", "ter"]
)
def test_resamples_of_the_published_texts_score_as_sacrebleu_scores_them(name, theirs):
    if not VECTORS.exists():
        pytest.skip(f"published texts are not at hand: {VECTORS.name}")
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
    metric, seen = metrics.get(name), set()
    for vector in [*vectors["bleu_corpus"], *vectors["chrf"], *vectors["ter"]]:
        rows = list(zip(vector["hyps"], *vector["refs"], strict=True))
        examples = [Example("x", {}, row[1], row[1:]) for row in rows]
        said = [Prediction("x", row[0], math.nan, 0) for row in rows]
        rescore = rescorer([metric.statistics(*pair) for pair in zip(said, examples, strict=True)], metric.reduce)
        for row in next(draw(len(rows), 3, np.random.default_rng(0))):
            texts = [rows[place] for place in range(len(rows)) for _ in range(int(row[place]))]
            hypotheses, *references = map(list, zip(*texts, strict=True))
            expected = theirs.corpus_score(hypotheses, references).score
            assert rescore(row[None])[0] == pytest.approx(expected, rel=1e-9)
            seen.add(expected)
    assert len(seen) > 5


@pytest.mark.parametrize(
    "reduce",
    [
        lambda statistics: float(np.median(np.asarray(statistics))),
        lambda statistics: float(np.max(np.asarray(statistics))),
        lambda statistics: float(np.asarray(statistics).mean() ** 2),
    ],
    ids=["median", "maximum", "squared mean"],
)
def test_a_reduction_that_is_no_mean_and_no_sum_is_scored_all_the_same(reduce):
    statistics = [np.array([value]) for value in np.random.default_rng(1).random(25)]
    counts = next(draw(25, 50, np.random.default_rng(2)))
    listed = [reduce(np.repeat(np.stack(statistics), row.astype(int), axis=0)) for row in counts]
    assert rescorer(statistics, reduce)(counts) == pytest.approx(listed, rel=1e-12)


def test_texts_and_infinities_are_listed():
    texts = ["a", "bb", "", "dddd"]
    counts = np.array([[1.0, 1, 1, 1], [0, 2, 2, 0]])
    assert rescorer(texts, lambda many: len("".join(many)))(counts).tolist() == [7, 4]
    lost = [np.array([math.inf, 3.0]), np.array([2.0, 2.0]), np.array([1.0, 1.0])]
    scores = rescorer(lost, metrics.get("perplexity").reduce)(np.array([[0.0, 1, 2], [1, 1, 1]]))
    assert scores == pytest.approx([math.e, math.inf])


def test_resamples_are_uniform_whatever_their_size():
    for size, expected in ((None, 8), (100, 100)):
        counts = np.concatenate(list(draw(8, 4000, np.random.default_rng(0), size=size)))
        assert counts.shape == (4000, 8)
        assert (counts.sum(axis=1) == expected).all()
        assert counts.mean(axis=0) == pytest.approx([expected / 8] * 8, rel=0.05)
        assert counts.var(axis=0) == pytest.approx([expected * 7 / 64] * 8, rel=0.15)


def test_draws_do_not_depend_on_chunks(monkeypatch):
    whole = np.concatenate(list(draw(10, 50, np.random.default_rng(4))))
    monkeypatch.setattr("harness.stats.resampling._CHUNK", 70)
    assert np.array_equal(np.concatenate(list(draw(10, 50, np.random.default_rng(4)))), whole)


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("name", ["rougeL", "bleu", "chrf", "ter", "perplexity", "exact_match"])
def test_intervals_equal_scipys_on_the_same_resamples(name, method):
    statistics, reduce = _statistics(name), metrics.get(name).reduce
    ours = bootstrap(statistics, reduce, generator=np.random.default_rng(9), method=method, resamples=600)
    counts = np.concatenate(list(draw(40, 600, np.random.default_rng(9))))
    listed = [reduce(np.repeat(np.stack(statistics), row.astype(int), axis=0)) for row in counts]
    theirs = scipy_bootstrap(
        (np.arange(40),),
        lambda places: reduce([statistics[int(place)] for place in places]),
        n_resamples=0,
        vectorized=False,
        method=method,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=np.array(listed)),
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)
    assert ours.low < ours.value < ours.high


@pytest.mark.parametrize("method", ["percentile", "bca"])
@settings(deadline=None, max_examples=60)
@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=40), seed=st.integers(0, 2**32))
def test_intervals_contain_the_estimate_and_stay_within_the_values(method, values, seed):
    statistics = [np.array([value]) for value in values]
    interval = bootstrap(statistics, mean, generator=np.random.default_rng(seed), method=method, resamples=400)
    slack = 1e-12
    assert min(values) - slack <= interval.low <= interval.value + slack
    assert interval.value - slack <= interval.high <= max(values) + slack


def test_a_higher_level_is_wider_and_the_same_seed_the_same():
    statistics = _statistics("rougeL")
    narrow, wide, again = (
        bootstrap(statistics, mean, generator=np.random.default_rng(1), level=level, resamples=500)
        for level in (0.8, 0.99, 0.8)
    )
    assert wide.low < narrow.low < narrow.high < wide.high
    assert again == narrow


def test_no_examples_are_refused():
    with pytest.raises(ValueError, match="no examples to resample"):
        bootstrap([], mean, generator=np.random.default_rng(0))
