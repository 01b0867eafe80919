"""Splits all of whose rows have one target are told."""

from __future__ import annotations

import pytest

from harness.core.example import Example, Split
from harness.study.constant_targets import constant_targets
from tests.support.study_fixture import SIZES, Places, rows, write_rows


def told(**splits: list[str]) -> list[str]:
    names: dict[str, Split] = {"train": "train", "validation": "validation", "test": "test"}
    examples = {
        names[split]: [Example(f"row-{n}", {}, target) for n, target in enumerate(targets)]
        for split, targets in splits.items()
    }
    return constant_targets(examples)


@pytest.mark.parametrize(
    ("splits", "beginnings"),
    [
        ({"train": ["a", "b"], "validation": ["a", "b"]}, []),
        ({"train": ["a", "b"], "validation": ["a"]}, []),
        ({"train": ["a", "b"], "validation": ["a", "a"]}, ["The same text, 'a', is all 2 validation targets:"]),
        (
            {"train": ["a", "a", "a"], "validation": ["a", "a"], "test": ["b", "b"]},
            [
                "The same text, 'a', is all 3 train targets, all 2 validation targets:",
                "The same text, 'b', is all 2 test targets:",
            ],
        ),
    ],
)
def test_splits_of_one_target(splits: dict[str, list[str]], beginnings: list[str]) -> None:
    assert [sentence[: len(start)] for sentence, start in zip(told(**splits), beginnings, strict=True)] == beginnings


def test_check_tells_it(places: Places) -> None:
    place = places(store=False)
    for split in SIZES:
        write_rows(place.folder / "data" / f"{split}.jsonl", [{**row, "target": "yes"} for row in rows(split)])
    done = place.command("check", "study.yaml")
    assert done.status == 0, done.err
    assert "The same text, 'yes', is all" in " ".join(done.out.split())
