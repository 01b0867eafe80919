"""Both directions of the door to Hugging Face evaluate, without a network."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import evaluate
import pytest

from harness import metrics
from harness.core.errors import MetricError
from harness.metrics.evaluate_hub import as_evaluate, hub_metric, resolve

OF_LIKELIHOODS = ("perplexity", "pseudo_perplexity", "bits_per_byte")
TEXT_METRICS = [name for name in metrics.names() if name not in OF_LIKELIHOODS]

PREDICTIONS = ["the cat sat on the mat", "", "über müde"]
REFERENCES = [["a cat sat on the mat", "the cat is on the mat"], ["so it goes"], ["über müde"]]

SCRIPT = """
import datasets
import evaluate

class Scripted(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description="", citation="", inputs_description="",
            features=datasets.Features(predictions=datasets.Value("string"), references={references}),
        )

    def _compute(self, predictions, references):
        hits = sum(p in r for p, r in zip(predictions, references))
        return {result}
"""


@pytest.fixture(scope="module", autouse=True)
def _caches_of_our_own(tmp_path_factory):
    """Keep evaluate's copies of scripts out of the home folder and its search path out of other tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [each for each in sys.path if not (Path(each) / "evaluate_modules").is_dir()])
        patch.syspath_prepend(tmp_path_factory.mktemp("search"))  # restores sys.path afterwards
        patch.setattr(evaluate.config, "HF_METRICS_CACHE", tmp_path_factory.mktemp("metrics"))
        patch.setattr(evaluate.config, "HF_MODULES_CACHE", tmp_path_factory.mktemp("modules"))
        for name in [name for name in sys.modules if name.partition(".")[0] == "evaluate_modules"]:
            patch.delitem(sys.modules, name)  # where other tests loaded scripts from
        yield


@pytest.fixture
def script(tmp_path):
    """Write a metric script and return its name for `hub_metric`."""

    def write(name: str, result: str, references: str = 'datasets.Value("string")') -> str:
        path: Path = tmp_path / f"{name}.py"
        path.write_text(SCRIPT.format(result=result, references=references))
        return str(path)

    return write


@pytest.mark.parametrize("name", TEXT_METRICS)
def test_adapter_gives_the_metrics_own_score(name, make, score):
    cases = [make(text, *references) for text, references in zip(PREDICTIONS, REFERENCES, strict=True)]
    adapter = as_evaluate(metrics.get(name))
    assert isinstance(adapter, evaluate.Metric)
    assert adapter.name == name
    assert adapter.description == metrics.get(name).signature()
    expected = {name: score(metrics.get(name), cases)}
    assert adapter.compute(predictions=PREDICTIONS, references=REFERENCES) == expected
    assert adapter.compute(predictions=PREDICTIONS, references=REFERENCES) == expected


def test_adapter_takes_single_references_as_texts():
    adapter = as_evaluate(metrics.get("token_f1"))
    assert adapter.compute(predictions=["a b", "c"], references=["a b", "d"]) == {"token_f1": 0.5}


def test_adapter_takes_one_example_at_a_time():
    adapter = as_evaluate(metrics.get("exact_match"))
    for text, references in zip(PREDICTIONS, REFERENCES, strict=True):
        adapter.add(prediction=text, reference=references)
    assert adapter.compute() == {"exact_match": pytest.approx(1 / 3)}


def test_adapters_combine():
    adapters = [as_evaluate(metrics.get(name)) for name in TEXT_METRICS]
    together = evaluate.combine(adapters).compute(predictions=PREDICTIONS, references=REFERENCES)
    assert list(together) == TEXT_METRICS
    for adapter in adapters:
        alone = adapter.compute(predictions=PREDICTIONS, references=REFERENCES)
        assert together[adapter.name] == alone[adapter.name]


def test_adapter_refuses_what_texts_cannot_tell():
    with pytest.raises(MetricError, match="perplexity is scored from likelihoods"):
        as_evaluate(metrics.get("perplexity"))
    with pytest.raises(MetricError, match="prediction 'b' has no reference"):
        as_evaluate(metrics.get("rouge1")).compute(predictions=["a", "b"], references=[["a"], []])


def test_resolve_goes_both_ways(script):
    assert resolve("rougeL") is metrics.get("rougeL")
    assert resolve(f"evaluate:{script('hits', 'hits')}").name.startswith("evaluate:")
    with pytest.raises(MetricError, match="did you mean 'bleu'"):
        resolve("blue")


@pytest.mark.parametrize(
    "result",
    [
        "hits / len(predictions)",  # as wer and cer do
        "{'share': hits / len(predictions)}",
        "{'share': hits / len(predictions), 'listed': [1, 2]}",
        "{'other': 7, 'scripted': hits / len(predictions)}",
    ],
)
def test_hub_metric_finds_its_score(result, script, make, score):
    metric = hub_metric(script("scripted", result))
    assert score(metric, [make("a", "ab"), make("c", "ab")]) == 0.5
    assert metric.higher_is_better
    assert metric.signature() == f"{metric.name}|version:evaluate-{evaluate.__version__}"


def test_hub_metric_is_reduced_again_from_any_resample(script, make):
    metric = hub_metric(script("resampled", "hits / len(predictions)"))
    right, wrong = (metric.statistics(*make(text, "ab")) for text in ("a", "c"))
    assert metric.reduce([right, right, wrong, right]) == 0.75
    assert math.isnan(metric.reduce([]))


def test_hub_metric_passes_lists_where_there_are_several_references(script, make, score):
    metric = hub_metric(script("listed", "hits / len(predictions)", 'datasets.List(datasets.Value("string"))'))
    assert score(metric, [make("a", "a", "b"), make("c", "d")]) == 0.5


def test_hub_metric_without_one_score_names_its_keys(script, make, score):
    metric = hub_metric(script("many", "{'precision': 1.0, 'recall': 0.5}"))
    with pytest.raises(MetricError, match="no single score but precision, recall"):
        score(metric, [make("a", "a")])


def test_hub_metric_that_takes_one_reference_refuses_several(script, make, score):
    metric = hub_metric(script("picky", "hits"))
    with pytest.raises(MetricError, match="refuses these predictions and references"):
        score(metric, [make("a", "a", "b")])


def test_error_rates_are_better_when_lower(script):
    assert not hub_metric(script("wer", "0.0")).higher_is_better


def test_hub_metric_that_cannot_be_loaded_names_the_remedy():
    with pytest.raises(MetricError, match=r"evaluate:no_such_metric cannot be loaded .* needs a network"):
        hub_metric("no_such_metric")
