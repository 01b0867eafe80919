"""The report: one page that needs nothing else, whatever the texts; one set of claims in all files; fast and small."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from harness.core.example import Example
from harness.metrics import get
from harness.report.csv_tables import results_csv
from harness.report.samples import samples
from harness.report.text.cautions import at_edge, cautions
from harness.report.text.findings import find
from harness.report.write_report import write_report
from harness.results.predictions import named_metric
from harness.stats import mean
from harness.stats.answers import Answered, Answers
from harness.tracking.study_record import StudyRecord
from tests.support.made_up_results import html, referenced, study
from tests.support.store_records import STUDY_FACTS
from tests.support.study_fixture import Place, Places

NASTY = "</td></table><script>alert('x')</script><img src=http://example.org/x onerror=alert(1)> & {{ 7 * 7 }}"
VOID = {"meta", "link", "br", "img"}


class Page(HTMLParser):
    """Reads a page: its elements in order with their attributes, and whether they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, *tags: str) -> Iterator[tuple[str, dict[str, str]]]:
        return (element for element in self.elements if element[0] in tags)


@pytest.fixture(scope="module")
def done(places: Places) -> Place:
    place = places()
    place.run()
    return place


def test_the_page_nests_and_asks_for_nothing_outside_itself() -> None:
    read = Page(html(study()))
    assert read.open == []
    assert not list(read.all("script", "img", "iframe", "object", "embed"))
    links = [attributes["href"] for _, attributes in read.all("a", "link")]
    assert all(link.startswith(("#", "data:,")) for link in links)
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    marks = [attributes["href"] for _, attributes in read.all("use")]
    assert len(marks) > 20
    assert {link[1:] for link in [*links, *marks] if link.startswith("#")} <= set(ids)
    assert not [value for _, attributes in read.elements for value in attributes.values() if "://" in value]
    style = html(study()).partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_whatever_a_model_or_a_row_says_is_text() -> None:
    nasty = {NASTY: NASTY}
    prompts = {"nasty": f"{NASTY} {{{{ source }}}}"}
    plain = replace(study(), question=NASTY, prompts=prompts, data=nasty, provenance=nasty)
    assert plain.answers is not None
    cases = tuple(Example(e.id, {"source": NASTY}, NASTY) for e in plain.answers.examples)
    cells = {
        name: Answered(
            tuple(tuple(p._replace(text=f"{NASTY} {p.text}") for p in run) for run in cell.runs), cell.seeded
        )
        for name, cell in plain.answers.cells.items()
    }
    results = replace(plain, answers=Answers(cases, cells, {}))
    read, clean = Page(html(results)), Page(html(study()))
    assert read.open == []
    assert {tag for tag, _ in read.elements} <= {tag for tag, _ in clean.elements}
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]
    assert any("{{ 7 * 7 }}" in text for text in read.texts)
    assert "alert('x')" in "".join(read.texts)


