"""Scores of labels: of each word the mean log-probability of its tokens, of each label the best of its words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.data.choice_rows import Choice

__all__ = ["label_scores", "right_labels"]


def label_scores(logits: Tensor, choices: Sequence[Choice]) -> Tensor:
    """Return the score of every label of some choices, shape (choices, labels), float32; differentiable.

    Args:
        logits: Of the positions that predict the tokens behind the prompts, row after row; shape (positions,
            vocabulary), float32.
        choices: Whose rows these are, in this order.
    """
    places, tokens, words, slots, lengths = _entries(choices)
    labels = 1 + max(word.label for word in choices[0].words)
    on = logits.device
    found = logits.log_softmax(dim=-1)[torch.tensor(places, device=on), torch.tensor(tokens, device=on)]
    sums = found.new_zeros(len(slots)).index_add(0, torch.tensor(words, device=on), found)
    scores = found.new_full((len(choices) * labels,), -torch.inf)
    means = sums / torch.tensor(lengths, device=on)
    return scores.scatter_reduce(0, torch.tensor(slots, device=on), means, "amax").view(len(choices), labels)


def right_labels(choices: Sequence[Choice], device: torch.device) -> Tensor:
    """Return the place of each choice's own label, shape (choices,)."""
    return torch.tensor([choice.right for choice in choices], device=device)


def _entries(choices: Sequence[Choice]) -> tuple[list[int], list[int], list[int], list[int], list[int]]:
    """Return, of each token of each word, its position, its id and its word; of each word its label and its length.

    Labels are counted through all choices.
    """
    places, tokens, words = list[int](), list[int](), list[int]()
    slots, lengths = list[int](), list[int]()
    labels, start = 1 + max(word.label for word in choices[0].words), 0
    for number, choice in enumerate(choices):
        ends = [start := start + len(row.target) for row in choice.rows]
        for word in choice.words:
            places += range(ends[word.row] - len(word.tokens), ends[word.row])
            tokens += word.tokens
            words += [len(slots)] * len(word.tokens)
            slots.append(number * labels + word.label)
            lengths.append(len(word.tokens))
    return places, tokens, words, slots, lengths
