"""Cells that one final run answers for: the untrained model is the same, whatever rows others train on."""

from __future__ import annotations

from harness.data.demonstrations import shots_of
from harness.results.collect import Results
from harness.study.further_axes import DRAWN_BY

__all__ = ["asked_once"]


def asked_once(results: Results) -> dict[str, tuple[str, ...]]:
    """Return, by axis of training rows, the cells that are the same at each of its levels; nothing without such axes.

    A prompt whose form is not known here is taken to show demonstrations.
    """
    axes = [axis for axis in results.axes if axis in DRAWN_BY]
    forms = results.forms
    shows = {name for name in results.prompts if name in forms and ((form := forms[name]) is None or shots_of(form))}
    cells = tuple(cell.id for cell in results.cells if cell.tuning == "none" and cell.prompt not in shows)
    return dict.fromkeys(axes, cells) if cells else {}
