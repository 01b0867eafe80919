"""Optuna's storage on a database server that may go away for a while: see `harness.core.database_outage`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import TrialState

from harness.core.database_outage import Patience

__all__ = ["patient"]


def patient(storage: BaseStorage, tell: Callable[[str], None]) -> BaseStorage:
    """Return a storage whose calls wait for the database.

    Args:
        storage: Makes each of its calls in one transaction.
        tell: Hears what is waited for.
    """
    patience = Patience(tell)

    def asking(name: str) -> Callable[..., Any]:
        def ask(self: BaseStorage, *arguments: Any, **options: Any) -> Any:
            return patience.ask(partial(getattr(storage, name), *arguments, **options))

        return ask

    def end(self: BaseStorage, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """End a trial, or see that it has ended: the server may have gone between doing it and saying so."""

        def ended() -> bool:
            is_told = state.is_finished() and storage.get_trial(trial_id).state == state
            return is_told or bool(storage.set_trial_state_values(trial_id, state, values))

        return patience.ask(ended)

    calls = {name: asking(name) for name in (*BaseStorage.__abstractmethods__, "remove_session")}
    made: BaseStorage = type("PatientStorage", (BaseStorage,), {**calls, "set_trial_state_values": end})()
    return made
