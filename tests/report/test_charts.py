"""The drawings, read as a reader does: marks are measured by the labels of the axes and compared with the values."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeAlias
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.charts.chart import Chart, Panel
from harness.report.charts.draw_chart import draw_chart
from harness.report.charts.figure_files import drawn
from harness.report.charts.gallery import gallery
from harness.report.charts.page_drawings import picture
from harness.report.charts.tradeoffs import Spot, front
from harness.report.plain_tables import generality
from harness.report.samples import first_examples
from harness.report.text.findings import find
from harness.report.write_report import write_report
from harness.results.cell_result import CellResult
from harness.results.collect import Results
from harness.results.row_order import tunings
from harness.study.tuning_names import depth
from tests.support.made_up_results import html, study

ROUND = 0.004
"""Share of an axis that a drawing's rounding to tenths may move a mark by."""


Spots: TypeAlias = list[tuple[float, float]]


class Seen(NamedTuple):
    """One panel as it is read off, in values."""

    lines: dict[str, list[Spots]]
    """By how they are drawn: the corners of each path, or where there are marks those."""
    spreads: list[Spots]
    """By line: lower and upper ends."""
    named: dict[str, tuple[float, float]]
    """Marks that tell their names."""
    width: float
    height: float
    """What the axes span."""


def read(drawing: str, panel: Panel, *, log: bool = False, names: bool = False) -> Seen:
    """Measure a panel by the numbers at its axes."""
    axes = ElementTree.fromstring(drawing).find("g")
    assert axes is not None
    across, up = (_ticks(group) for group in axes.findall("g")[:2])
    to_y = _fit([y for (_, y), _ in up], [float(text.replace("\N{MINUS SIGN}", "-")) for _, text in up])
    values = [float(place) for place in range(len(across))] if names else [float(text) for _, text in across]
    to_x = _fit([x for (x, _), _ in across], [math.log10(value) for value in values] if log else values)
    groups = {str(node.get("id")).removeprefix(f"{axes.get('id')}-"): node for node in axes.findall("g")}
    lines: dict[str, list[Spots]] = {}
    for number, line in enumerate(panel.lines):
        if str(number) in groups:
            spots = _marks(groups[str(number)]) or _corners(groups[str(number)])
            lines.setdefault(line.drawn, []).append([(to_x(x), to_y(y)) for x, y in spots])
    bars = [node for name, node in groups.items() if name.endswith("-spread")]
    spreads = [[tuple(to_y(y) for _, y in _spots(path.get("d", ""))) for path in node.findall("path")] for node in bars]
    titled = {node.findtext("title"): _marks(node) for node in axes.findall("g") if node.find("title") is not None}
    named = {str(name): (to_x(x), to_y(y)) for name, ((x, y),) in titled.items()}
    return Seen(lines, spreads, named, abs(to_x(1) - to_x(0)) * 320, abs(to_y(1) - to_y(0)) * 200)


def _ticks(axis: ElementTree.Element) -> list[tuple[tuple[float, float], str]]:
    """Return where each line of the grid begins, and the number at it."""
    ticks = [tick for tick in axis.findall("g") if tick.find("g/path") is not None]
    return [(_corners(tick.find("g"))[0], "".join(node.text or "" for node in tick.iter("text"))) for tick in ticks]


def _fit(places: list[float], values: list[float]) -> np.poly1d:
    assert len(places) == len(values) > 1
    line = np.poly1d(np.polyfit(places, values, 1))
    assert np.allclose(line(places), values, atol=ROUND * (max(values) - min(values)))
    return line


def _marks(group: ElementTree.Element) -> Spots:
    return [(float(node.get("x", "")), float(node.get("y", ""))) for node in group.iter("use")]


def _corners(group: ElementTree.Element | None) -> Spots:
    path = group.find("path") if group is not None else None
    assert path is not None
    return _spots(path.get("d", ""))


def _spots(path: str) -> Spots:
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", path)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def panels(chart: Chart | None) -> Iterator[tuple[str, Panel]]:
    assert chart is not None
    drawings = picture(chart, drawn(draw_chart(chart), chart.name)).panels
    return zip((str(drawing) for _, drawing in drawings), chart.panels, strict=True)


def same(seen: Spots, wanted: Spots, on: Seen) -> bool:
    off = [(abs(a[0] - b[0]) / on.width, abs(a[1] - b[1]) / on.height) for a, b in zip(seen, wanted, strict=True)]
    return all(max(pair) < ROUND for pair in off)


@pytest.fixture(scope="module")
def results() -> Results:
    return study(prompts=3, tunings=4, trials=5, seeds=3)


def trained(results: Results, prompt: str) -> list[CellResult]:
    return [cell for cell in results.cells if cell.prompt == prompt and cell.tuning != "none"]


