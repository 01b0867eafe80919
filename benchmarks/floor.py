"""Which matrix products a trial cannot avoid, and how long they take on this machine.

Counted for a causal model, per step, with every product in its very shape:

=====================  =============================================================================================
the frozen prefix      nothing: it gives the same numbers in every step of every trial
a trained matrix       forward, weight gradient, and input gradient where something before it trains
a frozen matrix        behind the cut: forward and input gradient (the head at ``last_blocks``)
attention              two products forward and four backward, half of each, since a position sees only earlier ones
head                   at label positions
last block             keys and values at all positions; queries, attention's output and feed-forward part at labels
validation             the same without gradients
=====================  =============================================================================================

Left out, though no trial can do without them: softmax, norms, activations, the optimizer, everything that moves memory
and makes no product. Labels stand at a row's end, so that each of their queries sees about all positions. The rival's
count has the same rules but for two: it runs the frozen prefix, and everything at all positions.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from support import Shape


class Size(NamedTuple):
    """The shape of a product of (rows, inner) and (inner, columns) matrices."""

    batch: int
    rows: int
    inner: int
    columns: int

    @property
    def operations(self) -> float:
        """Floating-point operations: a multiplication and an addition each."""
        return 2.0 * self.batch * self.rows * self.inner * self.columns


Products = dict[Size, float]
"""Products by shape, and how many of each; half a product is one of which half is needed."""


def step(shape: Shape, *, trained: int, rows: int, gradients: bool, whole: bool) -> Products:
    """Return the products of a step.

    Args:
        shape: The model and its examples.
        trained: The blocks that train, counted from the end; more than there are: everything (``full``).
        rows: Of a batch.
        gradients: Whether it trains; else it only takes the loss.
        whole: Whether the frozen prefix runs, and all positions everywhere: the rival's count.
    """
    found: Products = defaultdict(float)
    everything, first = trained > shape.blocks, max(0, shape.blocks - trained)
    positions, labels = rows * shape.tokens, rows * (shape.tokens if whole else shape.target)
    for block in range(0 if whole else first, shape.blocks):
        moves = gradients and block >= first
        below = moves and (block > first or everything)
        asked = labels if block == shape.blocks - 1 else positions
        queries, keys = Size(1, asked, shape.width, shape.width), Size(1, positions, shape.width, shape.key_width)
        for size in (queries, keys, keys):  # and values
            _count(found, size, weight=moves, inputs=below)
        for size in _behind_attention(shape, asked):
            _count(found, size, weight=moves, inputs=moves)
        attention = Size(rows * shape.heads, asked // rows, shape.width // shape.heads, shape.tokens)
        seen = 0.5 if asked == positions else 1.0
        found[attention] += seen * (6 if moves else 2)
    head = Size(1, labels, shape.width, shape.vocabulary)
    _count(found, head, weight=gradients and everything, inputs=gradients)
    return found


def _behind_attention(shape: Shape, positions: int) -> list[Size]:
    """Return a block's matrices that have trained ones before them wherever the block trains."""
    inward = 1 if shape.family == "gpt2" else 2
    return [
        Size(1, positions, shape.width, shape.width),
        *(inward * [Size(1, positions, shape.width, shape.inner)]),
        Size(1, positions, shape.inner, shape.width),
    ]


def _count(found: Products, size: Size, *, weight: bool, inputs: bool) -> None:
    _, rows, inner, columns = size
    found[size] += 1
    if weight:
        found[Size(1, inner, rows, columns)] += 1
    if inputs:
        found[Size(1, rows, columns, inner)] += 1


def trial(shape: Shape, *, trained: int, batch: int, examples: Sequence[int], epochs: int, whole: bool) -> Products:
    """Return the products of a whole trial: all its steps and validations.

    Args:
        shape: The model and its examples.
        trained: See `step`.
        batch: Rows of a batch, in training and validation.
        examples: How many there are for training and for validation.
        epochs: Passes.
        whole: See `step`.
    """
    found: Products = defaultdict(float)
    for number, gradients in zip(examples, (True, False), strict=True):
        for size, count in step(shape, trained=trained, rows=batch, gradients=gradients, whole=whole).items():
            found[size] += count * epochs * number / batch
    return found


class Machine:
    """How long products take here; each shape is measured once.

    Args:
        precision: ``fp32`` or ``bf16``.
        device: ``cpu`` or ``cuda``.
        ours: Whether the harness's library makes them, where it has its own (`harness.training.fast_matmul`), or
            torch's.
    """

    def __init__(self, precision: str, device: str, *, ours: bool) -> None:
        import torch

        from harness.training.fast_matmul import is_faster
        from harness.training.torch_compat import onednn_linear

        self._torch, self._device = torch, device
        chosen = ours and precision == "fp32" and device == "cpu" and is_faster()
        self._product = (lambda left, right: onednn_linear(left, right.t())) if chosen else torch.mm
        self._dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        self._known: dict[Size, float] = {}

    def seconds(self, products: Products) -> float:
        """Return how long products take, one after the other."""
        return sum(count * self._measured(size) for size, count in products.items())

    def _measured(self, size: Size, repeats: int = 7) -> float:
        """Return the median seconds of a product of random matrices."""
        if size not in self._known:
            left = self._random(size.batch, size.rows, size.inner)
            right = self._random(size.batch, size.inner, size.columns)
            multiply = self._torch.bmm
            if size.batch == 1:
                left, right, multiply = left[0], right[0], self._product
            times = []
            for _ in range(repeats + 2):
                start = time.perf_counter()
                multiply(left, right)
                if self._device == "cuda":
                    self._torch.cuda.synchronize()
                times.append(time.perf_counter() - start)
            self._known[size] = statistics.median(times[2:])
        return self._known[size]

    def _random(self, *sizes: int) -> Any:
        return self._torch.randn(sizes, device=self._device).to(self._dtype)


def operations(products: Products) -> float:
    """Return the floating-point operations of products."""
    return sum(count * size.operations for size, count in products.items())
