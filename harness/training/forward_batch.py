"""Forward batch: how many rows go through the model at a time, fewer from where memory runs out over more."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

from harness.core.failures import is_out_of_memory

__all__ = ["ForwardBatch"]

Result = TypeVar("Result")


class ForwardBatch:
    """The most rows that work of one kind takes at a time: all of a batch's, until memory runs out over them.

    What the rows of a batch come to is a sum or a list, so that parts of it come to the same, but for rounding.

    Args:
        divides: Whether that is so; else what does not fit is given up at once.
    """

    def __init__(self, *, divides: bool = True) -> None:
        self._divides = divides
        self.most: int | None = None
        """Rows at a time, where memory ran out over more."""

    def fitted(self, rows: int, work: Callable[[int], Result]) -> Result:
        """Do some work on a batch, from its beginning again with half as many rows at a time where memory runs out.

        Args:
            rows: Of the batch, or of the largest of several.
            work: Is told how many rows it may take at a time; what it has done is to be worthless where it fails.

        Raises:
            MemoryError: One row takes more than there is.
        """
        while True:
            size = min(rows, self.most or rows)
            try:
                return work(size)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            # Here, where the error is gone, and with it the frames that held what was computed.
            if size <= 1 or not self._divides:
                what = "not even one row at a time fits" if self._divides else "its loss takes whole batches alone"
                raise MemoryError(f"{what} ({reason})")
            self.most = -(-size // 2)
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
