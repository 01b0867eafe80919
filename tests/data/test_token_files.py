"""Token files: made once, found again, whole or not there."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.core.errors import NewerError
from harness.data.token_files import TokenFile, token_file
from harness.data.token_stream import TokenRun

IDS = [5, 70_000, 0, 3, 3, 9, 65_535]
SIZES = [1, 4, 0, 2, 70_000, 3, 1]


class Source:
    """Tokens that count how often they were made."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Iterator[tuple[TokenRun, int]]:
        self.times += 1
        for start in range(0, len(IDS), 3):
            part = slice(start, start + 3)
            yield TokenRun(np.array(IDS[part]), np.array(SIZES[part])), 1


def made(folder: Path | None, source: Source, key: str = "abc") -> TokenFile:
    return token_file(folder, key, 80_000, source)


def test_a_text_is_tokenized_once(tmp_path: Path) -> None:
    source = Source()
    for _ in range(3):
        tokens = made(tmp_path, source)
        assert tokens.ids.tolist() == IDS
        assert tokens.sizes.tolist() == [1, 4, 0, 2, 65_535, 3, 1], "no token stands for more than fits"
        assert (tokens.count, tokens.documents, tokens.dtype) == (7, 3, "uint32")
    assert source.times == 1
    assert [path.name for path in tmp_path.iterdir()] == ["abc"]


def test_other_keys_are_other_files(tmp_path: Path) -> None:
    source = Source()
    made(tmp_path, source, "abc")
    made(tmp_path, source, "abd")
    assert source.times == 2


def test_a_small_vocabulary_takes_half(tmp_path: Path) -> None:
    run = TokenRun(np.array([1, 65_535]), np.array([1, 1]))
    tokens = token_file(tmp_path, "small", 2**16, lambda: iter([(run, 0)]))
    assert tokens.dtype == "uint16"
    assert tokens.ids.tolist() == [1, 65_535]


def test_what_fails_on_its_way_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> Iterator[tuple[TokenRun, int]]:
        yield TokenRun(np.array([1]), np.array([1])), 0
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        token_file(tmp_path, "abc", 10, failing)
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".abc-999999999").mkdir()
    (tmp_path / ".abd-999999999").mkdir()
    made(tmp_path, Source())
    assert {path.name for path in tmp_path.iterdir()} == {"abc", ".abd-999999999"}


@pytest.mark.parametrize("name", ["ids.bin", "sizes.bin", "tokens.json"])
def test_a_cut_file_is_made_again(tmp_path: Path, name: str) -> None:
    source = Source()
    made(tmp_path, source)
    file = tmp_path / "abc" / name
    file.write_bytes(file.read_bytes()[:-1])
    assert made(tmp_path, source).ids.tolist() == IDS
    assert source.times == 2


def test_what_a_newer_version_wrote_is_refused(tmp_path: Path) -> None:
    made(tmp_path, Source())
    file = tmp_path / "abc" / "tokens.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
    with pytest.raises(NewerError, match="format 99"):
        made(tmp_path, Source())


def test_without_a_folder_nothing_is_kept() -> None:
    tokens = made(None, Source())
    place = tokens.folder
    assert tokens.ids.tolist() == IDS
    assert place.is_dir()
    del tokens
    assert not place.exists()


def test_another_process_maps_it_anew(tmp_path: Path) -> None:
    tokens = made(tmp_path, Source())
    assert len(tokens.ids) == len(IDS)  # mapped here
    written = pickle.dumps(tokens)
    assert len(written) < 1000
    assert pickle.loads(written).ids.tolist() == IDS
