"""The base of a delta: which pretrained model a tuned one was made from, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["Base"]


class Base(NamedTuple):
    """Which pretrained model a tuned one was made from."""

    name: str
    """As the study names it: a folder, a Hub id, or ``embedded``."""
    folder: str | None
    """Where a named folder was; looked into where the name leads nowhere."""
    commit: str | None
    """The Hub commit; ``None`` for a folder."""
    dtype: str
    """What the weights were loaded as."""
    trust_remote_code: bool
    allow_pickle: bool
    weights: str
    """Digest of the weights as loaded."""
    architecture: str
    """Digest of what the configuration says about the numbers."""
    languages: Mapping[str, str] = MappingProxyType({})
    """Those that the study named, by the keys of `harness.models.load.load`."""
    adapter: str | None = None
    """Where the adapter was that the study started from."""
    frozen: str = "float32"
    """What the weights that did not train were held in."""
