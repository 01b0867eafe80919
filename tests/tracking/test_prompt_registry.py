"""Prompts in MLflow's registry: filled in alike there and here, versioned by text, linked to runs, named by studies."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities.model_registry import PromptVersion

import harness.runner.run_study
from harness.core.errors import TemplateError
from harness.data.template import Template
from harness.tracking.mlflow.prompt_registry import MlflowPrompts, prompt_of
from harness.tracking.mlflow.prompt_text import from_registry, to_registry
from tests.support.study_fixture import Place, Places

PIECES = [
    *("{{ source }}", "{{source}}", "{{ topic }}", "{{ source | upper }}", "{{- source }}"),
    *("{% if topic %}yes{% endif %}", "{# aside #}", "{{ '{' }}", "a word", "{", "}", "{source}", "{ {", "%}", "}}"),
    *("\\d \\u00e9", "\n", "\n\n", "\r\n", " ", "é"),
]
FIELDS = {"source": st.text(alphabet="ab \\\n%\u00e9{}", max_size=12), "topic": st.sampled_from(["", "trains"])}


def rendered_by_mlflow(text: str, fields: dict[str, str]) -> str:
    found = PromptVersion("name", 1, text).format(allow_partial=True, **fields)
    return found if isinstance(found, str) else str(found.template)


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join), st.fixed_dictionaries(FIELDS))
def test_mlflow_fills_a_registered_prompt_in_as_the_harness_does(text: str, fields: dict[str, str]) -> None:
    assume("{{" not in fields["source"])  # MLflow fills in what it has just filled in
    template = Template("prompt", text)
    try:
        expected = template.render(fields)
    except TemplateError:
        assume(False)
    assert rendered_by_mlflow(*to_registry([text]), fields) == expected


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join))
def test_a_text_comes_back_as_it_was(text: str) -> None:
    try:
        Template("prompt", text).names()
    except TemplateError:
        assume(False)
    assert from_registry(to_registry([text]), uri="prompts:/x/1") == [text.replace("\r\n", "\n")]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join), st.fixed_dictionaries(FIELDS))
def test_a_text_registered_by_somebody_else_means_the_same_here(text: str, fields: dict[str, str]) -> None:
    assume("{{" not in fields["source"])
    try:
        ours = Template("prompt", *from_registry([text], uri="prompts:/x/1"))
        expected = ours.render(fields)
    except TemplateError:
        assume(False)
    assert rendered_by_mlflow(text, fields).replace("\r\n", "\n") == expected.replace("\r\n", "\n")


def test_a_text_that_mlflow_would_leave_half_filled_in_is_refused() -> None:
    with pytest.raises(TemplateError, match=re.escape("prompts:/x/1: MLflow fills in plain {{ fields }} alone")):
        from_registry(["{{ source | upper }}"], uri="prompts:/x/1")


@pytest.fixture
def client(tmp_path: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_same_text_is_the_same_version_and_another_text_or_contract_is_a_new_one(
    client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".harness").mkdir()
    first, second = client.create_experiment("one"), client.create_experiment("two")

    def version(text: str, *, shorten: str | None = None, experiment: str = first, study: str = "one") -> int:
        template = Template("cue", text, shorten)
        return MlflowPrompts(client, experiment).register(template, task="sum", study=study).version

    assert version("{{ source }}\nTL;DR:", shorten="source") == 1
    assert version("{{ source }}\nTL;DR:", shorten="source", experiment=second, study="two") == 1
    assert version("{{ source }}\nIn short:", shorten="source") == 2
    assert version("{{ source }}\nIn short:") == 3
    assert version("{{ source }}\nTL;DR:", shorten="source") == 1
    held = client.get_prompt_version("sum.cue", 2)
    assert held.template == "{{ source }}\nIn short:"
    assert held.commit_message == "prompt cue of one"
    assert {key: held.tags[key] for key in ("task", "study", "shorten", "keep")} == {
        "task": "sum", "study": "one", "shorten": "source", "keep": "start",
    }  # fmt: skip
    listed = client.get_prompt("sum.cue").tags["_mlflow_experiment_ids"]
    assert listed.strip(",").split(",") == [first, second]
    assert MlflowPrompts(client, first).find("prompts:/sum.cue@latest").version == 3


def uris(place: Place, phase: str) -> dict[str, str]:
    return {run.data.tags["cell"]: run.data.tags["prompt_uri"] for run in place.runs(phase)}


def test_reading_a_prompt_writes_nothing(client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's ``load_prompt`` lists a prompt in the experiment that is active, be it another store's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".harness").mkdir()
    prompts = MlflowPrompts(client, client.create_experiment("one"))
    prompts.register(Template("cue", "{{ source }}"), task="sum", study="one")
    client.set_prompt_alias("sum.cue", "short", 1)
    before = client.get_prompt("sum.cue").tags
    for uri in ("prompts:/sum.cue/1", "prompts:/sum.cue@short", "prompts:/sum.cue@latest"):
        assert prompts.find(uri).version == 1
        assert prompt_of(uri, "mine", client.tracking_uri).text == "{{ source }}"
    for thread in [each for each in threading.enumerate() if each.name.startswith("link_prompt")]:
        thread.join()
    assert client.get_prompt("sum.cue").tags == before


@pytest.mark.parametrize("uri", ["prompts:/sum.cue/7", "prompts:/sum.cue@gone"])
def test_a_version_that_is_not_there_is_refused_with_those_that_are(
    uri: str, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".harness").mkdir()
    prompts = MlflowPrompts(client, client.create_experiment("one"))
    prompts.register(Template("cue", "{{ source }}"), task="sum", study="one")
    with pytest.raises(TemplateError, match=f"{uri} is not in the registry: .*; sum.cue has the versions /1"):
        prompts.find(uri)


@pytest.mark.parametrize("stage", ["create_registered_model", "create_model_version"])
def test_who_is_slower_uses_the_version_of_who_was_faster(
    stage: str, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine has another lock: its prompt may come between any two requests of ours."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".harness").mkdir()
    experiment = client.create_experiment("tiny")
    template, other = Template("cue", "{{ source }}"), MlflowClient(client.tracking_uri)
    registry = type(client._get_registry_client())
    honest, faster = getattr(registry, stage), list[bool]()

    def late(self: object, name: str, *args: object, **kwargs: object) -> object:
        if not faster:
            faster.append(True)
            other.register_prompt(name, template.text)
        return honest(self, name, *args, **kwargs)

    monkeypatch.setattr(registry, stage, late)
    found = MlflowPrompts(client, experiment).register(template, task="t", study="s")
    assert faster
    assert (found.name, found.version) == ("t.cue", 1)
    assert [version.version for version in client.search_prompt_versions("t.cue")] == [1]


@pytest.mark.slow
def test_every_run_leads_to_its_prompt_and_the_winner_gets_the_alias(places: Places) -> None:
    place = places()
    place.edit("final: {seeds: [11, 12]}", "final: {seeds: [11], prompt_alias: winner}")
    place.run()
    for phase in ("cell", "search", "final"):
        for cell, uri in uris(place, phase).items():
            assert uri == f"prompts:/tiny_task.{cell.split('/')[0]}/1"
    run = place.runs("final")[0]
    assert (
        run.data.tags["mlflow.linkedPrompts"]
        == f'[{{"name": "tiny_task.{run.data.params["prompt"]}", "version": "1"}}]'
    )
    (summary,) = place.runs("summary")
    best = summary.data.tags["best_cell"].split("/")[0]
    assert place.client().get_prompt_version_by_alias(f"tiny_task.{best}", "winner").version == 1
    for prompt in {"bare", "cue"} - {best}:
        assert place.client().get_prompt(f"tiny_task.{prompt}").tags["task"] == "tiny_task"

    place.edit("TL;DR:", "In short:")
    place.run()
    assert uris(place, "cell")["cue/head"] == "prompts:/tiny_task.cue/2"
    assert uris(place, "cell")["bare/head"] == "prompts:/tiny_task.bare/1"


@pytest.mark.slow
def test_a_study_names_registered_prompts(places: Places) -> None:
    place = places()
    place.edit("tuning: [none, head, {last_blocks: 1}]", "tuning: [none]")
    place.run()
    client = place.client()
    client.set_prompt_alias("tiny_task.cue", "short", 1)
    place.edit("  - bare\n", "  - prompts:/tiny_task.bare/1\n")
    text = place.study.read_text()
    start, end = text.index("  - {name: cue"), text.index("tuning:")
    place.study.write_text(text[:start] + "  - prompts:/tiny_task.cue@short\n" + text[end:])
    before = place.table()
    place.run()
    after = place.table()
    assert set(after) == {"tiny_task.bare-1/none", "tiny_task.cue-short/none"}
    assert after["tiny_task.cue-short/none"]["validation_chrf"] == before["cue/none"]["validation_chrf"]
    assert uris(place, "cell")["tiny_task.cue-short/none"] == "prompts:/tiny_task.cue/1"
    assert len(client.search_prompts()) == 2  # nothing is registered a second time


def test_an_alias_that_moves_takes_no_run_along(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALIAS_PROMPT_CACHE_TTL_SECONDS", "0")
    place = places()
    place.edit("tuning: [none, head, {last_blocks: 1}]", "tuning: [none]")
    place.run()
    client = place.client()
    client.set_prompt_alias("tiny_task.cue", "short", 1)
    text = place.study.read_text()
    start, end = text.index("  - bare"), text.index("tuning:")
    place.study.write_text(text[:start] + "  - prompts:/tiny_task.cue@short\n" + text[end:])
    place.edit("final: {seeds: [11, 12]}", "final: {seeds: [11], prompt_alias: winner}")
    alias_winner = harness.runner.run_study.alias_winner

    def moved(*arguments: Any) -> None:
        client.register_prompt("tiny_task.cue", "{{ source }}\nMoved:")
        client.set_prompt_alias("tiny_task.cue", "short", 2)
        alias_winner(*arguments)

    monkeypatch.setattr(harness.runner.run_study, "alias_winner", moved)
    place.run()
    assert client.get_prompt_version_by_alias("tiny_task.cue", "short").version == 2
    assert client.get_prompt_version_by_alias("tiny_task.cue", "winner").version == 1
    (run,) = place.runs("final")
    shown = place.command("reproduce", run.info.run_id)
    assert shown.status == 0, shown.out + shown.err
    moved_by = (
        "changed: prompt prompts:/tiny_task.cue@short: then prompts:/tiny_task.cue/1, now prompts:/tiny_task.cue/2"
    )
    assert moved_by in shown.out


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("prompts:/tiny_task.bear/1", "did you mean 'tiny_task.bare'"),
        ("prompts:/tiny_task.bare/7", "tiny_task.bare has the versions /1"),
        ("prompts:/tiny_task.bare@nobody", "tiny_task.bare has the versions /1"),
        ("prompts:/tiny_task.bare", "write prompts:/name/3 (a version) or prompts:/name@alias"),
    ],
)
def test_a_prompt_that_is_not_registered_is_a_clear_error(places: Places, uri: str, said: str) -> None:
    place = places()
    with_prompt = Template("bare", "{{ source }}")
    client = place.client()
    experiment = client.create_experiment("other")
    MlflowPrompts(client, experiment).register(with_prompt, task="tiny_task", study="other")
    place.edit("  - bare\n", f"  - {uri}\n")
    done = place.command("check", "study.yaml")
    assert done.status == 2
    assert said in done.err
    assert "prompts.0" in done.err or "study.yaml:" in done.err


def test_a_prompt_from_a_store_that_is_not_there(places: Places) -> None:
    place = places(store=False)
    place.edit("  - bare\n", "  - prompts:/tiny_task.bare/1\n")
    done = place.command("check", "study.yaml")
    assert done.status == 2
    assert "there is no store" in done.err
    assert not (place.folder / "mlflow.db").exists()
