"""Loading by Hub id, from a small server that answers as the Hub does; each case in a process of its own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.models.load import load
from tests.support.hub_stand_in import Hub, Repo, answers, serving

COMMIT = "0123456789abcdef0123456789abcdef01234567"

SCRIPT = """
import json, sys
from harness.core.errors import ModelError
from harness.study.model_config import describe
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


@pytest.fixture
def hub(tiny_folder: Callable[..., Path]) -> Iterator[Hub]:
    """A Hub with one model, ``org/tiny``, at one commit, which is its branch ``main`` and its tag ``v1``."""
    files = {path.name: path.read_bytes() for path in tiny_folder("llama").iterdir()}
    with serving({"org/tiny": Repo({COMMIT: files}, {"main": COMMIT, "v1": COMMIT})}) as hub:
        yield hub


def test_a_model_on_the_hub(hub: Hub, tiny_folder: Callable[..., Path], tmp_path: Path) -> None:
    cases = [("org/tiny", None), ("org/tiny", "v1"), ("org/tiny", "v2"), ("org/nothing", None)]
    main, tag, revision, missing = answers(SCRIPT, cases, tmp_path, HF_ENDPOINT=hub.url)

    assert main == tag == [load(str(tiny_folder("llama"))).digest, COMMIT, 3]
    assert str(revision).startswith("model org/tiny: has no revision 'v2'; name a branch, tag or commit")
    assert str(missing).startswith("model org/nothing: no such folder, and the Hub has no such model, or a private one")
    # Whatever was asked for by name, weights and tokenizer come from the commit that the configuration came from.
    files = {request.partition(" ")[2] for request in hub.asked if "/resolve/" in request}
    assert {path for path in files if COMMIT not in path} == {
        "/org/tiny/resolve/main/config.json",
        "/org/tiny/resolve/v1/config.json",
        "/org/tiny/resolve/v2/config.json",
        "/org/nothing/resolve/main/config.json",
    }
    cached, missing = answers(SCRIPT, [("org/tiny", None), ("org/other", None)], tmp_path, HF_HUB_OFFLINE="1")
    assert cached == main
    assert str(missing).startswith("model org/other: no such folder, not in the local Hub cache, and the Hub cannot be")


@pytest.mark.parametrize(
    ("token", "gated", "private"),
    [
        (
            "",
            "gated; accept its terms on the Hub, then log in with `hf auth login`, or by HF_TOKEN",
            "or a private one",
        ),
        ("stranger", "gated, and the account of the token in use has no access; accept its terms", "or a private one"),
        ("expired", "the Hub does not know the token in use; renew HF_TOKEN", "does not know the token in use"),
        ("reader", "", ""),
    ],
)
def test_a_model_that_is_closed(
    token: str, gated: str, private: str, tiny_folder: Callable[..., Path], tmp_path: Path
) -> None:
    files = {path.name: path.read_bytes() for path in tiny_folder("llama").iterdir()}
    closed = {"org/gated": True, "org/private": False}
    readers, refs = frozenset({"reader"}), {"main": COMMIT}
    with serving({name: Repo({COMMIT: files}, refs, readers, gate) for name, gate in closed.items()}) as hub:
        settings = {"HF_ENDPOINT": hub.url, **({"HF_TOKEN": token} if token else {})}
        cases = [("org/gated", None), ("org/private", None), ("org/gated", "v9")]
        first, second, revision = answers(SCRIPT, cases, tmp_path, **settings)
    if token == "reader":
        assert first == second == [load(str(tiny_folder("llama"))).digest, COMMIT, 3]
        assert revision.startswith("model org/gated: has no revision 'v9'")
    else:
        assert first.startswith(f"model org/gated: {gated}")
        assert second.startswith("model org/private: ")
        assert private in second


LIGHT_SCRIPT = """
import json, sys
from harness.core.errors import ModelError
from harness.study.model_config import describe
answers = []
for name in json.loads(sys.argv[1]):
    try:
        answers.append(describe(name).tokenizer_file)
    except ModelError as error:
        answers.append(str(error))
print(json.dumps(answers))
"""


def test_what_a_model_on_the_hub_may_lack(tiny_folder: Callable[..., Path], tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in tiny_folder("gpt2").iterdir()}
    slow = {name: content for name, content in files.items() if name != "tokenizer.json"}
    adapter = {"adapter_config.json": b'{"base_model_name_or_path": "org/base"}', "adapter_model.safetensors": b""}
    refs = {"main": COMMIT}
    repos = {"org/slow": slow, "org/adapter": adapter, "org/empty": {"README.md": b""}}
    with serving({name: Repo({COMMIT: content}, refs) for name, content in repos.items()}) as hub:
        found = answers(LIGHT_SCRIPT, list(repos), tmp_path, HF_ENDPOINT=hub.url)
    assert found[0] is None
    assert found[1].startswith("model org/adapter: an adapter of org/base, by its adapter_config.json")
    assert found[2] == "model org/empty: on the Hub, but without config.json; name a transformers model"


TIMED_SCRIPT = """
import json, sys, time
import huggingface_hub
from huggingface_hub.utils import httpx
from harness.core.errors import ModelError
from harness.study.model_files import locate
huggingface_hub.hf_hub_download, huggingface_hub.get_hf_file_metadata  # imported when they are named
(name,) = json.loads(sys.argv[1])
start = time.perf_counter()
try:
    said = locate(name).commit
except ModelError as error:
    said = str(error)
print(json.dumps([said, time.perf_counter() - start]))
"""


@pytest.mark.parametrize("listens", [False, True], ids=["nobody", "somebody who says nothing"])
def test_a_hub_that_does_not_answer_is_given_up_in_seconds(listens: bool, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        if not listens:
            silent.close()
        said, seconds = answers(TIMED_SCRIPT, ["org/mistyped"], tmp_path, HF_ENDPOINT=url)
    assert said.startswith(
        "model org/mistyped: no such folder, not in the local Hub cache, and the Hub cannot be reached"
    )
    assert seconds < 12, "the Hub's own library would go on for half a minute and more"


def test_a_model_in_the_cache_is_read_where_the_hub_does_not_answer(hub: Hub, tmp_path: Path) -> None:
    first, _ = answers(TIMED_SCRIPT, ["org/tiny"], tmp_path, HF_ENDPOINT=hub.url)
    again, seconds = answers(TIMED_SCRIPT, ["org/tiny"], tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert first == again == COMMIT
    assert seconds < 12
