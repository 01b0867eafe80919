"""Prompts in MLflow's Prompt Registry: the same text is the same version, and every run is linked to the one it used.

A version belongs to a text together with its truncation contract, which its tags ``shorten`` and ``keep`` hold, and to
the prompt's form, which the tag ``form`` names where it is neither text nor a chat. A chat is registered in MLflow's
own form, a list of messages; all else that it says are tags.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities.model_registry import PromptVersion
from mlflow.exceptions import MlflowException

from harness.core.closest_match import closest
from harness.core.errors import StoreError, TemplateError
from harness.core.passwords import masked
from harness.core.workspace import HERE
from harness.data.chat import Chat
from harness.data.prompt_forms import PROMPT_FORMS, form_keys, form_of, restored
from harness.data.shortening import Keep
from harness.data.tokenization import PromptForm
from harness.tracking.address import REMEDY
from harness.tracking.mlflow.connect import connect_known
from harness.tracking.mlflow.mlflow_compat import EXISTS, in_store
from harness.tracking.mlflow.prompt_text import from_registry, to_registry
from harness.tracking.schema import PromptTags, Tags, prompt_name
from harness.tracking.store_link import DIRECT, Link, asked
from harness.tracking.store_protocols import Registered

__all__ = ["MlflowPrompts", "prompt_of"]

ATTEMPTS, PAUSE = 5, 0.5
"""How often a name is asked for that somebody else takes at the same moment, and the seconds in between."""

PAGE = 100

ARGUMENTS = "template_args"
"""The key of a chat that is no text: as a tag it is JSON."""

Registrable = str | list[dict[str, str]]
"""A text, or the turns of a chat."""


class MlflowPrompts:
    """See `harness.tracking.store_protocols.PromptRegistry`."""

    def __init__(self, client: MlflowClient, experiment: str, link: Link = DIRECT) -> None:
        self.link = link
        self._client, self._experiment = client, experiment

    @asked
    def register(self, prompt: PromptForm, *, task: str, study: str) -> Registered:
        name = prompt_name(task, prompt.name)
        text, message = _template(prompt), f"prompt {prompt.name} of {study}"
        tags = {PromptTags.TASK: task, PromptTags.STUDY: study, **_contract(prompt)}
        with FileLock(HERE.database_lock):
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

    def _held(self, name: str, text: Registrable, tags: dict[str, str], message: str) -> PromptVersion:
        """Return the oldest version of a text with its contract, made if there is none, and list it."""
        client, contract = self._client, _contract_in(tags)
        listed, held = self._listed(name), _first(client, name, text, contract)
        if held is not None:
            client.set_prompt_tag(name, PromptTags.EXPERIMENTS, listed)
            return held
        tags = {**tags, PromptTags.EXPERIMENTS: listed}
        with in_store(client.tracking_uri, self._experiment):  # where MLflow would list it by itself
            made = client.register_prompt(name, text, commit_message=message, tags=tags)
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
        TemplateError: There is none, it is of an unknown form, or it means something else in Jinja2.
    """
    client = connect_known(store)
    if client is None:
        raise TemplateError(f"{uri} is not in the registry: there is no store {masked(store, store)} yet; {REMEDY}")
    version = _load(client, uri)
    if not isinstance(version.template, str):
        return restored({"name": name, "messages": _messages(version.template, uri), **_said(version, "messages", uri)})
    form = version.tags.get(PromptTags.FORM, "text")
    if form not in PROMPT_FORMS:
        raise TemplateError(f"{uri} is a prompt of form {form!r}; {closest(form, PROMPT_FORMS)}")
    (text,) = from_registry([version.template], uri=uri)
    return restored({"name": name, form: text, **_said(version, form, uri)})


def _said(version: PromptVersion, form: str, uri: str) -> dict[str, Any]:
    """Return the keys of a form that a version's tags hold, beside what tells it."""
    kept = {key: version.tags[key] for key in form_keys(form) if key in version.tags and key not in PROMPT_FORMS}
    if kept.get(PromptTags.KEEP) not in get_args(Keep):  # somebody else's tag
        kept.pop(PromptTags.KEEP, None)
    try:
        arguments = {key: json.loads(kept[key]) for key in (ARGUMENTS,) if key in kept}
    except ValueError as error:
        raise TemplateError(f"{uri}: its tag {ARGUMENTS} is no JSON: {error}; correct it") from None
    return {**kept, **arguments}


def _messages(turns: Sequence[Mapping[str, Any]], uri: str) -> list[dict[str, str]]:
    """Return a registered chat's turns.

    Raises:
        TemplateError: One is no text, or means something else in Jinja2.
    """
    contents = [turn.get("content") for turn in turns]
    texts = [content for content in contents if isinstance(content, str)]
    if len(texts) < len(contents):
        raise TemplateError(f"{uri} has a turn that is no text; a study's chat is of texts alone")
    pairs = zip(turns, from_registry(texts, uri=uri), strict=True)
    return [{"role": turn["role"], "content": text} for turn, text in pairs]


def _template(prompt: PromptForm) -> Registrable:
    """Return what MLflow's registry holds of a prompt beside its tags: a text, or a chat in its own form."""
    if not isinstance(prompt, Chat):
        (text,) = to_registry([prompt.text])
        return text
    pairs = zip(prompt.turns, to_registry([turn.content for turn in prompt.turns]), strict=True)
    return [{"role": turn.role, "content": text} for turn, text in pairs]


def _load(client: MlflowClient, uri: str) -> PromptVersion:
    """Return a version; MLflow's own ``load_prompt`` would list it in whichever experiment is active, from a thread."""
    try:
        name, number = client.parse_prompt_uri(uri)
        version: PromptVersion | None = client.get_prompt_version(name, number)
        missing = "there is no such version"
    except MlflowException as error:
        version, missing = None, error.message
    if version is None:
        raise TemplateError(f"{uri} is not in the registry: {missing}; {_nearest(client, uri)}")
    return version


def _nearest(client: MlflowClient, uri: str) -> str:
    """Return what the registry has instead of a version that is not there."""
    name = re.split("[/@]", uri.removeprefix("prompts:/"))[0]
    if there := _versions(client, name):
        return f"{name} has the versions {', '.join(f'/{version.version}' for version in there)}"
    known = [prompt.name for prompt in client.search_prompts(max_results=PAGE)]
    return closest(name, known) if known else "none is registered"


def _as_registered(version: PromptVersion) -> Registered:
    """Return a version with the tags that link a run to it; as tags they cost no call of their own."""
    listed = json.dumps([{"name": version.name, "version": str(version.version)}])
    link = {Tags.PROMPTS: listed, Tags.PROMPT_URI: f"prompts:/{version.name}/{version.version}"}
    return Registered(version.name, int(version.version), link)


def _contract(prompt: PromptForm) -> dict[str, str]:
    """Return the tags that make two prompts of one text two versions."""
    form = form_of(prompt)
    own = form == "text" or isinstance(prompt, Chat)  # which MLflow tells by itself
    return prompt.contract() | ({} if own else {PromptTags.FORM: form})


def _contract_in(tags: Mapping[str, str]) -> dict[str, str]:
    """Return those of a version's tags that belong to some form's contract."""
    known = {PromptTags.FORM, *(key for form in PROMPT_FORMS for key in form_keys(form) if key not in PROMPT_FORMS)}
    return {key: value for key, value in tags.items() if key in known}


def _first(client: MlflowClient, name: str, text: Registrable, contract: dict[str, str]) -> PromptVersion | None:
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
