"""Tags that only programs read: they have another name in MLflow, under which its pages do not show them.

Runs of format 1 have them under their own names.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.tracking.schema import HIDDEN, RUN_FORMAT, Tags

__all__ = ["as_read", "as_stored"]


def as_stored(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags as MLflow is given them; a run that gets a hidden one is of the newest format from then on."""
    stored = {HIDDEN + name if _is_hidden(name) else name: value for name, value in tags.items()}
    return stored if stored.keys() == tags.keys() else {**stored, Tags.FORMAT: str(RUN_FORMAT)}


def as_read(tags: Mapping[str, str]) -> dict[str, str]:
    """Return MLflow's tags of a run by their own names; of one that is there twice, what was written last.

    The format is told by `harness.tracking.mlflow.read_run`.
    """
    hidden = {name.removeprefix(HIDDEN): value for name, value in tags.items() if name.startswith(HIDDEN)}
    return {name: value for name, value in tags.items() if not name.startswith(HIDDEN) and name != Tags.FORMAT} | hidden


def _is_hidden(name: str) -> bool:
    """Return whether a tag holds a digest, or an id that nobody would look for."""
    return "digest" in name or name in (Tags.EDITION, Tags.SEARCH)
