"""The pages of a study: tags of its experiment, from which MLflow reads description and ready-made views."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow import MlflowClient

from harness.tracking.mlflow.ui_views import described
from harness.tracking.schema import Tags

__all__ = ["MlflowPages"]


class MlflowPages:
    """See `harness.tracking.store_protocols.StudyPages`.

    Args:
        client: The store's.
        experiment: The id of the study's experiment, which its pages have in their addresses.
    """

    def __init__(self, client: MlflowClient, experiment: str) -> None:
        self.experiment = experiment
        self._client = client

    def shown(self, run: str) -> str:
        """Return the id by which the pages know a run."""
        return run

    def label(self, values: Mapping[str, str]) -> None:
        """Set the tags that say something else so far; there is no call for several at once.

        A description that somebody has changed stays as it is.
        """
        held = self._client.get_experiment(self.experiment).tags
        changed = {key: value for key, value in values.items() if key != Tags.NOTE}
        if Tags.NOTE in values:
            changed |= described(values[Tags.NOTE], held)
        for key, value in changed.items():
            if held.get(key) != value:
                self._client.set_experiment_tag(self.experiment, key, value)
