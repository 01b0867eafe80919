"""Python's search for cyclic garbage, paused where it finds none and takes most of the time."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collection_paused"]


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause it, in all threads, while many objects are made that are kept: it looks through all of them each time.

    Cycles that are dropped meanwhile are freed after it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
