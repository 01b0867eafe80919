"""``harness clean``: what it lists, and the question that it asks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

import typer

from harness.core.errors import UserError
from harness.core.workspace import Workspace
from harness.runner.clean import MIB, Found, Waste, cleaning
from harness.study.find_study import known_study

__all__ = ["clean_up"]


def clean_up(
    study: str, workspace: Workspace, tell: Callable[[str], None], *, recordings: bool, dry_run: bool, yes: bool
) -> None:
    """List what a study no longer needs, and delete it where the user wants that.

    Args:
        study: Its name or file.
        workspace: Where it was run.
        tell: Prints a line.
        recordings: Whether recordings of frozen parts are deleted too.
        dry_run: Whether only to list.
        yes: Whether the user has agreed already.

    Raises:
        UserError: The store does not know the study, it is being run, or there is no terminal to ask on.
    """
    name, tracker = known_study(study)
    with cleaning(name, tracker, workspace, recordings=recordings) as found:
        for line in _listing(found):
            tell(line)
        if found.waste and not dry_run and _agreed(yes=yes):
            for each in found.waste:
                each.delete()
            for kind, some in _by_kind(found.waste).items():
                tell(f"deleted: {_total(kind, some)}")


def _listing(found: Found) -> Iterator[str]:
    for kind, waste in _by_kind(found.waste).items():
        yield f"{_total(kind, waste)}:"
        yield from (f"  {each.name}: {each.size / MIB:.1f} MiB" for each in waste)
    if not found.waste:
        yield "there is nothing to delete"
    yield from found.stays


def _agreed(*, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UserError("nothing was deleted: there is no terminal to ask on; --yes deletes all that is listed")
    return typer.confirm("Delete all of this?")


def _by_kind(waste: Sequence[Waste]) -> dict[str, list[Waste]]:
    kinds: dict[str, list[Waste]] = {}
    for each in waste:
        kinds.setdefault(each.kind, []).append(each)
    return kinds


def _total(kind: str, waste: Sequence[Waste]) -> str:
    return f"{kind}: {len(waste)}, {sum(each.size for each in waste) / MIB:.1f} MiB"
