"""A study's report, written where it would be another one than the one that is there.

A report is made of results alone. So what it was made of is kept beside the study's other state, and a command that
finds the same results, the same code and the same files draws nothing.
"""

from __future__ import annotations

import hashlib
import json

from harness.core.bounded_files import read_json
from harness.core.file_states import code_states, file_states
from harness.core.whole_files import write_whole
from harness.runner.result import Result
from harness.tracking.schema import Artifacts
from harness.tracking.store_protocols import Tracker

__all__ = ["write_if_new"]

FILE = "report.json"
"""In the study's folder."""


def write_if_new(result: Result, summary: str, tracker: Tracker) -> None:
    """Write a report, and store its files with the study's summary run, unless that has been done."""
    kept = result.workspace.study(result.results.study) / FILE
    made_of = _made_of(result, summary)
    try:
        if read_json(kept) == {"of": made_of, "files": _files(result)}:
            return
    except (OSError, ValueError):
        pass  # nothing was kept, or it was cut short
    result.report()
    tracker.files(summary, result.folder, Artifacts.REPORT)
    write_whole(kept, json.dumps({"of": made_of, "files": _files(result)}))


def _made_of(result: Result, summary: str) -> str:
    """Return a digest of all that a report is made of, and of where it is stored."""
    results, metric = result.results, result.results.metric
    named = metric if isinstance(metric, str) else f"{metric.name} {metric.signature()}"
    facts = {**vars(results), "metric": named, "cells": [vars(cell) for cell in results.cells]}
    content = repr((facts, result.findings.answer, code_states(), summary))
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _files(result: Result) -> list[list[str | int]]:
    folder = result.folder
    return [list(state) for state in file_states(file for file in folder.rglob("*") if file.is_file())]
