"""A metric whose code was edited under its old signature: scores of then and of now never stand beside each other."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.text.findings import find
from harness.report.write_report import write_report
from harness.results.changed_metric import is_same_score
from harness.results.collect import Results
from harness.stats.answers import StoredScores, score_answers
from tests.support.made_up_results import referenced, study
from tests.support.study_fixture import Place, Places

SMALL = tuple(
    part
    for setting in (
        "prompts=[bare]",
        "tuning=[none, head]",
        "search.trials=1",
        "training.epochs=1",
        "final.seeds=[11, 12]",
        "final.models=none",
        "generality.text=null",
    )
    for part in ("--set", setting)
)
OWN = """
import numpy as np
from harness.metrics.base import Metric, mean

def words(prediction, example):
    return np.array([1.0 + len(prediction.text.split()) + len(example.target)])

WORDS = Metric("words", True, words, mean, lambda: "words|1")
"""


def recorded(results: Results, factor: float = 1.0, *, only: str = "") -> Results:
    """Return results whose answers bear the scores that they have, those of one cell or row times a factor."""
    answers, metric = results.answers, results.metric
    assert answers is not None
    assert not isinstance(metric, str)
    scored = score_answers(answers, metric)

    def known(name: str) -> tuple[StoredScores, ...]:
        times = factor if only in ("", name) else 1.0
        scores = [times * metric.reduce(run) for run in scored[name]]
        return tuple(StoredScores(f"{name} run {n}", {"test/rougeL": score}) for n, score in enumerate(scores))

    cells = {name: said._replace(stored=known(name)) for name, said in answers.cells.items()}
    rows = {name: said._replace(stored=known(name)) for name, said in answers.references.items()}
    return replace(results, answers=answers._replace(cells=cells, references=rows))


@pytest.mark.parametrize("only", ["prompt1/full", "lead"])
def test_a_report_of_two_versions_shows_stored_scores_and_claims_nothing(only: str, tmp_path: Path) -> None:
    results = recorded(referenced(study()), 0.9, only=only)
    findings = find(results)
    assert (findings.verdicts, findings.recommendation) == (None, None)
    assert "Nothing is claimed of these cells: rougeL of " + only + " run 0 on test is 0." in findings.answer
    assert "another signature" in findings.answer
    written = write_report(results, tmp_path).read_text(encoding="utf-8")
    assert "95% interval" not in written
    assert "a metric whose results change needs another signature" in written


def test_scores_that_are_the_stored_ones_are_claimed_as_ever() -> None:
    plain = referenced(study())
    assert find(recorded(plain)).verdicts == find(plain).verdicts
    assert find(recorded(plain, 1 + 1e-9)).verdicts == find(plain).verdicts


@given(st.floats(-1e300, 1e300), st.floats(-1e-8, 1e-8))
def test_rounding_makes_no_other_score(score: float, off: float) -> None:
    assert is_same_score(score, score * (1 + off))
    assert is_same_score(math.inf, math.inf)
    assert is_same_score(math.nan, math.nan)
    assert not is_same_score(score, math.nan)
    assert not is_same_score(math.nan, score)


@given(st.floats(-1e6, 1e6), st.floats(1e-4, 1.0))
def test_what_a_table_would_show_otherwise_is_another_score(score: float, off: float) -> None:
    assert not is_same_score(score, score + off * max(1.0, abs(score)))


def edited(place: Place, old: str, new: str) -> None:
    file = place.folder / "task.py"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.slow
def test_nothing_is_compared_or_gone_on_with_until_the_signature_changes(places: Places) -> None:
    place = places()
    edited(place, "from harness import Task", OWN + "\nfrom harness import Task")
    edited(place, 'metrics=["chrf", ', "metrics=[WORDS, ")
    place.run(*SMALL)
    before = place.table()["bare/head"]["test_words"]
    told = place.command("report", "study.yaml")
    assert told.out.splitlines()[-1] == place.run(*SMALL).out.splitlines()[-1]  # the page, and the text
    edited(place, "np.array([1.0 + ", "np.array([2.0 + ")
    sentence = "a metric whose results change needs another signature"
    report = place.command("report", "study.yaml")
    assert (report.status, sentence in " ".join(report.err.split())) == (2, True)
    assert "95% interval" in (place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    shutil.rmtree(place.folder / "reports")
    report = place.command("report", "study.yaml")
    assert (report.status, sentence in " ".join(report.out.split())) == (0, True)
    assert place.table()["bare/head"]["test_words"] == before
    assert "95% interval" not in (place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    runs = len(place.runs())
    for command in (["compare", "tiny:bare/head", "tiny:bare/none"], ["run", "study.yaml", *SMALL]):
        shown = place.command(*command)
        assert (shown.status, sentence in " ".join(shown.err.split())) == (2, True)
    assert len(place.runs()) == runs
    edited(place, '"words|1"', '"words|2"')
    place.run(*SMALL)
    assert float(place.table()["bare/head"]["test_words"]) > float(before)
    assert place.command("compare", "tiny:bare/head", "tiny:bare/none").status == 0
