"""What a served model is asked over real sockets: right answers, and a sentence for everything that is no question."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.data.template import Template
from harness.models.load import Loaded
from harness.serving.generator import Generator
from harness.serving.scoring_request import MOST_ROWS
from tests.support.model_folders import folder_of
from tests.support.served_model import Served, serving

TOKEN = "correct-horse"
SHOWN = f"Bearer {TOKEN}"
TEXTS = ["a short note", "the meeting moved", "room and note", "it is booked"]


@pytest.fixture(scope="module")
def model(tiny: Callable[..., Loaded], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tiny("gpt2"), tmp_path_factory.mktemp("served"), Template("bare", "{{ source }}\n", "source"))


@pytest.fixture(scope="module")
def said(model: Path) -> list[str | None]:
    return Generator(model)([{"source": text} for text in TEXTS])


@pytest.fixture(scope="module")
def served(model: Path) -> Iterator[Served]:
    """One server for all; in the end its screen is read."""
    with serving(model, env={"HARNESS_TOKEN": TOKEN}) as server:
        yield server
        assert server.process.poll() is None, "it is still there"
        server.process.terminate()
        out, err = server.process.communicate(timeout=20)
    assert server.process.returncode == 143
    for shown in (out, err):
        assert "Traceback" not in shown
        assert "\x1b" not in shown
        assert TOKEN not in shown
    assert [line for line in out.splitlines() if "failed" in line] == []


def records(*texts: Any) -> dict[str, Any]:
    return {"dataframe_records": [{"source": text} for text in texts]}


def refused(served: Served, body: Any, **headers: Any) -> tuple[int, str]:
    answer = served.ask(body, **{"authorization": SHOWN, **headers})
    assert set(answer.content) == {"error_code", "message"}
    message = answer.content["message"]
    assert "Traceback" not in message
    assert len(message) <= 2_000
    return answer.status, message


def test_every_form_gets_the_texts_that_the_model_says(served: Served, said: list[str | None]) -> None:
    rows = [{"source": text} for text in TEXTS]
    forms: list[Any] = [
        {"dataframe_records": rows},
        {"dataframe_split": {"columns": ["source"], "data": [[text] for text in TEXTS]}},
        {"inputs": TEXTS},
        {"inputs": {"source": TEXTS}},
        {"instances": rows},
    ]
    for form in forms:
        answer = served.ask(form, authorization=SHOWN)
        assert (answer.status, answer.content) == (200, {"predictions": said})
    lines = "source\n" + "".join(f"{text}\n" for text in TEXTS)
    answer = served.ask(lines.encode(), authorization=SHOWN, content_type="text/csv")
    assert answer.content == {"predictions": said}


def test_many_at_once_get_their_own_answers(served: Served, said: list[str | None]) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = [*pool.map(lambda text: served.ask(records(text), authorization=SHOWN), TEXTS * 3)]
    assert [answer.content["predictions"][0] for answer in answers] == said * 3


def test_health_and_version_are_told(served: Served) -> None:
    import mlflow

    for path in ("/ping", "/health", "/ping?x=1"):
        assert served.ask(b"", method="GET", path=path).status == 200
    assert served.ask(b"", method="GET", path="/version", authorization=SHOWN).body.decode() == mlflow.__version__
    assert served.ask(b"", method="GET", path="/version").status == 401


def test_malformed_rows_are_refused_by_number_or_skipped(served: Served, said: list[str | None]) -> None:
    mixed = records(TEXTS[0], " ", 5, None, float("nan"), *[""] * 4)
    status, message = refused(served, mixed)
    assert status == 400
    assert [f"row {number}: " in message for number in range(1, 8)] == [False, True, False, True, True, True, True]
    assert "it must not be empty" in message
    assert "and 2 more" in message
    answer = served.ask({**mixed, "params": {"on_error": "skip"}}, authorization=SHOWN)
    first, _, number, *others = answer.content["predictions"]
    assert (first, others) == (said[0], [None] * 6)
    assert number == served.ask(records("5"), authorization=SHOWN).content["predictions"][0]
    status, message = refused(served, {"dataframe_records": [{"sauce": "a"}]})
    assert (status, "did you mean 'sauce'" in message) == (400, True)


def test_half_a_character_is_refused_and_control_characters_are_text(served: Served) -> None:
    status, message = refused(served, b'{"inputs": ["a \\ud800"]}')
    assert status == 400
    assert "half of a character" in message
    assert served.ask(records("a\x1b[31m\x00\x07 \u202e"), authorization=SHOWN).status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 200_000, 400),
        (b'{"inputs":' * 200_000, 400),
        (b'{"inputs": [' + b"9" * 10_000 + b"]}", 400),
        (b'{"inputs": NaN}', 400),
        (b'{"messages": [{"role": "user", "content": "hi"}]}', 400),
        (b'{"dataframe_records": [' + b"{}," * 500 + b"{}]}", 400),
        (b'{"dataframe_records": [{"' + b"x" * 1_000_000 + b'": "a"}]}', 400),
        (json.dumps({"dataframe_records": [{f"c{i}": 1 for i in range(100)}] * 1_000}).encode(), 400),
        (json.dumps(records(*["a"] * (MOST_ROWS + 1))).encode(), 413),
        (json.dumps(records(*["a"] * 20_000)).encode(), 413),
        (b" " * 9_000_000, 413),
    ],
    ids=lambda value: str(value[:20]) if isinstance(value, bytes) else None,
)
def test_bodies_that_are_no_question_are_refused(served: Served, body: bytes, status: int) -> None:
    assert refused(served, body)[0] == status


def test_too_much_is_told_its_limit_and_the_remedy(served: Served) -> None:
    for body, limit in ((records(*["a"] * 20_000), "1,000 rows"), (b" " * 9_000_000, "8,388,608 bytes")):
        status, message = refused(served, body)
        assert status == 413
        assert limit in message
        assert "harness predict" in message


@pytest.mark.parametrize(
    ("headers", "status", "says"),
    [
        ({"content_type": None}, 415, "Content-Type is missing"),
        ({"content_type": "text/plain"}, 415, "must be application/json"),
        ({"content_type": "application/vnd.apache.parquet"}, 415, "must be application/json"),
        ({"content_type": "application/json; charset=utf-16"}, 415, "UTF-8"),
        ({"content_encoding": "gzip"}, 415, "Content-Encoding 'gzip'"),
        ({"host": "evil.example"}, 421, "'evil.example'"),
        ({"host": "127.0.0.1.evil.example"}, 421, "evil.example"),
        ({"host": "10.0.0.1"}, 421, "10.0.0.1"),
        ({"host": "localhost@evil.example"}, 421, "evil.example"),
        ({"host": ""}, 421, "Host"),
        ({"origin": "http://evil.example"}, 403, "'http://evil.example'"),
        ({"origin": "null"}, 403, "'null'"),
        ({"origin": "http://[::1"}, 403, "Origin"),
        ({"authorization": None}, 401, "Authorization: Bearer"),
        ({"authorization": "Bearer"}, 401, "HARNESS_TOKEN"),
        ({"authorization": "Bearer wrong"}, 401, "HARNESS_TOKEN"),
        ({"authorization": f"Basic {TOKEN}"}, 401, "HARNESS_TOKEN"),
        ({"authorization": f"Bearer {TOKEN[:-1]}"}, 401, "HARNESS_TOKEN"),
        ({"authorization": "Bearer \xe9\xff"}, 401, "HARNESS_TOKEN"),
        ({"path": "/"}, 404, "/invocations"),
        ({"path": "/invocations/%1b[31m"}, 404, "known: /invocations"),
        ({"path": "http://evil.example/invocations"}, 404, "known"),
        ({"method": "GET"}, 405, "answers POST"),
        ({"method": "OPTIONS"}, 405, "answers POST"),
        ({"method": "TRACE"}, 405, "answers POST"),
        ({"method": "POST", "path": "/ping"}, 405, "answers GET"),
        ({"x": "y" * 40_000}, 431, "16,384 bytes"),
    ],
    ids=str,
)
def test_callers_and_headers_are_seen_before_the_body(
    served: Served, headers: dict[str, str], status: int, says: str
) -> None:
    found, message = refused(served, records("a"), **headers)
    assert found == status
    assert says in message
    assert TOKEN not in message


def test_names_of_this_machine_are_answered(served: Served) -> None:
    for host in ("localhost", f"LOCALHOST:{served.port}", "127.0.0.1", "127.0.0.2:9", "[::1]:80"):
        assert served.ask(records("a"), authorization=SHOWN, host=host, origin=f"http://{host}").status == 200


def test_a_compressed_body_is_not_unpacked(served: Served) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert refused(served, bomb, content_encoding="gzip")[0] == 415
    assert refused(served, bomb)[0] == 400


def test_memory_stays_after_a_hundred_megabytes(served: Served) -> None:
    import psutil

    process = psutil.Process(served.process.pid)
    before = process.memory_info().rss
    rows = b'{"source":"a"},' * 7_000_000
    assert refused(served, b'{"dataframe_records":[' + rows + b'{"source":"a"}]}')[0] == 413
    dense = b'{"inputs":[' + b"[]," * 2_700_000 + b"[]]}"
    assert refused(served, dense)[0] == 413
    assert process.memory_info().rss - before < 600_000_000
    assert process.children() == []


def test_a_thousand_rows_are_answered(served: Served, said: list[str | None]) -> None:
    answer = served.ask(records(*TEXTS * (MOST_ROWS // 4)), authorization=SHOWN)
    assert answer.content == {"predictions": said * (MOST_ROWS // 4)}
