"""BLEU, chrF and TER against sacreBLEU's own corpus scores and its published vectors."""

from __future__ import annotations

from itertools import zip_longest

import pytest
import sacrebleu
from sacrebleu.metrics import BLEU, CHRF, TER

from harness.core.errors import MetricError
from harness.metrics import bleu, chrf, ter
from harness.metrics.base import total

PAIRS = [
    (bleu(), BLEU()),
    (bleu(tokenize="zh"), BLEU(tokenize="zh")),
    (bleu(tokenize="intl"), BLEU(tokenize="intl")),
    (chrf(), CHRF(word_order=2)),
    (chrf(word_order=0), CHRF()),
    (ter(), TER()),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda value: type(value).__name__)
def test_equals_corpus_score_with_one_to_four_references(ours, theirs, cases, score):
    streams = list(zip_longest(*(example.references for _, example in cases)))  # None where a reference is missing
    expected = theirs.corpus_score([prediction.text for prediction, _ in cases], streams).score
    assert score(ours, cases) == pytest.approx(expected, rel=1e-12)
    assert 0 < expected < 100


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda value: type(value).__name__)
def test_equals_corpus_score_of_every_single_segment(ours, theirs, cases, score):
    for prediction, example in cases[:100]:
        expected = theirs.corpus_score([prediction.text], [[reference] for reference in example.references]).score
        assert score(ours, [(prediction, example)]) == pytest.approx(expected, rel=1e-12)


def _cases(make, vector):
    return [make(text, *references) for text, *references in zip(vector["hyps"], *vector["refs"], strict=True)]


def test_bleu_equals_published_scores(vectors, make, score):
    usable = [v for v in vectors("sacrebleu_vectors.json")["bleu_corpus"] if set(v["kwargs"]) <= {"tokenize"}]
    assert len(usable) == 5
    for vector in usable:
        assert score(bleu(**vector["kwargs"]), _cases(make, vector)) == pytest.approx(vector["expected"], abs=1e-6)


def test_ter_equals_published_scores(vectors, make, score):
    for vector in vectors("sacrebleu_vectors.json")["ter"]:
        assert score(ter(), _cases(make, vector)) == pytest.approx(vector["expected"], abs=1e-6)


def test_chrf_statistics_give_the_published_scores(vectors, make):
    """Published at beta 3, as chrF was first defined; beta weighs the statistics and is no part of them."""
    for kind, smooths in (("chrf", True), ("chrf_effective_order", False)):
        theirs = CHRF(word_order=0, beta=3, eps_smoothing=smooths)
        for vector in vectors("sacrebleu_vectors.json")[kind]:
            summed = total([chrf(word_order=0).statistics(*case) for case in _cases(make, vector)])
            score = theirs._compute_score_from_stats(summed.tolist()).score
            assert score == pytest.approx(vector["expected"], abs=1e-4), vector  # some with four decimals


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda value: type(value).__name__)
def test_statistics_equal_sacrebleus_by_segment(ours, theirs, cases):
    streams = list(zip_longest(*(example.references for _, example in cases)))
    expected = theirs._extract_corpus_statistics([prediction.text for prediction, _ in cases], streams)
    for case, theirs_of_it in zip(cases, expected, strict=True):
        assert ours.statistics(*case).tolist() == pytest.approx(theirs_of_it)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda value: type(value).__name__)
def test_equals_corpus_score_of_all_published_texts(ours, theirs, vectors, make, score):
    published = vectors("sacrebleu_vectors.json")
    texts = [vector for kind in ("bleu_corpus", "chrf", "chrf_effective_order", "ter") for vector in published[kind]]
    assert len(texts) > 30
    for vector in texts:
        expected = theirs.corpus_score(vector["hyps"], vector["refs"]).score
        assert score(ours, _cases(make, vector)) == pytest.approx(expected, rel=1e-12)


def test_bleu_statistics_are_lengths_matches_and_totals(vectors, make):
    vector = vectors("sacrebleu_vectors.json")["bleu_statistics"][0]
    statistic = bleu().statistics(*_cases(make, vector)[0])
    assert statistic.tolist() == [6, 8, *vector["counts"], *vector["totals"]]


def test_zh_tokenizer_sees_words_where_the_default_sees_one(make, score):
    near = [make("我们明天下午开会", "我们今天下午开会")]
    assert score(bleu(), near) == 0.0
    assert score(bleu(tokenize="zh"), near) > 20


def test_signatures_are_sacrebleus_with_the_name_in_front():
    version = f"version:{sacrebleu.__version__}"
    assert bleu().signature() == f"bleu|nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp|{version}"
    assert bleu(tokenize="zh").signature() == f"bleu|nrefs:var|case:mixed|eff:no|tok:zh|smooth:exp|{version}"
    assert chrf().signature() == f"chrf|nrefs:var|case:mixed|eff:yes|nc:6|nw:2|space:no|{version}"
    assert ter().signature() == f"ter|nrefs:var|case:lc|tok:tercom|norm:no|punct:yes|asian:no|{version}"


def test_unknown_tokenizer_is_refused_where_it_is_named():
    with pytest.raises(MetricError, match=r"bleu: unknown tokenizer 'int'; did you mean 'intl'\? Known: 13a, "):
        bleu(tokenize="int")


def test_tokenizer_without_its_package_is_refused_where_it_is_named(monkeypatch):
    from sacrebleu.tokenizers import tokenizer_ja_mecab

    monkeypatch.setattr(tokenizer_ja_mecab, "MeCab", None)
    with pytest.raises(MetricError, match=r"'ja-mecab' cannot be set up .*pip install sacrebleu\[ja\]"):
        bleu(tokenize="ja-mecab")
