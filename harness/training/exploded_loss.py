"""Validation losses of weights that have exploded, even where they are still finite."""

from __future__ import annotations

import math
from collections.abc import Callable

from harness.core.errors import Diverged

__all__ = ["FAR", "refuse_exploded"]

FAR = 10.0
"""Nats a token. A validation loss that is further above both the untrained model's and guessing, log(vocabulary), is no
trained model's."""


def refuse_exploded(
    loss: float, step: int, *, guessing: float, own: Callable[[], float], untrained: Callable[[], float] | None
) -> None:
    """See that a loss on validation is one of a model that works; `own` and `untrained` are asked only in doubt.

    Args:
        loss: Of the model as it stands, in nats a token.
        step: The optimizer step that it was taken after, for the message.
        guessing: The loss of guessing.
        own: Gives the loss by the model's own probabilities, where ``loss`` is of calibrated ones; else the same.
        untrained: Gives that which training began with; ``None`` where nothing trains.

    Raises:
        Diverged: It is NaN or infinite, or where something trains by more than `FAR` above what it began with.
    """
    if not math.isfinite(loss):
        raise Diverged(loss, step, " on validation")
    if untrained is None or loss <= guessing + FAR:
        return
    loss, began = own(), untrained()
    if not loss <= max(guessing, began) + FAR:
        above = f"{began:.4g} of the untrained model and {guessing:.4g} of guessing"
        raise Diverged(loss, step, f" on validation, more than {FAR:g} nats a token above {above}")
