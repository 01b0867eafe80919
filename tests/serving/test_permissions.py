"""A stored model runs no code of its own, whatever its files say: the person at the keyboard allows it."""

from __future__ import annotations

import json
import shutil
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.permissions import Permissions
from harness.data.template import Template
from harness.models.load import Loaded
from harness.serving.generator import Generator
from tests.support.canary import Canaries
from tests.support.model_folders import folder_of
from tests.support.models_with_code import bring_code, bring_pickles, bring_tokenizer_code, sign_again
from tests.support.study_fixture import Place, Places

ROW = json.dumps({"source": "a short note"})


@pytest.fixture
def place(places: Places, tiny: Callable[..., Loaded]) -> Place:
    """A folder with a stored model in it, named by ``stored``."""
    place = places(store=False)
    folder_of(tiny("gpt2"), place.folder / "stored", Template("bare", "{{ source }}\n", shorten="source"))
    (place.folder / "in.jsonl").write_text(f"{ROW}\n")
    return place


def predict(place: Place, *more: str) -> tuple[int, str]:
    done = place.command("predict", "stored", "--input", "in.jsonl", "--output", "out.jsonl", *more)
    return done.status, done.err


def test_predict_asks_the_person_and_not_the_folder(place: Place, tmp_path: Path) -> None:
    canaries, stored = Canaries(tmp_path / "sang"), place.folder / "stored"
    plain = Generator(stored)([json.loads(ROW)])
    bring_code(stored, canaries)
    sign_again(stored, trust_remote_code=True, allow_pickle=True)
    status, said = predict(place)
    assert (status, canaries.sang()) == (2, [])
    assert "of a stored model say --trust-remote-code or HARNESS_TRUST_REMOTE_CODE=1, if you trust the code" in said
    assert predict(place, "--allow-pickle")[0] == 2
    assert canaries.sang() == []
    assert predict(place, "--trust-remote-code") == (0, "")
    assert canaries.sang() == ["model"]
    assert json.loads((place.folder / "out.jsonl").read_text())["prediction"] == plain[0]


def test_what_the_environment_holds_goes_to_no_hub(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "hf_abcdefghijkl")
    settings = place.folder / "stored" / "harness.json"
    held = json.loads(settings.read_text())
    base = {**held["base"], "name": "${A_SECRET}/x", "folder": None}
    settings.write_text(json.dumps({**held, "store": "delta", "base": base}))
    sign_again(settings.parent)
    status, said = predict(place)
    assert status == 2
    assert "its base is named ${A_SECRET}/x, which leads to no folder here" in said
    assert "hf_abc" not in said


def test_a_tokenizer_s_code_is_left_alone_as_well(place: Place, tmp_path: Path) -> None:
    canaries, stored = Canaries(tmp_path / "sang"), place.folder / "stored"
    bring_tokenizer_code(stored, canaries)
    sign_again(stored, trust_remote_code=True)
    predict(place)  # transformers may do without
    assert canaries.sang() == []
    assert predict(place, "--trust-remote-code")[0] == 0
    assert canaries.sang() == ["tokenizer"]


def test_the_environment_may_say_it_too(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canaries, stored = Canaries(tmp_path / "sang"), place.folder / "stored"
    bring_code(stored, canaries)
    sign_again(stored)
    monkeypatch.setenv("HARNESS_TRUST_REMOTE_CODE", "0")
    assert predict(place)[0] == 2
    monkeypatch.setenv("HARNESS_TRUST_REMOTE_CODE", "1")
    assert predict(place)[0] == 0
    assert Permissions.of_environment() == Permissions(trust_remote_code=True)


def test_a_base_of_pickles_is_read_where_the_person_says_so(
    place: Place, tiny_folder: Callable[..., Path], tmp_path: Path
) -> None:
    base = shutil.copytree(tiny_folder("gpt2"), tmp_path / "base")
    bring_pickles(base, Canaries(tmp_path / "sang"))
    place.edit("model: {name: model}", f"model: {{name: {base}, allow_pickle: true}}")
    short = ("search.trials=1", "final.seeds=[11]", "final.store=delta", "prompts=[bare]", "tuning=[none, head]")
    place.run(*(part for each in short for part in ("--set", each)))
    (place.folder / "in.jsonl").write_text(f"{ROW}\n")
    asked = ("predict", "tiny", "--input", "in.jsonl", "--output", "out.jsonl")
    refused = place.command(*asked)
    assert refused.status == 2
    assert "of a stored model say --allow-pickle or HARNESS_ALLOW_PICKLE=1" in refused.err
    assert place.command(*asked, "--allow-pickle").status == 0
    run = place.runs("final", cell="bare/head")[0].info.run_id
    refused = place.command("reproduce", run)
    assert refused.status == 2
    assert "--allow-pickle" in refused.err
    assert place.command("reproduce", run, "--allow-pickle").status == 0


@pytest.mark.slow
def test_serve_runs_its_own_code_and_not_the_model_s(place: Place, tmp_path: Path) -> None:
    canaries = Canaries(tmp_path / "sang")
    short = ("search.trials=1", "final.seeds=[11]", "prompts=[bare]", "tuning=[none, head]")
    place.run(*(part for each in short for part in ("--set", each)))
    (served,) = (file.parent for file in (place.folder / "mlruns").rglob("MLmodel"))
    (code,) = served.glob("*.py")
    code.write_text(canaries.python("pyfunc") + code.read_text())
    for module in ("mlflow.py", "calendar.py", "uvicorn.py", "harness.py"):
        canaries.module(place.folder / module)
    for name in (str(served), "stored", "tiny"):
        with Served(place, name) as address:
            body = {"dataframe_records": [json.loads(ROW)]}
            request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=120) as answer:
                assert len(json.loads(answer.read())["predictions"]) == 1
        assert canaries.sang() == [], name


class Served:
    """``harness serve`` while a block lasts."""

    def __init__(self, place: Place, name: str) -> None:
        self._process = place.process("serve", name, env={"MLFLOW_TRACKING_URI": place.uri})

    def __enter__(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().split()[-1]

    def __exit__(self, *error: object) -> None:
        self._process.send_signal(signal.SIGINT)
        out, err = self._process.communicate(timeout=90)
        assert self._process.returncode == 130, out + err
