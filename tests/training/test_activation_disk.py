"""Recordings on disk: whole and right, or not there; within a budget; shared by processes, some of which are killed."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from torch import Tensor

from harness.training.activation_cache import disk as module
from harness.training.activation_cache.disk import MANIFEST, ActivationDisk, Writer

REPOSITORY = Path(__file__).parents[2]
PLENTY = 2**30


def made(seed: int = 0, rows: int = 6, width: int = 64) -> dict[str, Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    return {f"tap/0/{row}": torch.randn(row + 1, width, generator=drawn) for row in range(rows)}


def write(disk: ActivationDisk, key: str, tensors: Mapping[str, Tensor]) -> None:
    writer = Writer(disk, key)
    for name, tensor in tensors.items():
        writer.add(name, tensor)
    writer.close()


def same(found: Mapping[str, Tensor] | None, expected: Mapping[str, Tensor]) -> bool:
    return (
        found is not None
        and set(found) == set(expected)
        and all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    )


def names(disk: ActivationDisk) -> set[str]:
    return {path.name for path in disk.folder.iterdir()} if disk.folder.exists() else set()


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD", 1000)


@pytest.mark.usefixtures("small_shards")
def test_what_was_written_is_read(tmp_path: Path) -> None:
    disk, tensors = ActivationDisk(tmp_path / "deep" / "down", PLENTY), made()
    assert disk.open("a") is None
    write(disk, "a", tensors)
    assert same(disk.open("a"), tensors)
    assert same(ActivationDisk(disk.folder, PLENTY).open("a"), tensors)
    assert disk.open("b") is None
    assert len(list((disk.folder / "a").glob("*.safetensors"))) > 2
    assert names(disk) == {"a"}


@settings(max_examples=25, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(0, 4), max_size=3), min_size=1, max_size=8),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.int64]),
    shard=st.integers(1, 300),
)
def test_any_tensors(
    tmp_path_factory: pytest.TempPathFactory, shapes: list[list[int]], dtype: torch.dtype, shard: int
) -> None:
    tensors = {
        str(at): torch.arange(2 * 4**3)[: torch.Size(s).numel()].to(dtype).view(s) for at, s in enumerate(shapes)
    }
    disk = ActivationDisk(tmp_path_factory.mktemp("any"), PLENTY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SHARD", shard)
        write(disk, "a", tensors)
    found = disk.open("a")
    assert same(found, tensors)
    assert found is not None
    assert all(found[name].dtype == dtype for name in found)


def test_views_of_one_memory(tmp_path: Path) -> None:
    """What is recorded are the rows of a batch, and parts of what a projection returned, its axes exchanged."""
    both = torch.randn(4, 6, 2, 8)
    keys, values = both.transpose(1, 2).unbind(), both.flatten(2).unbind()
    tensors = {f"k/{row}": part for row, part in enumerate(keys)} | {"shared": torch.ones(1, 3).expand(4, 3)}
    disk = ActivationDisk(tmp_path, PLENTY)
    write(disk, "a", tensors)
    assert same(disk.open("a"), tensors)
    write(disk, "b", {f"v/{row}": part[1:5] for row, part in enumerate(values)})
    assert same(disk.open("b"), {f"v/{row}": part[1:5] for row, part in enumerate(values)})


def truncate(folder: Path) -> None:
    file = folder / "00001.safetensors"
    os.truncate(file, file.stat().st_size - 1)


def flip(folder: Path) -> None:
    file = folder / "00000.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


def lose_a_shard(folder: Path) -> None:
    (folder / "00001.safetensors").unlink()


def lose_the_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def edit(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).write_text(json.dumps(change(manifest)))

    return damage


DAMAGES: dict[str, Callable[[Path], None]] = {
    "truncated shard": truncate,
    "flipped bit": flip,
    "missing shard": lose_a_shard,
    "missing manifest": lose_the_manifest,
    "empty manifest": lambda folder: (folder / MANIFEST).write_text(""),
    "manifest of bytes": lambda folder: (folder / MANIFEST).write_bytes(b"\xff\x00"),
    "half a manifest": lambda folder: os.truncate(folder / MANIFEST, 20),
    "another's key": edit(lambda manifest: {**manifest, "key": "b"}),
    "no key": edit(lambda manifest: {"shards": manifest["shards"]}),
    "a list": edit(lambda manifest: [manifest]),
    "no digests": edit(lambda manifest: {**manifest, "shards": sorted(manifest["shards"])}),
    "no file": edit(lambda manifest: {**manifest, "shards": {}}),
}


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_unsound_is_removed_and_can_be_written_anew(tmp_path: Path, damage: str) -> None:
    disk, tensors = ActivationDisk(tmp_path, PLENTY), made()
    write(disk, "a", tensors)
    DAMAGES[damage](tmp_path / "a")
    assert disk.open("a") is None
    assert not (tmp_path / "a").exists()
    write(disk, "a", tensors)
    assert same(disk.open("a"), tensors)


@pytest.mark.usefixtures("small_shards")
def test_a_recording_under_another_name_is_foreign(tmp_path: Path) -> None:
    disk = ActivationDisk(tmp_path, PLENTY)
    write(disk, "a", made())
    (tmp_path / "a").rename(tmp_path / "b")
    assert disk.open("b") is None


def test_safetensors_that_are_none(tmp_path: Path) -> None:
    """The digest is right, the file is not: whoever wrote it."""
    disk = ActivationDisk(tmp_path, PLENTY)
    write(disk, "a", made())
    (tmp_path / "a" / "00000.safetensors").write_bytes(b"hello")
    digest = module._digest(tmp_path / "a" / "00000.safetensors")
    edit(lambda manifest: {**manifest, "shards": {"00000.safetensors": digest}})(tmp_path / "a")
    assert disk.open("a") is None


def test_a_removed_recording_can_be_read_on(tmp_path: Path) -> None:
    disk, tensors = ActivationDisk(tmp_path, PLENTY), made()
    write(disk, "a", tensors)
    found = disk.open("a")
    disk.remove("a")
    disk.remove("a")
    assert same(found, tensors)
    assert disk.open("a") is None


SIZE = 4000
"""Of one recording below, without its header and manifest."""


def numbered(number: int) -> dict[str, Tensor]:
    return {"x": torch.full((SIZE // 4,), float(number))}


def used(disk: ActivationDisk) -> int:
    return sum(file.stat().st_size for file in disk.folder.rglob("*") if file.is_file())


def age(disk: ActivationDisk, *keys: str) -> None:
    """Let recordings have been used in this order, long ago."""
    for at, key in enumerate(keys):
        os.utime(disk.folder / key, (1000 + at, 1000 + at))


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path) -> None:
    disk = ActivationDisk(tmp_path, SIZE * 7 // 2)
    for number, key in enumerate("abc"):
        write(disk, key, numbered(number))
    age(disk, "b", "c", "a")
    write(disk, "d", numbered(3))
    assert names(disk) == {"c", "a", "d"}
    assert used(disk) <= disk.budget + 500  # names and digests
    age(disk, "a", "c", "d")
    assert same(disk.open("a"), numbered(0))  # now the one used last
    write(disk, "e", numbered(4))
    assert names(disk) == {"a", "d", "e"}


@given(keys=st.lists(st.sampled_from("abcdef"), max_size=12), room=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_the_budget_holds_and_the_order_is_that_of_use(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str], room: int
) -> None:
    disk = ActivationDisk(tmp_path_factory.mktemp("budget"), room * (SIZE + 400))
    expected: list[str] = []
    for clock, key in enumerate(keys):
        found = disk.open(key)
        assert (found is not None) == (key in expected)
        if found is None:
            write(disk, key, numbered(ord(key)))
        expected = [*[each for each in expected if each != key], key][-room:]
        os.utime(disk.folder / key, (clock, clock))  # the clock of some file systems is coarse
        assert names(disk) == set(expected)
        assert used(disk) <= disk.budget


def test_more_than_the_budget_is_refused_and_nothing_else_removed(tmp_path: Path) -> None:
    disk = ActivationDisk(tmp_path, SIZE * 3 // 2)
    write(disk, "a", numbered(0))
    writer = Writer(disk, "b")
    writer.add("x", torch.zeros(SIZE))
    with pytest.raises(OSError, match=f"{4 * SIZE} more bytes are over the budget of {SIZE * 3 // 2}"):
        writer.close()
    writer.discard()
    assert names(disk) == {"a"}


@pytest.mark.usefixtures("small_shards")
def test_what_is_being_written_counts(tmp_path: Path) -> None:
    """Two recordings grow side by side, as those of two cuts do: each would fit, both do not."""
    disk = ActivationDisk(tmp_path, 6000)
    writers = Writer(disk, "a"), Writer(disk, "b")
    written: list[str] = []

    def fill() -> None:
        for row in range(10):
            for writer in writers:
                writer.add(str(row), torch.zeros(256))
                written.append(str(row))

    with pytest.raises(OSError, match="over the budget"):
        fill()
    assert 4 <= len(written) <= 6, "a thousand bytes each"
    assert used(disk) <= 6000
    for writer in writers:
        writer.discard()
    assert names(disk) == set()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("I/O error")])
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(tensors: object, file: Path) -> None:
        file.write_bytes(b"the first half")
        raise error

    disk = ActivationDisk(tmp_path, PLENTY)
    writer = Writer(disk, "a")
    writer.add("x", torch.zeros(3))
    monkeypatch.setattr(module, "save_file", fail)
    with pytest.raises(OSError, match=r"No space left|I/O error"):
        writer.close()
    assert disk.open("a") is None
    writer.discard()
    assert names(disk) == set()


def ended() -> int:
    """Return the id of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_a_dead_process_left_is_removed_and_a_living_ones_is_not(tmp_path: Path) -> None:
    own = psutil.Process().create_time()
    drafts = {
        f".k-{ended()}": time.time(),
        f".k-{os.getpid()}": time.time(),
        f".k-{os.getppid()}": time.time(),
        f".old-{os.getpid()}": own - 60,  # of an earlier process of this id: in a container it may always be the same
        ".Trash-folder": 0.0,
    }
    for name, when in drafts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "00000.safetensors").write_bytes(b"half")
        os.utime(tmp_path / name, (when, when))
    disk = ActivationDisk(tmp_path, PLENTY)
    assert names(disk) == {f".k-{os.getpid()}", f".k-{os.getppid()}", ".Trash-folder"}
    Writer(disk, "k").close()
    assert {path.name for path in (tmp_path / "k").iterdir()} == {MANIFEST, "00000.safetensors"}
    found = disk.open("k")
    assert found is not None
    assert len(found) == 0


