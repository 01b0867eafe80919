"""Registered models in MLflow: versions, their aliases, and the runs behind them."""

from __future__ import annotations

import json
from collections.abc import Mapping

import mlflow
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from harness.core.errors import StoreError
from harness.tracking.mlflow.mlflow_compat import EXISTS, UNKNOWN
from harness.tracking.mlflow.read_run import run_from
from harness.tracking.schema import ModelTags, Params, Tags
from harness.tracking.store_protocols import Run, Version

__all__ = ["MlflowRegistry", "model_id"]

REMEDY = "set final.registered_as to another name, or to null"


class MlflowRegistry:
    """See `harness.tracking.store_protocols.ModelRegistry`.

    Args:
        client: The store's.
    """

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def aliased(self, name: str, alias: str) -> Version | None:
        """Return the version that an alias names, ``None`` where there is none."""
        try:
            version = self._client.get_model_version_by_alias(name, alias)
        except MlflowException as error:
            if error.error_code in UNKNOWN:
                return None
            raise
        return self._whole(version)

    def made_by(self, run: str, name: str | None = None) -> list[Version]:
        """Return the versions that a run made, of one registered model or of all."""
        versions = self._client.search_model_versions(f"run_id='{run}'")
        return [self._whole(version) for version in versions if name in (None, version.name)]

    def register(self, name: str, run: str, uri: str) -> Version:
        """Make a stored model a version of a registered one, which is made where there is none.

        Raises:
            StoreError: The name belongs to a prompt, or the store has no registry.
        """
        identity = uri.rpartition("/")[2]
        try:
            self._make_sure_of(name)
            mlflow.set_tracking_uri(self._client.tracking_uri)  # a database looks for the model at MLflow's own address
            made = self._client.create_model_version(name, uri, run_id=run, model_id=identity)
        except MlflowException as error:
            raise StoreError(f"the best model cannot be registered as {name!r}: {error.message}; {REMEDY}") from error
        link = json.dumps([{"name": name, "version": made.version}])
        self._client.set_logged_model_tags(identity, {ModelTags.VERSIONS: link})
        return _version(made)

    def _make_sure_of(self, name: str) -> None:
        """Make a registered model where there is none; a prompt's name is taken, though MLflow would not mind."""
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != EXISTS:
                raise
            if self._client.get_prompt(name) is not None:
                raise StoreError(f"the best model cannot be registered as {name!r}: a prompt is; {REMEDY}") from error

    def describe(self, version: Version, text: str, tags: Mapping[str, str]) -> None:
        """Write a version's description, then its tags in their order."""
        self._client.update_model_version(version.name, version.number, text)
        self.tag(version, tags)

    def tag(self, version: Version, tags: Mapping[str, str]) -> None:
        """Set a version's tags, in their order."""
        for key, value in tags.items():
            self._client.set_model_version_tag(version.name, version.number, key, value)

    def point(self, alias: str, version: Version) -> None:
        """Give a version an alias, and take it from the version that had it."""
        self._client.set_registered_model_alias(version.name, alias, version.number)

    def forget(self, version: Version) -> None:
        """Delete a version."""
        self._client.delete_model_version(version.name, version.number)

    def siblings(self, run: str) -> list[Run]:
        """Return the finished final runs of the same cell and learning rate as a run, itself among them.

        Those of a cell that was superseded since are found as well: what a registered model is worth does not change
        with a later edit of its study.
        """
        try:
            own = self._client.get_run(run)
        except MlflowException as error:
            if error.error_code in UNKNOWN:
                return []
            raise
        cell, rate = own.data.tags.get(Tags.CELL_DIGEST, ""), own.data.params.get(Params.LEARNING_RATE, "")
        runs = self._client.search_runs(
            [own.info.experiment_id],
            filter_string=f"tags.{Tags.CELL_DIGEST} = '{cell}' and params.{Params.LEARNING_RATE} = '{rate}'",
            run_view_type=ViewType.ACTIVE_ONLY,
            max_results=1000,
        )
        finals = [run_from(final) for final in runs if Tags.TEST_DIGEST in final.data.tags]
        finished = [final for final in finals if final.status == "FINISHED"]
        finished.sort(key=lambda final: final.id == run)  # of two runs of one seed the later one counts
        return list({final.params[Params.SEED]: final for final in finished}.values())

    def _whole(self, version: ModelVersion) -> Version:
        """Return a version with its aliases, which a search leaves out."""
        return _version(self._client.get_model_version(version.name, version.version))


def model_id(version: ModelVersion) -> str:
    """Return the id of the stored model behind a version; stores that do not name it keep it as the source."""
    return str(version.model_id or str(version.source).rpartition("models:/")[2])


def _version(version: ModelVersion) -> Version:
    return Version(
        name=version.name,
        number=str(version.version),
        run=version.run_id or "",
        uri=f"models:/{model_id(version)}",
        tags=dict(version.tags),
        aliases=tuple(version.aliases or ()),
    )
