"""Losses of two kinds: of texts by the token, of labels by the row; what a study may not rank by."""

from __future__ import annotations

from collections.abc import Sequence

from harness.data.label_words import is_labelled
from harness.data.tokenization import PromptForm
from harness.metrics.base import Metric, metric_name
from harness.metrics.likelihood import OF_LIKELIHOODS
from harness.study.problems import Problems
from harness.study.spec import StudySpec

__all__ = ["loss_kinds", "ranking_metric"]

TWO_WAYS = (
    "Prompts are answered in two ways: losses of labels, by the row, say nothing beside losses of texts, by the token."
)


def ranking_metric(study: StudySpec, metrics: Sequence[Metric | str]) -> str:
    """Return the metric that ranks a study's cells, given those of its task."""
    objective = study.search.metric or metric_name(metrics[0])
    return metric_name(metrics[0]) if objective == "loss" and study.final.seeds else objective


def loss_kinds(
    study: StudySpec, metrics: Sequence[Metric | str], forms: Sequence[PromptForm], problems: Problems
) -> list[str]:
    """Note a study that would rank cells by losses of two kinds; return what is told of one that has both."""
    if len({is_labelled(form) for form in forms}) < 2:
        return []
    if metrics and (lead := ranking_metric(study, metrics)) in OF_LIKELIHOODS:
        told = f"the study ranks by {lead}, but some of its prompts are answered by a label and some by a text"
        remedy = "rank by a metric of texts (search.metric; the first of the task's metrics), or study them apart"
        problems.add(f"{told}, whose likelihoods are not of the same things; {remedy}", "prompts")
    return [TWO_WAYS]
