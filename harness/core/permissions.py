"""What the person at the keyboard allows a stored model to do; a model's own files, and a store, allow nothing."""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["PICKLE", "REMOTE_CODE", "Permissions"]

REMOTE_CODE, PICKLE = "HARNESS_TRUST_REMOTE_CODE", "HARNESS_ALLOW_PICKLE"
"""Environment variables that say so where no command line does, as of a server that MLflow starts: ``1`` for yes."""


class Permissions(NamedTuple):
    """None, unless it is said."""

    trust_remote_code: bool = False
    """Code that comes with the model may run."""
    allow_pickle: bool = False
    """Weights that are no safetensors may be read; unpickling runs code."""

    @classmethod
    def of_environment(cls) -> Permissions:
        """Return what the environment variables say."""
        return cls(*(os.environ.get(name) == "1" for name in (REMOTE_CODE, PICKLE)))
