"""How a command ends: what is told of its failure, and its exit status."""

from __future__ import annotations

import io
import os
import sys
import traceback
from contextlib import suppress
from typing import Any

import typer

from harness.cli.terminal import Terminal, write_out
from harness.core import interrupts
from harness.core.errors import HarnessError, UserError
from harness.core.failures import explained
from harness.core.passwords import masked
from harness.core.scratch import scratch
from harness.core.user_code import ended_at

__all__ = ["NAME", "exit_status"]

NAME = "harness"
"""The command's, however it was started."""

INTERRUPTED = 130
"""What typer returns in place of Ctrl-C's exception."""


def exit_status(app: typer.Typer) -> int:
    """Run the command line of this process, tell how it failed, if it did, and return its status.

    0 done, 2 the user must change something, 130 or 143 after a signal, 1 anything else.
    """
    try:
        interrupts.check()  # it was being imported
        with scratch():
            status = app(standalone_mode=False, prog_name=NAME) or 0
        write_out("")  # a full disk may show no earlier
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except SystemExit as stop:  # of a task, a metric or a library: it would be status 0 without a word
        interrupts.arrived()
        _complain(ended_at(stop))
        return 2
    except Exception as error:
        interrupts.arrived()
        if hasattr(error, "exit_code"):
            error.show(usage := io.StringIO())  # type: ignore[attr-defined]  # a usage error of the command line
            _complain(usage.getvalue().rstrip())
            return int(error.exit_code)
        told = error if isinstance(error, HarnessError) else explained(error)
        if told is None and not interrupts.status():
            sys.excepthook = _without_passwords  # typer has put its own there
            raise
        if told is not None:
            _complain(str(told))
            return interrupts.status() or (2 if isinstance(told, UserError) else 1)
        status = INTERRUPTED  # in a callback of a library, which made another error of it
    if status != INTERRUPTED:
        return interrupts.status() or status
    interrupts.arrived()
    _complain("interrupted; the same command goes on from here")
    return interrupts.status() or INTERRUPTED


def _without_passwords(*error: Any) -> None:
    sys.stderr.write(masked("".join(traceback.format_exception(*error)), os.environ.get("MLFLOW_TRACKING_URI", "")))


def _complain(message: str) -> None:
    message = masked(message, os.environ.get("MLFLOW_TRACKING_URI", ""))
    with suppress(OSError):  # whoever listened has gone, or its disk is full
        Terminal(stderr=True).print(message, style="red", soft_wrap=True)
