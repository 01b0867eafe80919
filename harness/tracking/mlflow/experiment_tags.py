"""Tags of an experiment as a whole: what MLflow's pages read its description and its ready-made views from."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow import MlflowClient

from harness.tracking.mlflow.ui_views import NOTE, described

__all__ = ["label"]


def label(client: MlflowClient, experiment: str, values: Mapping[str, str]) -> None:
    """Set the tags that say something else so far; there is no call for several at once.

    A description that somebody has changed stays as it is.
    """
    held = client.get_experiment(experiment).tags
    wanted = {key: value for key, value in values.items() if key != NOTE}
    if NOTE in values:
        wanted |= described(values[NOTE], held)
    for key, value in wanted.items():
        if held.get(key) != value:
            client.set_experiment_tag(experiment, key, value)
