"""What of a study's facts is a cell's own: its model's, and the training rows that it uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from harness.core.absent_value import NONE
from harness.core.example import Example, Split, fingerprint
from harness.data.prompt_forms import form_of
from harness.study.checked_study import Checked
from harness.study.further_axes import GENERATION
from harness.tracking.schema import Tags
from harness.training.model_facts import ModelFacts

__all__ = ["CellFacts", "facts_of_cells", "model_identity", "model_tags"]


class CellFacts(NamedTuple):
    """What takes the place of a study's facts in one cell; nothing where all have one model and the same rows."""

    identity: Mapping[str, Any]
    """Of those that its digest is made of."""
    tags: Mapping[str, str]
    """Of those that its runs carry."""
    train: Sequence[Example] | None
    """The training rows that it uses."""


def facts_of_cells(checked: Checked, facts: ModelFacts, data: Mapping[Split, str]) -> dict[str, CellFacts]:
    """Return the facts of each cell, by its id.

    Args:
        checked: The study.
        facts: Of its models.
        data: The digests of its splits.
    """
    found = {}
    for cell in checked.cells:
        identity, tags, train = dict[str, Any](), dict[str, str](), None
        own = facts.of(cell)
        if own is not facts:
            identity |= model_identity(own)
            template = own.chat_template if form_of(cell.prompt) != "text" else None
            identity |= {"chat_template": template} if template else {}
            tags |= model_tags(own)
        if GENERATION in cell.levels:
            identity["decoding"] = checked.of(cell).decoding_of(cell, own.decoding).identity()
        if checked.parts:
            train = checked.used_by(cell)["train"]
            content = fingerprint(train)
            identity["data"] = {**data, "train": content}
            tags[Tags.data_digest("train")] = content
        found[cell.id] = CellFacts(identity, tags, train)
    return found


def model_identity(facts: ModelFacts) -> dict[str, Any]:
    """Return what of a model the results of its cells depend on, beside their prompts."""
    return {
        "weights": facts.weights,
        "architecture": facts.architecture,
        "tokenizer": facts.tokenizer,
        "limits": facts.limits,
        "decoding": facts.decoding.identity(),
    }


def model_tags(facts: ModelFacts) -> dict[str, str]:
    """Return what runs say of their model."""
    return {
        Tags.MODEL_DIGEST: facts.weights,
        Tags.ARCHITECTURE_DIGEST: facts.architecture,
        Tags.TOKENIZER_DIGEST: facts.tokenization,
        Tags.GENERATION_DIGEST: facts.generation,
        Tags.MODEL_COMMIT: facts.commit or NONE,
    }
