"""Whoever reads a command's output may have read enough: no word, and no failure."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.core.python_child import child_environment, python


@pytest.mark.parametrize("command", [("tasks",), ("schema",), ("list",), ("list", "--json")], ids=" ".join)
def test_a_reader_that_has_gone_is_no_failure(command: tuple[str, ...], tmp_path: Path) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(python("-m", "harness", *command), cwd=tmp_path, env=child_environment(), **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


def test_a_reader_of_errors_that_has_gone_takes_no_results_along(tmp_path: Path) -> None:
    """Messages for people beside events for programs, as of ``harness run --json``: each has its own reader."""
    said = (
        "from harness.cli.terminal import *; [Terminal(stderr=True).print(n) for n in range(3)]; write_out('event\\n')"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(python("-c", said), cwd=tmp_path, env=child_environment(), **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.close()
        assert process.stdout.read() == "event\n"
        assert process.wait(timeout=60) == 0
