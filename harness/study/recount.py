"""Counted again: what `check` read of the tokenizer's files alone, with the loaded model's own tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from harness.core.errors import ModelError
from harness.core.example import Split
from harness.data.choice_rows import examples_in
from harness.data.demonstrations import Demonstrations, pick_of, shots_of
from harness.data.label_words import is_labelled
from harness.data.tokenization import Encoded, PromptForm, Reader
from harness.metrics.base import Metric
from harness.study.checked_study import Checked
from harness.study.model_notes import doubled_tokens, special_tokens_in_texts
from harness.study.problems import Problems
from harness.study.row_lengths import Fit, ids_digest, measure, shots_in
from harness.study.settings import token_limits
from harness.study.tokenizer_without_model import light_reader
from harness.study.unequal_targets import refuse_hopeless, refuse_stop_texts, unequal_targets

__all__ = ["Recount", "recount"]

READ_AGAIN = 4
"""Blocks of text that are tokenized again."""


class Recount(NamedTuple):
    """How prompts and targets fit, by the model's own tokenizer."""

    fits: tuple[Fit, ...]
    """Of each prompt, as in `Checked`."""

    cautions: tuple[str, ...]
    """What `check` could not tell, or told otherwise."""


def recount(
    checked: Checked,
    reader: Reader,
    metrics: Sequence[Metric],
    encoded: Callable[[PromptForm, Split], Encoded],
    demonstrations: Demonstrations,
) -> Recount:
    """Count tokens again; where `check` counted none, or otherwise, all that it says of tokens is said anew.

    Args:
        checked: The study.
        reader: Its model.
        metrics: The task's.
        encoded: Gives a split as a prompt has it.
        demonstrations: What prompts pick theirs from.

    Raises:
        DataError: Rows cannot be encoded.
        ModelError: The model is of another kind than its configuration said.
        StudyError: All that `check` would have refused.
    """
    if reader.is_encoder_decoder != checked.description.is_encoder_decoder:
        raise ModelError(
            f"model {checked.study.model.name}: config.json says nothing of is_encoder_decoder, which is "
            f"{str(reader.is_encoder_decoder).lower()} for this architecture; write it there"
        )
    if checked.text:
        _refuse_otherwise(checked, reader)
        return Recount(checked.fits, ())
    if checked.description.tokenizer_file is None:
        return _anew(checked, reader, metrics, demonstrations)
    fits = tuple(_counted(fit, form, encoded) for fit, form in zip(checked.fits, checked.prompts, strict=True))
    trios = zip(checked.fits, fits, checked.prompts, strict=True)
    differences = [_difference(light, own) for light, own, form in trios if light != own and not _by_weights(form)]
    if not differences:
        return Recount(fits, ())
    own = _anew(checked, reader, metrics, demonstrations)
    return Recount(own.fits, (*differences, *(line for line in own.cautions if line not in checked.cautions)))


def _refuse_otherwise(checked: Checked, reader: Reader) -> None:
    """See that the loaded tokenizer reads text as its file did by itself, by which it was cut into blocks.

    Raises:
        ModelError: It does not.
    """
    light = light_reader(checked.description).tokenizer
    for block in checked.examples["validation"][:READ_AGAIN]:
        text = f"{block.source}{block.target}"
        if light(text)["input_ids"] != reader.tokenizer(text)["input_ids"]:
            raise ModelError(
                f"model {checked.study.model.name}: its tokenizer reads text otherwise than its tokenizer.json by "
                "itself, by which text is cut into blocks; store it again: tokenizer.save_pretrained(...)"
            )


def _by_weights(form: PromptForm) -> bool:
    """Return whether a prompt picks its demonstrations by weights, which `check` does not load."""
    return pick_of(form) == "similar"


def _anew(checked: Checked, reader: Reader, metrics: Sequence[Metric], demonstrations: Demonstrations) -> Recount:
    study, task, examples, problems = checked.study, checked.task, checked.examples, Problems(checked.file)
    prompts = list(enumerate(checked.prompts))
    fits, cautions = measure(study, prompts, examples, reader, token_limits(study, task), demonstrations, problems)
    if not all(is_labelled(form) for form in checked.prompts):
        refuse_stop_texts(study, task, examples, reader, problems)
        cautions += refuse_hopeless(unequal_targets(examples, reader, metrics), study, problems)
    problems.stop()
    cautions += doubled_tokens(checked.prompts, examples["train"][0], reader)
    cautions += special_tokens_in_texts(checked.prompts, examples, reader)
    return Recount(fits, tuple(cautions))


def _counted(fit: Fit, form: PromptForm, encoded: Callable[[PromptForm, Split], Encoded]) -> Fit:
    train = encoded(form, "train")
    rows = examples_in(train.rows)
    longest = max(len(row.prompt) for row in rows)
    ids = ids_digest(rows)
    fit = fit._replace(longest=longest, truncated=train.truncation_rate, dropped=train.dropped, ids=ids)
    if not _by_weights(form):
        return fit
    rows = [*rows, *examples_in(encoded(form, "validation").rows)]
    return fit._replace(**shots_in([row.shots for row in rows], shots_of(form)))


def _difference(light: Fit, own: Fit) -> str:
    if light._replace(ids=own.ids) == own:
        return (
            "The model's tokenizer reads otherwise than its tokenizer.json by itself, which check goes by: rows of "
            f"prompt {own.prompt} become other tokens, the longest as many."
        )
    return (
        f"The model's tokenizer counts otherwise than its tokenizer.json by itself, which check goes by: of prompt "
        f"{own.prompt} the longest takes {own.longest} tokens (not {light.longest}), {own.truncated:.1%} are shortened "
        f"(not {light.truncated:.1%}), {own.dropped} of {own.rows} training rows are dropped (not {light.dropped})."
    )
