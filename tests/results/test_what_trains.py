"""What reports say trains: the tuning as it came out of the search, and all that it was told."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.cli.results_table import print_results
from harness.core.plain_yaml import yaml_value
from harness.report.html_previews import result_preview
from harness.report.study_facts import study_facts, study_file
from harness.report.text.findings import find
from harness.report.text.glossary import glossary
from harness.report.write_report import write_report
from harness.results.collect import Results
from harness.results.what_trains import tunings_in_words, what_trains
from harness.study.hyperparameters import Hyperparameters
from harness.study.spec import StudySpec
from harness.study.tuning import Tuning, tuning_of
from tests.support.made_up_results import study

SEARCHED = {"lora": {"blocks": "last-1"}}


def read(written: Any) -> Tuning:
    return Tuning.model_validate(tuning_of(written))


def adapted(*ranks: int, written: Any = SEARCHED) -> Results:
    """Return results whose deepest cells train an adapter, and found these ranks, one for each prompt."""
    tuning, plain = read(written), study(prompts=len(ranks))
    found = dict(zip([f"prompt{number}" for number in range(len(ranks))], ranks, strict=True))
    cells, answers = [], dict(plain.answers.cells) if plain.answers else {}
    for cell in plain.cells:
        if cell.tuning == "full":
            drawn = Hyperparameters({"learning_rate": 0.002, f"tuning.{tuning.kind}.rank": found[cell.prompt]})
            name = f"{cell.prompt}/{tuning.name}"
            answers[name] = answers.pop(cell.id)
            cell = replace(cell, id=name, factors={**cell.factors, "tuning": tuning.name}, hyperparameters=drawn)
        cells.append(cell)
    assert plain.answers is not None
    tunings = [read(one).model_dump(mode="json") for one in (None, {"last_blocks": 1}, written)]
    return replace(
        plain,
        cells=tuple(cells),
        answers=plain.answers._replace(cells=answers),
        settings={"tuning": tunings},
        baseline=f"prompt0/{tuning.name}",
    )


def test_a_searched_rank_is_the_winners_wherever_what_trains_is_said() -> None:
    results = adapted(16, 32)
    findings = find(results)
    assert findings.recommendation is not None
    assert "train LoRA of rank 32 in the last block at a learning rate of 0.002:" in findings.advice[0]
    said = " ".join([*findings.advice, *glossary(results, findings).values()])
    assert "rank 8" not in said
    assert "lora-8-last-1: LoRA of rank 16 or 32 in the last block" in said
    assert "LoRA of rank 16 or 32 in the last block" in findings.advice[-2]
    assert [what_trains(cell, results)[:15] for cell in results.cells if "lora" in cell.id] == [
        "LoRA of rank 16",
        "LoRA of rank 32",
    ]


def test_many_found_ranks_are_told_by_their_ends() -> None:
    assert "of rank 2 to 32 in" in tunings_in_words(adapted(4, 2, 8, 16, 32))["lora-8-last-1"]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (
            {"name": "withhead", "lora": {"rank": 4}, "with": ["head", "norms"]},
            "LoRA of rank 4 together with the output layer and the norms",
        ),
        ({"lora": {"rank": 4, "alpha": 32}, "with": "embeddings"}, "LoRA of rank 4 (alpha 32) together with the emb"),
        ({"name": "vera", "peft": {"peft_type": "VERA", "r": 16}}, "PEFT's VERA (r 16)"),
        ({"peft": {"peft_type": "LOHA", "r": 4, "alpha": 8}}, "PEFT's LOHA (r 4, alpha 8)"),
        ({"lora": {"rank": 4, "targets": ["q_proj", "v_proj"]}}, "LoRA of rank 4 (targets q_proj and v_proj)"),
        ({"prompt_tuning": {"tokens": 4, "init": "random"}}, "4 tuned tokens before the prompt (init random)"),
    ],
)
def test_all_that_a_tuning_was_told_is_said(written: Any, words: str) -> None:
    results = adapted(16, 16, written=written)
    (name,) = {cell.tuning for cell in results.cells} - {"none", "last_blocks-1"}
    unsearched = tuple(replace(cell, hyperparameters=Hyperparameters()) for cell in results.cells)
    assert words in tunings_in_words(replace(results, cells=unsearched))[name]
    assert words in glossary(replace(results, cells=unsearched), find(results))["what trains, depth"]


def test_a_store_of_an_earlier_version_is_read_by_names() -> None:
    assert (
        tunings_in_words(replace(adapted(16, 16), settings={}))["lora-8-last-1"] == "LoRA of rank 8 in the last block"
    )


def test_an_adapter_that_a_study_starts_from_is_named_wherever_the_model_is() -> None:
    results = adapted(16, 16)
    begun = replace(results, settings={**results.settings, "model": {"name": "embedded", "adapter": "./mine"}})
    findings = find(begun)
    assert study_facts(begun)["model"].endswith("with the adapter ./mine merged in")
    assert "none: nothing, the model as it comes, with the adapter ./mine merged in;" in " ".join(
        glossary(begun, findings).values()
    )
    assert "adapter" not in study_facts(replace(results, settings={"model": {"name": "m"}}))["model"]


def test_every_table_of_cells_shows_what_else_the_search_found(tmp_path: Path) -> None:
    results, terminal = adapted(16, 32), io.StringIO()
    findings = find(results)
    print_results(Console(file=terminal, width=200), results, findings)
    markdown = write_report(results, tmp_path).read_text(encoding="utf-8")
    for text in (terminal.getvalue(), markdown, result_preview(results, findings)):
        assert "0.002, rank 16" in text
        assert "0.002, rank 32" in text
    assert ", rank 32" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_study_file_in_a_report_is_one_with_all_that_an_adapter_is_told() -> None:
    tunings = [{"lora": {"rank": 2}}, {"name": "mine", "dora": {"blocks": "last-1"}, "with": ["head"]}, "head"]
    search = {"space": {"tuning.dora.rank": [2, 4]}}
    baseline = {"prompt": "a", "tuning": {"lora": {"rank": 2}}}
    written = {"name": "x", "task": "t", "prompts": ["a"], "tuning": tunings, "search": search}
    spec = StudySpec.model_validate({**written, "final": {"baseline": baseline}})
    file = yaml_value(study_file(replace(study(), settings=spec.model_dump(mode="json"))))
    assert file["tuning"] == [
        {"lora": {"rank": 2, "dropout": 0.0, "targets": "all-linear"}},
        {"name": "mine", "dora": {"dropout": 0.0, "targets": "all-linear", "blocks": "last-1"}, "with": ["head"]},
        "head",
    ]
    assert StudySpec.model_validate(file).model_dump() == spec.model_dump()


def test_choices_of_method_are_no_depths_and_a_far_smaller_one_that_is_not_told_apart_is_named() -> None:
    results = adapted(16, 32)
    first = find(results).first
    assert first is not None
    counts = {cell.id: "9000" if cell.id == first else "200" * ("blocks" in cell.id) for cell in results.cells}
    cells = tuple(replace(cell, params={"trainable_parameters": counts[cell.id]}) for cell in results.cells)
    assert results.answers is not None
    alike = dict.fromkeys(results.answers.cells, results.answers.cells[first])
    untold = replace(results, cells=cells, answers=results.answers._replace(cells=alike))
    said = " ".join(find(untold).advice)
    assert "Does what trains matter?" in said
    assert "depth" not in said
    assert re.search(r"Smaller: the prompt \"prompt\d\" with the last block trained", said)
