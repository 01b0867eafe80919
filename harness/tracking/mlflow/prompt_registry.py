"""Prompts in MLflow's Prompt Registry: the same text is the same version, and every run is linked to the one it used.

A version belongs to a text together with its truncation contract, which its tags ``shorten`` and ``keep`` hold, and to
the prompt's form, which the tag ``form`` names where it is not text.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import get_args

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities.model_registry import PromptVersion
from mlflow.exceptions import MlflowException

from harness.core.closest_match import closest
from harness.core.database_urls import LOCK
from harness.core.errors import StoreError, TemplateError
from harness.data.prompt_forms import PROMPT_FORMS, form_keys, form_of, restored
from harness.data.template import Keep
from harness.data.tokenization import PromptForm
from harness.tracking.address import REMEDY
from harness.tracking.mlflow.connect import connect_known
from harness.tracking.mlflow.mlflow_compat import EXISTS
from harness.tracking.mlflow.prompt_text import from_registry, to_registry
from harness.tracking.schema import PromptTags, Tags, prompt_name
from harness.tracking.store_link import DIRECT, Link, asked
from harness.tracking.store_protocols import Registered

__all__ = ["MlflowPrompts", "prompt_of"]

ATTEMPTS, PAUSE = 5, 0.5
"""How often a name is asked for that somebody else takes at the same moment, and the seconds in between."""

PAGE = 100


class MlflowPrompts:
    """See `harness.tracking.store_protocols.PromptRegistry`."""

    def __init__(self, client: MlflowClient, experiment: str, link: Link = DIRECT) -> None:
        self.link = link
        self._client, self._experiment = client, experiment

    @asked
    def register(self, prompt: PromptForm, *, task: str, study: str) -> Registered:
        name = prompt_name(task, prompt.name)
        text, message = to_registry(prompt.text), f"prompt {prompt.name} of {study}"
        tags = {PromptTags.TASK: task, PromptTags.STUDY: study, **_contract(prompt)}
        with FileLock(LOCK):
            attempts = 0
            while True:
                try:
                    return _as_registered(self._held(name, text, tags, message))
                except MlflowException as error:
                    attempts += 1
                    if error.error_code != EXISTS or attempts == ATTEMPTS:
                        what = f"prompt {prompt.name!r} cannot be registered as {name!r}"
                        raise StoreError(f"{what}: {error.message}; rename the prompt or that model") from error
                    time.sleep(PAUSE)  # a study elsewhere was faster, and its version is about to be there

    @asked
    def find(self, uri: str) -> Registered:
        return _as_registered(_load(self._client, uri))

    @asked
    def alias(self, prompt: Registered, alias: str) -> None:
        self._client.set_prompt_alias(prompt.name, alias, prompt.version)

    def _held(self, name: str, text: str, tags: dict[str, str], message: str) -> PromptVersion:
        """Return the oldest version of a text with its contract, made if there is none, and list it."""
        client, contract = self._client, _contract_in(tags)
        listed, held = self._listed(name), _first(client, name, text, contract)
        if held is not None:
            client.set_prompt_tag(name, PromptTags.EXPERIMENTS, listed)
            return held
        mlflow.set_tracking_uri(client.tracking_uri)  # where MLflow would list it by itself
        mlflow.set_experiment(experiment_id=self._experiment)
        made = client.register_prompt(name, text, commit_message=message, tags={**tags, PromptTags.EXPERIMENTS: listed})
        held = _first(client, name, text, contract) or made
        if held.version != made.version:  # the same text came from elsewhere at the same moment
            client.delete_prompt_version(name, str(made.version))
        return held

    def _listed(self, name: str) -> str:
        """Return the ids of all experiments that list a prompt, this one included, in MLflow's own form."""
        prompt = self._client.get_prompt(name)
        held = prompt.tags.get(PromptTags.EXPERIMENTS, "").strip(",").split(",") if prompt else []
        return f",{','.join(dict.fromkeys([*filter(None, held), self._experiment]))},"


def prompt_of(uri: str, name: str, store: str) -> PromptForm:
    """Return a registered prompt as it is used here.

    Args:
        uri: ``prompts:/name/3`` or ``prompts:/name@alias``.
        name: How the study calls it.
        store: Whose registry.

    Raises:
        StoreError: The store cannot be reached.
        TemplateError: There is none, it is a chat or of an unknown form, or it means something else in Jinja2.
    """
    client = connect_known(store)
    if client is None:
        raise TemplateError(f"{uri} is not in the registry: there is no store {store} yet; {REMEDY}")
    version = _load(client, uri)
    if not isinstance(version.template, str):
        raise TemplateError(f"{uri} is a chat of several messages; a study's prompt is one text")
    form = version.tags.get(PromptTags.FORM, "text")
    if form not in PROMPT_FORMS:
        raise TemplateError(f"{uri} is a prompt of form {form!r}; {closest(form, PROMPT_FORMS)}")
    contract = {key: version.tags[key] for key in form_keys(form) if key in version.tags and key != form}
    if contract.get(PromptTags.KEEP) not in get_args(Keep):  # somebody else's tag
        contract.pop(PromptTags.KEEP, None)
    return restored({"name": name, form: from_registry(version.template, uri=uri), **contract})


def _load(client: MlflowClient, uri: str) -> PromptVersion:
    try:
        version: PromptVersion = client.load_prompt(uri)
    except MlflowException as error:
        name = re.split("[/@]", uri.removeprefix("prompts:/"))[0]
        known = [prompt.name for prompt in client.search_prompts(max_results=PAGE)]
        if there := _versions(client, name):
            hint = f"{name} has the versions {', '.join(f'/{version.version}' for version in there)}"
        else:
            hint = closest(name, known) if known else "none is registered"
        raise TemplateError(f"{uri} is not in the registry: {error.message}; {hint}") from error
    return version


def _as_registered(version: PromptVersion) -> Registered:
    """Return a version with the tags that link a run to it; as tags they cost no call of their own."""
    listed = json.dumps([{"name": version.name, "version": str(version.version)}])
    link = {Tags.PROMPTS: listed, Tags.PROMPT_URI: f"prompts:/{version.name}/{version.version}"}
    return Registered(version.name, int(version.version), link)


def _contract(prompt: PromptForm) -> dict[str, str]:
    """Return the tags that make two prompts of one text two versions."""
    form = form_of(prompt)
    return prompt.contract() | ({} if form == "text" else {PromptTags.FORM: form})


def _contract_in(tags: Mapping[str, str]) -> dict[str, str]:
    """Return those of a version's tags that belong to some form's contract."""
    known = {PromptTags.FORM, *(key for form in PROMPT_FORMS for key in form_keys(form) if key != form)}
    return {key: value for key, value in tags.items() if key in known}


def _first(client: MlflowClient, name: str, text: str, contract: dict[str, str]) -> PromptVersion | None:
    """Return the oldest version of a text with its contract."""
    for version in _versions(client, name):
        if version.template == text and _contract_in(version.tags) == contract:
            return version
    return None


def _versions(client: MlflowClient, name: str) -> list[PromptVersion]:
    """Return all versions of a prompt, oldest first; none where there is no such prompt."""
    if client.get_prompt(name) is None:
        return []
    versions, token = [], None
    while True:
        page = client.search_prompt_versions(name, max_results=PAGE, page_token=token)
        versions.extend(page)
        token = page.token
        if not token:
            return sorted(versions, key=lambda version: int(version.version))
