"""Loading by Hub id, from a small server that answers as the Hub does; each case in a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest

from harness.models.load import load

COMMIT = "0123456789abcdef0123456789abcdef01234567"

SCRIPT = """
import json, sys
from harness.errors import ModelError
from harness.models.describe import describe
from harness.models.load import load
answers = []
for name, revision in json.loads(sys.argv[1]):
    try:
        loaded = load(name, revision=revision)
        answers.append([loaded.digest, loaded.commit, describe(name, revision).blocks])
    except ModelError as error:
        answers.append(str(error))
print(json.dumps(answers))
"""


class Hub(NamedTuple):
    url: str
    asked: list[str]


@pytest.fixture
def hub(tiny_folder: Callable[..., Path]) -> Iterator[Hub]:
    """A Hub with one model, ``org/tiny``, at one commit, which is its branch ``main`` and its tag ``v1``."""
    folder, asked = tiny_folder("llama"), list[str]()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            name, _, rest = self.path.lstrip("/").partition("/resolve/")
            revision, _, file = rest.partition("/")
            if name.startswith("api/models/org/tiny/tree/"):  # a folder of chat templates, which it lacks
                self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            elif name == "org/tiny" and revision not in {"main", "v1", COMMIT}:
                self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
            elif name != "org/tiny":
                self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
            elif not (folder / file).is_file():
                self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            else:
                data = (folder / file).read_bytes()
                etag = f'"{hashlib.sha256(data).hexdigest()}"'
                self._send(200, data, {"ETag": etag, "X-Repo-Commit": COMMIT})

        do_HEAD = do_GET

        def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    yield Hub(f"http://127.0.0.1:{server.server_port}", asked)
    server.shutdown()
    server.server_close()


def ask(cases: list[tuple[str, str | None]], cache: Path, **environment: str) -> list[object]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(cases)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**kept, "HF_HOME": str(cache), "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1", **environment},
    )
    assert done.returncode == 0, done.stderr
    answers: list[object] = json.loads(done.stdout)
    return answers


def test_a_model_on_the_hub(hub: Hub, tiny_folder: Callable[..., Path], tmp_path: Path) -> None:
    cases = [("org/tiny", None), ("org/tiny", "v1"), ("org/tiny", "v2"), ("org/nothing", None)]
    main, tag, revision, missing = ask(cases, tmp_path, HF_ENDPOINT=hub.url)

    assert main == tag == [load(str(tiny_folder("llama"))).digest, COMMIT, 3]
    assert str(revision).startswith("model org/tiny: has no revision 'v2'; name a branch, tag or commit")
    assert str(missing).startswith("model org/nothing: no such folder, and the Hub has no such model, or a private one")
    # Whatever was asked for by name, weights and tokenizer come from the commit that the configuration came from.
    assert {path for path in hub.asked if "/resolve/" in path and COMMIT not in path} == {
        "/org/tiny/resolve/main/config.json",
        "/org/tiny/resolve/v1/config.json",
        "/org/tiny/resolve/v2/config.json",
        "/org/nothing/resolve/main/config.json",
    }
    cached, missing = ask([("org/tiny", None), ("org/other", None)], tmp_path, HF_HUB_OFFLINE="1")
    assert cached == main
    assert str(missing).startswith("model org/other: no such folder, not in the local Hub cache, and the Hub cannot be")
