"""Freed memory stays in the process: what a step frees, the next one finds."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import sys

import torch

from harness.training.setup import keep_freed

if sys.argv[1] == "kept":
    keep_freed()
for _ in range(20):  # until the allocator has found a place that fits
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
def test_large_arrays_take_the_pages_of_those_before() -> None:
    faults = {
        kept: int(subprocess.run([sys.executable, "-c", SCRIPT, kept], capture_output=True, check=True).stdout)
        for kept in ("kept", "plain")
    }
    assert faults["plain"] > 100_000, "ten arrays of 16,384 pages"
    assert faults["kept"] < faults["plain"] / 5
