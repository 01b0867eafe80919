"""``search:`` in a study file: how each cell's hyperparameters are tuned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import field_validator, model_validator

from harness.core.named_path import StorageUrl
from harness.core.number_types import Count, Rate, Seed
from harness.core.yaml_section import Section
from harness.study.axes import Tuning
from harness.study.dimension import NARROWEST, Dimension
from harness.study.written_space import RATE, flattened, space_dimensions, typed_settings

__all__ = ["PROXIED", "LearningRate", "Search", "TuningRange"]

PROXIED = 3
"""Of how many trials of a cell loss and metric are compared, its best by loss; `harness.runner.search.trials` scores
these."""


class LearningRate(Section):
    """The range that every cell searches."""

    low: Rate = 1e-5
    """Lower end, included."""
    high: Rate = 1e-2
    """Upper end, included."""
    scale: Literal["log"] = "log"
    """Draws are uniform in the logarithm."""

    @model_validator(mode="after")
    def _ordered(self) -> LearningRate:
        if not self.low < self.high:
            raise ValueError(f"learning_rate needs low < high, but low={self.low} and high={self.high}; swap them")
        if self.high / self.low < NARROWEST:
            ends = f"low={self.low} and high={self.high}"
            raise ValueError(f"learning_rate is no range to search: {ends} are all but equal; lower low or raise high")
        return self


class TuningRange(LearningRate):
    """The range that cells of some tunings search."""

    low: Rate
    """Lower end, included."""
    high: Rate
    """Upper end, included."""


class Search(Section):
    """How each cell's hyperparameters are tuned: the same space, budget and seed for all cells."""

    learning_rate: LearningRate | None = None
    """The short form of a space with this one entry; both left out: each tuning's kind has its own range."""
    space: dict[str, Any] | None = None
    """By name, ``learning_rate``, ``training.<key>``, or ``tuning.<kind>.<option>`` (``rank``, ``alpha``, ``dropout``,
    ``tokens``) of an adapter that leaves it open: a range, ``{low, high, scale}``, or a list of choices.
    The learning rate is always searched."""
    ranges: dict[str, TuningRange] | None = None
    """Learning rates of single tunings, by name (``last_blocks-2``) or by kind (``head``); they go before the two
    above."""
    edges: Literal["warn", "extend"] = "warn"
    """What becomes of a cell whose winner lies at an end of its learning rates: the report warns of it, or that end is
    widened tenfold, at most twice, each time with as many further trials, drawn in what was added."""
    first: tuple[dict[str, Any], ...] = ()
    """Settings that are tried before any is drawn, inside the budget: ``[{learning_rate: 2.0e-5}]``."""
    trials: Count = 8
    """Draws per cell."""
    sampler: Literal["grid", "random", "tpe", "gp"] = "gp"
    """``grid``: evenly spaced points; ``gp``: one draw in each third of the range, then a Gaussian process."""
    warm_start: Literal["none", "neighbor"] = "none"
    """``neighbor``: a cell's first trial is the best one of a fixed other cell; see `harness.study.grid`."""
    pruner: Literal["none", "median"] = "none"
    """``median`` stops a trial that is below the median of the earlier ones at its epoch."""
    metric: str | None = None
    """The objective, on validation; a metric of the task or ``loss``; left out: the task's first."""
    seed: Seed = 0
    """Seeds the draws, and the training of every trial."""
    storage: StorageUrl = "sqlite:///optuna.db"
    """Optuna's storage URL; left out: in the working folder or ``--home``, as MLflow's store."""

    @model_validator(mode="before")
    @classmethod
    def _one_range(cls, search: Any) -> Any:
        space = search.get("space") if isinstance(search, dict) else None
        if isinstance(space, dict) and RATE in space and search.get(RATE) is not None:
            raise ValueError(f"search.{RATE} and search.space.{RATE} are two ranges of one thing; keep one of them")
        return search

    @field_validator("space", mode="before")
    @classmethod
    def _dotted(cls, space: Any) -> Any:
        return flattened(space)

    @field_validator("space")
    @classmethod
    def _searchable(cls, space: dict[str, Any] | None) -> dict[str, Any] | None:
        space_dimensions(space or {})
        return space

    @field_validator("first", mode="before")
    @classmethod
    def _dotted_settings(cls, first: Any) -> Any:
        return [flattened(setting) for setting in first] if isinstance(first, list | tuple) else first

    @field_validator("first")
    @classmethod
    def _typed(cls, first: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        return typed_settings(first)

    def named_range(self, tuning: Tuning) -> TuningRange | None:
        """Return the range that is named for a tuning alone, by its name before its kind, if there is one."""
        ranges = self.ranges or {}
        return ranges.get(tuning.name) or ranges.get(tuning.kind)

    def leaves_out(self, tuning: Tuning) -> bool:
        """Return whether nothing says which learning rates cells of a tuning search."""
        return self.learning_rate is None and RATE not in (self.space or {}) and not self.named_range(tuning)

    def of_tuning(self, tuning: Tuning) -> Search:
        """Return the search of a tuning's cells, in the short form: by `ranges`, else by itself, else by the kind."""
        own: LearningRate | None = self.named_range(tuning)
        if self.leaves_out(tuning):
            low, high = tuning.rates
            own = LearningRate(low=low, high=high)
        if own is None:
            return self
        space = {name: written for name, written in (self.space or {}).items() if name != RATE}
        rate = LearningRate(low=own.low, high=own.high)
        return self.model_copy(update={"learning_rate": rate, "space": space or None, "ranges": None})

    @property
    def dimensions(self) -> Mapping[str, Dimension]:
        """What is searched over, by name."""
        rate = self.learning_rate or LearningRate()
        space = {RATE: Dimension(RATE, rate.low, rate.high, rate.scale)}
        return {**space, **space_dimensions(self.space or {})}
