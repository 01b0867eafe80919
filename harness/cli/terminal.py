"""What is printed: a console that shows no character of a study's texts as it is where that would act on a terminal."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from harness.core.printable import printable

__all__ = ["Terminal", "bear_every_sign", "out", "tell", "write_out"]

LONGEST = 20_000
"""Characters of a text that is printed; a message may quote a value of any length."""


class Terminal(Console):
    """A console on which `printable` texts alone appear, whatever they hold that rich would take for its markup."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)
        self.is_read = True
        """Whether its reader is there; told from the first line on that is printed for nobody."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Escape a text before it is measured, so that columns keep their width."""
        shown = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
        return super().render_str(printable(shown), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Escape what came as `Text`, ready-made."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))

    def on_broken_pipe(self) -> None:
        """Go on without a word: what a study does is not lost because somebody has read enough."""
        self.is_read = False
        _leave_unread(self.file)


def _leave_unread(output: IO[str]) -> None:
    """Send standard output or error nowhere from here on: whoever read it, `head` say, has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())


def write_out(text: str) -> bool:
    """Write a text for programs, at once, and nothing of a terminal's; return whether its reader was there."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_unread(sys.stdout)
        return False
    return True


def bear_every_sign() -> None:
    """Have signs that standard output's encoding lacks printed as escapes."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


out = Terminal(width=None if sys.stdout.isatty() else 120)
"""Where commands print."""


def tell(line: str) -> None:
    """Print a line, which the terminal may break."""
    out.print(line, soft_wrap=True)
