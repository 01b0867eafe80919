"""The order of rows: tunings by the study's own depths, rows by prompt and further axes, cells that differ on one."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from harness.report.charts.scores import depths
from harness.report.csv_tables import results_csv
from harness.report.html.tables import heat_map
from harness.report.samples import first_examples
from harness.report.text.effects import effect_families, effects_by_name
from harness.report.text.findings import find
from harness.results.cell_result import CellResult
from harness.results.collect import Results
from harness.results.row_order import alike, by_prompt, rows_by, score_grid, tunings
from tests.support.made_up_results import study


def with_sizes(results: Results, sizes: tuple[str, ...] = ("small", "large")) -> Results:
    """Return results with a third axis: each cell once for each size, all of them equal."""

    def sized(cell: CellResult, size: str) -> CellResult:
        return replace(cell, id=f"{cell.id}/{size}", factors={**cell.factors, "size": size})

    assert results.answers is not None
    cells = tuple(sized(cell, size) for cell, size in product(results.cells, sizes))
    answered = {f"{name}/{size}": said for name, said in results.answers.cells.items() for size in sizes}
    answers = results.answers._replace(cells=answered)
    return replace(results, cells=cells, answers=answers, baseline=f"{results.baseline}/{sizes[0]}", curves={})


def test_tunings_stand_as_the_study_kept_them_and_else_by_their_names() -> None:
    results = study(tunings=4)
    assert tunings(results) == ["none", "last_blocks-1", "last_blocks-2", "full"]
    kept = ("full", "never_run", "last_blocks-2", "none", "last_blocks-1")
    turned = replace(results, depths=kept)
    assert tunings(turned) == [name for name in kept if name != "never_run"]
    assert [[cell.tuning for cell in cells] for _, cells in by_prompt(turned)] == [tunings(turned)] * 2


def test_rows_are_named_by_all_axes_but_tuning() -> None:
    two, three = study(), with_sizes(study())
    assert (rows_by(two), rows_by(three)) == ("prompt", "prompt/size")
    assert [name for name, _ in by_prompt(two)] == ["prompt0", "prompt1"]
    rows = ["prompt0/small", "prompt0/large", "prompt1/small", "prompt1/large"]
    assert [name for name, _ in by_prompt(three)] == rows == list(heat_map(three, find(three)))
    by_cell = {cell.id: cell.score("test/rougeL") for cell in three.cells}
    pairs = dict(pair for row in score_grid(three).values() for pair in row)
    assert pairs == by_cell
    holed = replace(three, cells=three.cells[1:])
    assert score_grid(holed)["prompt0/small"][0][0] == ""


def test_cells_alike_differ_on_one_axis() -> None:
    results = with_sizes(study())
    best = next(cell for cell in results.cells if cell.id == "prompt1/full/large")
    ids = {axis: [cell.id for cell in alike(best, results, but=axis)] for axis in results.axes}
    assert ids == {
        "prompt": ["prompt0/full/large", "prompt1/full/large"],
        "tuning": [f"prompt1/{tuning}/large" for tuning in ("none", "last_blocks-1", "full")],
        "size": ["prompt1/full/small", "prompt1/full/large"],
    }


def test_a_third_axis_has_a_column_panels_and_effects() -> None:
    results = with_sizes(study())
    findings = find(results)
    chart = depths(results, findings)
    assert chart is not None
    assert [panel.title for panel in chart.panels] == ["small", "large"]
    assert [[line.name for line in panel.lines] for panel in chart.panels] == [["prompt0", "prompt1"]] * 2
    assert [line.style for line in chart.entries()] == [0, 1]
    header, first, *_ = results_csv(results).splitlines()
    assert header.startswith("cell,prompt,tuning,size,learning_rate,seeds,")
    assert first.startswith("prompt0/none/small,prompt0,none,small,,")
    assert results_csv(study()).startswith("cell,prompt,tuning,learning_rate,seeds,")
    assert findings.verdicts is not None
    titles = {family.title: [row.a for row in family.rows] for family in effect_families(findings.verdicts)}
    assert titles["Size, each against small, averaged over prompts and what trains"] == ["large"]
    assert titles["Prompt and size together: what both gain beyond the gain of each, averaged over what trains"] == [
        "prompt1/large"
    ]
    assert list(effects_by_name(findings.verdicts)) == [
        *("prompt", "tuning", "size"),
        *("interaction", "prompt:size", "tuning:size"),
    ]
    groups = first_examples(results, findings)[0].answers
    best = findings.verdicts.best.split("/")
    assert list(groups) == [
        f"every prompt, {best[1]}, size {best[2]}",
        f"every depth, prompt {best[0]}, size {best[2]}",
        f"every size, prompt {best[0]}, {best[1]}",
    ]
    for place, answers in enumerate(groups.values()):
        rest = {tuple(name for number, name in enumerate(said.cell.split("/")) if number != place) for said in answers}
        assert len(rest) == 1
