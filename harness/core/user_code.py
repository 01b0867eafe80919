"""Code of a user's file, a task or a loss: whatever it raises is told, and it neither ends a command nor moves it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from harness.core.errors import HarnessError, TaskError, UserError
from harness.core.failures import is_out_of_memory

__all__ = ["ended_at", "module_in", "user_code"]

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


def module_in(file: Path, what: str) -> ModuleType:
    """Run a Python file of it, and return its module, which stays known by its name: dataclasses look for theirs.

    Args:
        file: Its name ends in ``.py``.
        what: What it is of, a word: ``task``.

    Raises:
        TaskError: It raised something.
    """
    name = f"harness_{what}_{file.stem}"
    spec = spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        with user_code(f"{what} file {file} cannot be loaded: it", "correct it"):
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        if before is not None:
            sys.modules[name] = before
        raise
    return module


def ended_at(stop: SystemExit) -> str:
    """Return what to say of a command that some code ended by `sys.exit`."""
    frame = traceback.extract_tb(stop.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno} ended the command by sys.exit({stop.code!r}); raise an error there instead"
