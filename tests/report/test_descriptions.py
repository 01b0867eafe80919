"""What is written for MLflow's pages: views that restore, descriptions that fit, and no word of anybody's lost."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from urllib.parse import parse_qs, urlparse

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import MAX_EXPERIMENT_TAG_VAL_LENGTH, MAX_TAG_VAL_LENGTH

from harness.report.mlflow_pages.descriptions import (
    StudyLinks,
    begun_note,
    cell_note,
    final_note,
    study_note,
    summary_note,
    verdict,
)
from harness.report.mlflow_pages.page_views import OPENING, ViewFacts, study_views
from harness.report.text.findings import find
from harness.results.collect import Results
from harness.study.search_space import Hyperparameters
from harness.tracking.mlflow.mlflow_tracker import MlflowPages
from harness.tracking.mlflow.ui_views import Address, View, described, page_tags
from harness.tracking.schema import Tags
from tests.support.made_up_results import referenced, study
from tests.support.study_fixture import Places

LINK = re.compile(r"\]\((#[^)]*)\)")


def views(*, seed: str | None = "11", maximize: bool = True) -> list[View]:
    return study_views(ViewFacts("rougeL", maximize, {"prompt": "bare", "tuning": "full"}, seed))


def where(results: Results) -> StudyLinks:
    parents = {cell.id: f"run{number}" for number, cell in enumerate(results.cells)}
    prompts = {cell.prompt: f"prompts:/task.{cell.prompt}/3" for cell in results.cells}
    return StudyLinks(Address("7"), views(), "summary0", parents, prompts, "models:/m-1")


@given(text=st.text(), edit=st.text(), later=st.text())
def test_a_description_is_written_anew_unless_somebody_changed_it(text: str, edit: str, later: str) -> None:
    written = described(text, {"other": "tag"})
    assert written[Tags.NOTE] == text
    assert described(later, written)[Tags.NOTE] == later
    held = {**written, Tags.NOTE: edit}
    assert (described(later, held) == {}) == (edit != text)
    assert described(later, {Tags.NOTE: edit}) == {}


def test_an_edited_description_of_a_study_stays_and_all_else_is_renewed(places: Places) -> None:
    client = places().client()
    experiment = client.create_experiment("described")
    pages = MlflowPages(client, experiment)

    def held() -> dict[str, str]:
        return dict(client.get_experiment(experiment).tags)

    pages.label({Tags.NOTE: "first", "view": "a"})
    pages.label({Tags.NOTE: "second", "view": "b"})
    assert (held()[Tags.NOTE], held()["view"]) == ("second", "b")
    client.set_experiment_tag(experiment, Tags.NOTE, "second, and my remark")
    pages.label({Tags.NOTE: "third", "view": "c"})
    assert (held()[Tags.NOTE], held()["view"]) == ("second, and my remark", "c")


@pytest.mark.parametrize("seed", ["11", None])
def test_saved_views_are_what_the_pages_read(seed: str | None) -> None:
    own = views(seed=seed)
    tags = page_tags(own, lead="validation/rougeL")
    prefix = "mlflow.sharedViewState."
    saved = {key.removeprefix(prefix): value for key, value in tags.items() if key.startswith(prefix)}
    assert all(len(value) <= MAX_EXPERIMENT_TAG_VAL_LENGTH for value in saved.values())
    assert list(saved) == [view.key for view in own]
    envelopes = [json.loads(value) for value in saved.values()]
    dates = [envelope["createdAt"] for envelope in envelopes]
    assert dates == sorted(set(dates), reverse=True)
    for view, envelope in zip(own, envelopes, strict=True):
        state = json.loads(envelope["state"])
        assert envelope["name"] == view.name
        assert state["searchFilter"] == view.filter
        assert set(state["selectedColumns"]) <= set(state["columnOrder"])
        sections = {section["uuid"] for section in state.get("compareRunSections", ())}
        assert {chart["metricSectionId"] for chart in state.get("compareRunCharts", ())} <= sections
    assert ("predictions" in saved) == (seed is not None)
    assert any("test/" in column for column in own[0].columns) == (seed is not None)


@pytest.mark.parametrize("maximize", [True, False])
def test_the_best_stand_first(maximize: bool) -> None:
    ranked = views(maximize=maximize)[0]
    assert (ranked.key, ranked.order, ranked.ascending) == (OPENING, "metrics.validation/rougeL", not maximize)


def test_a_description_leads_everywhere_and_says_what_the_report_says() -> None:
    results = study(prompts=3, tunings=4)
    findings, parts = find(results), where(results)
    text = study_note(results, findings, parts)
    first = text.splitlines()[0]
    keys = [parse_qs(urlparse(link.removeprefix("#")).query).get("viewStateShareKey") for link in LINK.findall(first)]
    assert keys == [*([view.key] for view in parts.views), None, None]
    assert findings.answer in text
    assert findings.answer in summary_note(results, findings, parts)
    ranked = [line.split("|")[2] for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [re.findall(r"\[(.*?)\]", cell)[0] for cell in ranked] == [cell.id for cell in results.ranked()][:10]
    assert "2 more" in text
    report = f"[Report]({parts.address.run('summary0', 'report/report.html')})"
    assert report in text
    assert "Report" not in begun_note(results.question, parts)


def test_verdicts_are_those_of_the_comparisons() -> None:
    results = study(prompts=3, tunings=3)
    findings = find(results)
    assert findings.verdicts is not None
    for cell in results.cells:
        said, found = verdict(cell.id, results, findings), findings.verdicts.against_baseline(cell.id)
        assert ("the baseline" in said.split("; ")) == (cell.id == results.baseline)
        assert said.startswith("first on validation") == (cell.id == findings.verdicts.best)
        assert found is None or f"{found.verdict} " in said
        assert found is None or found.verdict in cell_note(cell, results, findings, where(results))
    assert verdict("nobody/full", results, findings) == ""


def test_a_prompt_cannot_break_out_of_its_frame_and_notes_fit() -> None:
    results = study()
    prompts = {cell.prompt: "```\n# not a heading\n````\n" + "word " * 5000 for cell in results.cells}
    results = replace(results, prompts=prompts)
    findings, parts = find(results), where(results)
    for cell in results.cells:
        note = cell_note(cell, results, findings, parts)
        assert len(note) <= MAX_TAG_VAL_LENGTH
        assert re.search(r"^`{5}$", note, flags=re.MULTILINE)
        assert "promptVersion=3" in note


def test_reference_rows_are_no_cells_of_a_description() -> None:
    results = referenced(study())
    findings = find(results)
    for note in (study_note(results, findings, where(results)), summary_note(results, findings, where(results))):
        assert "reference: lead" not in note
        assert all(f"[{cell.id}](" in note for cell in results.cells)


def test_many_cells_fit_into_a_description() -> None:
    results = study(prompts=8, tunings=8, examples=8)
    findings, parts = find(results), where(results)
    for note in (study_note(results, findings, parts), summary_note(results, findings, parts)):
        assert len(note) <= MAX_TAG_VAL_LENGTH


def test_a_final_run_says_what_it_is() -> None:
    assert "learning rate 0.00123, retrained on seed 11" in final_note(
        "cue/full", "11", Hyperparameters({"learning_rate": 0.00123456})
    )
    assert "without training" in final_note("cue/none", "none", Hyperparameters({}))
