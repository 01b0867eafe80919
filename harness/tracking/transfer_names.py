"""What final runs say of other prompts that their models answered under: the names of a tag, of metrics, of files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from harness.core.bounded_files import parse_json
from harness.core.example import digest
from harness.data.prompt_forms import stored_fields
from harness.data.tokenization import PromptForm
from harness.tracking.stored_run import Run

__all__ = ["ASKED_UNDER", "TRANSFER", "asked_under", "contents", "transfer_file", "transfer_part"]

ASKED_UNDER: Final = "asked_under"
"""The tag of a final run that is to answer test under other prompts: JSON, the digest of each by its name."""

TRANSFER: Final = "transfer/"
"""What the names of metrics begin with that are scores on test under another prompt."""

DIGITS = 12
"""Of a prompt's digest in the tag, which is short so that there is room for many."""


def contents(prompts: Iterable[PromptForm]) -> dict[str, str]:
    """Return the digest of each prompt by its name, as the tag has them."""
    return {prompt.name: digest(stored_fields(prompt))[:DIGITS] for prompt in prompts}


def asked_under(run: Run) -> Mapping[str, str]:
    """Return the other prompts that a final run was asked under, by name to digest."""
    found = parse_json(run.tags.get(ASKED_UNDER, "{}"))
    return found if isinstance(found, dict) else {}


def transfer_part(prompt: str) -> str:
    """Return what stands before the name of a metric in the place of a split.

    >>> transfer_part("cue")
    'transfer/cue'
    """
    return f"{TRANSFER}{prompt}"


def transfer_file(prompt: str) -> str:
    """Return where a final run holds what it predicted under another prompt, in the place of a split.

    >>> transfer_file("cue")
    'test-under-cue'
    """
    return f"test-under-{prompt}"
