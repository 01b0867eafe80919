"""What trains in the cells of a study, for people: the tuning as the study has it, with what its search found of it."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from harness.results.cell_result import CellResult
from harness.results.collect import Results
from harness.study.dimension import Value
from harness.study.hyperparameters import Hyperparameters
from harness.study.tuning import Tuning
from harness.study.tuning_names import in_words, option_text
from harness.study.written_space import TUNING

__all__ = ["tuning_named", "tunings_in_words", "untrained_model", "what_trains"]

MANY = 4
"""Found values from which on their ends alone are said."""


def what_trains(cell: CellResult, results: Results) -> str:
    """Return what trains in a cell, at the options that its search found."""
    return _in_words(cell.tuning, [cell.hyperparameters], results)


def tunings_in_words(results: Results) -> dict[str, str]:
    """Return what trains by the name of each tuning; where its cells found several values of an option, all of them."""
    names = dict.fromkeys(cell.tuning for cell in results.cells)
    found = {name: [cell.hyperparameters for cell in results.cells if cell.tuning == name] for name in names}
    return {name: _in_words(name, winners, results) for name, winners in found.items()}


def untrained_model(results: Results) -> str:
    """Return what a study starts from, where nothing trains."""
    adapter = results.settings.get("model", {}).get("adapter")
    return f"the model as it comes, with the adapter {adapter} merged in" if adapter else "the model as it comes"


def _in_words(name: str, winners: Sequence[Hyperparameters], results: Results) -> str:
    tuning = tuning_named(name, results)
    if tuning is None:
        return in_words(name)
    key = f"{TUNING}{tuning.kind}."
    options = dict.fromkeys(option for winner in winners for option in winner if option.startswith(key))
    found = {option: [winner[option] for winner in winners if option in winner] for option in options}
    return tuning.words_with({option.removeprefix(key): _listed(values) for option, values in found.items()})


def tuning_named(name: str, results: Results) -> Tuning | None:
    """Return a study's tuning of a name; ``None`` where the store does not say, or an earlier version wrote it."""
    for said in results.settings.get("tuning", ()):
        try:
            tuning = Tuning.model_validate(said)
        except ValidationError:
            continue
        if tuning.name == name:
            return tuning
    return None


def _listed(values: Sequence[Value]) -> str:
    """Return values in words.

    >>> _listed([32, 16, 16]), _listed([1, 2, 3, 4, 5])
    ('16 or 32', '1 to 5')
    """
    different = sorted(set(values), key=lambda value: (isinstance(value, str), value is None, value or 0))
    texts = [option_text(value) for value in different]
    return f"{texts[0]} to {texts[-1]}" if len(texts) > MANY else " or ".join(texts)
