from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.testing import tiny_model

SHARED = Path(__file__).parents[2].parent / "shared" / "models"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``tiny_folder(family, **overrides)``: a folder, written once for all tests; read it only."""
    written: dict[str, Path] = {}

    def folder(family: str, **overrides: Any) -> Path:
        key = f"{family} {sorted(overrides.items())}"
        if key not in written:
            written[key] = tiny_model(family, tmp_path_factory.mktemp(family), **overrides)
        return written[key]

    return folder


@pytest.fixture
def shared_model() -> Callable[[str], Path]:
    """``shared_model(name)``: the folder of a real pretrained model beside the repository."""

    def folder(name: str) -> Path:
        if not (SHARED / name).is_dir():
            pytest.skip(f"shared/models/{name} is not beside the repository")
        return SHARED / name

    return folder
