"""Floating-point operations, counted block by block as torch calls them.

What counts is matrix products, forward and backward, two operations for a multiplication and an addition (Kaplan et al.
2020, "Scaling Laws for Neural Language Models", section 2.1: about 2 per parameter and token forward, twice that
backward). They are not taken from that rule but counted as torch calls them, by `torch.utils.flop_counter`'s formulas:

* attention's own two products count over all pairs of positions, masked or not; kernels that compute the first again in
  the backward pass are charged for it;
* a weight that is frozen costs nothing backward, save where gradients pass through its product to what trains;
* padding counts, the head counts at label positions alone, and blocks that are replayed do not count;
* sums, norms, softmax, embeddings, optimizer steps and metrics are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.models.find_blocks import Part
from harness.training.fast_matmul import plain
from harness.training.torch_compat import FLOP_FORMULAS, TorchDispatchMode, operator

__all__ = ["Operations", "counted"]

Operations = NDArray[np.float64]
"""Operations inside each block, in the order of `harness.models.find_blocks.blocks`, and last those outside of all."""


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the operations of all that torch is asked for, by block."""

    def __init__(self, listed: Sequence[Part]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.parts: Operations = np.zeros(len(listed) + 1)
        self.place = len(listed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        formula = FLOP_FORMULAS.get(operator(func))
        if formula is not None:
            self.parts[self.place] += formula(*args, **(kwargs or {}), out_val=output)
        return output


@contextmanager
def counted(listed: Sequence[Part]) -> Iterator[Operations]:
    """Count the operations of what is done inside; those of a backward pass are counted as outside of blocks."""
    watch = _Counting(listed)

    def enter(place: int) -> Callable[..., None]:
        def hook(*args: object) -> None:
            watch.place = place

        return hook

    with ExitStack() as undo:
        for place, block in enumerate(listed):
            undo.enter_context(block.module.register_forward_pre_hook(enter(place)))
            undo.enter_context(block.module.register_forward_hook(enter(len(listed))))
        undo.enter_context(plain())
        undo.enter_context(watch)
        yield watch.parts
