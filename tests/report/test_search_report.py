"""What a report says of a search over more than the learning rate: charts, edges, importances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.report.charts.gallery import gallery
from harness.report.text.cautions import cautions
from harness.report.text.findings import find
from harness.report.text.search_sentences import searches
from harness.results.cell_result import CellResult, Trial
from harness.results.collect import Results
from harness.results.search_effects import search_effects
from harness.study.dimension import Dimension
from harness.study.search_space import Hyperparameters, SearchSpace
from tests.support.made_up_results import html, study
from tests.support.search_spaces import choices, learning_rates

SPACE = SearchSpace(
    (
        *learning_rates(1e-4, 1e-2).dimensions,
        choices("training.clip", None, 1.0),
        Dimension("training.epochs", 1, 4, integer=True),
        Dimension("training.weight_decay", 1e-4, 1e-1, "log"),
    )
)


def searched(trials: int = 12) -> Results:
    """Return results where clipping alone matters, and winners train longest."""
    plain = study(trials=trials)
    cells = tuple(_drawn(cell, number) for number, cell in enumerate(plain.cells))
    return replace(plain, cells=cells, space=SPACE)


def _drawn(cell: CellResult, number: int) -> CellResult:
    generator = np.random.default_rng(number)
    trials = [_trial(trial, generator) for trial in cell.trials]
    best = max(trials, key=lambda trial: trial.value, default=None)
    if best is None:
        return cell
    winner = Hyperparameters({**best.hyperparameters, "training.epochs": 4})
    return replace(cell, trials=tuple(trials), hyperparameters=winner)


def _trial(trial: Trial, generator: np.random.Generator) -> Trial:
    drawn = SPACE.at(list(generator.random(4)))
    value = 0.4 + 0.01 * generator.normal() + 0.1 * (drawn["training.clip"] is None)
    return replace(trial, hyperparameters=drawn, value=float(value))


def test_what_matters_is_told_and_what_does_not() -> None:
    results = searched()
    effects = search_effects(results)
    assert list(effects) == list(SPACE.names)
    assert effects["training.clip"].p <= 0.01
    said = searches(results)
    assert f"- training.clip: {100 * effects['training.clip'].share:.1f}% of the differences (p" in said
    assert "- training.weight_decay: no effect seen (p = " in said
    assert "There are too few trials to say which hyperparameters matter." in searches(searched(2))
    assert search_effects(study()) == {}
    assert "hyperparameters matter" not in searches(study())


def test_each_hyperparameter_has_a_chart_and_its_edges_a_caution() -> None:
    results = searched()
    charts = gallery(results, find(results))
    assert [chart.name for chart in charts.hyperparameters] == ["over_clip", "over_epochs", "over_weight_decay"]
    assert [chart.x.kind for chart in charts.hyperparameters] == ["names", "linear", "log"]
    assert charts.hyperparameters[0].x.names == ("null", "1.0")
    assert charts.learning_rates is not None
    marks = [line for panel in charts.hyperparameters[1].panels for line in panel.lines]
    trained = [cell for cell in results.cells if cell.trials]
    assert sorted(len(line.points) for line in marks) == sorted(len(cell.trials) for cell in trained)
    assert {line.drawn for line in marks} == {"dots"}
    page = html(results)
    assert "Score over training.epochs" in page
    edges = [
        sentence for sentence in cautions(results, find(results)) if "training.epochs lies at the high end" in sentence
    ]
    assert len(edges) == 1
    assert all(cell.id in edges[0] for cell in trained)
    assert gallery(study(), find(study())).hyperparameters == []


def test_ranges_of_tunings_are_told_apart() -> None:
    plain = study()
    wide = learning_rates(1e-3, 1.0)
    cells = tuple(replace(cell, space=wide) if cell.tuning == "full" else cell for cell in plain.cells)
    results = replace(plain, cells=cells, search={**plain.search, "learning_rate": None})
    assert "learning rates by tuning (last_blocks-1 0.0001 to 0.01; full 0.001 to 1, each kind's own" in searches(
        results
    )
    assert "learning rates from 0.0001 to 0.01, sampler" in searches(plain)
    chart = gallery(results, find(results)).learning_rates
    assert chart is not None
    assert chart.x.span == (1e-4, 1.0)
    assert not any(
        "end of the range (0.01)" in sentence for sentence in cautions(results, find(results)) if "full" in sentence
    )
