"""A small server that answers as the Hub does, and processes that take it for the Hub."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

FILE = re.compile(r"/(?P<repo>(datasets/)?[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
FACTS = re.compile(
    r"/api/(models/|(?=datasets/))(?P<repo>(datasets/)?[^/]+/[^/]+)"
    r"(/(?P<what>revision|tree)/(?P<revision>[^/]+)(/(?P<path>.+))?)?"
)

INVALID = "Invalid credentials in Authorization header"
"""What the Hub says of a token that is none; it knows those of readers, and a stranger's."""


class Repo(NamedTuple):
    """What the Hub holds under one id."""

    commits: Mapping[str, Mapping[str, bytes]]
    """The files of every commit, by path."""

    refs: Mapping[str, str]
    """Branches and tags, to commits."""

    readers: frozenset[str] | None = None
    """The tokens that may read it; ``None``: everybody may."""

    gated: bool = False
    """Whether all may see that it is there, and what files it has; else it is private to its readers."""


class Hub(NamedTuple):
    """A running server."""

    url: str
    asked: list[str]
    """Method and path of every request, in order."""

    def sent(self, commit: str) -> list[str]:
        """Return the paths of a commit's files that were downloaded, sorted, each as often as it was."""
        parts = [request.partition(f"/resolve/{commit}/") for request in self.asked if request.startswith("GET ")]
        return sorted(path for _, found, path in parts if found)


class Answer(NamedTuple):
    """What goes back: content, or a Hub's reason for having none."""

    data: bytes = b""
    refusal: str | None = None
    commit: str | None = None
    status: int = 404
    """Of a refusal."""


@contextmanager
def serving(repos: Mapping[str, Repo]) -> Iterator[Hub]:
    """Serve models, under their ids, and data sets, under ``datasets/`` and theirs, from a free local port."""
    asked = list[str]()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            data, refusal, commit, status = _answer(repos, self.path, token)
            self.send_response(status if refusal else 200)
            kind = "X-Error-Message" if refusal == INVALID else "X-Error-Code"
            headers = {kind: refusal, "X-Repo-Commit": commit, "Content-Length": str(len(data))}
            if not refusal:
                headers["ETag"] = f'"{hashlib.sha256(data).hexdigest()}"'
            for key, value in headers.items():
                if value is not None:
                    self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Hub(f"http://127.0.0.1:{server.server_port}", asked)
    finally:
        server.shutdown()
        server.server_close()


def _answer(repos: Mapping[str, Repo], address: str, token: str) -> Answer:
    known = frozenset[str]().union(*(repo.readers or () for repo in repos.values()), {"stranger"})
    if token and token not in known:
        return Answer(refusal=INVALID, status=401)
    url = urlsplit(address)
    match = FILE.fullmatch(url.path) or FACTS.fullmatch(url.path)
    repo = repos.get(match["repo"]) if match else None
    is_closed = repo is not None and repo.readers is not None and token not in repo.readers
    if match is None or repo is None or (is_closed and not repo.gated):
        return Answer(refusal="RepoNotFound", status=404 if token else 401)
    revision = unquote(match["revision"] or "main")
    commit = repo.refs.get(revision, revision)
    if commit not in repo.commits:
        return Answer(refusal="RevisionNotFound")
    files, path = repo.commits[commit], unquote(match["path"] or "")
    if match.re is FILE and is_closed:
        return Answer(refusal="GatedRepo", status=403 if token else 401)
    if match.re is FILE:
        return Answer(files[path], commit=commit) if path in files else Answer(refusal="EntryNotFound", commit=commit)
    if match["what"] == "tree":
        recursive = parse_qs(url.query).get("recursive", [""])[0].lower() == "true"
        entries = _tree(files, path, recursive=recursive)
        return Answer(json.dumps(entries).encode()) if entries else Answer(refusal="EntryNotFound")
    siblings = [{"rfilename": name} for name in files]
    return Answer(
        json.dumps({"id": match["repo"].removeprefix("datasets/"), "sha": commit, "siblings": siblings}).encode()
    )


def _tree(files: Mapping[str, bytes], folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    """Return what is in a folder, as the Hub lists it."""
    start = f"{folder}/" if folder else ""
    entries: dict[str, dict[str, Any]] = {}
    for path, data in files.items():
        names = path.removeprefix(start).split("/")
        if not path.startswith(start):
            continue
        for depth in range(1, len(names) if recursive else min(len(names), 2)):
            parent = start + "/".join(names[:depth])
            entries[parent] = {"type": "directory", "path": parent, "oid": _oid(parent.encode())}
        if recursive or len(names) == 1:
            entries[path] = {"type": "file", "path": path, "size": len(data), "oid": _oid(data)}
    return list(entries.values())


def _oid(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def environment(cache: Path, **settings: str) -> dict[str, str]:
    """Return this process's variables but for the Hub's; the caches are in a folder of the test's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
    return {**kept, "HF_HOME": str(cache), "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1", **settings}


def answers(script: str, cases: Any, cache: Path, **settings: str) -> Any:
    """Run a script, whose argument is the cases and whose output is the answers, both JSON, where ``HF_...`` holds.

    The Hub's libraries read their settings when they are imported, hence a process of its own.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, json.dumps(cases)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env=environment(cache, **settings),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
