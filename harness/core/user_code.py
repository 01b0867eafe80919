"""Code of a user's task file: whatever it raises is told, and it can neither end the command nor move it elsewhere."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from harness.core.errors import HarnessError, TaskError, UserError
from harness.core.failures import is_out_of_memory

__all__ = ["ended_at", "user_code"]

ANYTHING = (Exception, SystemExit, GeneratorExit)
"""Errors, and what ends a command without being one; Ctrl-C stays what it is."""


@contextmanager
def user_code(what: str, remedy: str, error: type[UserError] = TaskError) -> Iterator[None]:
    """Run a piece of it; the working folder and the command's arguments are the same afterwards.

    Args:
        what: How messages call it.
        remedy: What messages advise.
        error: What is raised.

    Raises:
        UserError: It raised something, or would have ended the command, status 0 and not a word.
    """
    folder, arguments = os.getcwd(), [*sys.argv]
    try:
        yield
    except HarnessError:
        raise
    except ANYTHING as raised:
        if is_out_of_memory(raised):  # no fault of the code: a run fails alone by it
            raise
        raise error(f"{what} raised {type(raised).__name__}: {raised}; {remedy}") from raised
    finally:
        os.chdir(folder)
        sys.argv[:] = arguments


def ended_at(stop: SystemExit) -> str:
    """Return what to say of a command that some code ended by `sys.exit`."""
    frame = traceback.extract_tb(stop.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno} ended the command by sys.exit({stop.code!r}); raise an error there instead"