WORKER = """
import sys
from pathlib import Path

import torch

from harness.training.activation_cache import disk as module
from harness.training.activation_cache.disk import ActivationDisk, Writer

folder, key, rows = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
module.SHARD = 2000
writer = Writer(ActivationDisk(folder, 2**30), key)
print("ready", flush=True)
sys.stdin.readline()
for row in range(rows):
    writer.add(f"x/{row}", torch.full((256,), float(row)))
    if row == 8:
        print("writing", flush=True)
writer.close()
"""


def worker(folder: Path, key: str, rows: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), key, str(rows)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def expected(rows: int) -> dict[str, Tensor]:
    return {f"x/{row}": torch.full((256,), float(row)) for row in range(rows)}


def until(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().strip() == word


def test_two_processes_write_one_recording(tmp_path: Path) -> None:
    """Both have begun before either ends; one of them comes second and leaves nothing."""
    both = [worker(tmp_path, "k", 200) for _ in range(2)]
    for process in both:
        until(process, "ready")
    for process in both:
        process.communicate("go\n")
    assert [process.returncode for process in both] == [0, 0]
    disk = ActivationDisk(tmp_path, PLENTY)
    assert names(disk) == {"k"}
    assert same(disk.open("k"), expected(200))


def test_a_killed_writer_leaves_nothing_that_counts(tmp_path: Path) -> None:
    process = worker(tmp_path, "k", 10**7)
    until(process, "ready")
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    until(process, "writing")
    disk = ActivationDisk(tmp_path, PLENTY)
    assert [name.startswith(".k-") for name in names(disk)] == [True], "it lives and writes"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert names(disk) != set()
    assert disk.open("k") is None
    disk = ActivationDisk(tmp_path, PLENTY)
    assert names(disk) == set()
    write(disk, "k", expected(3))
    assert same(disk.open("k"), expected(3))


def test_two_versions_share_a_cache_in_peace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newer one's recording stays as it is, and the older one makes its own beside it; each finds its own."""
    disk, newer, older = ActivationDisk(tmp_path, PLENTY), made(1), made(2)
    with monkeypatch.context() as later:
        later.setattr(module, "RECORDING_FORMAT", 2)
        write(disk, "key", newer)
    before = {file: file.read_bytes() for file in (tmp_path / "key").iterdir()}
    assert disk.open("key") is None
    assert not disk.has("key")
    write(disk, "key", older)
    write(disk, "key", older)  # again, as by another process
    assert same(disk.open("key"), older)
    assert {file: file.read_bytes() for file in (tmp_path / "key").iterdir()} == before
    assert names(disk) == {"key", "key.format-1"}
    with monkeypatch.context() as later:
        later.setattr(module, "RECORDING_FORMAT", 2)
        assert same(disk.open("key"), newer)
    disk.remove("key")
    assert names(disk) == {"key"}, "each removes its own"


def test_a_recording_without_a_version_is_read(tmp_path: Path) -> None:
    disk, tensors = ActivationDisk(tmp_path, PLENTY), made()
    write(disk, "key", tensors)
    manifest = json.loads((tmp_path / "key" / MANIFEST).read_text())
    assert manifest.pop("format") == 1
    (tmp_path / "key" / MANIFEST).write_text(json.dumps(manifest))
    assert same(disk.open("key"), tensors)
