"""Small random models of every family, loaded once a session."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # before torch is there to read it
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="harness-tests-")  # what is remembered of task files

import torch

from harness.models.load import Loaded, load
from harness.testing import tiny_model
from tests.support.study_fixture import QUICK, Place, Places

# A shell's background jobs ignore Ctrl-C, those of nohup a hangup, and so would the processes that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# How long an example takes is the machine's affair, and that of what else it does. Where CI is set, examples are drawn
# the same each time, so that a change fails there for what it changed; everywhere else, new ones are looked for.
settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("any machine")

SHARED_MODELS = Path(__file__).parents[1].parent / "shared" / "models"

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Loaded]:
    """Return ``tiny(family, **options)``: a fresh copy of `tiny_model`, whose folder is written once."""
    folders: dict[str, Path] = {}

    def make(family: str, **options: Any) -> Loaded:
        key = f"{family} {sorted(options.items())}"
        if key not in folders:
            folders[key] = tiny_model(family, tmp_path_factory.mktemp(family), **options)
        return load(str(folders[key]))

    return make


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
        if not (SHARED_MODELS / name).is_dir():
            pytest.skip(f"shared/models/{name} is not beside the repository")
        return SHARED_MODELS / name

    return folder


@pytest.fixture(scope="session")
def pretrained() -> Callable[[str], Loaded]:
    """Return ``pretrained(name)``: a real small model, or a skipped test where the models are not at hand."""

    def make(name: str) -> Loaded:
        folder = SHARED_MODELS / name
        if not folder.is_dir():
            pytest.skip(f"{name} is not beside the checkout")
        return load(str(folder))

    return make


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Yield a place where the tiny study was run with `QUICK`, and rows to be answered; who writes copies it."""
    place = Places(tmp_path_factory.mktemp("finished"))()
    place.run(*QUICK)
    (place.folder / "asked.jsonl").write_text('{"source": "short note about"}\n')
    there = set(os.listdir(place.folder))
    yield place
    left = set(os.listdir(place.folder)) - there
    assert not left, f"a test wrote {sorted(left)} where all tests read: it must write to a copy"


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Return ``places(family)``: a new folder with a tiny study in it."""
    return Places(tmp_path_factory.mktemp("places"))
