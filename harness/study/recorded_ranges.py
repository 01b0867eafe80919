"""A study that names no learning rates and is in the store goes on with those that its record says."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from harness.core.errors import DamagedError
from harness.study.axes import Tuning
from harness.study.checked_study import Checked
from harness.study.search_keys import TuningRange
from harness.study.written_space import RATE
from harness.tracking.store_protocols import RunStore
from harness.tracking.study_record import StudyRecord, summary_of

__all__ = ["with_recorded_ranges"]


def with_recorded_ranges(checked: Checked, store: RunStore) -> tuple[Checked, str]:
    """Return a study with the ranges that it leaves out and its record has, and what to tell of them."""
    search, record = checked.study.search, _record(store)
    left_out = [tuning for tuning in checked.study.tunings() if tuning.trains and search.leaves_out(tuning)]
    if record is None or not left_out:
        return checked, ""
    known = {tuning.name: own for tuning in left_out if (own := _recorded(tuning, record))}
    if not known:
        return checked, ""
    resolved = search.model_copy(update={"ranges": {**(search.ranges or {}), **known}})
    study = checked.file.study.model_copy(update={"search": resolved})
    told = ", ".join(f"{name} {own.low:g} to {own.high:g}" for name, own in known.items())
    return replace(checked, file=replace(checked.file, study=study)), f"learning rates as this study had them: {told}"


def _record(store: RunStore) -> StudyRecord | None:
    summary = summary_of(store.runs(phase="summary"))
    with suppress(DamagedError):  # then it is written anew
        return StudyRecord.from_run(store, summary) if summary else None
    return None


def _recorded(tuning: Tuning, record: StudyRecord) -> TuningRange | None:
    """Return what a tuning's cells searched, where that is another range than its kind's."""
    said: Mapping[str, Any] | None = record.ranges.get(tuning.name)
    if said is None and not record.ranges:
        said = record.study["search"].get(RATE)
    if said is None or said.get("choices") or said["scale"] != "log":
        return None
    own = TuningRange(low=said["low"], high=said["high"])
    return None if (own.low, own.high) == tuning.rates else own
