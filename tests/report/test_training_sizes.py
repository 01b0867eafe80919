"""The report of studies of two to four axes: curves over training sizes, and no panel of two axes alone."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.report.charts.gallery import gallery
from harness.report.charts.training_sizes import training_sizes
from harness.report.frames import curves_frame
from harness.report.mlflow_pages.page_views import ViewFacts, study_views
from harness.report.text.effects import effects_at_a_glance
from harness.report.text.findings import Findings, find
from harness.report.write_report import OF_CURVES, write_report
from harness.results.collect import Results
from tests.support.made_up_grids import grid
from tests.support.made_up_results import html, study

SIZES = ("50", "100", "200", "400")
MODELS = ("tiny-a", "tiny-b")
PAGE = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def results() -> Results:
    return grid({"train_size": SIZES}, tunings=("last_blocks-1", "full"), examples=30, trials=0)


@pytest.fixture(scope="module")
def findings(results: Results) -> Findings:
    return find(results)


@pytest.fixture(scope="module")
def four() -> Results:
    sizes = ("50", "200", "800")
    return grid({"model": MODELS, "train_size": sizes}, tunings=("none", "full"), examples=30, seeds=2, trials=0)


@pytest.fixture(scope="module")
def written(results: Results, findings: Findings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report."""
    return write_report(results, tmp_path_factory.mktemp("report"), findings=findings).parent


def test_the_advice_says_what_more_data_would_bring(findings: Findings) -> None:
    said = " ".join(findings.advice)
    assert findings.verdicts is not None
    assert findings.verdicts.best == "prompt1/full/400"
    assert "400 training examples and train the whole model" in said
    assert "With 800 of them, twice the 400 of this study, prompt1/full would score about 0." in said
    assert "For the same score prompt0/full needs" in said
    assert (
        "Does the number of training examples matter? Yes: on average over all prompts and depths, training on" in said
    )


def test_a_prompt_is_worth_what_was_planted(findings: Findings) -> None:
    assert findings.verdicts is not None
    assert findings.verdicts.curves is not None
    (worth,) = [one for one in findings.verdicts.curves.worths if one.curve == "prompt1/last_blocks-1"][:1]
    assert worth.factor is not None
    assert worth.factor.low < 2.5 < worth.factor.high, "prompt1 learns from a row as prompt0 does from two and a half"


def test_a_chart_has_a_panel_for_each_depth_and_a_line_for_each_prompt(results: Results, findings: Findings) -> None:
    chart = training_sizes(results, findings)
    assert chart is not None
    assert [panel.title for panel in chart.panels] == ["last_blocks-1", "full"]
    for panel in chart.panels:
        assert [line.name for line in panel.lines if line.name] == ["prompt0", "prompt1"]
        assert [point.x for point in panel.lines[2].points] == [50, 100, 200, 400]
        (beyond, *_) = panel.lines
        assert (beyond.drawn, beyond.points[0].x, beyond.points[-1].x) == ("band", 400, 800)
    assert "forecast" in chart.alt


def test_one_prompt_has_its_depths_in_one_panel() -> None:
    alone = replace(grid({"train_size": SIZES}, prompts=1, seeds=2, examples=20), references={})
    chart = training_sizes(alone, find(alone))
    assert chart is not None
    assert [panel.title for panel in chart.panels] == [""]
    assert [line.name for line in chart.entries()] == ["last_blocks-1", "full"]


