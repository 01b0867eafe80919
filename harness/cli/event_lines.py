"""A running study for programs: a line of JSON for each event; what is for people goes to standard error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.cli.terminal import write_out
from harness.core.plain_json import json_line

__all__ = ["write_event"]


def write_event(event: Mapping[str, Any]) -> None:
    """Write an event, at once; docs/json.md has its fields."""
    write_out(json_line(event) + "\n")
