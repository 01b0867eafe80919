"""Training rows by label: each label's share within one row, smaller draws within larger ones."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import DataError
from harness.core.example import Example
from harness.data.data_keys import Draw
from harness.data.rows_by_label import drawn_by_label

ROWS = st.lists(st.sampled_from("abc"), min_size=4, max_size=60)


def examples(labels: list[str]) -> list[Example]:
    return [Example(f"row-{n}", {"source": f"s{n}"}, label) for n, label in enumerate(labels)]


@given(labels=ROWS, seed=st.integers(0, 3), data=st.data())
@settings(deadline=None)
def test_every_size_has_of_each_label_its_share_within_one_row(
    labels: list[str], seed: int, data: st.DataObject
) -> None:
    whole, counts = examples(labels), Counter(labels)
    sizes = data.draw(st.lists(st.integers(1, len(labels)), min_size=2, max_size=4, unique=True).map(sorted))
    found = {size: drawn_by_label(whole, Draw(size, None, seed)) for size in sizes}
    for size, part in found.items():
        assert len(part) == size
        assert part == [example for example in whole if example in part], "in the order of the split"
        for label, count in Counter(example.target for example in part).items():
            assert abs(count - Fraction(size * counts[label], len(labels))) < 1
    for smaller, larger in zip(sizes, sizes[1:], strict=False):
        assert {one.id for one in found[smaller]} < {one.id for one in found[larger]}


def test_another_seed_draws_other_rows() -> None:
    whole = examples([*"abc"] * 20)
    assert drawn_by_label(whole, Draw(12, None, 0)) != drawn_by_label(whole, Draw(12, None, 1))
    assert drawn_by_label(whole, Draw(None, 3, 0)) != drawn_by_label(whole, Draw(None, 3, 1))
    assert drawn_by_label(whole, Draw(None, None, 1)) == whole


def test_more_rows_than_there_are_are_refused() -> None:
    with pytest.raises(DataError, match=r"data\.train is 7, but there are 6 rows; lower it"):
        drawn_by_label(examples([*"abcabc"]), Draw(7, None, 0))
    with pytest.raises(DataError, match=r"data\.per_label is 3, but of the label 'a' there are 2 training rows"):
        drawn_by_label(examples([*"abcabc"]), Draw(None, 3, 0))
