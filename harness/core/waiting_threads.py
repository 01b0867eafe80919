"""How torch's threads wait for each other, which is decided when torch is imported."""

from __future__ import annotations

import os

__all__ = ["wait_patiently"]


def wait_patiently() -> None:
    """Have threads sleep soon: those that spin long are slowed up to ten times over by any other busy process."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
