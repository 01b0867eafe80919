"""The search for garbage is paused for a while, and what it was before comes back."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from harness.core.garbage import collection_paused


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    gc.enable()


@pytest.mark.parametrize("before", [True, False])
def test_it_is_as_it_was_afterwards_even_after_an_error(before: bool) -> None:
    if not before:
        gc.disable()
    with collection_paused():
        assert not gc.isenabled()
    assert gc.isenabled() == before
    with pytest.raises(LookupError), collection_paused():
        raise LookupError
    assert gc.isenabled() == before


def test_one_inside_another_ends_neither() -> None:
    with collection_paused():
        with collection_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
