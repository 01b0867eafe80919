"""Content-free inputs, by which the probabilities of labels are calibrated (contextual calibration).

Behind any prompt a model likes some labels better than others, whatever the row says. How much is read off inputs that
say nothing: each in the place of all fields, behind the demonstrations that all rows share. The probabilities of labels
behind these, averaged, are what a row's are divided by (Zhao et al. 2021, "Calibrate Before Use: Improving Few-Shot
Performance of Language Models", section 5: W = diag(p_cf)^-1, b = 0).
"""

from __future__ import annotations

from contextlib import suppress

from harness.core.errors import DataError, EmptyPrompt
from harness.core.example import Example
from harness.data.choice_rows import ANY, Choice, ChoiceRows, choice_of
from harness.data.demonstrations import Demonstrations
from harness.data.tokenization import Limits, PromptForm, Reader

__all__ = ["CONTENT_FREE", "content_free_rows"]

CONTENT_FREE = ("N/A", "", "[MASK]")
"""The inputs of the paper's ensemble."""


def content_free_rows(
    prompt: PromptForm, reader: Reader, demonstrations: Demonstrations, *, limits: Limits
) -> ChoiceRows:
    """Return a prompt on each content-free input that leaves anything of it.

    Args:
        prompt: One that is answered by the likelihood of its labels' words.
        reader: The model, or what stands for it.
        demonstrations: What it picks its own from.
        limits: The most tokens.

    Raises:
        DataError: It cannot be filled in or made to fit, or no input leaves anything of it.
    """
    choices = list[Choice]()
    for example in demonstrations.attached(prompt, [_example(prompt, text) for text in CONTENT_FREE]):
        with suppress(EmptyPrompt):
            choices.append(choice_of(example, prompt, reader, limits)[0])
    if not choices:
        raise DataError(f"prompt {prompt.name!r}: nothing is left of it under any content-free input")
    return ChoiceRows(choices)


def _example(prompt: PromptForm, text: str) -> Example:
    return Example(f"the content-free input {text!r}", dict.fromkeys(prompt.names(), text), ANY)
