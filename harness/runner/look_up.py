"""How far studies are that some process runs or ran: asked of the store, which nothing is written to."""

from __future__ import annotations

from collections.abc import Callable

from harness.core.errors import UserError
from harness.results.study_status import StudyStatus, study_status
from harness.study.find_study import known_study
from harness.tracking.address import StudyAddress, store_uri
from harness.tracking.mlflow.connect import connect_known
from harness.tracking.mlflow.mlflow_tracker import MlflowTracker, find_experiment
from harness.tracking.mlflow.study_experiments import stored_addresses
from harness.tracking.mlflow.study_lease import Holder

__all__ = ["all_statuses", "status_of"]


def all_statuses() -> list[StudyStatus]:
    """Return how far the studies of this process's store are, the one worked on last first.

    Raises:
        StoreError: The store cannot be reached.
    """
    client = connect_known(store_uri())
    statuses = [_of_address(address) for address in stored_addresses(client)] if client else []
    return sorted(statuses, key=lambda study: study.updated or 0.0, reverse=True)


def status_of(study: str) -> Callable[[], StudyStatus]:
    """Return what asks the store how far a study is, by its name or file, as often as it is called.

    Raises:
        UserError: The store does not know it, or cannot be reached.
    """
    name, tracker = known_study(study)
    holder = _holder(tracker)
    return lambda: _status(name, tracker, holder)


def _of_address(address: StudyAddress) -> StudyStatus:
    try:
        tracker = find_experiment(address)
        if tracker is not None:
            return _status(address.study, tracker, _holder(tracker))
    except UserError:  # of one study: the others can be listed
        pass
    return StudyStatus(address.study, None, "unreadable", None)


def _holder(tracker: MlflowTracker) -> Holder:
    return Holder(tracker.uri, tracker.pages.experiment)


def _status(name: str, tracker: MlflowTracker, holder: Holder) -> StudyStatus:
    return study_status(tracker, name, tracker.pages.experiment, holder.now())
