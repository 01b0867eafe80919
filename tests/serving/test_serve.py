"""A study's best model over HTTP: the same texts as `harness predict` and as in this process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.core.mlflow_server_process import free_port
from harness.serving.generator import Generator
from tests.support.study_fixture import WORDS, Place, Places

pytestmark = pytest.mark.slow

SETTINGS = (
    *("prompts=[bare]", "search.trials=1", "search.metric=perplexity", "final.seeds=[5]"),
    "generation.max_new_tokens=10",
)
TUNED = {
    "gpt2": ("tuning=[none, head]", "search.learning_rate={low: 3.0e-2, high: 3.3e-2}", "training.epochs=3"),
    "t5": ("tuning=[none, full]", "search.learning_rate={low: 3.0e-3, high: 3.3e-3}", "training.epochs=12"),
}
"""What makes a tiny random model say many different things."""

TEXTS = [" ".join(WORDS[(i * 5 + j * (1 + i % 4)) % len(WORDS)] for j in range(2 + i % 17)) for i in range(50)]


@pytest.fixture(scope="module", params=["gpt2", "t5"])
def done(request: pytest.FixtureRequest, places: Places) -> Place:
    place = places(request.param)
    place.run(*(part for each in (*SETTINGS, *TUNED[request.param]) for part in ("--set", each)))
    lines = [json.dumps({"id": i, "source": text}) for i, text in enumerate(TEXTS)]
    (place.folder / "in.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return place


@pytest.fixture(scope="module")
def said(done: Place) -> list[str]:
    shown = done.command("predict", "models:/tiny@champion", "--input", "in.jsonl", "--output", "out.jsonl")
    assert shown.status == 0, shown.err
    return [json.loads(line)["prediction"] for line in (done.folder / "out.jsonl").read_text().splitlines()]


def ask(address: str, body: Any) -> Any:
    request = urllib.request.Request(
        f"{address}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read())["predictions"]


@contextlib.contextmanager
def mlflow_serves(place: Place) -> Iterator[str]:
    """Serve with MLflow's own command, as anyone would."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/tiny@champion"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    server = subprocess.Popen(
        [*command, "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)],
        cwd=place.folder,
        env={**os.environ, "MLFLOW_TRACKING_URI": place.uri, "PATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + 300
    try:
        while True:
            assert time.monotonic() < end
            assert server.poll() is None
            try:
                urllib.request.urlopen(f"{address}/ping", timeout=2).close()
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=60)


def test_fifty_requests_say_what_predict_and_this_process_say(done: Place, said: list[str]) -> None:
    (model,) = done.client().search_logged_models([done.runs()[0].info.experiment_id])
    here = Generator(Path(model.artifact_location.removeprefix("file://")))
    assert [here([{"source": text}])[0] for text in TEXTS] == said
    assert len(set(said)) > 10
    with mlflow_serves(done) as address:
        with ThreadPoolExecutor(8) as pool:  # one model, asked by many at once
            answers = list(pool.map(lambda text: ask(address, {"inputs": [text]}), TEXTS))
        assert answers == [[text] for text in said]
        assert ask(address, {"dataframe_records": [{"source": text} for text in TEXTS]}) == said
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(address, {"dataframe_records": [{"source": "a"}, {"source": " "}, {"source": "\n"}]})
        assert refused.value.code == 400
        message = refused.value.read().decode()
        assert "row 2: example" in message
        assert "row 3: example" in message
        mixed = [{"source": TEXTS[0]}, {"source": " "}, {"source": TEXTS[1]}]
        skipping = {"dataframe_records": mixed, "params": {"on_error": "skip"}}
        assert ask(address, skipping) == [said[0], None, said[1]]
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(address, {"dataframe_records": mixed, "params": {"on_error": "ignore"}})
        assert refused.value.code == 400
        assert "on_error is 'ignore'; it must be stop or skip" in refused.value.read().decode()
        assert ask(address, {"inputs": [TEXTS[0]]}) == said[:1]  # and it goes on


def test_harness_serve_answers_and_stops(done: Place, said: list[str]) -> None:
    server = done.process("serve", "tiny", env={"MLFLOW_TRACKING_URI": done.uri})
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1].removesuffix("/invocations")
        example = server.stdout.readline()
        assert ask(address, {"dataframe_records": [{"source": text} for text in TEXTS[:5]]}) == said[:5]
        shown = subprocess.run(example, shell=True, capture_output=True, text=True, check=True)  # as it is printed
        assert len(json.loads(shown.stdout)["predictions"]) == 1
    finally:
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=90)
    assert server.returncode == 130, err
    assert "stopped" in out
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{address}/ping", timeout=2)
