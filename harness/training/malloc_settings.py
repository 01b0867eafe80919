"""Allocator settings: freed memory stays in the process, on Linux with glibc."""

from __future__ import annotations

import ctypes
from contextlib import suppress

__all__ = ["keep_freed"]

MMAP_MAX, TRIM_THRESHOLD = -4, -1
"""glibc's ``M_MMAP_MAX`` and ``M_TRIM_THRESHOLD``; see mallopt(3)."""


def keep_freed() -> None:
    """Let large arrays come from memory that the process has already, where the allocator can be asked to.

    A training step frees the same hundreds of MiB that the next one takes. Left to itself, glibc hands each large array
    back to the system, which has to clear every page of it again. Where there is no glibc nothing happens.
    """
    with suppress(OSError, AttributeError):
        glibc = ctypes.CDLL("libc.so.6")
        glibc.mallopt(MMAP_MAX, 0)
        glibc.mallopt(TRIM_THRESHOLD, 2**31 - 1)
