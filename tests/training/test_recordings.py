"""ActivationMemory in memory and on disk: within both budgets, the oldest first to go, the same numbers from either."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harness.training.activation_cache import disk as module
from harness.training.activation_cache.disk import ActivationDisk
from harness.training.activation_cache.memory import ActivationMemory, Draft, TooLarge, recordings

PLENTY = 2**30
ROW = 400
"""Bytes of one tensor below."""


def content(seed: int, rows: int = 4) -> dict[str, Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    return {f"tap/0/{row}": torch.randn(ROW // 4, generator=drawn) for row in range(rows)}


def store(owner: ActivationMemory, key: str, tensors: Mapping[str, Tensor]) -> list[str]:
    """Record some tensors; return what was said."""
    said: list[str] = []
    draft = Draft(key, owner, said.append)
    for name, tensor in tensors.items():
        draft.add(name, tensor)
    draft.close()
    return said


def same(found: Mapping[str, Tensor] | None, expected: Mapping[str, Tensor]) -> bool:
    return (
        found is not None
        and set(found) == set(expected)
        and all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    )


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*"))


def test_in_memory_alone() -> None:
    owner = ActivationMemory(PLENTY, None)
    assert owner.get("a") is None
    assert store(owner, "a", content(0)) == []
    assert same(owner.get("a"), content(0))
    owner.drop("a")
    assert owner.get("a") is None


def test_the_oldest_goes_first() -> None:
    owner = ActivationMemory(3 * 4 * ROW, None)
    for seed, key in enumerate("abc"):
        store(owner, key, content(seed))
    assert owner.get("a") is not None  # now the one used last
    store(owner, "d", content(3))
    assert [owner.get(key) is not None for key in "abcd"] == [True, False, True, True]


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 300)), max_size=30), memory=st.integers(1, 1000))
def test_no_more_than_the_budget_is_held(rows: list[tuple[str, int]], memory: int) -> None:
    owner = ActivationMemory(memory, None)
    sizes: dict[str, int] = {}
    for at, (key, size) in enumerate(rows):
        before = {each: owner.holds(each) for each in "abc"}
        whole = owner.hold(key, str(at), torch.zeros(size, dtype=torch.uint8))
        sizes[key] = (sizes.get(key, 0) if before[key] else 0) + size
        assert whole == owner.holds(key) == (sizes[key] <= memory)
        assert all(before[each] for each in "abc" if each != key and owner.holds(each))
        assert sum(sizes[each] for each in "abc" if owner.holds(each)) <= memory


def test_what_memory_cannot_hold_is_read_from_disk(tmp_path: Path) -> None:
    owner = ActivationMemory(6 * ROW, ActivationDisk(tmp_path, PLENTY))
    for seed, key in enumerate("ab"):
        assert store(owner, key, content(seed)) == []
    assert [owner.holds(key) for key in "ab"] == [False, True]
    assert same(owner.get("a"), content(0))
    assert same(owner.get("b"), content(1))


def test_what_is_larger_than_memory_is_read_from_disk(tmp_path: Path) -> None:
    owner = ActivationMemory(ROW, ActivationDisk(tmp_path, PLENTY))
    assert store(owner, "a", content(0)) == []
    assert not owner.holds("a")
    for _ in range(2):
        assert same(owner.get("a"), content(0))
    assert not owner.holds("a")


def test_what_is_larger_than_memory_pushes_nothing_out(tmp_path: Path) -> None:
    store(ActivationMemory(PLENTY, ActivationDisk(tmp_path, PLENTY)), "large", content(0, rows=5))
    owner = ActivationMemory(4 * ROW, ActivationDisk(tmp_path, PLENTY))
    store(owner, "a", content(1))
    assert same(owner.get("large"), content(0, rows=5))
    assert owner.holds("a")


@pytest.mark.parametrize("memory", [PLENTY, 0])
def test_the_next_process_finds_it(tmp_path: Path, memory: int) -> None:
    store(ActivationMemory(PLENTY, ActivationDisk(tmp_path, PLENTY)), "a", content(0))
    owner = ActivationMemory(memory, ActivationDisk(tmp_path, PLENTY))
    assert same(owner.get("a"), content(0))
    assert owner.holds("a") == (memory == PLENTY)
    owner.drop("a")
    assert owner.get("a") is None
    assert files(tmp_path) == []


def test_where_others_are_in_use_it_is_read_from_disk_as_a_whole(tmp_path: Path) -> None:
    for seed, key in enumerate("ab"):
        store(ActivationMemory(PLENTY, ActivationDisk(tmp_path, PLENTY)), key, content(seed))
    owner = ActivationMemory(6 * ROW, ActivationDisk(tmp_path, PLENTY))
    assert same(owner.get("a"), content(0))
    owner.pinned.add("a")
    assert same(owner.get("b"), content(1)), "whatever part of it found room"
    assert [owner.holds(key) for key in "ab"] == [True, False]


def test_what_is_deleted_to_make_room_is_let_go(tmp_path: Path) -> None:
    owner = ActivationMemory(0, ActivationDisk(tmp_path, 9 * ROW))
    store(owner, "a", content(0))
    assert same(owner.get("a"), content(0))
    owner.disk.remove("a")
    owner.let_go()
    assert owner.get("a") is None


def test_what_is_in_use_is_the_last_to_go_from_disk(tmp_path: Path) -> None:
    """Though it was opened long ago: from memory, a process reads it without a look at the files."""
    owner = ActivationMemory(PLENTY, ActivationDisk(tmp_path, 10 * 4 * ROW))
    for seed, key in enumerate("ab"):
        store(owner, key, content(seed))
    for at, key in enumerate("ab"):
        os.utime(tmp_path / key, (1000 + at, 1000 + at))
    assert owner.get("a") is not None
    other = ActivationDisk(tmp_path, 10 * 4 * ROW)
    other.make_room(other.budget - sum(file.stat().st_size for file in (tmp_path / "a").iterdir()))
    assert files(tmp_path) == ["a"]


@pytest.mark.parametrize("shelved", [True, False])
def test_a_part_of_a_tensor_does_not_keep_the_whole(tmp_path: Path, shelved: bool) -> None:
    owner = ActivationMemory(PLENTY, ActivationDisk(tmp_path, PLENTY) if shelved else None)
    whole = torch.randn(4, 100, 8)
    store(owner, "a", {f"last/{row}": kept for row, kept in enumerate(whole[:, -1].unbind())})
    found = owner.get("a")
    assert found is not None
    assert {tensor.untyped_storage().nbytes() for tensor in found.values()} == {8 * 4}
    assert torch.equal(torch.stack([found[f"last/{row}"] for row in range(4)]), whole[:, -1])


def test_all_that_wait_to_be_written_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD", 12 * ROW)
    owner = ActivationMemory(0, ActivationDisk(tmp_path, PLENTY))
    drafts = [Draft(key, owner, print, together=3) for key in "abc"]
    waiting = 0
    for row, tensor in content(0, rows=40).items():
        for draft in drafts:
            draft.add(row, tensor)
            waiting = max(waiting, sum(each._writer._held for each in drafts if each._writer))
    assert 6 * ROW < waiting <= 12 * ROW


def test_a_recording_may_go_from_disk_while_it_is_used(tmp_path: Path) -> None:
    owner = ActivationMemory(0, ActivationDisk(tmp_path, PLENTY))
    store(owner, "a", content(0))
    found = owner.get("a")
    ActivationDisk(tmp_path, PLENTY).remove("a")
    assert same(found, content(0))
    assert same(owner.get("a"), content(0))


@pytest.mark.parametrize("disk", [None, 3 * ROW])
@pytest.mark.parametrize("shard", [module.SHARD, 1])
def test_too_large_for_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: int | None, shard: int) -> None:
    """Whether it is found out by a row or by the last shard."""
    monkeypatch.setattr(module, "SHARD", shard)
    owner = ActivationMemory(2 * ROW, None if disk is None else ActivationDisk(tmp_path, disk))
    with pytest.raises(
        TooLarge, match=r"^a recording of 0\.0 MiB or more fits neither engine\.memory_mib nor engine\.disk_mib$"
    ):
        store(owner, "a", content(0))
    assert owner.get("a") is None
    assert not owner.holds("a")
    assert files(tmp_path) == []


def test_a_full_disk_is_told_and_memory_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(tensors: object, file: Path) -> None:
        file.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "save_file", fail)
    owner = ActivationMemory(PLENTY, ActivationDisk(tmp_path, PLENTY))
    said = store(owner, "a", content(0))
    assert said == ["a recording is not kept on disk: [Errno 28] No space left on device"]
    assert same(owner.get("a"), content(0))
    assert files(tmp_path) == []


def test_the_disk_budget_is_told_and_memory_serves(tmp_path: Path) -> None:
    owner = ActivationMemory(PLENTY, ActivationDisk(tmp_path, ROW))
    (said,) = store(owner, "a", content(0))
    assert said == f"a recording is not kept on disk: {4 * ROW} more bytes are over the budget of {ROW}"
    assert same(owner.get("a"), content(0))


@pytest.mark.parametrize("memory", [PLENTY, 6 * ROW, ROW])
def test_several_grow_side_by_side(tmp_path: Path, memory: int) -> None:
    """One pass records for several cuts, row by row: what memory loses is on disk."""
    owner, said = ActivationMemory(memory, ActivationDisk(tmp_path, PLENTY)), list[str]()
    drafts = {key: Draft(key, owner, said.append) for key in "abc"}
    contents = {key: content(seed) for seed, key in enumerate("abc")}
    for row in contents["a"]:
        for key, draft in drafts.items():
            draft.add(row, contents[key][row])
    for draft in drafts.values():
        draft.close()
    assert said == []
    for key, expected in contents.items():
        assert same(owner.get(key), expected)


def test_several_that_grow_in_memory_alone_are_not_half_kept() -> None:
    owner = ActivationMemory(6 * ROW, None)
    drafts = {key: Draft(key, owner, print) for key in "ab"}

    def fill() -> None:
        for row, tensor in content(0).items():
            for draft in drafts.values():
                draft.add(row, tensor)

    with pytest.raises(TooLarge):
        fill()
    for draft in drafts.values():
        draft.discard()
    assert [owner.get(key) for key in "ab"] == [None, None]


@pytest.mark.parametrize("disk", [True, False])
def test_what_comes_again_is_kept_and_counted_once(tmp_path: Path, disk: bool) -> None:
    """T5's position biases come with every batch of a shape."""
    owner = ActivationMemory(3 * ROW, ActivationDisk(tmp_path, 4 * ROW) if disk else None)
    draft, said = Draft("a", owner, print), content(0, rows=2)
    for _ in range(50):
        for name, tensor in said.items():
            draft.add(name, tensor)
    draft.close()
    assert owner.holds("a")
    assert same(owner.get("a"), said)


def test_an_interrupted_recording_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD", 1)
    owner = ActivationMemory(PLENTY, ActivationDisk(tmp_path, PLENTY))
    draft = Draft("a", owner, print)
    draft.add("x", torch.zeros(100))
    assert files(tmp_path) != []
    draft.discard()
    assert owner.get("a") is None
    assert files(tmp_path) == []


def test_budgets_come_from_the_study_or_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("recordings")
    set_ = recordings(folder, memory_mib=1.5, disk_mib=2)
    assert set_.memory == 3 * 2**19
    assert set_.disk is not None
    assert (set_.disk.budget, set_.disk.folder) == (2**21, folder)
    assert recordings(folder, disk_mib=0).disk is None
    left = recordings(folder)
    assert left.disk is not None
    assert left.memory == pytest.approx(psutil.virtual_memory().available / 4, rel=0.2)
    assert left.disk.budget == pytest.approx(psutil.disk_usage(str(tmp_path)).free / 10, rel=0.2)
    assert files(tmp_path) == []