def test_learning_rates_are_where_their_values_are(results: Results) -> None:
    drawings = list(panels(gallery(results, find(results)).learning_rates))
    for number, (drawing, panel) in enumerate(drawings):
        seen = read(drawing, panel, log=True)
        cells = trained(results, f"prompt{number}")
        assert len(seen.lines["marked"]) == len(cells) == 3
        for marks, cell in zip(seen.lines["marked"], cells, strict=True):
            assert same(marks, [(math.log10(t.learning_rate), t.value) for t in cell.trials], seen)


def test_expected_bests_are_means_over_all_subsets(results: Results) -> None:
    drawings = list(panels(gallery(results, find(results)).expected_best))
    for number, (drawing, panel) in enumerate(drawings):
        seen = read(drawing, panel)
        for marks, cell in zip(seen.lines["marked"], trained(results, f"prompt{number}"), strict=True):
            values = [trial.value for trial in cell.trials]
            wanted = [
                (float(size), float(np.mean([max(some) for some in itertools.combinations(values, size)])))
                for size in range(1, len(values) + 1)
            ]
            assert same(marks, wanted, seen)


def test_learning_curves_are_means_over_runs(results: Results) -> None:
    drawings = list(panels(gallery(results, find(results)).learning_curves))
    for number, (drawing, panel) in enumerate(drawings):
        seen = read(drawing, panel)
        cells = trained(results, f"prompt{number}")
        for marks, thin, cell in zip(seen.lines["marked"], seen.lines["thin"], cells, strict=True):
            runs = results.curves[cell.id]
            for spots, losses in ((marks, [r.validation for r in runs]), (thin, [r.train for r in runs])):
                wanted = [(float(e), float(np.mean([one[e] for one in losses]))) for e in losses[0]]
                assert same(spots, wanted, seen)


def test_depths_show_the_verdicts_scores_and_intervals(results: Results) -> None:
    found = find(results)
    assert found.verdicts is not None
    ((drawing, panel),) = panels(gallery(results, found).depths)
    seen = read(drawing, panel, names=True)
    order = tunings(results)
    assert [depth(name) for name in order] == sorted(map(depth, order))
    for number, (marks, spreads) in enumerate(zip(seen.lines["marked"], seen.spreads, strict=True)):
        scores = [found.verdicts.scores[f"prompt{number}/{tuning}"] for tuning in order]
        assert [round(x) for x, _ in marks] == list(range(len(order)))
        assert same([(0.0, y) for _, y in marks], [(0.0, score.value) for score in scores], seen)
        ends = [(score.low, score.high) for score in scores]
        off = [abs(a - b) for pair in zip(spreads, ends, strict=True) for a, b in zip(*pair, strict=True)]
        assert max(off) < ROUND * seen.height


@pytest.mark.parametrize("place", range(3))
def test_tradeoffs_show_every_cell_and_the_front(results: Results, place: int) -> None:
    found = gallery(results, find(results)).tradeoffs[place]
    ((drawing, panel),) = panels(found)
    log = found.x.kind == "log"
    seen = read(drawing, panel, log=log)
    sides = (
        {cell.id: cell.seconds for cell in results.cells},
        {c.id: sum(run.costs["flops"] for run in (*c.trials, *c.finals)) for c in results.cells},
        {cell.id: cell.generality_kept for cell in results.cells},
    )
    take = {name: math.log10(value) if log else value for name, value in sides[place].items()}
    names = [cell.id for tuning in tunings(results) for cell in results.cells if cell.tuning == tuning]
    scores = {cell.id: cell.score("test/rougeL") for cell in results.cells}
    assert list(seen.named) == names
    assert same(list(seen.named.values()), [(take[name], scores[name]) for name in names], seen)
    kept = re.findall(r"(prompt\d/[\w-]+) \(", found.alt)
    wanted = front({n: Spot(take[n], scores[n]) for n in names}, more_is_better=place == 2, maximize=True)
    assert kept == wanted
    corners = seen.lines["steps"][0][::2]
    assert same(corners, [(take[name], scores[name]) for name in kept], seen)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12), st.booleans(), st.booleans())
def test_a_front_holds_what_nothing_beats(values: list[tuple[int, int]], more: bool, maximize: bool) -> None:
    spots = {str(number): Spot(float(a), float(b)) for number, (a, b) in enumerate(values)}
    signs = np.array([1 if more else -1, 1 if maximize else -1])
    merits = np.array(values) * signs
    beaten = [bool(((merits >= own).all(axis=1) & (merits > own).any(axis=1)).any()) for own in merits]
    kept = front(spots, more_is_better=more, maximize=maximize)
    assert set(kept) == {name for name, lost in zip(spots, beaten, strict=True) if not lost}
    assert [spots[name].take for name in kept] == sorted(spots[name].take for name in kept)


def test_what_is_not_measured_is_on_no_front() -> None:
    spots = {"a": Spot(1.0, 1.0), "b": Spot(math.nan, 2.0), "c": Spot(0.5, math.nan)}
    assert front(spots, more_is_better=False, maximize=True) == ["a"]


