"""Constant targets: where all rows have the same one, whoever says it is right, and nothing is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.core.example import Example, Split

__all__ = ["constant_targets"]


def constant_targets(examples: Mapping[Split, Sequence[Example]]) -> list[str]:
    """Return a sentence for each text that is the target of all rows of some splits."""
    splits: dict[str, list[str]] = {}
    for split, rows in examples.items():
        targets = {example.target for example in rows}
        if len(rows) > 1 and len(targets) == 1:
            splits.setdefault(targets.pop(), []).append(f"all {len(rows)} {split} targets")
    return [
        f"The same text, {target[:40]!r}, is {', '.join(told)}: who always says it is right there, so scores compare "
        "nothing; are the rows shuffled, and is data.columns right?"
        for target, told in splits.items()
    ]
