"""Which experiment is which study's: one tag says it, since an experiment may be called otherwise, by a path for one.

Each belongs to one study at most. One of an earlier version lacks the tag; its runs say whose it is.
"""

from __future__ import annotations

from mlflow import MlflowClient
from mlflow.entities import Experiment, ViewType
from mlflow.exceptions import MlflowException

from harness.core.database_urls import shown
from harness.core.errors import StoreError
from harness.core.passwords import masked
from harness.core.workspace import is_study_name
from harness.tracking.address import StudyAddress, is_server
from harness.tracking.mlflow.mlflow_compat import EXISTS
from harness.tracking.mlflow.moved_store import artifacts_of, refuse_absent
from harness.tracking.schema import PageTags, Tags

__all__ = ["address_by_name", "existing_experiment", "open_experiment", "stored_addresses", "usable"]


def address_by_name(client: MlflowClient, name: str) -> StudyAddress | None:
    """Return where a study is, by its name or by that of its experiment; ``None`` where the store knows neither.

    Raises:
        StoreError: It is in several experiments.
    """
    own = client.get_experiment_by_name(name) if name and name.isprintable() else None
    if not is_study_name(name):
        owner = _owner(client, own) if own else None
        return StudyAddress(owner, name, client.tracking_uri) if owner and is_study_name(owner) else None
    found = {experiment.name: experiment for experiment in _tagged(client, name)}
    owner = _owner(client, own) if own else None
    if own and owner in (None, name):  # made before experiments had the tag, perhaps
        found[name] = own
    elif own and owner and not found and is_study_name(owner):
        return StudyAddress(owner, name, client.tracking_uri)
    there = [each for each in found.values() if each.lifecycle_stage == "active"] or [*found.values()]
    if len(there) > 1:
        listed = ", ".join(repr(experiment.name) for experiment in there)
        what = f"study {name!r} is in several experiments of store {shown(client.tracking_uri)}: {listed}"
        raise StoreError(f"{what}; name the study's file, whose tracking.experiment says which")
    return StudyAddress(name, there[0].name, client.tracking_uri) if there else None


def stored_addresses(client: MlflowClient) -> list[StudyAddress]:
    """Return where the studies of a store are, those that are worked on first."""
    experiments = client.search_experiments(order_by=["last_update_time DESC"])
    owners = ((experiment, _owner(client, experiment)) for experiment in experiments)
    return [
        StudyAddress(owner, experiment.name, client.tracking_uri)
        for experiment, owner in owners
        if owner and is_study_name(owner)
    ]


def existing_experiment(client: MlflowClient, address: StudyAddress) -> str | None:
    """Return the id of a study's experiment, ``None`` where it was never made.

    Raises:
        StoreError: It was deleted, its files are elsewhere, or it is another study's.
    """
    experiment = client.get_experiment_by_name(address.experiment)
    if experiment is None:
        return None
    identity, owner = usable(client, experiment), _owner(client, experiment)
    if owner not in (None, address.study):
        what = f"experiment {address.experiment!r} of store {shown(address.store)} is that of study {owner!r}"
        raise StoreError(
            f"{what}, and study {address.study!r} needs its own: name another in tracking.experiment, or none"
        )
    return identity


def open_experiment(client: MlflowClient, address: StudyAddress) -> str:
    """Return the id of a study's experiment, created where it is missing, and the study's from here on.

    Raises:
        StoreError: It was deleted, its files are elsewhere, or it is another study's.
    """
    if there := existing_experiment(client, address):
        client.set_experiment_tag(there, PageTags.STUDY, address.study)
        return there
    try:
        place = None if is_server(address.store) else artifacts_of(address.study)
        return str(client.create_experiment(address.experiment, place, {PageTags.STUDY: address.study}))
    except MlflowException as error:
        if error.error_code != EXISTS:
            raise
        return open_experiment(client, address)  # made meanwhile, perhaps by a call whose answer was lost


def usable(client: MlflowClient, experiment: Experiment) -> str:
    """Return the id of an experiment that may be read and written.

    Raises:
        StoreError: It was deleted, or its files are elsewhere.
    """
    identity, store = str(experiment.experiment_id), client.tracking_uri
    if experiment.lifecycle_stage == "deleted":
        raise StoreError(
            f"study {experiment.name!r} was deleted in MLflow, in store {masked(store, store)}; bring it back with "
            f"`mlflow experiments restore --experiment-id {identity}`, or give the study another name"
        )
    refuse_absent(client, experiment)
    return identity


def _tagged(client: MlflowClient, study: str) -> list[Experiment]:
    wanted = f"tags.`{PageTags.STUDY}` = '{study}'"
    return list(client.search_experiments(view_type=ViewType.ALL, filter_string=wanted))


def _owner(client: MlflowClient, experiment: Experiment) -> str | None:
    """Return the study whose experiment it is, ``None`` where it is no study's as yet."""
    if said := experiment.tags.get(PageTags.STUDY):
        return said
    ours = f"tags.{Tags.STUDY} LIKE '%' and tags.{Tags.PHASE} LIKE '%'"
    runs = client.search_runs([experiment.experiment_id], ours, max_results=1)
    return runs[0].data.tags[Tags.STUDY] if runs else None
