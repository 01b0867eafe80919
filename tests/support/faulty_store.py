"""A tracking server in memory, and a way to any server on which requests, answers and processes get lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import strategies as st

from harness.core.errors import StoreAway
from harness.tracking.mlflow.write_run import ENTRIES, TOTAL
from harness.tracking.schema import Tags

FAULTS = ("none", "unheard", "answer lost", "killed before", "killed after")
"""What happens to a request."""


class Store:
    """A store in memory that treats what is said twice as MLflow does: a second start is a second run."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}

    def start(self, content: Mapping[str, Any]) -> str:
        name = f"server-{len(self.runs)}"
        said = {"tags": dict(content["tags"]), "name": content["name"], "status": "RUNNING"}
        held = {"params": {}, "points": set(), "texts": {}, "inputs": set()}
        self.runs[name] = {**said, **held, "times": [content["time"]]}
        return name

    def find(self, key: str) -> str | None:
        return next((name for name, run in self.runs.items() if run["tags"][Tags.RECORD] == key), None)

    def log(self, run: str, content: Mapping[str, Any]) -> None:
        assert len(content["params"]) <= ENTRIES
        assert len(content["tags"]) <= ENTRIES
        assert sum(map(len, content.values())) <= TOTAL
        held = self.runs[run]
        assert all(held["params"].get(key, value) == value for key, value in content["params"].items())
        held["params"] |= content["params"]
        held["tags"] |= content["tags"]
        held["points"] |= {tuple(point) for point in content["metrics"]}

    def update(self, run: str, content: Mapping[str, Any]) -> None:
        self.runs[run] |= {key: value for key, value in content.items() if key != "time"}
        self.runs[run]["times"] = [*self.runs[run]["times"][:1], *([content["time"]] if "time" in content else [])]

    def text(self, run: str, content: Mapping[str, Any]) -> None:
        self.runs[run]["texts"][content["file"]] = content["text"]

    def inputs(self, run: str, content: Mapping[str, Any]) -> None:
        self.runs[run]["inputs"] |= {json.dumps(used) for used in content["used"]}

    def said(self) -> list[dict[str, Any]]:
        """Return all runs, in the order in which they were started, with parents by name."""
        names = {name: run["name"] for name, run in self.runs.items()}
        found = []
        for run in self.runs.values():
            tags = {key: value for key, value in run["tags"].items() if key != Tags.RECORD}
            if Tags.PARENT in tags:
                tags[Tags.PARENT] = names[tags[Tags.PARENT]]
            found.append({**run, "tags": tags})
        return found


class Killed(BaseException):
    """Ends the thread that sends, as SIGKILL ends a process."""


@pytest.fixture
def killed_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    told = threading.excepthook
    quiet = lambda lost: None if lost.exc_type is Killed else told(lost)  # noqa: E731
    monkeypatch.setattr(threading, "excepthook", quiet)


class Faulty:
    """A way to a server on which requests and answers get lost, and on which processes die."""

    def __init__(self, server: Any, faults: Iterator[str]) -> None:
        self._server, self._faults = server, faults

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._server, name)

        def faulty(*arguments: Any) -> Any:
            fault = next(self._faults, "none")
            if fault == "unheard":
                raise StoreAway("away", "unheard")
            if fault == "killed before":
                raise Killed
            answer = call(*arguments)
            if fault == "answer lost":
                raise StoreAway("away", "answer lost")
            if fault == "killed after":
                raise Killed
            return answer

        return faulty


runs = st.integers(0, 3)
words = st.sampled_from("abcdef")
deeds = st.one_of(
    st.tuples(st.just("start"), st.integers(-1, 3)),
    st.tuples(st.just("params"), runs, words),
    st.tuples(st.just("tags"), runs, words),
    st.tuples(st.just("points"), runs, st.integers(1, 900)),
    st.tuples(st.just("text"), runs, words),
    st.tuples(st.just("inputs"), runs, words),
    st.tuples(st.just("end"), runs),
    st.tuples(st.just("rename"), runs, words),
    st.tuples(st.just("kill")),
)
