"""Runs and studies as a store holds them, made up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.tracking.stored_run import Run

STUDY_FACTS: dict[str, Any] = {
    "question": "Which?",
    "study": {"search": {}, "task": "summarization"},
    "overrides": [],
    "file": "study.yaml",
    "task_file": "task.py",
    "cells": ["cue/head"],
    "metrics": ["chrf", "loss"],
    "signatures": {"chrf": "chrF2"},
    "lead": "chrf",
    "maximize": True,
    "objective": "chrf",
    "baseline": "cue/head",
    "data": {"source": "data"},
    "provenance": {},
}
"""What ``study.json`` said before there were editions, forecasts, texts of prompts and leaks."""


def run_with(
    phase: str = "search",
    *,
    id: str = "0",
    params: Mapping[str, object] = {},
    tags: Mapping[str, str] = {},
    metrics: Mapping[str, float] = {},
) -> Run:
    """Return a finished run."""
    texts = {name: str(value) for name, value in params.items()}
    return Run(id, "run", "FINISHED", None, texts, {**tags, "phase": phase}, metrics, 0.0, 1.0)
