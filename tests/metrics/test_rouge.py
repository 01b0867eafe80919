"""ROUGE against rouge_score, ROUGE-1.5.5's published scores, and scripts other than Latin."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from harness.core.errors import MetricError
from harness.core.example import Example, Prediction
from harness.metrics import rouge
from harness.metrics.rouge import KINDS
from harness.metrics.tokens import words


@pytest.mark.parametrize("kind", KINDS)
def test_equals_rouge_score(kind, cases, score):
    scorer = RougeScorer([kind])
    expected = [max(scorer.score(r, p.text)[kind].fmeasure for r in e.references) for p, e in cases]
    assert [rouge(kind).statistics(*one)[0] for one in cases] == expected
    assert score(rouge(kind), cases) == pytest.approx(np.mean(expected), rel=1e-12)


@given(one=st.lists(st.sampled_from("abcd"), max_size=80), other=st.lists(st.sampled_from("abcde"), max_size=80))
def test_the_longest_common_subsequence_is_that_of_a_whole_table(one, other):
    said, wanted = Prediction("", " ".join(one), 0.0, 1), Example("", {}, " ".join(other))
    expected = RougeScorer(["rougeL"]).score(wanted.target, said.text)["rougeL"].fmeasure
    assert rouge("rougeL").statistics(said, wanted).tolist() == [expected]


def test_equals_published_scores(vectors, make, score):
    for vector in vectors("rouge_vectors.json")["vectors"]:
        metric = rouge(vector["metric"], stemmer=vector["stemmer"])
        value = score(metric, [make(vector["prediction"], vector["target"])])
        assert value == pytest.approx(vector["fmeasure"], abs=0.5 * 10 ** -vector["places"]), vector["source"]


@pytest.mark.parametrize("kind", KINDS)
def test_unicode_tokenizer_is_rouge_with_every_word_spelled_in_ascii(kind, cases):
    """Renaming words one to one changes no overlap, so the default tokenizer is an oracle on the renamed text."""
    numbers: dict[str, int] = {}

    def spelled(text: str) -> str:
        lines = [[f"w{numbers.setdefault(word, len(numbers))}" for word in words(line)] for line in text.split("\n")]
        return "\n".join(" ".join(line) for line in lines)

    scorer, metric = RougeScorer([kind]), rouge(kind, tokenizer="unicode")
    for prediction, example in cases[:300]:
        renamed = [spelled(reference) for reference in example.references]
        expected = scorer.score_multi(renamed, spelled(prediction.text))[kind].fmeasure
        assert metric.statistics(prediction, example)[0] == expected


def test_default_tokenizer_is_blind_where_unicode_sees(make, score):
    umlauts = [make("über müde", "ber m de")]
    assert score(rouge("rouge1"), umlauts) == 1.0
    assert score(rouge("rouge1", tokenizer="unicode"), umlauts) == 0.0


@pytest.mark.parametrize("text", ["我们明天开会", "Мы встретимся завтра", "明日会議があります", "हम कल मिलेंगे"])
@pytest.mark.parametrize("kind", KINDS)
def test_identical_texts_of_any_script_score_one(kind, text, make, score):
    assert score(rouge(kind, tokenizer="unicode"), [make(text, text)]) == 1.0
    assert score(rouge(kind), [make(text, text)]) == 0.0


def test_chinese_is_compared_by_character(make, score):
    overlap = [make("我们明天开会", "我们今天开会")]  # five of six characters, three of five pairs
    assert score(rouge("rouge1", tokenizer="unicode"), overlap) == pytest.approx(5 / 6)
    assert score(rouge("rouge2", tokenizer="unicode"), overlap) == pytest.approx(3 / 5)


def test_lsum_reads_a_line_as_a_sentence(make, score):
    swapped = [make("the cat sat\nit rained all day", "it rained all day\nthe cat sat")]
    assert score(rouge("rougeLsum"), swapped) == 1.0
    assert score(rouge("rougeL"), swapped) == pytest.approx(4 / 7)


def test_stemming_is_off_unless_asked_for(make, score):
    endings = [make("meetings", "meeting")]
    assert score(rouge("rouge1"), endings) == 0.0
    assert score(rouge("rouge1", stemmer=True), endings) == 1.0


def test_signature_tells_variants_apart():
    assert rouge("rougeL").signature() == (
        f"rougeL|tok:default[a-z0-9]|case:lc|stem:no|measure:f1|refs:max|version:rouge_score-{version('rouge_score')}"
    )
    assert "|tok:unicode-" in rouge("rougeL", tokenizer="unicode").signature()
    assert "|stem:porter|" in rouge("rougeL", stemmer=True).signature()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "rougel"}, "unknown ROUGE 'rougel'; did you mean 'rouge"),
        ({"kind": "rouge1", "tokenizer": "unicod"}, "unknown ROUGE tokenizer 'unicod'; did you mean 'unicode'"),
        ({"kind": "rouge1", "tokenizer": "unicode", "stemmer": True}, "rouge1: the Porter stemmer knows English alone"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(MetricError, match=message):
        rouge(**arguments)
