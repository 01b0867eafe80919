"""What holds for every metric: names, directions, signatures, and reductions that resampling can trust."""

from __future__ import annotations

import math
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest

from harness import metrics
from harness.core.errors import MetricError

NAMES = [
    *("rouge1", "rouge2", "rougeL", "rougeLsum", "bleu", "chrf", "ter", "token_f1", "exact_match"),
    *("distinct1", "distinct2", "length_ratio", "perplexity", "pseudo_perplexity", "bits_per_byte"),
    *("accuracy", "macro_f1", "calibration_error"),
]

UPPER = {
    "bleu": 100,
    "chrf": 100,
    "ter": math.inf,
    "length_ratio": math.inf,
    "perplexity": math.inf,
    "pseudo_perplexity": math.inf,
    "bits_per_byte": math.inf,
}


def test_names_are_the_documented_ones():
    assert metrics.names() == NAMES
    assert all(metrics.get(name).name == name for name in NAMES)
    assert metrics.__all__ == sorted(metrics.__all__)


def test_unknown_name_offers_the_closest():
    with pytest.raises(MetricError, match=r"unknown metric 'rougel'; did you mean 'rouge[L1]'\? Known: rouge1, "):
        metrics.get("rougel")


def test_directions():
    lower = {name for name in NAMES if not metrics.get(name).higher_is_better}
    others = {"pseudo_perplexity", "calibration_error"}
    assert lower == {"ter", "length_ratio", "perplexity", "bits_per_byte"} | others


def test_importing_metrics_imports_no_library():
    heavy = ["torch", "transformers", "evaluate", "mlflow", "optuna", "sacrebleu", "rouge_score", "nltk"]
    code = f"import harness.metrics as m, sys; m.names(); print([n for n in {heavy} if n in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("name", NAMES)
def test_statistics_are_vectors_and_scores_lie_in_their_range(name, cases, score):
    metric = metrics.get(name)
    for one in cases[:200]:
        statistic = metric.statistics(*one)
        assert statistic.ndim == 1
        assert statistic.dtype == np.float64
    for start in range(0, 1000, 50):
        value = score(metric, cases[start : start + 50])
        assert type(value) is float
        assert 0 <= value <= UPPER.get(name, 1)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_reduces_to_nan(name):
    assert math.isnan(metrics.get(name).reduce([]))


@pytest.mark.parametrize("name", NAMES)
def test_order_does_not_matter(name, cases, score):
    shuffled = random.Random(1).sample(cases[:200], 200)
    assert score(metrics.get(name), shuffled) == pytest.approx(score(metrics.get(name), cases[:200]), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_resample_reduces_as_if_scored_anew(name, cases, score):
    metric = metrics.get(name)
    drawn = random.Random(2).choices(range(200), k=200)
    statistics = [metric.statistics(*one) for one in cases[:200]]
    resampled = metric.reduce([statistics[i] for i in drawn])
    assert resampled == score(metric, [cases[i] for i in drawn])
    if not name.startswith("distinct"):
        assert metric.reduce(np.stack(statistics)[drawn]) == resampled


@pytest.mark.parametrize(
    ("name", "best"),
    [(n, 1.0) for n in NAMES if n.startswith(("rouge", "token", "exact", "length"))]
    + [("bleu", 100.0), ("chrf", 100.0), ("ter", 0.0)],
)
def test_a_perfect_prediction_scores_best(name, best, make, score):
    text = "the meeting starts at ten in the small room"
    cases = [make(text, "no such thing", text), make(text + " today", text + " today")]
    assert score(metrics.get(name), cases) == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_travels_between_processes(name, cases, score):
    metric = metrics.get(name)
    assert score(pickle.loads(pickle.dumps(metric)), cases[:20]) == score(metric, cases[:20])


@pytest.mark.parametrize("name", NAMES)
def test_signature_opens_with_the_name_and_states_a_version(name, cases, score):
    before = metrics.get(name).signature()
    assert before.startswith(f"{name}|")
    assert "|version:" in before
    score(metrics.get(name), cases[:5])
    assert metrics.get(name).signature() == before
