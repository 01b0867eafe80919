"""Training sizes: parts of one draw, each within the next larger one, and what a study of that size alone draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.core.errors import DataError
from harness.core.example import Example
from harness.data.data_keys import Data
from harness.data.sources import Part, Source, examples_of, read_split, split_rows
from harness.data.train_sizes import ids_by_size, parts_of
from harness.study.task import plain_example


def source_of(made: Sequence[Mapping[str, Any]]) -> Source:
    return Source("made", {"train": lambda: [dict(row) for row in made]})


def parts(source: Source, data: Data) -> tuple[list[Example], Mapping[int, Sequence[Example]]]:
    """Return the split at its largest, and its parts."""
    rows = split_rows(source, "train", data)
    examples = examples_of(rows, data, plain_example)
    return examples, parts_of(examples, ids_by_size(source, data, rows, examples))


@given(
    groups=st.lists(st.integers(0, 9) | st.none(), min_size=12, max_size=60).filter(lambda groups: any(groups)),
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=4, unique=True),
    seed=st.integers(0, 3),
)
@settings(deadline=None)
def test_each_size_is_a_part_of_the_next_and_what_it_is_alone(
    groups: list[int | None], sizes: list[int], seed: int
) -> None:
    made = [{"source": f"s{n}", "target": "t", "dialogue": group} for n, group in enumerate(groups)]
    source, data = source_of(made), Data(train=tuple(sizes), group="dialogue", validation=2, test=2, seed=seed)
    try:
        whole, found = parts(source, data)
    except DataError:  # too few groups are left to train on
        return
    assert list(found) == sizes, "in the order in which they are written"
    ids = {size: {example.id for example in part} for size, part in found.items()}
    for smaller, larger in zip(sorted(sizes), sorted(sizes)[1:], strict=False):
        assert ids[smaller] < ids[larger]
    assert [len(found[size]) for size in sizes] == sizes
    assert whole == found[max(sizes)]
    for size, part in found.items():
        assert part == read_split(source, "train", data.of_size(size), plain_example)
    for split in ("validation", "test"):
        other = [read_split(source, split, data.of_size(size), plain_example) for size in sizes]
        assert all(one == read_split(source, split, data, plain_example) for one in other)


@given(
    counts=st.lists(st.integers(8, 20), min_size=2, max_size=3),
    sizes=st.lists(st.integers(1, 8), min_size=2, max_size=4, unique=True),
    seed=st.integers(0, 3),
)
@settings(deadline=None)
def test_so_are_those_of_a_mixture(counts: list[int], sizes: list[int], seed: int) -> None:
    made = [[{"source": f"{n}-{k}", "target": "t"} for k in range(count)] for n, count in enumerate(counts)]
    own = Data(seed=seed)
    mixture = tuple(Part(f"p{n}", 1 + n, source_of(rows), own) for n, rows in enumerate(made))
    source = Source("mixed", {}, parts=tuple(part._replace(source=with_all(part.source)) for part in mixture))
    data = Data(train=tuple(sizes), seed=seed)
    _, found = parts(source, data)
    ids = {size: {example.id for example in part} for size, part in found.items()}
    for smaller, larger in zip(sorted(sizes), sorted(sizes)[1:], strict=False):
        assert ids[smaller] < ids[larger]
    for size, part in found.items():
        assert part == read_split(source, "train", data.of_size(size), plain_example), "in its own order"


def with_all(source: Source) -> Source:
    """Return a source that lacks no split, so that nothing is carved out of train."""
    return Source(source.origin, dict.fromkeys(("train", "validation", "test"), source.readers["train"]))


def test_what_is_dropped_from_train_is_dropped_from_its_parts() -> None:
    source = with_all(source_of([{"source": f"s{n}", "target": "t"} for n in range(9)]))
    data = Data(train=(3, 9))
    whole, found = parts(source, data)
    gone = {example.id for example in found[3][:2]}
    ids = {size: [example.id for example in part] for size, part in found.items()}
    left = parts_of([example for example in whole if example.id not in gone], ids_of(ids))
    assert {size: len(part) for size, part in left.items()} == {3: 1, 9: 7}
    with pytest.raises(DataError, match=r"of the 3 training rows of data\.train none is left"):
        parts_of([example for example in whole if example not in found[3]], ids_of(ids))


def ids_of(ids: Mapping[int, Sequence[str]]) -> dict[int, tuple[str, ...]]:
    return {size: tuple(own) for size, own in ids.items()}


def test_a_list_of_one_is_that_size() -> None:
    assert Data.model_validate({"train": [40]}) == Data(train=40)
    assert Data(train=40).sizes == ()
    assert Data(train=(40, 8, 200)).sizes == (40, 8, 200)
    assert Data(train=(40, 8, 200)).most("train") == 200


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([8, 40, 8], "names 8 more than once; each must be distinct"),
        ([], "it must be a number, or a list of several to compare"),
        ([8, 0], "greater than or equal to 1"),
        ([8, True], "it must be a number, not true or false"),
        ([8, "many"], "valid integer"),
        ("many", "valid integer"),
        (0, "greater than or equal to 1"),
    ],
)
def test_what_is_no_list_of_sizes_is_refused_once(sizes: Any, message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Data.model_validate({"train": sizes})
    assert len(refused.value.errors()) == 1
    assert message in str(refused.value)


def test_more_rows_than_there_are_are_refused() -> None:
    with pytest.raises(DataError, match=r"data\.train is 50, but there are 9 rows; lower it"):
        parts(with_all(source_of([{"source": f"s{n}", "target": "t"} for n in range(9)])), Data(train=(3, 50)))
