"""What each source of a mixture has given to a study's splits, as its runs and its report say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.core.example import Example, Split, fingerprint
from harness.data.mixtures import ids_by_part
from harness.study.checked_study import Checked

__all__ = ["part_shares", "part_sizes"]


def part_sizes(checked: Checked, used: Mapping[Split, Sequence[Example]]) -> dict[str, int]:
    """Return how many examples each source has given to each split, ``train.news``; of a single source none.

    Args:
        checked: The study.
        used: ``train`` and ``validation``, as they are used.
    """
    ids = {str(split): [example.id for example in examples] for split, examples in used.items()}
    if checked.test_ids:
        ids["test"] = list(checked.test_ids)
    return {
        f"{split}.{part}": len(given)
        for split, some in ids.items()
        for part, given in ids_by_part(_parts(checked), some).items()
    }


def part_shares(checked: Checked) -> dict[str, str]:
    """Return what each source has given to each split but test, in words, with the digest of these examples."""
    told: dict[str, str] = {}
    if not (parts := _parts(checked)):
        return told
    for split, examples in checked.examples.items():
        places = {example.id: place for place, example in enumerate(examples)}  # rows of a text are made when asked for
        for part, ids in ids_by_part(parts, places).items():
            share, content = f"{len(ids) / len(places):.1%}", fingerprint(examples[places[id]] for id in ids)
            told[f"{split} of {part}"] = f"{len(ids)} of {len(places)} ({share}), digest {content}"
    return told


def _parts(checked: Checked) -> list[str]:
    return [part.name for part in checked.source.parts]