def test_headings_tables_and_drawings_can_be_read_aloud() -> None:
    read = Page(html(study()))
    levels = [int(tag[1]) for tag, _ in read.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    assert all(attributes.get("scope") in ("row", "col") for _, attributes in read.all("th"))
    for _, attributes in read.all("svg"):
        assert attributes.get("aria-hidden") == "true" or (attributes["role"] == "img" and attributes["aria-label"])


def test_the_page_says_what_the_program_is_told(tmp_path: Path) -> None:
    results = referenced(study())
    written = write_report(results, tmp_path)
    program = json.loads((tmp_path / "verdicts.json").read_text(encoding="utf-8"))
    texts = "".join(Page((tmp_path / "report.html").read_text(encoding="utf-8")).texts)
    assert program["answer"] in texts
    assert program["answer"] in written.read_text(encoding="utf-8")
    rows = [one for one in program["comparisons"] if one["family"] not in ("best", "pairs")]
    rows += [one for members in program["effects"].values() for one in members]
    turned = {"better": "worse", "worse": "better", "undecided": "undecided"}
    assert {one["family"] for one in rows if "family" in one} == {"baseline", "references"}
    assert len(program["effects"]["tuning"]) == 2
    for one in rows:
        if one.get("family") == "references":  # told of the first cell
            one |= {"difference": -one["difference"], "low": -one["high"], "high": -one["low"]}
            one["verdict"] = turned[one["verdict"]]
        p = "< 0.001" if one["p_adjusted"] < 0.001 else f"{one['p_adjusted']:.3f}"
        shown = [one["a"], f"{one['difference']:+.4f}", f"{one['low']:.4f} to {one['high']:.4f}", p, one["verdict"]]
        assert f"| {' | '.join(shown)} |" in written.read_text(encoding="utf-8")
        said = [f"{one['difference']:+.4f}", f"{one['low']:+.4f} to {one['high']:+.4f}", p, one["verdict"]]
        assert "".join([one["a"], *(text.replace("-", "\N{MINUS SIGN}") for text in said)]) in texts.replace("\n", "")
    assert {file.suffix for file in (tmp_path / "figures").glob("differences.*")} == {".png", ".svg"}


def test_results_do_not_depend_on_what_is_claimed() -> None:
    assert results_csv(study()) == results_csv(replace(study(), answers=None, metric="unknown"))


def test_samples_are_the_greatest_gains_and_losses() -> None:
    results = study(examples=30)
    found, metric = find(results), get("rougeL")
    shown = samples(results, found, most=3)
    assert shown is not None
    assert results.answers is not None
    gains = []
    for place, case in enumerate(results.answers.examples):
        a, b = (
            mean([metric.reduce([metric.statistics(run[place], case)]) for run in results.answers.cells[cell].runs])
            for cell in (shown.a, shown.b)
        )
        gains.append(a - b)
    assert [one.gain for one in shown.wins] == pytest.approx(sorted(gains, reverse=True)[:3])
    assert [one.gain for one in shown.losses] == pytest.approx([gain for gain in sorted(gains) if gain < 0][:3])
    (answers,) = shown.wins[0].answers.values()
    assert [answer.cell for answer in answers][:2] == [shown.a, shown.b]
    assert len(answers) == len(results.cells)


@pytest.mark.parametrize(("changes", "reason"), [({"answers": None}, "no final runs"), ({"metric": "gone"}, "gone")])
def test_without_verdicts_nothing_is_claimed(changes: dict[str, Any], reason: str) -> None:
    results = replace(study(), **changes)
    found = find(results)
    assert found.verdicts is None
    assert found.answer.startswith("Nothing is claimed of these cells: ")
    assert reason in found.answer
    assert Page(html(results)).open == []


def test_a_best_rate_at_an_end_of_the_range_is_a_caution() -> None:
    low, inside = study(trials=1), study(trials=5, seeds=3, examples=60)
    (dimension,) = low.space.dimensions
    assert {at_edge(cell, dimension) for cell in low.cells if cell.tuning != "none"} == {"low"}
    assert {at_edge(cell, dimension) for cell in inside.cells} == {""}
    assert any("low end of the range (0.0001)" in sentence for sentence in cautions(low, find(low)))
    assert not cautions(inside, find(inside))


def test_cells_without_finals_and_single_seeds_are_cautions() -> None:
    results = study(seeds=1)
    assert results.answers is not None
    cells = {name: cell for name, cell in results.answers.cells.items() if name != "prompt1/none"}
    partial = replace(results, answers=results.answers._replace(cells=cells))
    said = " ".join(cautions(partial, find(partial)))
    assert "No claim includes prompt1/none" in said
    assert "hold for these models alone" in said


@pytest.mark.slow
def test_a_prompt_is_shown_as_a_model_reads_it() -> None:
    results = study()
    assert results.answers is not None
    filled = f"{results.answers.examples[0].fields['source']}\nTL;DR:"
    assert "".join(Page(html(results)).texts).count(filled) == len(results.prompts)
    assert "TL;DR" not in "".join(Page(html(replace(results, prompts={}))).texts)


def test_reference_rows_stand_beside_the_cells() -> None:
    texts = "".join(Page(html(referenced(study()))).texts)
    assert "reference: lead" in texts
    assert "against each rule that needs no model" in texts


def test_reference_rows_and_effects_need_no_differences_to_the_baseline() -> None:
    """The baseline was not run: the rows that need no model were."""
    results = referenced(study())
    assert results.answers is not None
    cells = {name: cell for name, cell in results.answers.cells.items() if name != results.baseline}
    texts = "".join(Page(html(replace(results, answers=results.answers._replace(cells=cells)))).texts)
    assert "Differences to the baseline" not in texts
    assert "against each rule that needs no model" in texts


def test_other_tasks_scores_need_no_perplexity() -> None:
    plain = study()
    skill = {"generality/translation/chrf_before": 30.25, "generality/translation/chrf": 21.5}
    cells = tuple(
        replace(cell, finals=tuple(replace(final, metrics=_only(final.metrics) | skill) for final in cell.finals))
        for cell in plain.cells
    )
    texts = "".join(Page(html(replace(plain, cells=cells))).texts)
    assert "What training left of other skills" in texts
    assert "30.250" in texts
    assert "21.500" in texts


def _only(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.startswith("generality/")}


def test_what_was_not_run_is_no_part_of_a_claim() -> None:
    results = replace(study(), absent=("prompt2/head", "prompt2/full"))
    found = find(results)
    assert "among the 6 of 8 cells that have final runs" in found.answer
    assert "No claim includes prompt2/head, prompt2/full" in " ".join(cautions(results, found))


def test_rows_in_two_splits_are_a_caution() -> None:
    results = replace(study(), leaks=("12 of 24 test rows (50.0%) in train: 12 same, 0 same source, 0 near; a ~ b",))
    said = " ".join(cautions(results, find(results)))
    assert "Rows stand in two splits: 12 of 24 test rows (50.0%) in train" in said
    assert "data.on_overlap: drop" in said


def test_a_cell_of_survivors_is_a_caution() -> None:
    plain = study()
    cells = tuple(replace(cell, diverged_finals=1) if cell.id == "prompt1/full" else cell for cell in plain.cells)
    results = replace(plain, cells=cells)
    said = " ".join(cautions(results, find(results)))
    assert "1 of 3 final runs of prompt1/full diverged: its score is the survivors'" in said


def test_the_best_of_many_trials_does_not_rank_with_means_over_seeds() -> None:
    plain = study()
    lucky = replace(plain.cells[1], finals=(), best={"validation/rougeL": 0.99})
    results = replace(plain, cells=(plain.cells[0], lucky, *plain.cells[2:]))
    assert [cell.id for cell in results.ranked()][-1] == lucky.id
    searched = tuple(cell if cell.tuning == "none" else replace(cell, finals=()) for cell in results.cells)
    nothing = replace(plain, cells=searched)
    assert nothing.ranked()[0].id == lucky.id, "where no winner was retrained, trials rank"


@pytest.mark.slow
def test_figures_of_an_earlier_report_go(tmp_path: Path) -> None:
    write_report(study(), tmp_path)
    assert (tmp_path / "figures" / "differences.png").exists()
    write_report(replace(study(), answers=None), tmp_path)
    assert not list((tmp_path / "figures").glob("differences.*"))
    assert (tmp_path / "figures" / "heat.png").exists()


@pytest.mark.slow
def test_a_final_run_that_diverged_counts_for_nothing(done: Place, places: Places) -> None:
    """As `harness run` leaves it: with the scores of its first epochs, failed."""
    place = places.copy(done)
    trained = {cell: row for cell, row in place.table().items() if not cell.endswith("none")}
    best = max(trained, key=lambda cell: float(trained[cell]["validation_chrf"]))
    client = place.client()
    lost = max(place.runs("final", cell=best), key=lambda run: run.data.metrics["validation/chrf"])
    client.log_metric(lost.info.run_id, "validation/chrf", 1e6, step=99)
    client.set_tag(lost.info.run_id, "outcome", "diverged")
    client.set_terminated(lost.info.run_id, "FAILED")
    done_again = place.run()
    assert place.table()[best]["seeds"] == "1"
    assert float(place.table()[best]["validation_chrf"]) < 1e6
    (summary,) = place.runs("summary")
    assert summary.data.tags["best_run"] != lost.info.run_id
    said = f"1 of 2 final runs of {best} diverged"
    assert said in (place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert said in " ".join(done_again.out.split())


def test_the_terminal_says_what_may_be_claimed(done: Place) -> None:
    again = done.command("report", "tiny")
    printed = " ".join(again.out.split())
    program = json.loads((done.folder / "reports" / "tiny" / "verdicts.json").read_text(encoding="utf-8"))
    assert program["answer"] in printed
    assert "The test split was scored 10 times for this study" in printed


@pytest.mark.slow
def test_a_first_run_of_some_cells_names_the_others(places: Places) -> None:
    place = places()
    place.run("--cells", "bare/*", "--set", "tuning=[none, head]", "--set", "final.seeds=[11, 12]")
    program = json.loads((place.folder / "reports" / "tiny" / "verdicts.json").read_text(encoding="utf-8"))
    assert "among the 2 of 4 cells that have final runs" in program["answer"]
    report = (place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert "No claim includes cue/none, cue/head" in report


def test_a_run_ends_with_claims_about_its_own_results(done: Place) -> None:
    folder = done.folder / "reports" / "tiny"
    program = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))
    table = done.table()
    cells = [one for one in program["comparisons"] if one["family"] != "references"]
    assert len(cells) == 5 + 5
    for one in cells:
        difference = float(table[one["a"]]["test_chrf"]) - float(table[one["b"]]["test_chrf"])
        assert one["difference"] == pytest.approx(difference, abs=1e-9)
    assert program["best"] == max(table, key=lambda cell: float(table[cell]["validation_chrf"]))
    assert (folder / "report.html").is_file()


def test_a_run_logs_page_and_figures(done: Place) -> None:
    folder = done.folder / "reports" / "tiny"
    written = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    (summary,) = done.runs("summary")
    client = done.client()
    logged = {
        item.path.removeprefix("report/")
        for part in ("report", "report/figures")
        for item in client.list_artifacts(summary.info.run_id, part)
        if not item.is_dir
    }
    assert logged == written
    figures = {"depths", "heat", "learning_rates", "learning_curves", "expected_best", "differences", "quality_seconds"}
    assert {"report.html", *(f"figures/{name}.png" for name in figures)} <= logged


@pytest.mark.slow
def test_a_report_written_again_is_the_same(done: Place) -> None:
    folder = done.folder / "reports" / "tiny"
    names = ("results.csv", "verdicts.json", "report.html", "report.md")
    before = [(folder / name).read_bytes() for name in names]
    assert done.command("report", "tiny").status == 0
    assert [(folder / name).read_bytes() for name in names] == before


@pytest.mark.slow
def test_cells_that_answered_other_test_rows_are_left_out(done: Place, places: Places) -> None:
    place = places.copy(done)
    file = place.folder / "data" / "test.jsonl"
    file.write_text(file.read_text(encoding="utf-8").replace("test-0", "test-zero"), encoding="utf-8")
    place.run("--cells", "bare/*")
    program = json.loads((place.folder / "reports" / "tiny" / "verdicts.json").read_text(encoding="utf-8"))
    compared = {one[side] for one in program["comparisons"] for side in ("a", "b")}
    assert compared == {"bare/none", "bare/head", "bare/last_blocks-1"}
    assert "among the 3 of 6 cells that have final runs" in program["answer"]
    page_text = "".join(Page((place.folder / "reports" / "tiny" / "report.html").read_text(encoding="utf-8")).texts)
    assert "No claim includes cue/none, cue/head, cue/last_blocks-1" in page_text


def test_a_metric_that_means_something_else_by_now_claims_nothing() -> None:
    record = StudyRecord(**{**STUDY_FACTS, "signatures": {"chrf": get("chrf").signature(), "mine": "mine|1"}})
    assert named_metric("chrf", record) == get("chrf")
    reason = named_metric("chrf", replace(record, signatures={"chrf": "chrf|another"}))
    assert isinstance(reason, str)
    assert "chrf|another" in reason
    assert named_metric("loss", record) == "final runs have no loss by example"
    gone = named_metric("mine", record)
    assert isinstance(gone, str)
    assert gone.startswith("mine was mine|1 when the study was run; its task file ")
    assert gone.endswith("summarization.py does not have it any more")
