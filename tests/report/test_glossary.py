"""The words of a report are explained: every metric and rule of the harness, in page and Markdown alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.metrics import get, names
from harness.report.charts.gallery import gallery
from harness.report.text.findings import find
from harness.report.text.glossary import glossary
from harness.report.write_report import write_report
from harness.study.reference_rows import REFERENCES
from tests.support.made_up_results import html, referenced, study


@pytest.mark.parametrize("name", [*names(), "loss"])
def test_every_metric_is_explained(name: str) -> None:
    assert name in glossary(replace(study(), metrics=("rougeL", name)), find(study()))
    words = glossary(replace(study(), metrics=(name,), lead=name), find(study()))[name]
    assert "own metric" not in words
    assert "higher is better. It ranks" in words


def test_the_leading_metric_has_its_range_and_direction() -> None:
    words = glossary(replace(study(), lead="bleu", metrics=("bleu",), metric=get("bleu")), find(study()))["bleu"]
    assert "from 0 to 100; higher is better" in words
    own = glossary(replace(study(), lead="mine", metrics=("mine",), metric="unknown", maximize=False), find(study()))
    assert own["mine"] == "the task's own metric; lower is better. It ranks the cells."


def test_every_rule_that_needs_no_model_is_explained() -> None:
    results = replace(study(), references={name: {} for name in REFERENCES})
    words = glossary(results, find(study()))["reference rows"]
    assert "own" not in words
    assert all(f"{name}: " in words for name in REFERENCES)


def test_words_without_use_are_left_out() -> None:
    plain = study()
    findings = find(replace(plain, answers=None))
    assert not {"p, adjusted", "reference rows"} & glossary(plain, findings).keys()
    assert {"p, adjusted", "generality kept", "cell", "baseline"} <= glossary(plain, find(plain)).keys()


def test_page_and_markdown_hold_words_prompts_samples_costs_and_other_skills(tmp_path: Path) -> None:
    prompts = {"prompt0": "```\n{{ source }}\nIn short:", "prompt1": "{{ source }}"}
    results = replace(referenced(study()), prompts=prompts)
    markdown = write_report(results, tmp_path).read_text(encoding="utf-8")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "````\n```\n{{ source }}\nIn short:\n````" in markdown
    assert results.answers is not None
    first = results.answers.examples[0]
    for text in (markdown, page):
        for said in ("Words used here", "In short:", first.fields["source"], first.target, "perplexity before"):
            assert said in text
        assert "TFLOP" in text
        assert "MiB) |" not in text
        assert all(word in text for word in glossary(results, find(results)))


def test_no_color_stands_for_a_prompt_and_for_a_depth() -> None:
    results = study(prompts=3, tunings=4)
    charts = gallery(results, find(results))
    assert charts.depths is not None
    prompts = {line.style for panel in charts.depths.panels for line in panel.lines}
    others = {line.style for chart in charts.charts()[1:] for panel in chart.panels for line in panel.lines}
    assert prompts == {0, 1, 2}
    assert others - {-1} == {3, 4, 5}
    assert "peak memory" not in html(results)


def test_a_spread_over_seeds_is_said_to_be_pooled() -> None:
    words = glossary(study(), find(study()))["95% interval"]
    assert "pooled from all trained cells" in words
    assert "no spread is seen" in words
