"""Few rows of each label: what of a training split a few-shot study uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from harness.core.errors import DataError
from harness.core.example import Example

__all__ = ["few_of_each"]


def few_of_each(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """Return so many examples of each target, in their order; a smaller count takes some of a larger one's.

    Args:
        examples: Of the training split.
        count: Of each target.
        seed: Decides which.

    Raises:
        DataError: There are fewer of one.
    """
    drawn = defaultdict[str, list[int]](list)
    for place in np.random.default_rng(seed).permutation(len(examples)).tolist():
        drawn[examples[place].target].append(place)
    for target, places in sorted(drawn.items()):
        if len(places) < count:
            rule = f"of the label {target!r} there are {len(places)} training rows; lower it, or add rows"
            raise DataError(f"data.per_label is {count}, but {rule}")
    return [examples[place] for place in sorted(place for places in drawn.values() for place in places[:count])]
