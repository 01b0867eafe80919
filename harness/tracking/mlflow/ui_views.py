"""Ready-made views of a study's runs, in the form in which MLflow's own pages save and share them.

A view is a tag of the experiment, ``mlflow.sharedViewState.<key>``. Its state has two halves: what is searched for and
in which order, and how the page looks (columns, grouping, charts). What a state leaves out is as the page has it by
default. The pages list saved views under "Views" and open one by the address that `Address.view` gives.

Read in the pages that come with MLflow 3.17; a page that knows no such tags shows all runs instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, urlencode

from harness.core.example import digest
from harness.tracking.schema import PageTags, Tags

__all__ = [
    "NOTE_LIMIT",
    "Address",
    "Mode",
    "View",
    "described",
    "lines",
    "page_tags",
    "points",
]

NOTE_LIMIT = 7500
"""Characters of a description, within MLflow's limit for tags of runs."""

Mode = Literal["TABLE", "CHART", "ARTIFACT"]
"""A table of runs, charts beside it, or the tables that the runs logged, side by side."""

NEWEST = "attributes.start_time"
"""The one order in which the pages show child runs below their parents."""

TRAINING = {"workflowType": "machine_learning"}
"""Asks for the pages that lead to runs and models; left out, they are those for tracing."""

OURS, OTHERS = "harness", ("train", "validation", "test", "cost", "generality", "Model metrics")
"""Sections of charts: the view's own, and those that the pages make of all other metrics, which stay folded."""

FIRST, LAST = ("1", "attributes.`Run Name`"), ("runDateAndNestInfo", "duration")
"""Columns that every table of the pages has: boxes to tick and the name, when and how long."""

WIDE = 210
"""Pixels of the column of names."""

ACROSS, HIGH = 2, 420
"""How many charts stand side by side, and their height in pixels."""

Chart = Mapping[str, Any]


class View(NamedTuple):
    """A view of a study's runs."""

    key: str
    """What its address names."""
    name: str
    """What people read."""
    shows: str
    """What is to be seen, for a description."""
    filter: str
    """Which runs, in MLflow's search syntax."""
    order: str = NEWEST
    """``metrics.name`` and the like."""
    ascending: bool = False
    columns: tuple[str, ...] = ()
    """``params.name`` and the like, in their order."""
    widths: Mapping[str, int] = MappingProxyType({})
    """Of some columns, in pixels."""
    group: str | None = None
    """The param whose values make one row, and one line, of all runs that share them: their average."""
    charts: tuple[Chart, ...] = ()
    mode: Mode = "TABLE"

    def state(self) -> dict[str, Any]:
        """Return what the pages restore."""
        group = {"aggregateFunction": "average", "groupByKeys": [{"mode": "param", "groupByData": self.group}]}
        state = {
            "searchFilter": self.filter,
            "orderByKey": self.order if self.order == NEWEST else _quoted(self.order),
            "orderByAsc": self.ascending,
            "selectedColumns": [_quoted(column) for column in self.columns],
            "columnOrder": [*FIRST, *map(_quoted, self.columns), *LAST],
            "columnWidths": {FIRST[1]: WIDE, **{_quoted(column): width for column, width in self.widths.items()}},
            "runsHiddenMode": "SHOW_ALL",
            "groupBy": group if self.group else None,
        }
        return {**state, **_charts(self.charts)} if self.charts else state


def page_tags(views: Sequence[View], *, lead: str) -> dict[str, str]:
    """Return the tags that make the pages show a study as one of training.

    Args:
        views: In the order of their list.
        lead: The metric that a chart shows first.
    """
    saved = {PageTags.VIEW + view.key: _saved(view, -place) for place, view in enumerate(views)}
    kind = {PageTags.KIND: "custom_model_development", PageTags.LEAD: lead}
    return {**kind, **saved}


def described(note: str, held: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that write a Markdown description; none where somebody has changed the one that is there."""
    if Tags.NOTE in held and held.get(Tags.NOTE_DIGEST) != digest(held[Tags.NOTE]):
        return {}
    return {Tags.NOTE: note, Tags.NOTE_DIGEST: digest(note)}


def _saved(view: View, when: int) -> str:
    """Return a view as the pages save one; the newest stands first, and nobody's own view is older than these."""
    return _json({"name": view.name, "createdAt": when, "updatedAt": when, "state": _json(view.state())})


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":"))


class Address(NamedTuple):
    """Where things are in MLflow's pages; every address is relative to the page it stands on."""

    experiment: str

    def view(self, key: str, mode: Mode = "TABLE") -> str:
        """Return the address of a ready-made view."""
        return self._page("runs", {"viewStateShareKey": key, "compareRunsMode": mode})

    def run(self, run: str, file: str = "") -> str:
        """Return the address of a run, or of one of its artifacts."""
        return self._page(f"runs/{run}" + (f"/artifacts/{quote(file)}" if file else ""))

    def model(self, uri: str) -> str:
        """Return the address of a stored model."""
        return self._page(f"models/{uri.rpartition('/')[2]}")

    def prompt(self, uri: str) -> str:
        """Return the address of a version in the Prompt Registry, ``prompts:/name/version``."""
        name, _, version = uri.removeprefix("prompts:/").rpartition("/")
        return self._page(f"prompts/{quote(name)}", {"promptVersion": version})

    def _page(self, page: str, query: Mapping[str, str] | None = None) -> str:
        return f"#/experiments/{self.experiment}/{page}?{urlencode({**(query or {}), **TRAINING}, quote_via=quote)}"


def lines(metric: str) -> Chart:
    """Return a chart of a metric over its steps, one line for each run or group."""
    shape = {"metricKey": metric, "selectedMetricKeys": [metric], "lineSmoothness": 0, "displayPoints": True}
    scales = {"xAxisKey": "step", "xAxisScaleType": "linear", "scaleType": "linear"}
    whole = {"yAxisKey": "metric", "yAxisExpressions": [], "range": {}, "ignoreOutliers": False}
    steps = {"selectedXAxisMetricKey": "", "useGlobalXaxisKey": True, "useGlobalLineSmoothing": False}
    return {"type": "LINE", **shape, **scales, **whole, **steps}


def points(across: str, up: str, *, of: Literal["METRIC", "PARAM"] = "METRIC") -> Chart:
    """Return a chart of a metric by another, or by a param, a point for each run; the pages draw its axes linear."""
    return {"type": "SCATTER", "xaxis": {"key": across, "type": of}, "yaxis": {"key": up, "type": "METRIC"}}


def _quoted(column: str) -> str:
    kind, _, name = column.partition(".")
    return f"{kind}.`{name}`"


def _charts(charts: Sequence[Chart]) -> dict[str, Any]:
    common = {"runsCountToCompare": 100, "metricSectionId": OURS, "deleted": False, "isGenerated": False}
    made = [{"uuid": f"{OURS}-{place}", **common, **chart} for place, chart in enumerate(charts)]
    fixed = {"isReordered": True, "deleted": False, "isGenerated": False}
    own = {"uuid": OURS, "name": "This view", "display": True, "columns": ACROSS, "cardHeight": HIGH}
    sections = [{**own, **fixed}]
    sections += [{"uuid": f"{OURS}-{name}", "name": name, "display": False, **fixed} for name in OTHERS]
    return {"compareRunCharts": made, "compareRunSections": sections, "isAccordionReordered": True}
