"""Effects of a grid of four axes, held against statsmodels' on the same balanced design."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from harness.metrics.base import mean
from harness.stats import Effects, effects, resample, runs

LEVELS = {"prompt": ("p0", "p1", "p2"), "tuning": ("t0", "t1"), "model": ("m0", "m1"), "train_size": ("50", "80")}
ROWS = 120
REFERENCE = "p0/t0/m0/50"


@pytest.fixture(scope="module")
def scores() -> dict[str, np.ndarray]:
    """A score for each cell and example: parts of every level, of some pairs, of the example, and chance."""
    generator = np.random.default_rng(3)
    examples = generator.normal(0.5, 0.2, ROWS)
    parts = {axis: dict(zip(own, generator.normal(0, 0.1, len(own)), strict=True)) for axis, own in LEVELS.items()}
    made = {}
    for levels in itertools.product(*LEVELS.values()):
        sum_of_parts = sum(parts[axis][level] for axis, level in zip(LEVELS, levels, strict=True))
        together = 0.08 * (levels[0] == "p1") * (levels[3] == "80") + generator.normal(0, 0.02)
        made["/".join(levels)] = examples + sum_of_parts + together + generator.normal(0, 0.1, ROWS)
    return made


@pytest.fixture(scope="module")
def found(scores: dict[str, np.ndarray]) -> Effects:
    ready = {cell: runs([[np.array([one]) for one in own]], mean, seeded=False) for cell, own in scores.items()}
    cells = resample(ready, generator=np.random.default_rng(1), resamples=4000)
    factors = {cell: dict(zip(LEVELS, cell.split("/"), strict=True)) for cell in scores}
    return effects(cells, factors, reference=REFERENCE, higher_is_better=True)


@pytest.fixture(scope="module")
def table(scores: dict[str, np.ndarray]) -> pd.DataFrame:
    rows = [dict(zip(LEVELS, cell.split("/"), strict=True)) | {"score": own.mean()} for cell, own in scores.items()]
    return pd.DataFrame(rows)


def test_main_effects_are_the_coefficients_of_an_additive_model(found: Effects, table: pd.DataFrame) -> None:
    theirs = ols("score ~ C(prompt) + C(tuning) + C(model) + C(train_size)", table).fit().params
    ours = {f"C({axis})[T.{row.a}]": row.difference.value for axis, rows in found.main.items() for row in rows}
    assert len(ours) == 5
    assert ours == pytest.approx({name: theirs[name] for name in ours}, abs=1e-9)


def test_interactions_are_the_coefficients_of_a_model_with_all_pairs(found: Effects, table: pd.DataFrame) -> None:
    theirs = ols("score ~ (C(prompt) + C(tuning) + C(model) + C(train_size))**2", table).fit().params
    ours = {
        ":".join(f"C({axis})[T.{level}]" for axis, level in zip(pair, row.a.split("/"), strict=True)): row.difference
        for pair, rows in found.interactions.items()
        for row in rows
    }
    assert len(found.interactions) == 6
    assert len(ours) == 9
    assert {name: one.value for name, one in ours.items()} == pytest.approx(
        {name: theirs[name] for name in ours}, abs=1e-9
    )


def test_errors_are_those_of_each_examples_own_contrast(found: Effects, scores: dict[str, np.ndarray]) -> None:
    share = 1 / 12
    for pair, (level, other) in ((("prompt", "train_size"), ("p1", "80")), (("tuning",), ("t1", ""))):
        contrast = np.zeros(ROWS)
        for cell, own in scores.items():
            signs = {"p1": 1, "p0": -1, "p2": 0, "t1": 1, "t0": -1, "80": 1, "50": -1}
            weights = [signs[one] for one in cell.split("/") if one[0] == level[0] or (other and one in ("50", "80"))]
            contrast += np.prod(weights) * own * (share if not other else 1 / 4)
        theirs = sm.OLS(contrast, np.ones(ROWS)).fit()
        rows = found.main["tuning"] if len(pair) == 1 else found.interactions[pair[0], pair[1]]
        ours = next(row.difference for row in rows if row.a == "/".join(filter(None, (level, other))))
        assert ours.value == pytest.approx(theirs.params[0], abs=1e-9)
        assert ours.error == pytest.approx(theirs.bse[0], rel=0.05)
        assert ours.degrees == theirs.df_resid


def test_shares_are_the_sums_of_squares_of_an_analysis_of_variance(found: Effects, table: pd.DataFrame) -> None:
    model = ols("score ~ (C(prompt) + C(tuning) + C(model) + C(train_size))**2", table).fit()
    squares = anova_lm(model, typ=2)["sum_sq"]
    total = ((table.score - table.score.mean()) ** 2).sum()
    names = {axes: ":".join(f"C({axis})" for axis in axes) for axes in found.shares}
    assert len(names) == 4 + 6
    assert dict(found.shares) == pytest.approx({axes: squares[name] / total for axes, name in names.items()}, abs=1e-9)
    assert sum(found.shares.values()) + squares["Residual"] / total == pytest.approx(1)


def test_cells_that_score_alike_share_nothing() -> None:
    ready = {f"{p}/{t}": runs([[np.array([0.5])] * 4], mean, seeded=False) for p in "ab" for t in "cd"}
    cells = resample(ready, generator=np.random.default_rng(1), resamples=50)
    factors = {cell: {"prompt": cell[0], "tuning": cell[2]} for cell in cells}
    assert effects(cells, factors, reference="a/c", higher_is_better=True).shares == {}


def test_cells_that_an_axis_does_not_move_take_no_part_in_its_effects(
    found: Effects, scores: dict[str, np.ndarray]
) -> None:
    """Untrained cells, the same at each size, beside the grid of those that train: size does what it does there."""
    untrained = {cell.replace("/t0/", "/none/"): scores[cell[:-2] + "50"] - 0.3 for cell in scores if "/t0/" in cell}
    whole = scores | untrained
    ready = {cell: runs([[np.array([one]) for one in own]], mean, seeded=False) for cell, own in whole.items()}
    cells = resample(ready, generator=np.random.default_rng(1), resamples=4000)
    factors = {cell: dict(zip(LEVELS, cell.split("/"), strict=True)) for cell in whole}
    unmoved = {"train_size": tuple(untrained)}
    ours = effects(cells, factors, reference=REFERENCE, higher_is_better=True, unmoved=unmoved)
    assert ours.shares == pytest.approx(found.shares)
    of_size = [(ours.interactions[pair], rows) for pair, rows in found.interactions.items() if "train_size" in pair]
    for rows, theirs in [(ours.main["train_size"], found.main["train_size"]), *of_size]:
        assert [(row.a, row.b) for row in rows] == [(row.a, row.b) for row in theirs]
        assert [row.difference.value for row in rows] == pytest.approx([row.difference.value for row in theirs])
    diluted = effects(cells, factors, reference=REFERENCE, higher_is_better=True)
    (size,), (smaller,) = found.main["train_size"], diluted.main["train_size"]
    assert smaller.difference.value == pytest.approx(2 / 3 * size.difference.value)
    others = [[row.difference.value for row in one.main["prompt"]] for one in (ours, diluted)]
    assert others[0] == pytest.approx(others[1])
    assert [row.a for row in ours.main["tuning"]] == ["t1", "none"]
    of_one = {cell: levels for cell, levels in factors.items() if levels["tuning"] != "t1"}
    alone = effects(cells, of_one, reference=REFERENCE, higher_is_better=True, unmoved=unmoved)
    assert not [axes for axes in alone.shares if "tuning" in axes], "one level is left, which differs from none"
    assert not alone.interactions["tuning", "train_size"]
