"""The run tree of a store, read with a plain MLflow client: what a code tree must write again, to the last digit."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run

__all__ = ["run_tree"]

EXCLUDED = {
    # What two recordings of one tree on one machine differ in:
    r"(.*[/_])?seconds": "durations",
    r"(.*[/_])?peak_memory_mib": "memory of the process, which depends on what the allocator kept",
    r"search": "a random name that a cell's Optuna study is found by",
    r"note_digest": "of a description, which contains ids; the description is compared, its ids as names",
    # What other machines, days and commits would make differ:
    r"energy|(.*[/_])?energy_.*": "read from the machine's counters, whoever used them",
    r"python|platform|processor|cpus": "the machine",
    r"version\..*": "versions of packages, the harness among them",
    r"commit": "of the repository around the study's folder",
    r"mlflow\.(user|source\..*)": "who ran it, and the same commit",
}
"""Names of tags, params and metrics that are left out, and why; all others are compared."""

VARIES = {
    r"report/costs\.csv": "durations and memory",
    r"report/figures/quality_seconds\.(png|svg)": "durations",
    r"report/report\.(html|md)": "durations, versions and paths",
    r"study\.json": "versions; without them it is compared as the tree's `facts`",
    r"task/(summarization|translation|reply_generation)\.py": "the tree's own file, which follows the tree's names",
}
"""Artifacts whose names alone are compared, and why; of all others the content is."""

HIDDEN = "mlflow.harness."
"""What the names of tags begin with that MLflow's pages hide; earlier commits stored them without."""


def run_tree(folder: Path, tree: Path) -> dict[str, Any]:
    """Return all runs, models and versions of the only study in a folder's store, ids and paths replaced by names.

    Args:
        folder: Where the study was run.
        tree: The code tree that ran it.
    """
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    (experiment,) = [each for each in client.search_experiments() if each.name != "Default"]
    runs = client.search_runs([experiment.experiment_id], max_results=5000)
    assert not runs.token
    models = client.search_logged_models([experiment.experiment_id])
    names = _Names(runs, models, {str(folder): "<folder>", str(tree): "<tree>"})
    return {
        "experiment": {"name": experiment.name, "tags": names.tags(experiment.tags)},
        "facts": _facts(next(run for run in runs if run.data.tags.get("phase") == "summary"), names),
        "runs": sorted((_run(run, client, names) for run in runs), key=_place),
        "models": sorted((_model(model, names) for model in models), key=lambda model: model["name"]),
        "registered": _registered(client, names),
    }


class _Names:
    """Says names where texts have ids of runs and models, and placeholders for paths."""

    def __init__(self, runs: list[Run], models: list[LoggedModel], paths: Mapping[str, str]) -> None:
        of_runs = {run.info.run_id: f"<run {run.info.run_name}>" for run in runs}
        of_models = {model.model_id: f"<model {model.name}>" for model in models}
        self._known = {**of_models, **of_runs, **paths}

    def __call__(self, text: str) -> str:
        for known, name in self._known.items():
            text = text.replace(known, name)
        return text

    def tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Return what is compared of some tags or params."""
        own = {name.removeprefix(HIDDEN): value for name, value in tags.items()}
        return {name: self(own[name]) for name in sorted(own) if not _is(name, EXCLUDED)}


def _is(name: str, patterns: Mapping[str, str]) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def _place(run: Mapping[str, Any]) -> tuple[str, str]:
    return run["phase"], run["name"]


def _run(run: Run, client: MlflowClient, names: _Names) -> dict[str, Any]:
    parent = run.data.tags.get("mlflow.parentRunId")
    return {
        "phase": run.data.tags.get("phase", "nothing"),
        "name": run.info.run_name,
        "parent": names(parent) if parent else None,
        "status": run.info.status,
        "params": names.tags(run.data.params),
        "tags": names.tags(run.data.tags),
        "metrics": {
            name: _points(run.info.run_id, name, client) for name in sorted(run.data.metrics) if not _is(name, EXCLUDED)
        },
        "inputs": sorted(
            [each.tags[0].value, each.dataset.name, each.dataset.digest, names(each.dataset.source)]
            for each in run.inputs.dataset_inputs
        ),
        "artifacts": _artifacts(run),
    }


def _facts(summary: Run, names: _Names) -> dict[str, Any]:
    """Return what a summary run's ``study.json`` says of the study."""
    facts: dict[str, Any] = json.loads(names((_artifact_folder(summary) / "study.json").read_text(encoding="utf-8")))
    return {**facts, "provenance": names.tags(facts["provenance"])}


def _points(run: str, metric: str, client: MlflowClient) -> list[list[float]]:
    """Return a metric's values with their steps, in the order of steps."""
    points = [[point.step, point.value] for point in client.get_metric_history(run, metric)]
    return sorted(points, key=lambda point: (point[0], repr(point[1])))


def _artifacts(run: Run) -> dict[str, str]:
    """Return a digest of every file of a run, by its path."""
    folder = _artifact_folder(run)
    files = sorted((file.relative_to(folder).as_posix(), file) for file in folder.rglob("*") if file.is_file())
    return {path: "not compared" if _is(path, VARIES) else _digest(file) for path, file in files}


def _artifact_folder(run: Run) -> Path:
    return Path(run.info.artifact_uri.removeprefix("file://"))


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _model(model: LoggedModel, names: _Names) -> dict[str, Any]:
    weights = [*Path(model.artifact_location.removeprefix("file://")).rglob("*.safetensors")]
    scores = [[each.key, each.step, each.value, each.dataset_name] for each in model.metrics or []]
    return {
        "name": model.name,
        "status": str(model.status),
        "params": names.tags(model.params),
        "tags": names.tags(model.tags),
        "scores": sorted(scores),
        "weights": {file.name: _digest(file) for file in weights},
    }


def _registered(client: MlflowClient, names: _Names) -> list[dict[str, Any]]:
    """Return the versions of registered models and prompts."""
    found: list[dict[str, Any]] = []
    for kind in ("", "tags.`mlflow.prompt.is_prompt` = 'true'"):  # prompts are found only where they are asked for
        for registered in client.search_registered_models(filter_string=kind):
            asked = " and ".join(part for part in (f"name = '{registered.name}'", kind) if part)
            found += [_version(each, registered, names) for each in client.search_model_versions(asked)]
    return sorted(found, key=lambda version: (version["name"], version["version"]))


def _version(version: Any, registered: Any, names: _Names) -> dict[str, Any]:
    aliases = sorted(alias for alias, number in registered.aliases.items() if str(number) == str(version.version))
    return {
        "name": version.name,
        "version": str(version.version),
        "aliases": aliases,
        "description": names(version.description or ""),
        "run": names(version.run_id or ""),
        "tags": names.tags(version.tags),
    }
