"""What `check` refuses of calibration: prompts that no input without content can stand in."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.errors import TemplateError, UserError
from harness.data.chat_turns import MESSAGES
from harness.data.content_free import content_free_rows
from harness.data.demonstrations import Demonstrations, pick_of
from harness.data.label_words import calibration_of
from harness.data.tokenization import Limits, PromptForm, Reader
from harness.study.problems import Problems
from harness.study.row_lengths import Fit

__all__ = ["refuse_uncalibrated"]


def refuse_uncalibrated(
    prompts: Sequence[tuple[int, PromptForm]],
    fits: Sequence[Fit],
    reader: Reader,
    limits: Limits,
    demonstrations: Demonstrations,
    problems: Problems,
) -> None:
    """Add a problem for each prompt that is to be calibrated and cannot be.

    Args:
        prompts: With their places in the study file's list.
        fits: Of those that rows can be encoded in; others are left out here.
        reader: The model, or what stands for it.
        limits: The most tokens.
        demonstrations: What prompts pick theirs from.
        problems: Takes what is refused.
    """
    sound = {fit.prompt for fit in fits}
    for place, prompt in prompts:
        if calibration_of(prompt) and prompt.name in sound:
            with problems.at("prompts", place):
                _refuse(prompt, reader, limits, demonstrations)


def _refuse(prompt: PromptForm, reader: Reader, limits: Limits, demonstrations: Demonstrations) -> None:
    named = f"prompt {prompt.name!r} has calibration: {calibration_of(prompt)}"
    if MESSAGES in prompt.names():
        rule = "but takes the turns of rows, in whose place no input without content can stand"
        raise TemplateError(f"{named}, {rule}; show a field, as user: '{{{{ source }}}}', or leave calibration out")
    if (pick := pick_of(prompt)) not in (None, "fixed"):
        rule = f"which is of demonstrations that all rows share, but picks others for each (pick: {pick})"
        raise TemplateError(f"{named}, {rule}; take pick: fixed, or leave calibration out")
    try:
        content_free_rows(prompt, reader, demonstrations, limits=limits)
    except UserError as error:
        rule = "and cannot be filled in with an input without content"
        raise TemplateError(
            f"{named}, {rule} ({error}); let its text take any text, or leave calibration out"
        ) from None
