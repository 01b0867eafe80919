"""Models in MLflow: stored as code and files with their scores, and found again by any of their names."""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType

from harness.core.database_urls import reason_of, shown
from harness.core.errors import ModelError
from harness.core.whole_files import folder_size
from harness.tracking.address import local_folder
from harness.tracking.mlflow.mlflow_compat import UNKNOWN, one_column, origin_tags
from harness.tracking.mlflow.model_registry import MlflowRegistry, model_id
from harness.tracking.mlflow.run_files import text_digest
from harness.tracking.schema import Metrics, PageTags
from harness.tracking.store_link import DIRECT, Link, asked, translate_values
from harness.tracking.store_protocols import ModelCard, ModelRegistry

__all__ = ["MlflowModels", "fetch_model", "remove_files", "size_of"]

READY = LoggedModelStatus.READY

PACKAGES = (
    *("mlflow", "torch", "transformers", "tokenizers", "safetensors", "huggingface-hub"),
    *("numpy", "pandas", "pydantic", "jinja2", "pyyaml", "bm25s"),
)
"""What every served model is pinned to: what the code that it carries imports, all of it published."""

CODE = "code"
"""Where MLflow keeps the code that a model carries."""

PARAMS = ParamSchema([ParamSpec("on_error", "string", "stop"), ParamSpec("probabilities", "boolean", False)])
"""What a request may say besides its rows."""

VOUCHING = "artifacts/*/harness.json"
"""Inside a model of MLflow's: holds the digests of the files beside it."""

DRAFTS = (".artifact.uploading.*", ".*.draft")
"""Files that are being written, by MLflow and by `harness.core.whole_files`."""

OWNER = re.compile("(m-)?[0-9a-f]{32}")
"""The id of a run or model, as MLflow draws it: the name of the folder that its files are in."""

SCORED = (Metrics.VALIDATION, Metrics.TEST)


class MlflowModels:
    """See `harness.tracking.store_protocols.ModelStore`."""

    def __init__(self, client: MlflowClient, experiment: str, link: Link = DIRECT) -> None:
        self.registry: ModelRegistry = MlflowRegistry(client, link)
        self.link = link
        self._client, self._experiment = client, experiment

    @asked
    def stored(self) -> dict[str, str]:
        own = self.link.own()
        whole = [(run, model) for run, model in self._logged() if model.status == READY]
        return {own.get(run, run): model.model_uri for run, model in whole if _is_there(model)}

    @asked
    def holds(self, uri: str) -> bool:
        try:
            return _is_there(self._client.get_logged_model(uri.rpartition("/")[2]))
        except MlflowException as error:
            if error.error_code in UNKNOWN:
                return False
            raise

    @asked
    def store(self, run: str, folder: Path, card: ModelCard) -> str:
        run, client = self.link.server(run), self._client
        self._drop_unfinished(run)
        if ready := next((model for owner, model in self._logged() if owner == run), None):
            remove_files(ready.artifact_location, ready.model_id)
            self._write(ready, folder, card, run)
            return str(ready.model_uri)
        params, tags = dict(card.params), {**origin_tags(), **translate_values(card.tags, self.link.servers)}
        model = client.create_logged_model(
            self._experiment, name=card.name, source_run_id=run, params=params, tags=tags
        )
        identity: str = model.model_id
        self._write(model, folder, card, run)
        scores = _scores(client, client.get_run(run), identity)
        client.log_outputs(run, [LoggedModelOutput(identity, step=max((score.step for score in scores), default=0))])
        client.log_batch(run, metrics=scores)
        client.finalize_logged_model(identity, READY)  # last: what is not ready is made again
        uri: str = model.model_uri
        return uri

    def _write(self, model: LoggedModel, folder: Path, card: ModelCard, run: str) -> None:
        """Write the files of a model, and say of each that describes or serves it what it holds."""
        described = Model(artifact_path=model.artifact_location, run_id=run, model_id=model.model_id)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:  # on the same disk as the weights
            whole = Path(scratch) / "whole"
            _wrap(folder, whole, card, described)
            self._client.set_logged_model_tags(model.model_id, {PageTags.FILES: json.dumps(_wrapping(whole))})
            self._client.log_model_artifacts(model.model_id, str(whole))

    @asked
    def folder(self, uri: str) -> Path | None:
        model = self._client.get_logged_model(uri.rpartition("/")[2])
        folder = local_folder(model.artifact_location)
        if folder is None:
            return None
        then, now = json.loads(model.tags.get(PageTags.FILES, "{}")), _wrapping(folder)
        if lost := sorted(name for name in then if now.get(name) != then[name]):
            raise ModelError(f"model {folder} is not as it was stored: {', '.join(lost)}")
        return folder

    @asked
    def drop(self, uri: str) -> int:
        identity = uri.rpartition("/")[2]
        freed = remove_files(self._client.get_logged_model(identity).artifact_location, identity)
        self._client.delete_logged_model(identity)
        return freed

    @asked
    def size(self, uri: str) -> int:
        return size_of(self._client.get_logged_model(uri.rpartition("/")[2]).artifact_location)

    @asked
    def drop_unfinished(self) -> None:
        self._drop_unfinished()
        if folder := local_folder(self._client.get_experiment(self._experiment).artifact_location):
            owners = [owner for owner in (*folder.glob("*"), *folder.glob("models/*")) if OWNER.fullmatch(owner.name)]
            for draft in [draft for owner in owners for pattern in DRAFTS for draft in owner.rglob(pattern)]:
                draft.unlink(missing_ok=True)

    def _drop_unfinished(self, run: str | None = None) -> None:
        for owner, model in self._logged():
            if model.status != READY and run in (None, owner):
                self.drop(model.model_uri)

    def _logged(self) -> list[tuple[str, LoggedModel]]:
        """Return all stored models, finished or not, with the run that each belongs to."""
        models = self._client.search_logged_models([self._experiment])
        return [(model.source_run_id, model) for model in models if model.source_run_id]