def test_files_page_and_frame_tell_the_same(written: Path, findings: Findings) -> None:
    with (written / "learning_curves.csv").open(encoding="utf-8", newline="") as lines:
        rows = {row["curve"]: row for row in csv.DictReader(lines)}
    assert list(rows) == ["prompt0/last_blocks-1", "prompt0/full", "prompt1/last_blocks-1", "prompt1/full"]
    best = rows["prompt1/full"]
    assert (best["sizes"], best["forecast_size"]) == ("50 100 200 400", "800")
    assert float(best["forecast_low"]) < float(best["forecast"]) < float(best["forecast_high"])
    assert findings.verdicts is not None
    frame = curves_frame(findings.verdicts.curves)
    last = frame[(frame.curve == "prompt1/full") & (frame.examples == 800)].iloc[0]
    assert (last.fitted, last.low, last.high, last.level) == (
        *(float(best[f"forecast{end}"]) for end in ("", "_low", "_high")),
        0.8,
    )
    page, text = ((written / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    for shown in ("What more training data brings", "What choices are worth in training examples", "prompt1/full"):
        assert shown in page
        assert shown in text
    assert (written / "figures" / "training_sizes.svg").is_file()


@pytest.mark.parametrize("name", ["learning_curves.csv", "examples_worth.csv"])
def test_tables_have_the_columns_that_the_page_of_files_lists(name: str, written: Path) -> None:
    (section,) = re.findall(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE)
    listed = [
        one
        for line in section.splitlines()
        if line.startswith("| `")
        for one in re.findall("`([^`]+)`", line.split("|")[1])
    ]
    with (written / name).open(encoding="utf-8", newline="") as lines:
        assert sorted(next(csv.reader(lines))) == sorted(listed)


def test_a_study_that_has_sizes_no_more_leaves_no_files_of_them(tmp_path: Path) -> None:
    for name in OF_CURVES:
        (tmp_path / name).write_text("of before", encoding="utf-8")
    write_report(study(), tmp_path)
    assert not {*OF_CURVES} & {file.name for file in tmp_path.iterdir()}


def test_where_sizes_are_no_axis_nothing_shows() -> None:
    plain = study()
    findings = find(plain)
    assert findings.verdicts is not None
    assert findings.verdicts.curves is None
    assert gallery(plain, findings).training_sizes is None
    page = html(plain)
    assert "training_sizes" not in page
    assert "What more training data brings" not in page
    assert "at a glance" not in page
    assert "more training examples" not in " ".join(findings.advice)
    assert curves_frame(None).empty


def test_four_axes_have_facets_and_a_table_of_all_effects(four: Results) -> None:
    findings = find(four)
    charts = gallery(four, findings)
    assert charts.depths is not None
    assert charts.training_sizes is not None
    facets = [f"model {model}, {size} training examples" for model in MODELS for size in (50, 200, 800)]
    assert [panel.title for panel in charts.depths.panels] == facets
    assert [panel.title for panel in charts.training_sizes.panels] == [f"full, model {model}" for model in MODELS]
    rows = {name: share for name, share, _ in effects_at_a_glance(findings.verdicts)}
    assert list(rows)[:4] == ["prompt", "what trains", "model", "number of training examples"]
    assert len(rows) == 4 + 6 - 1, "sizes move nothing of zero-shot cells, beside which there is one depth"
    assert math.isnan(rows.pop("what trains"))
    assert "what trains and number of training examples" not in rows
    assert 0.9 < sum(share for share in rows.values() if math.isfinite(share)) <= 1
    page = html(four)
    assert "one run of the untrained model stands at each number of training examples." in page
    for name in rows:
        assert f'<th scope="row">{name}</th>' in page
    assert page.index("What the tests say") < page.index("<h3>model tiny-a, 50 training examples")


def test_pairs_that_are_not_shown_stand_in_one_sentence(four: Results) -> None:
    said = " ".join(find(four).advice)
    assert said.count("Not shown to depend on one another") == 1
    assert "depends on the the" not in said


def test_losses_of_different_tokenizers_are_said_not_to_compare() -> None:
    models = grid({"model": MODELS}, tunings=("full",), trials=0, seeds=1, examples=10)
    said = "different tokenizers"
    assert said not in html(models)
    alike = tuple(replace(cell, tokenizer="a") for cell in models.cells)
    assert said not in html(replace(models, cells=alike))
    unlike = tuple(replace(cell, tokenizer=cell.factors["model"]) for cell in models.cells)
    assert said in html(replace(models, cells=unlike))


@pytest.mark.parametrize(
    ("levels", "columns", "keys"),
    [
        ({}, (), ()),
        ({"model": "tiny-a"}, ("params.model",), ()),
        ({"model": "tiny-a", "train_size": "800"}, ("params.model", "params.train_size"), ("sizes",)),
    ],
)
def test_views_hold_all_axes(levels: Mapping[str, str], columns: Sequence[str], keys: Sequence[str]) -> None:
    views = {
        view.key: view
        for view in study_views(ViewFacts("rougeL", True, {"prompt": "cue", "tuning": "full", **levels}, "11"))
    }
    assert views["ranked"].columns[: len(columns)] == tuple(columns)
    assert list(views) == ["ranked", "runs", "curves", "rates", *keys, "predictions"]
    for axis, level in levels.items():
        for key in ("curves", "predictions"):
            assert f"params.{axis} = '{level}'" in views[key].filter
    if keys:
        sizes = views["sizes"]
        assert sizes.filter == "tags.phase = 'cell' and params.tuning = 'full' and params.model = 'tiny-a'"
        assert sizes.shows.endswith("a point a prompt, full trained, model tiny-a")
        assert [(chart["xaxis"]["key"], chart["xaxis"]["type"]) for chart in sizes.charts] == [
            ("train_size", "PARAM")
        ] * 2


def test_rows_of_each_label_lie_on_curves_by_all_their_examples() -> None:
    plain = grid({"per_label": ("4", "8", "16")}, prompts=1, tunings=("none", "full"), examples=12, trials=0)
    rows = {cell.id: str(3 * int(cell.factors["per_label"])) for cell in plain.cells}
    cells = tuple(replace(cell, params={**cell.params, "data.train": rows[cell.id]}) for cell in plain.cells)
    verdicts = find(replace(plain, cells=cells)).verdicts
    assert verdicts is not None
    assert verdicts.curves is not None
    (curve,) = verdicts.curves.curves
    assert (curve.name, list(curve.cells), curve.last) == ("prompt0/full", [12, 24, 48], 48)
