"""Metrics that call a reference less than right are told, with the share of rows; those that measure none are not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import MetricError
from harness.core.example import Example, Prediction
from harness.metrics import get, names
from harness.metrics.base import Metric, mean
from harness.metrics.rouge import rouge
from harness.metrics.sacrebleu import bleu
from harness.study.self_scores import self_scores
from tests.support.study_fixture import Places, rows, write_rows

HINDI = ("वह कल दिल्ली आया था", "राम ने सुबह आम खाया", "बारिश में भीग गया शहर सारा")
PLAIN = ("the note says Monday", "Ada meets Ben at noon", "a map of the station is here")


def examples(targets: Sequence[str]) -> list[Example]:
    return [Example(f"row-{number}", {"source": "x"}, target) for number, target in enumerate(targets)]


def told(targets: Sequence[str], metrics: Sequence[Metric | str] | None = None) -> dict[str, str]:
    """Return which metrics are told of some targets, with the share of rows."""
    sentences = self_scores(metrics or [get(name) for name in names()], examples(targets))
    return {sentence.split()[0]: sentence.split()[2] for sentence in sentences}


ROUGES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (HINDI, dict.fromkeys(ROUGES, "100%")),
        (PLAIN, {}),
        ((*PLAIN, HINDI[0]), dict.fromkeys(ROUGES, "25%")),
        (("yes", "no", "yes"), {"rouge2": "100%", "bleu": "100%"}),
        (("yes", *PLAIN), {"rouge2": "25%"}),
        (("今天天气很好", "他去了北京的大学"), {**dict.fromkeys(ROUGES, "100%"), "bleu": "100%"}),
        (("ha ha ha ha ha", "ho ho ho ho"), {}),
        (("!?", *PLAIN), dict.fromkeys(ROUGES, "25%")),
    ],
    ids=["hindi", "plain", "one in four", "labels", "one label", "chinese", "repeated words", "symbols"],
)
def test_shares_of_rows(targets: Sequence[str], expected: dict[str, str]) -> None:
    assert told(targets) == expected


def test_another_tokenizer_is_the_remedy() -> None:
    assert told(HINDI, [rouge("rougeL", tokenizer="unicode")]) == {}
    assert told(("今天天气很好", "他去了北京的大学"), [bleu(tokenize="zh")]) == {}


def test_a_metric_of_ones_own_is_tried_by_its_own_texts() -> None:
    def same_number(prediction: Prediction, example: Example) -> np.ndarray:
        digits = ["".join(filter(str.isdigit, text)) for text in (prediction.text, example.references[0])]
        return np.array([float(digits[0] == digits[1] != "")])

    facts = {"higher_is_better": True, "statistics": same_number, "reduce": mean, "signature": lambda: "n"}
    bounded, unbounded = Metric("number", **facts, range=(0.0, 1.0)), Metric("number", **facts)
    assert told(("12 boxes", "3 boxes of red", "no box at all"), [bounded]) == {"number": "33%"}
    assert told(("no box", "not one"), [unbounded, "evaluate:wer"]) == {}


@settings(max_examples=60, deadline=None)  # the first one imports libraries
@given(
    words=st.lists(st.from_regex(r"\A[A-Za-z0-9]{1,6}\Z"), min_size=4, max_size=8), end=st.sampled_from(["", "।", "!"])
)
def test_what_is_taken_as_read_by_all_is(words: list[str], end: str) -> None:
    """The rows that are not tried have the best score of every metric of the registry that measures agreement."""
    example = Example("one", {"source": "x"}, " ".join(words) + end)
    for name in (*ROUGES, "bleu", "chrf", "ter", "token_f1", "exact_match"):
        metric = get(name)
        score = metric.reduce([metric.statistics(Prediction("one", example.target, 0.0, 1), example)])
        assert score == pytest.approx(metric.range[1] if metric.higher_is_better else 0.0)


def test_check_and_the_report_tell(places: Places) -> None:
    place = places(store=False)
    task = (place.folder / "task.py").read_text()
    (place.folder / "task.py").write_text(task.replace('metrics=["chrf", ', 'metrics=["rougeL", "token_f1", '))
    for split in ("validation", "test"):
        data = [{**row, "target": HINDI[number % 3]} if number % 2 else row for number, row in enumerate(rows(split))]
        write_rows(place.folder / "data" / f"{split}.jsonl", data)
    shown = place.command("check", "study.yaml")
    assert shown.status == 0, shown.err
    assert "caution: rougeL gives 50% of references less than its best score" in " ".join(shown.out.split())
    assert "token_f1 gives" not in shown.out


def own(score: Callable[[str, Example], float]) -> Metric:
    """Return a bounded metric of one's own."""
    return Metric(
        "own",
        higher_is_better=True,
        statistics=lambda prediction, example: np.array([float(score(prediction.text, example))]),
        reduce=mean,
        signature=lambda: "own",
        range=(0.0, 1.0),
    )


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (lambda text, example: 0, {"own": "100%"}),
        (lambda text, example: 0.5, {"own": "100%"}),
        (lambda text, example: text == example.target and text.isupper(), {"own": "100%"}),
        (lambda text, example: math.nan, {"own": "100%"}),
        (lambda text, example: 1, {"own": "best"}),
        (lambda text, example: text == example.target, {}),
        (lambda text, example: bool(text), {}),
        (lambda text, example: example.fields["source"] in text or text == example.target, {}),
    ],
)
def test_a_metric_that_gives_one_score_to_everything_is_told(
    score: Callable[[str, Example], float], expected: dict[str, str]
) -> None:
    sentences = self_scores([own(score)], examples(PLAIN))
    told_of = {
        line.split()[0]: "best" if "its best score to whatever" in line else line.split()[2] for line in sentences
    }
    assert told_of == expected


@pytest.mark.parametrize("text", ["1 / 0", "int(text)", "example.fields['lacking']"])
def test_a_metric_that_fails_is_named(text: str) -> None:
    failing = own(eval(f"lambda text, example: {text}"))
    with pytest.raises(MetricError, match=r"metric 'own' fails on prediction '.*' for example 'row-0': \w+Error"):
        self_scores([failing], examples(PLAIN))
