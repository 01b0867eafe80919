"""Pages of documentation as programs: their blocks, and a folder in which a page is done as its reader does it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

__all__ = ["ROOT", "Block", "Reader", "anchors", "blocks_of", "links_of"]

ROOT = Path(__file__).parents[2]

SERVER, NETWORK = "in another terminal", "needs the network"

FENCE = re.compile(r'^```(?P<language>[a-z]*)(?: title="(?P<title>[^"]+)")?\n(?P<code>.*?)^```$', re.M | re.S)
HEADING = re.compile(r"^#+ (.*)$", re.M)
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)")

DRIVER = """\
import json, sys
names = {"__name__": "__main__"}
for line in sys.stdin:
    file = json.loads(line)
    exec(compile(open(file, encoding="utf-8").read(), file, "exec"), names)
    print("\\0", flush=True)
"""


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    title: str
    code: str
    line: int

    @property
    def kind(self) -> str:
        """``file``, ``server``, ``bash``, ``python``, ``pycon`` (a doctest), ``shown`` (not run), or ``unknown``."""
        if self.title == NETWORK or self.language == "text":
            return "shown"
        if self.title == SERVER:
            return "server" if self.language == "bash" else "unknown"
        if self.title:
            return "file" if self.language and re.fullmatch(r"[\w./-]+\.\w+", self.title) else "unknown"
        return self.language if self.language in ("bash", "python", "pycon") else "unknown"


def blocks_of(text: str) -> list[Block]:
    """Return the blocks of a page, in order."""
    return [
        Block(found["language"], found["title"] or "", found["code"], text.count("\n", 0, found.start()) + 1)
        for found in FENCE.finditer(text)
    ]


def links_of(text: str) -> list[tuple[str, str]]:
    """Return a page's relative links, outside of its blocks: path and anchor, either may be empty."""
    return [(path, anchor) for path, anchor in LINK.findall(FENCE.sub("", text)) if path or anchor]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as Python-Markdown's ``toc`` makes them."""
    titles = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title) for title in HEADING.findall(FENCE.sub("", text))]
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


class Reader:
    """Does the blocks of a page in order, in one folder, with one Python and with servers beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "page"
        self.folder.mkdir()
        self.missing: list[str] = []
        """Programs of servers that are not installed here."""
        self._scripts = folder
        self._python: subprocess.Popen[str] | None = None
        self._servers: list[subprocess.Popen[bytes]] = []
        own = {"MLFLOW_TRACKING_URI", "HARNESS_HOME", "COLUMNS"}
        self._env = {name: value for name, value in os.environ.items() if name not in own} | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }

    @classmethod
    @contextmanager
    def at(cls, folder: Path) -> Iterator[Reader]:
        """Begin in an empty folder, and stop in the end what was started."""
        reader = cls(folder)
        try:
            yield reader
        finally:
            reader._stop()

    def do(self, block: Block) -> None:
        """Do what a reader does with a block."""
        match block.kind:
            case "file":
                file = self.folder / block.title
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.code, encoding="utf-8")
            case "bash":
                self._bash(block)
            case "python":
                self._run_python(block)
            case "server":
                self._serve(block)

    def _bash(self, block: Block) -> None:
        done = subprocess.run(
            ["bash", "-e", "-c", block.code],
            cwd=self.folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, f"line {block.line}:\n{block.code}\n{done.stdout}\n{done.stderr}"

    def _run_python(self, block: Block) -> None:
        """Run it in the page's process, from a file of its own, so that functions have a source."""
        if self._python is None:
            with (self._scripts / "python.err").open("w") as errors:
                self._python = subprocess.Popen(
                    [sys.executable, "-c", DRIVER],
                    cwd=self.folder,
                    env=self._env,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                )
        script = self._scripts / f"line_{block.line}.py"
        script.write_text(block.code, encoding="utf-8")
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        self._python.stdin.write(json.dumps(str(script)) + "\n")
        self._python.stdin.flush()
        for line in self._python.stdout:
            if line == "\0\n":
                return
        raise AssertionError(f"line {block.line}:\n{block.code}\n{(self._scripts / 'python.err').read_text()}")

    def _serve(self, block: Block) -> None:
        program = block.code.rpartition("&& ")[2].split()[0]
        if shutil.which(program, path=self._env["PATH"]) is None:
            self.missing.append(program)
            return
        said = self._scripts / f"server_{block.line}.txt"
        with said.open("wb") as file:
            server = subprocess.Popen(
                ["bash", "-e", "-c", block.code],
                cwd=self.folder,
                env=self._env,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._servers.append(server)
        end = time.monotonic() + 120
        while not _answers(said.read_text(encoding="utf-8", errors="replace")):
            assert server.poll() is None, f"line {block.line}: it ended\n{said.read_text()}"
            assert time.monotonic() < end, f"line {block.line}: no answer\n{said.read_text()}"
            time.sleep(0.2)

    def _stop(self) -> None:
        if self._python is not None:
            self._python.kill()
            self._python.communicate()
        for server in self._servers:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def _answers(said: str) -> bool:
    found = re.search(r"http://[\w.]+:\d+", said)
    if found is None:
        return False
    try:
        urllib.request.urlopen(found[0], timeout=10).close()
    except urllib.error.HTTPError:
        return True  # it speaks, though it has nothing at the root
    except OSError:
        return False
    return True
