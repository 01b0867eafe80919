"""``harness`` and ``python -m harness``: the command in a process of its own, which hears signals from the start."""

from __future__ import annotations

import harness
from harness.core.python_child import leave_working_folder

leave_working_folder(harness.__file__)  # whatever is imported from here on is not to come from the working folder

import signal  # noqa: E402

from harness.core import interrupts  # noqa: E402

__all__ = ["main"]


def main() -> None:
    """Run the command; signals are noted while it is imported, and end the process where nothing is left to close."""
    try:
        with interrupts.listening():
            from harness.cli.main import main as command

            command()
    finally:
        for number in interrupts.SIGNALS:  # else Python may drop what comes while it ends itself
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    main()
