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
from harness.data.data_keys import Data, Draw
from harness.data.sources import Part, Source, examples_of, read_split
from harness.data.train_draws import parts_of, refuse_equal, rows_of_draws
from harness.study.task import plain_example


def source_of(made: Sequence[Mapping[str, Any]]) -> Source:
    return Source("made", {"train": lambda: [dict(row) for row in made]})


def draws(source: Source, data: Data) -> tuple[list[Example], dict[Draw, list[str]]]:
    """Return all rows that some draw has, and the ids of each."""
    rows, places = rows_of_draws(source, data)
    examples = examples_of(rows, data, plain_example)
    return examples, {draw: [examples[place].id for place in own] for draw, own in places.items()}


def parts(source: Source, data: Data) -> tuple[list[Example], dict[int, Sequence[Example]]]:
    """Return the split at its largest, and its parts by size, of a study of one seed."""
    examples, ids = draws(source, data)
    return examples, {int(draw.train or 0): part for draw, part in parts_of(examples, ids).items()}


def of_size(data: Data, size: int) -> Data:
    return data.of(Draw(size, None, data.first_seed))


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
        assert part == read_split(source, "train", of_size(data, size), plain_example)
    for split in ("validation", "test"):
        other = [read_split(source, split, of_size(data, size), plain_example) for size in sizes]
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
        assert part == read_split(source, "train", of_size(data, size), plain_example), "in its own order"


def with_all(source: Source) -> Source:
    """Return a source that lacks no split, so that nothing is carved out of train."""
    return Source(source.origin, dict.fromkeys(("train", "validation", "test"), source.readers["train"]))


def test_what_is_dropped_from_train_is_dropped_from_its_parts() -> None:
    source = with_all(source_of([{"source": f"s{n}", "target": "t"} for n in range(9)]))
    data = Data(train=(3, 9))
    whole, found = parts(source, data)
    gone = {example.id for example in found[3][:2]}
    ids = {Draw(size, None, 0): [example.id for example in part] for size, part in found.items()}
    left = parts_of([example for example in whole if example.id not in gone], ids)
    assert {draw.train: len(part) for draw, part in left.items()} == {3: 1, 9: 7}
    with pytest.raises(DataError, match=r"of the training rows that are drawn, 3, none is left"):
        parts_of([example for example in whole if example not in found[3]], ids)


def test_a_list_of_one_is_that_size() -> None:
    assert Data.model_validate({"train": [40]}) == Data(train=40)
    assert Data(train=40).sizes == ()
    assert Data(train=(40, 8, 200)).sizes == (40, 8, 200)
    assert Data.model_validate({"train": 40, "seed": [3], "per_label": None}) == Data(train=40, seed=3)
    assert Data(train=40, seed=3).draws == (Draw(40, None, 3),)
    assert Data(train=(8, 40), seed=(3, 0)).draws == tuple(
        Draw(size, None, seed) for size in (8, 40) for seed in (3, 0)
    )


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


@given(
    groups=st.lists(st.integers(0, 9) | st.none(), min_size=20, max_size=60).filter(lambda groups: any(groups)),
    seeds=st.lists(st.integers(0, 9), min_size=2, max_size=3, unique=True),
    lacks=st.booleans(),
)
@settings(deadline=None)
def test_seeds_draw_other_rows_of_what_is_left_to_train_on(
    groups: list[int | None], seeds: list[int], lacks: bool
) -> None:
    made = [{"source": f"s{n}", "target": "t", "dialogue": group} for n, group in enumerate(groups)]
    source = source_of(made) if lacks else with_all(source_of(made))
    data = Data(train=(2, 4), seed=tuple(seeds), group="dialogue", validation=2, test=2)
    try:
        whole, ids = draws(source, data)
    except DataError:  # too few groups are left to train on
        return
    first = data.of(Draw(4, None, seeds[0]))
    others = {split: read_split(source, split, data, plain_example) for split in ("validation", "test")}
    assert others == {split: read_split(source, split, first, plain_example) for split in others}, "of the first seed"
    held = {example.id for examples in others.values() for example in examples} if lacks else set()
    found = parts_of(whole, ids)
    for draw, part in found.items():
        assert not held & {example.id for example in part}
        assert len(part) == draw.train
        assert {one.id for one in found[draw._replace(train=2)]} <= {one.id for one in found[draw._replace(train=4)]}
        if draw.seed == seeds[0] or not lacks:
            alone = read_split(source, "train", data.of(draw), plain_example)
            assert part == alone, "as a study of that draw alone has them"
    assert {example.id for example in whole} == set().union(*ids.values())


def test_seeds_that_draw_the_same_rows_are_refused() -> None:
    source = with_all(source_of([{"source": f"s{n}", "target": "t"} for n in range(9)]))
    refuse_equal(draws(source, Data(train=(3, 5), seed=(0, 1)))[1])
    with pytest.raises(DataError, match=r"data\.seed 0 and 1 draw the same 9 training rows; set data\.train to fewer"):
        refuse_equal(draws(source, Data(train=9, seed=(0, 1)))[1])
    with pytest.raises(
        ValidationError, match=r"data\.seed compares 2 draws of training rows, and all of them are used"
    ):
        Data(seed=(0, 1))


def test_a_mixture_of_each_seed_is_that_of_a_study_of_it_alone() -> None:
    made = [[{"source": f"{n}-{k}", "target": "t"} for k in range(12)] for n in range(2)]
    source = Source(
        "mixed", {}, parts=tuple(Part(f"p{n}", 1 + n, with_all(source_of(x)), Data()) for n, x in enumerate(made))
    )
    data = Data(train=6, seed=(4, 5))
    found = parts_of(*draws(source, data))
    assert len({frozenset(one.id for one in part) for part in found.values()}) == 2
    for draw, part in found.items():
        assert part == read_split(source, "train", data.of(draw), plain_example)
