"""Registered models in MLflow: versions, their aliases, and the runs behind them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from harness.core.errors import StoreError
from harness.tracking.mlflow.mlflow_compat import EXISTS, UNKNOWN, in_store
from harness.tracking.mlflow.read_run import run_from
from harness.tracking.schema import PageTags, Params, Tags
from harness.tracking.store_link import DIRECT, Link, asked, translate, translate_values
from harness.tracking.store_protocols import Version
from harness.tracking.stored_run import Run

__all__ = ["MlflowRegistry", "model_id"]

REMEDY = "set final.registered_as to another name, or to null"


class MlflowRegistry:
    """See `harness.tracking.store_protocols.ModelRegistry`."""

    def __init__(self, client: MlflowClient, link: Link = DIRECT) -> None:
        self.link = link
        self._client = client

    @asked
    def aliased(self, name: str, alias: str) -> Version | None:
        try:
            version = self._client.get_model_version_by_alias(name, alias)
        except MlflowException as error:
            if error.error_code in UNKNOWN:
                return None
            raise
        return self._whole(version)

    @asked
    def made_by(self, run: str, name: str | None = None) -> list[Version]:
        versions = self._client.search_model_versions(f"run_id='{self.link.server(run)}'")
        return [self._whole(version) for version in versions if name in (None, version.name)]

    @asked
    def refuse_taken(self, name: str) -> None:
        if self._client.get_prompt(name) is not None:
            raise StoreError(f"the best model cannot be registered as {name!r}: a prompt is; {REMEDY}")

    @asked
    def register(self, name: str, run: str, uri: str) -> Version:
        if there := [version for version in self.made_by(run, name) if version.uri == uri]:
            return there[0]  # by a call whose answer was lost
        run, identity = self.link.server(run), uri.rpartition("/")[2]
        try:
            self._make_sure_of(name)
            with in_store(self._client.tracking_uri):  # a database looks for the model at MLflow's own address
                made = self._client.create_model_version(name, uri, run_id=run, model_id=identity)
        except MlflowException as error:
            raise StoreError(f"the best model cannot be registered as {name!r}: {error.message}; {REMEDY}") from error
        link = json.dumps([{"name": name, "version": made.version}])
        self._client.set_logged_model_tags(identity, {PageTags.VERSIONS: link})
        return self._version(made)

    def _make_sure_of(self, name: str) -> None:
        """Make a registered model where there is none; a prompt's name is taken, though MLflow would not mind."""
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != EXISTS:
                raise
            self.refuse_taken(name)

    @asked
    def describe(self, version: Version, text: str, tags: Mapping[str, str]) -> None:
        self._client.update_model_version(version.name, version.number, translate(text, self.link.servers))
        self.tag(version, tags)

    @asked
    def tag(self, version: Version, tags: Mapping[str, str]) -> None:
        for key, value in translate_values(tags, self.link.servers).items():
            self._client.set_model_version_tag(version.name, version.number, key, value)

    @asked
    def point(self, alias: str, version: Version) -> None:
        self._client.set_registered_model_alias(version.name, alias, version.number)

    @asked
    def forget(self, version: Version) -> None:
        self._client.delete_model_version(version.name, version.number)

    @asked
    def siblings(self, run: str) -> list[Run]:
        run = self.link.server(run)
        try:
            own = self._client.get_run(run)
        except MlflowException as error:
            if error.error_code in UNKNOWN:
                return []
            raise
        cell, rate = own.data.tags.get(Tags.CELL, ""), own.data.params.get(Params.LEARNING_RATE, "")
        runs = self._client.search_runs(
            [own.info.experiment_id],
            filter_string=f"tags.{Tags.CELL} = '{cell}' and params.{Params.LEARNING_RATE} = '{rate}'",
            run_view_type=ViewType.ACTIVE_ONLY,
            max_results=1000,
        )
        digest = run_from(own).tags.get(Tags.CELL_DIGEST)
        alike = [each for each in map(run_from, runs) if each.tags.get(Tags.CELL_DIGEST) == digest]
        finished = [each for each in alike if Tags.TEST_DIGEST in each.tags and each.status == "FINISHED"]
        finished.sort(key=lambda final: final.id == run)  # of two runs of one seed the later one counts
        return self.link.to_own({final.params[Params.SEED]: final for final in finished}.values())

    def _whole(self, version: ModelVersion) -> Version:
        """Return a version with its aliases, which a search leaves out."""
        return self._version(self._client.get_model_version(version.name, version.version))

    def _version(self, version: ModelVersion) -> Version:
        own, run = self.link.own(), version.run_id or ""
        return Version(
            name=version.name,
            number=str(version.version),
            run=own.get(run, run),
            uri=f"models:/{model_id(version)}",
            tags=translate_values(version.tags, own),
            aliases=tuple(version.aliases or ()),
        )


def model_id(version: ModelVersion) -> str:
    """Return the id of the stored model behind a version; stores that do not name it keep it as the source."""
    return str(version.model_id or str(version.source).rpartition("models:/")[2])
