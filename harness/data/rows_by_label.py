"""Training rows by label: few of each for a few-shot study, or of each its share of a size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from harness.core.errors import DataError
from harness.core.example import Example
from harness.data.data_keys import Draw
from harness.data.mixtures import mixed

__all__ = ["drawn_by_label"]


def drawn_by_label(examples: Sequence[Example], draw: Draw) -> list[Example]:
    """Return the examples of a draw, in their order; a smaller one of the same seed takes some of a larger one's.

    Args:
        examples: Of the training split; targets are labels.
        draw: So many of each label; or so many of all, of which each label has its share within one row. Then rows that
            belong together are drawn one after the other. Of no number they are all.

    Raises:
        DataError: There are fewer.
    """
    if draw.per_label is not None:
        return _few_of_each(examples, draw.per_label, draw.seed)
    if draw.train is None:
        return list(examples)
    if draw.train > len(examples):
        raise DataError(f"data.train is {draw.train}, but there are {len(examples)} rows; lower it")
    places = defaultdict[str, list[int]](list)
    for place, example in enumerate(examples):
        places[example.target].append(place)
    labels = sorted(places)
    groups = {label: [examples[place].group for place in places[label]] for label in labels}
    drawn = mixed(groups, {label: len(places[label]) for label in labels}, draw.seed, draw.train)
    return [examples[place] for place in sorted(places[label][number] for label, number in drawn.rows)]


def _few_of_each(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    drawn = defaultdict[str, list[int]](list)
    for place in np.random.default_rng(seed).permutation(len(examples)).tolist():
        drawn[examples[place].target].append(place)
    for target, places in sorted(drawn.items()):
        if len(places) < count:
            rule = f"of the label {target!r} there are {len(places)} training rows; lower it, or add rows"
            raise DataError(f"data.per_label is {count}, but {rule}")
    return [examples[place] for place in sorted(place for places in drawn.values() for place in places[:count])]
