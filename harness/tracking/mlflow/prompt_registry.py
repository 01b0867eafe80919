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
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

from harness.core.database_urls import LOCK
from harness.core.errors import StoreError, TemplateError, closest
from harness.data.prompt_forms import PROMPT_FORMS, form_keys, form_of, restored
from harness.data.template import Keep
from harness.data.tokenization import PromptForm
from harness.tracking.address import REMEDY, store_uri
from harness.tracking.mlflow.connect import connect_known
from harness.tracking.mlflow.prompt_text import from_registry, to_registry
from harness.tracking.store_protocols import Registered

__all__ = ["find_prompt", "prompt_of", "register_prompt"]

LINK = "mlflow.linkedPrompts"
"""The run's tag that MLflow's pages read."""

EXPERIMENTS = "_mlflow_experiment_ids"
"""The prompt's tag by which an experiment's own page lists it."""

FORM = "form"
"""The tag of a version that names its prompt's form; without it: text."""

EXISTS = ErrorCode.Name(RESOURCE_ALREADY_EXISTS)
ATTEMPTS, PAUSE = 5, 0.5
"""How often a name is asked for that somebody else takes at the same moment, and the seconds in between."""

PAGE = 100


def register_prompt(client: MlflowClient, prompt: PromptForm, *, task: str, study: str, experiment: str) -> Registered:
    """Return the version that holds a prompt, registered as ``task.prompt`` where it is new.

    Args:
        client: The store's.
        prompt: Any form of one.
        task: Its task; the same prompt of another study of this task is the same version.
        study: For tags and the commit message.
        experiment: The id of the study's experiment, which will list the prompt.

    Raises:
        StoreError: A registered model of that name is in the way.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", f"{task}.{prompt.name}")
    text, contract = to_registry(prompt.text), _contract(prompt)
    tags, message = {"task": task, "study": study, **contract}, f"prompt {prompt.name} of {study}"
    with FileLock(LOCK):
        for attempt in range(ATTEMPTS):
            try:
                return _as_registered(_held(client, name, text, tags, message=message, experiment=experiment))
            except MlflowException as error:
                if error.error_code != EXISTS or attempt == ATTEMPTS - 1:
                    said = f"prompt {prompt.name!r} cannot be registered as {name!r}: {error.message}"
                    raise StoreError(said) from error
                time.sleep(PAUSE)  # a study elsewhere was faster, and its version is about to be there
    raise AssertionError("every attempt returns or raises")


def _held(
    client: MlflowClient, name: str, text: str, tags: dict[str, str], *, message: str, experiment: str
) -> PromptVersion:
    """Return the oldest version of a text with its contract, made if there is none, and list it in an experiment."""
    contract = _contract_in(tags)
    listed, held = _listed(client, name, experiment), _first(client, name, text, contract)
    if held is not None:
        client.set_prompt_tag(name, EXPERIMENTS, listed)
        return held
    mlflow.set_tracking_uri(client.tracking_uri)  # where MLflow would list it by itself
    mlflow.set_experiment(experiment_id=experiment)
    made = client.register_prompt(name, text, commit_message=message, tags={**tags, EXPERIMENTS: listed})
    held = _first(client, name, text, contract) or made
    if held.version != made.version:  # the same text came from elsewhere at the same moment
        client.delete_prompt_version(name, str(made.version))
    return held


def find_prompt(client: MlflowClient, uri: str) -> Registered:
    """Return the version that an address stands for.

    Args:
        client: The store's.
        uri: ``prompts:/name/3`` or ``prompts:/name@alias``.

    Raises:
        TemplateError: There is none.
    """
    return _as_registered(_load(client, uri))


def prompt_of(uri: str, name: str) -> PromptForm:
    """Return a registered prompt as it is used here.

    Args:
        uri: ``prompts:/name/3`` or ``prompts:/name@alias``, in the store of this process.
        name: How the study calls it.

    Raises:
        StoreError: The store cannot be reached.
        TemplateError: There is none, it is a chat or of an unknown form, or it means something else in Jinja2.
    """
    client = connect_known()
    if client is None:
        raise TemplateError(f"{uri} is not in the registry: there is no store {store_uri()} yet; {REMEDY}")
    found = _load(client, uri)
    if not isinstance(found.template, str):
        raise TemplateError(f"{uri} is a chat of several messages; a study's prompt is one text")
    form = found.tags.get(FORM, "text")
    if form not in PROMPT_FORMS:
        raise TemplateError(f"{uri} is a prompt of form {form!r}; {closest(form, PROMPT_FORMS)}")
    contract = {key: found.tags[key] for key in form_keys(form) if key in found.tags and key != form}
    if contract.get("keep") not in get_args(Keep):  # somebody else's tag
        contract.pop("keep", None)
    return restored({"name": name, form: from_registry(found.template, uri=uri), **contract})


def _load(client: MlflowClient, uri: str) -> PromptVersion:
    try:
        found: PromptVersion = client.load_prompt(uri)
    except MlflowException as error:
        name = re.split("[/@]", uri.removeprefix("prompts:/"))[0]
        known = [prompt.name for prompt in client.search_prompts(max_results=PAGE)]
        if there := _versions(client, name):
            hint = f"{name} has the versions {', '.join(f'/{version.version}' for version in there)}"
        else:
            hint = closest(name, known) if known else "none is registered"
        raise TemplateError(f"{uri} is not in the registry: {error.message}; {hint}") from error
    return found


def _as_registered(version: PromptVersion) -> Registered:
    """Return a version with the tags that link a run to it; as tags they cost no call of their own."""
    listed = json.dumps([{"name": version.name, "version": str(version.version)}])
    link = {LINK: listed, "prompt_uri": f"prompts:/{version.name}/{version.version}"}
    return Registered(version.name, int(version.version), link)


def _contract(prompt: PromptForm) -> dict[str, str]:
    """Return the tags that make two prompts of one text two versions."""
    form = form_of(prompt)
    return prompt.contract() | ({} if form == "text" else {FORM: form})


def _contract_in(tags: Mapping[str, str]) -> dict[str, str]:
    """Return those of a version's tags that belong to some form's contract."""
    known = {FORM, *(key for form in PROMPT_FORMS for key in form_keys(form) if key != form)}
    return {key: value for key, value in tags.items() if key in known}


def _first(client: MlflowClient, name: str, text: str, contract: dict[str, str]) -> PromptVersion | None:
    """Return the oldest version of a text with its contract."""
    return next((version for version in _versions(client, name) if _holds(version, text, contract)), None)


def _holds(version: PromptVersion, text: str, contract: dict[str, str]) -> bool:
    return bool(version.template == text and _contract_in(version.tags) == contract)


def _versions(client: MlflowClient, name: str) -> list[PromptVersion]:
    """Return all versions of a prompt, oldest first; none where there is no such prompt."""
    if client.get_prompt(name) is None:
        return []
    found, token = [], None
    while True:
        page = client.search_prompt_versions(name, max_results=PAGE, page_token=token)
        found.extend(page)
        token = page.token
        if not token:
            return sorted(found, key=lambda version: int(version.version))


def _listed(client: MlflowClient, name: str, experiment: str) -> str:
    """Return the ids of all experiments that list a prompt, this one included, in MLflow's own form."""
    prompt = client.get_prompt(name)
    held = prompt.tags.get(EXPERIMENTS, "").strip(",").split(",") if prompt else []
    return f",{','.join(dict.fromkeys([*filter(None, held), experiment]))},"