def test_a_store_without_losses_and_costs_has_no_such_charts(results: Results) -> None:
    bare = [
        replace(
            cell,
            seconds=math.nan,
            trials=tuple(replace(trial, costs={}) for trial in cell.trials),
            finals=tuple(
                replace(f, costs={}, metrics={k: v for k, v in f.metrics.items() if "generality" not in k})
                for f in cell.finals
            ),
        )
        for cell in results.cells
    ]
    old = replace(results, cells=tuple(bare), curves={})
    found = gallery(old, find(old))
    assert [chart.name for chart in found.charts()] == ["depths", "learning_rates", "expected_best"]
    page = html(old)
    assert "Quality against" not in page
    assert "Learning curves" not in page
    assert "generality kept" not in page


def test_zero_shot_alone_draws_no_search(results: Results) -> None:
    only = replace(results, cells=tuple(cell for cell in results.cells if cell.tuning == "none"), curves={})
    found = gallery(only, find(only))
    assert found.learning_rates is None
    assert found.expected_best is None
    assert found.depths is not None
    assert '<h2 id="rates">' not in html(only)


def test_every_figure_is_two_files_with_words_beside_them(results: Results, tmp_path: Path) -> None:
    text = write_report(results, tmp_path).read_text(encoding="utf-8")
    said = dict(re.findall(r"!\[([^\]]+)\]\(figures/(\w+)\.png\)", text))
    names = {chart.name for chart in gallery(results, find(results)).charts()} | {"heat", "differences"}
    assert set(said.values()) == names
    assert all(len(words) > 40 for words in said)
    files = {file.name for file in (tmp_path / "figures").iterdir()}
    assert files == {f"{name}.{kind}" for name in names for kind in ("png", "svg")}
    for name in names:
        text = (tmp_path / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        assert "rougeL" in text or "loss (nats a token)" in text
    before = {file.name: file.read_bytes() for file in (tmp_path / "figures").iterdir()}
    write_report(results, tmp_path)
    assert {file.name: file.read_bytes() for file in (tmp_path / "figures").iterdir()} == before


def test_each_drawing_is_told_in_words_of_its_own(results: Results) -> None:
    page = html(results)
    told = re.findall(r'aria-describedby="([\w-]+)"><desc id="([\w-]+)">([^<]+)</desc>', page)
    assert len(told) == page.count('class="panel"') == 3 * 3 + 1 + 3
    assert all(a == b for a, b, _ in told)
    assert len({name for name, _, _ in told}) == len(told)
    assert any("prompt2: none 0." in words for _, _, words in told)


def test_many_lines_all_look_different() -> None:
    results = study(prompts=10, tunings=3, trials=3)
    chart = gallery(results, find(results)).depths
    assert chart is not None
    ((drawing, _),) = panels(chart)
    looks = set()
    for group in ElementTree.fromstring(drawing).iter("g"):
        line, mark, shape = group.find("path"), group.find("g/use"), group.find("defs/path")
        if line is not None and mark is not None:
            assert shape is not None, "no two lines have marks of one shape and color"
            color = re.findall(r"var\(--\w+\)", mark.get("style", ""))[0]
            assert color in line.get("style", "")
            looks.add((color, shape.get("d"), *re.findall(r"stroke-dasharray: ([\d., ]+)", line.get("style", ""))))
    assert len(looks) == 10


def test_first_examples_show_all_prompts_and_all_depths(results: Results) -> None:
    found = find(results)
    assert found.verdicts is not None
    assert results.answers is not None
    shown = first_examples(results, found, most=2)
    assert [one.id for one in shown] == [example.id for example in results.answers.examples[:2]]
    prompt, _, tuning = found.verdicts.best.rpartition("/")
    for place, one in enumerate(shown):
        prompts, depths = one.answers.values()
        assert [answer.cell for answer in prompts] == [f"prompt{p}/{tuning}" for p in range(3)]
        assert [answer.cell for answer in depths] == [f"{prompt}/{name}" for name in tunings(results)]
        for answer in (*prompts, *depths):
            assert answer.text == results.answers.cells[answer.cell].runs[0][place].text


def test_scores_on_other_tasks_stand_beside_perplexity(results: Results) -> None:
    other = {"generality/translation/chrf_before": 31.25, "generality/translation/chrf": 12.5}
    cells = tuple(
        replace(cell, finals=tuple(replace(final, metrics={**final.metrics, **other}) for final in cell.finals))
        for cell in results.cells
    )
    table = generality(replace(results, cells=cells))
    assert table.header[-2:] == ["translation/chrf before", "translation/chrf after"]
    assert {tuple(row[-2:]) for row in table.rows} == {("31.250", "12.500")}
    assert [row[0] for row in table.rows] == [cell.id for cell in results.ranked()]
    for row, cell in zip(table.rows, results.ranked(), strict=True):
        before, after, kept = (float(text) for text in row[1:4])
        assert kept == pytest.approx(before / after, abs=1e-3)
        assert after == pytest.approx(float(np.mean(cell.values("generality/perplexity"))), abs=0.005)
