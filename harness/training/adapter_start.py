"""What an adapter begins as in a run: by the run's seed, and virtual tokens by words."""

from __future__ import annotations

import re

from harness.models.load import Loaded
from harness.models.tuning_adapter import Start
from harness.study.grid import Cell
from harness.study.tunings.prompt_tuning import FROM_PROMPT, RANDOM

__all__ = ["adapter_start"]

FILLED_IN = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
"""What Jinja2 fills in or leaves out of a text."""


def adapter_start(cell: Cell, loaded: Loaded, seed: int) -> Start:
    """Return what a cell's adapter begins as: of virtual tokens as the words of its prompt, or of a text of their own.

    Args:
        cell: Its tuning may say a text, or that words are drawn; a prompt without words of its own draws them, too.
        loaded: Whose tokenizer reads the words.
        seed: The run's.
    """
    if not cell.tuning.adapter:
        return Start(seed)
    said = getattr(cell.tuning.settings, "init", FROM_PROMPT)
    text = {FROM_PROMPT: FILLED_IN.sub(" ", cell.prompt.text), RANDOM: ""}.get(said, said)
    return Start(seed, tuple(loaded.tokenizer(text.strip(), add_special_tokens=False)["input_ids"]))
