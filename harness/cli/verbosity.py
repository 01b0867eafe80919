"""How much a command says: ``-v`` and ``-q``, by the logger ``harness``, and who watches what a command does."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from harness.cli.terminal import Terminal
from harness.core.logged_progress import LOGGER, LoggedProgress
from harness.core.passwords import masked
from harness.core.progress import Progress

__all__ = ["be_quiet", "be_verbose", "is_quiet", "say_as_usual", "watched"]


class _ToStandardError(logging.Handler):
    """Prints a line with the time, without passwords, and shows no character that a terminal would act on."""

    def emit(self, record: logging.LogRecord) -> None:
        line = masked(self.format(record), os.environ.get("MLFLOW_TRACKING_URI", ""))
        Terminal(stderr=True).print(line, soft_wrap=True)


def say_as_usual() -> None:
    """Have the logger say warnings alone, whatever an earlier command of this process was told."""
    LOGGER.setLevel(logging.NOTSET)
    for handler in [handler for handler in LOGGER.handlers if isinstance(handler, _ToStandardError)]:
        LOGGER.removeHandler(handler)


def be_verbose() -> None:
    """Have the logger say what is done, on standard error."""
    say_as_usual()
    handler = _ToStandardError()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)


def be_quiet() -> None:
    """Have nothing said but errors and results."""
    say_as_usual()
    LOGGER.setLevel(logging.ERROR)


def is_quiet() -> bool:
    """Return whether nothing but errors and results is to be said."""
    return LOGGER.level >= logging.ERROR


@contextmanager
def watched(console: Console, *, events: bool = False) -> Iterator[Progress]:
    """Watch what a command does: on the console, or on standard error beside events, unless it is to be quiet."""
    from harness.runner.progress_display import PlainProgress, progress_on  # numpy, which `--help` does without

    if is_quiet():
        yield LoggedProgress(Progress())
    elif events:
        lines = PlainProgress(Terminal(stderr=True))
        with lines.beating():
            yield LoggedProgress(lines)
    else:
        with progress_on(console) as progress:
            yield LoggedProgress(progress)
