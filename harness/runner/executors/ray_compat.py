"""Private parts of Ray that are called here."""

from __future__ import annotations

import ray._private.worker as internals

__all__ = ["keep_off_standard_output"]


def keep_off_standard_output() -> None:
    """Have a thread of Ray's print nothing: what machines publish, such as pages of the log of one that was lost.

    It takes no notice of ``log_to_driver=False``, and standard output is a program's to read.
    """
    internals.print_to_stdstream = lambda *arguments, **options: None
