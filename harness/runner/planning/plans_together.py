"""The plans of a study's models as one: their cells in grid order, the most memory of any, the recordings of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.core.example import digest
from harness.results.score_forecast import Forecast
from harness.runner.planning.planned_work import Plan

__all__ = ["together"]


def together(plans: Mapping[str, Plan], order: Sequence[str]) -> Plan:
    """Return the plan of several models, one of which is in memory at a time; of one, its own.

    Args:
        plans: By what each model is called; by nothing where there is one.
        order: The ids of the cells, in grid order.
    """
    first, *others = plans.values()
    if not others and "" in plans:
        return first
    cells = {cell.id: cell for one in plans.values() for cell in one.cells}
    forecasts = [one.forecast for one in plans.values()]
    return replace(
        first,
        cells=tuple(cells[id] for id in order),
        cuts=tuple(
            cut._replace(tunings=tuple(f"{tuning} of {model}" for tuning in cut.tunings))
            for model, one in plans.items()
            for cut in one.cuts
        ),
        forecast=Forecast(
            {id: own for forecast in forecasts for id, own in forecast.cells.items()},
            max(forecast.peak_memory_mib for forecast in forecasts),
            sum(forecast.recordings_mib for forecast in forecasts),
        ),
        weights=digest([one.weights for one in plans.values()]),
        frozen="; ".join(f"{model}: {one.frozen}" for model, one in plans.items() if one.frozen),
    )
