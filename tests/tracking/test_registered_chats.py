"""Chats in MLflow's Prompt Registry: its own form of a chat, filled in there as here, and read back as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities.model_registry import PromptVersion

from harness.core.errors import TemplateError
from harness.data.chat import Chat
from harness.data.prompt_forms import restored
from harness.data.template import Template
from harness.data.tokenization import PromptForm
from harness.tracking.mlflow.prompt_registry import MlflowPrompts, prompt_of
from harness.tracking.mlflow.prompt_text import from_registry, to_registry

PIECES = ["{{ source }}", "{{ source | upper }}", "{% if source %}yes{% endif %}", "a word", "{", "}", "\n", " ", "é"]
TEXT = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".harness").mkdir()
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowClient(uri)


@given(system=TEXT, user=TEXT, source=st.text("ab %\n", max_size=8))
def test_mlflow_fills_a_registered_chat_in_as_the_harness_does(system: str, user: str, source: str) -> None:
    chat = Chat("chat", system=system, user=user)
    try:
        expected = chat.filled({"source": source})
    except TemplateError:
        assume(False)
    contents = to_registry([system, user])
    turns = [{"role": turn.role, "content": text} for turn, text in zip(chat.turns, contents, strict=True)]
    formatted = PromptVersion("chat", 1, turns).format(allow_partial=True, source=source)
    assert (formatted if isinstance(formatted, list) else formatted.template) == expected
    assert from_registry(contents, uri="prompts:/x/1") == [system, user]


def test_the_same_chat_is_the_same_version_and_comes_back_as_it_was(client: MlflowClient) -> None:
    prompts = MlflowPrompts(client, client.create_experiment("one"))

    def version(**keys: Any) -> int:
        chat = Chat("chat", **{"user": "{{ source }}", **keys})
        held = prompts.register(chat, task="sum", study="one")
        assert prompt_of(f"prompts:/sum.chat/{held.version}", "chat", client.tracking_uri) == chat
        return held.version

    turns = [("user", "Hi"), ("assistant", "Yes?"), ("user", "{{ source | upper }}\n")]
    assert version() == 1
    assert version(system="Be brief.") == 2
    assert version(system="Be brief.", template_args={"enable_thinking": False, "tools": [{"name": "x"}]}) == 3
    assert version(shorten="source", keep="end", date="1999-12-31", assistant="So: {{ source }}") == 4
    assert version(user=None, messages=[{"role": role, "content": text} for role, text in turns]) == 5
    assert version() == 1
    assert version(system="Be brief.") == 2
    assert client.get_prompt_version("sum.chat", 2).template == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "{{ source }}"},
    ]


def test_a_chat_of_somebody_else_is_read_and_what_is_no_text_is_refused(client: MlflowClient) -> None:
    turns: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "{{source}}"},
    ]
    client.register_prompt("theirs", turns, tags={"keep": "yes"})
    assert prompt_of("prompts:/theirs/1", "chat", client.tracking_uri) == Chat("chat", "Be brief.", "{{source}}")
    client.register_prompt("theirs", [{"role": "user", "content": [{"type": "text", "text": "{{source}}"}]}])
    with pytest.raises(TemplateError, match="prompts:/theirs/2 has a turn that is no text"):
        prompt_of("prompts:/theirs/2", "chat", client.tracking_uri)
    client.register_prompt("theirs", turns, tags={"template_args": "{"})
    with pytest.raises(TemplateError, match="prompts:/theirs/3: its tag template_args is no JSON"):
        prompt_of("prompts:/theirs/3", "chat", client.tracking_uri)


def test_demonstrations_are_part_of_a_registered_prompt(client: MlflowClient) -> None:
    prompts = MlflowPrompts(client, client.create_experiment("one"))
    shown = {"shots": 2, "pick": "bm25", "shot": "{{ source }} = {{ target }}\n", "separator": "\n"}
    forms: list[PromptForm] = [
        Template("same", "{{ source }} ->"),
        Template("same", "{{ source }} ->", shots=2),
        restored({"name": "same", "text": "{{ source }} ->", **shown}),
    ]
    chats: list[PromptForm] = [
        Chat("chat", user="{{ source }}"),
        Chat("chat", user="{{ source }}", shots=4, pick="random"),
    ]
    for number, form in [*enumerate(forms, start=1), *enumerate(chats, start=1)]:
        for _ in range(2):
            held = prompts.register(form, task="sum", study="one")
            assert held.version == number
            assert prompt_of(f"prompts:/{held.name}/{number}", form.name, client.tracking_uri) == form
