"""Whether losses of all cells of a study mean the same, so that cells may be told apart by them.

That of a prompt which is answered by a text is by the token, and means another thing for each tokenizer; that of one
which is answered by a label is by the row, over the labels, and means the same for all models.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.results.cell_result import CellResult
from harness.stats.answers import Answers

__all__ = ["loss_in_words", "loss_unit", "unlike_losses"]

ANSWERS = (
    "Prompts of this study are answered in two ways: losses of labels are by the row, over all labels, those of texts "
    "by the token, so neither is compared with the other."
)

TOKENIZERS = (
    "Models of this study have different tokenizers: losses and perplexities, which are by the token, are compared "
    "within a model and not between models."
)


def unlike_losses(cells: Sequence[CellResult], answers: Answers | None) -> str:
    """Return a sentence that says why losses are not compared between cells; empty where they are."""
    of_tokens = [cell for cell in cells if not _are_of_labels(cell, answers)]
    if 0 < len(of_tokens) < len(cells):
        return ANSWERS
    return TOKENIZERS if len({cell.tokenizer for cell in of_tokens if cell.tokenizer}) > 1 else ""


def loss_unit(cells: Sequence[CellResult], answers: Answers | None) -> str:
    """Return the unit of losses."""
    ways = {_are_of_labels(cell, answers) for cell in cells}
    if len(ways) > 1:
        return "nats a row of labels, a token of texts"
    return "nats a row" if True in ways else "nats a token"


def loss_in_words(cells: Sequence[CellResult], answers: Answers | None) -> str:
    """Return what losses are, for who meets them for the first time."""
    ways = {_are_of_labels(cell, answers) for cell in cells}
    whose = ["a token of the targets"] * (ways != {True}) + ["the right label, among all labels,"] * (True in ways)
    return f"how much {', or '.join(whose)} surprises the model, in nats; 0 is not at all"


def _are_of_labels(cell: CellResult, answers: Answers | None) -> bool:
    """Return whether a cell was answered by labels, as far as its final runs tell."""
    runs = answers.cells[cell.id].runs if answers and cell.id in answers.cells else ()
    return any(bool(run) and run[0].probabilities is not None for run in runs)
