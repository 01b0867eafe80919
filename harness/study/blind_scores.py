"""What cannot tell cells apart on the rows that are scored, a caution each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.core.example import Example, Split
from harness.data.row_groups import few_groups
from harness.metrics.base import Metric
from harness.study.constant_targets import constant_targets
from harness.study.self_scores import self_scores
from harness.study.spec import StudySpec

__all__ = ["blind_scores"]


def blind_scores(
    study: StudySpec, metrics: tuple[Metric | str, ...], examples: Mapping[Split, Sequence[Example]]
) -> list[str]:
    """Say what cannot tell cells apart on the rows that are scored: targets that are all one, few groups, metrics."""
    scored = [*examples.get("validation", []), *examples.get("test", [])]
    groups = few_groups(examples, study.data.group) if study.data.group or study.data.turns == "all" else []
    return [*constant_targets(examples), *groups, *self_scores(metrics, scored)]