def _wrapping(folder: Path) -> dict[str, str]:
    """Return digests of what a model is wrapped in: all files but those that `VOUCHING` holds digests of."""
    files = [file for file in (*folder.glob("*"), *folder.glob(VOUCHING)) if file.is_file()]
    found = {str(file.relative_to(folder)): text_digest(file.read_bytes()) for file in files}
    modules = [file for file in sorted((folder / CODE).rglob("*.py")) if file.is_file()]
    code = {str(file.relative_to(folder)): file.read_bytes() for file in modules}
    together = [f"{name} {text_digest(content)}" for name, content in code.items()]
    return {**found, **({CODE: text_digest("\n".join(together).encode())} if code else {})}


def _is_there(model: LoggedModel) -> bool:
    folder = local_folder(model.artifact_location)
    return folder is None or folder.is_dir()


def size_of(location: str) -> int:
    """Return the bytes of a local folder, given MLflow's address of it, 0 where it is on a server."""
    folder = local_folder(location)
    return folder_size(folder) if folder else 0


def remove_files(location: str, owner: str) -> int:
    """Delete a local folder, given MLflow's address of it; return the bytes freed, 0 where it is on a server.

    Only what lies in a folder by the name of the run or model that it belongs to is deleted: an address is a value in a
    database, as is the name, and may say anything.
    """
    folder = local_folder(location)
    if (
        folder is None
        or not OWNER.fullmatch(owner)
        or (folder.parent.name, folder.name) != (owner, "artifacts")
        or folder.is_symlink()
    ):
        return 0
    freed = folder_size(folder)
    if folder.exists():
        shutil.rmtree(folder)
    with suppress(OSError):  # there is more in it
        folder.parent.rmdir()
    return freed


def _wrap(folder: Path, into: Path, card: ModelCard, described: Model) -> None:
    """Write a model as MLflow serves it, from its files and the code that serves it.

    Args:
        folder: What `harness.serving.generator.save_model` wrote.
        into: A folder that is not there yet, in one of its own.
        card: Its code and example.
        described: Where it will live, if in a store.
    """
    for place, file in card.package.items():
        copy = into.parent / CODE / place
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    for chatter in ("mlflow.pyfunc", "mlflow.utils.environment"):
        logging.getLogger(chatter).setLevel(logging.WARNING)
    mlflow.pyfunc.save_model(
        str(into),
        python_model=str(card.code),
        code_paths=[str(each) for each in (into.parent / CODE).iterdir()],
        artifacts={"model": str(folder)},
        signature=ModelSignature(inputs=_inputs(card.example), outputs=Schema([ColSpec("string")]), params=PARAMS),
        input_example=pd.DataFrame([dict(card.example)]),
        pip_requirements=[_pinned(package) for package in (*PACKAGES, *card.packages)],
        mlflow_model=described,
    )


def _pinned(package: str) -> str:
    """Return a package at its version; what follows a + is a build's own name, which no index knows."""
    return f"{package}=={version(package).partition('+')[0]}"


def _inputs(example: Mapping[str, Any]) -> Schema:
    """Return which columns a model reads, by a row of them; texts alone will do where there is one."""
    other: Any = AnyType()  # type: ignore[no-untyped-call]
    kinds = {name: "string" if isinstance(value, str) else other for name, value in example.items()}
    if len(kinds) == 1:
        ((name, kind),) = kinds.items()
        return one_column(name, kind)
    return Schema([ColSpec(kind, name) for name, kind in kinds.items()])


def _scores(client: MlflowClient, run: MlflowRun, model: str) -> list[Metric]:
    """Return a run's scores as the model's, each with its data set; the run's own points stay the same ones."""
    used = {
        next((tag.value for tag in data.tags if tag.key == PageTags.SPLIT), ""): data.dataset
        for data in (run.inputs.dataset_inputs if run.inputs else ())
    }
    scores = []
    for name in sorted(name for name in run.data.metrics if name.startswith(SCORED)):
        point = max(client.get_metric_history(run.info.run_id, name), key=lambda point: (point.step, point.timestamp))
        data = used.get(name.partition("/")[0])
        whose = {"dataset_name": data.name, "dataset_digest": data.digest} if data else {}
        scores.append(Metric(name, point.value, point.timestamp, point.step, model_id=model, **whose))
    return scores


def fetch_model(client: MlflowClient, uri: str, into: Path) -> Path:
    """Return the local folder of a stored model, downloaded where the store keeps it elsewhere.

    Args:
        client: The store's.
        uri: ``models:/m-...``, ``models:/name/version`` or ``models:/name@alias``.
        into: Where a download goes.

    Raises:
        ModelError: There is no such model.
    """
    try:
        folder = local_folder(client.get_logged_model(_identity(client, uri)).artifact_location)
        if folder is not None and folder.is_dir():
            return folder
        options = {"dst_path": str(into), "tracking_uri": client.tracking_uri}
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, **options))
    except (MlflowException, OSError) as error:
        store = client.tracking_uri
        raise ModelError(f"model {uri} cannot be had from store {shown(store)}: {reason_of(error, store)}") from error


def _identity(client: MlflowClient, uri: str) -> str:
    """Return the id of a stored model."""
    name = uri.removeprefix("models:/").strip("/")
    if "@" in name:
        registered, _, alias = name.partition("@")
        return model_id(client.get_model_version_by_alias(registered, alias))
    if "/" in name:
        registered, _, number = name.partition("/")
        return model_id(client.get_model_version(registered, number))
    return name
