"""Several models in one study: each is checked as a study of it alone, and all of them read the same rows.

What is compared between them, example by example, are a task's scores of texts, and bits per byte. A loss by the token,
and its exponential, mean another thing for each tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.core.closest_match import closest
from harness.core.errors import Problem, StudyError
from harness.core.example import fingerprint
from harness.data.label_words import is_labelled
from harness.study.further_axes import MODEL
from harness.study.load_study import StudyFile
from harness.study.loss_kinds import ranking_metric
from harness.study.tokenizer_without_model import light_reader

if TYPE_CHECKING:  # it is made there
    from harness.study.checked_study import Checked

__all__ = ["of_several"]

BY_TOKEN = ("loss", "perplexity")
"""Scores by the token."""

UNLIKE = (
    "Models have different tokenizers: losses and perplexities of one say nothing beside another's; bits_per_byte does."
)

REMEDY = "rank by bits_per_byte, or by a metric of texts (search.metric; the first of the task's metrics)"


def of_several(file: StudyFile, check: Callable[[StudyFile], Checked]) -> Checked:
    """Return a study of several models, checked; of one, that of it alone.

    Args:
        file: Names models.
        check: Checks the study of one of them.

    Raises:
        StudyError: All that would fail later, of any of them.
    """
    found: list[Checked] = []
    refused: dict[str, Sequence[Problem]] = {}
    for place in range(len(file.study.models)):
        try:
            found.append(check(file.of_model(place)))
        except StudyError as error:
            refused[file.study.models[place].level] = error.problems
    if refused:
        raise StudyError(_of_which(refused, [model.level for model in file.study.models]))
    first, *others = found
    if not others:
        return first
    names = [model.level for model in file.resolved.models]
    problems = [
        *_alike(file, names),
        *_other_baseline(file, names),
        *_other_rows(file, dict(zip(names, found, strict=True))),
    ]
    differ = not all(map(is_labelled, first.prompts)) and _tokenizers_differ(found)
    if differ and (lead := ranking_metric(first.study, first.metrics)) in BY_TOKEN:
        told = f"the study ranks by {lead}, by the token, and its models have different tokenizers"
        problems.append(Problem(file.place("models"), f"{told}; {REMEDY}"))
    if problems:
        raise StudyError(problems)
    return replace(
        first,
        file=file,
        models=dict(zip(names, found, strict=True)),
        cautions=(*_together([one.cautions for one in found], names), *([UNLIKE] if differ else [])),
        notes=_together([one.notes for one in found], names),
        lints=tuple(dict.fromkeys(lint for one in found for lint in one.lints)),
    )


def _alike(file: StudyFile, names: Sequence[str]) -> list[Problem]:
    """Refuse two models of one name, which what the environment says may have."""
    twice = sorted({name for name in names if names.count(name) > 1})
    return [Problem(file.place("models"), f"models calls two of them {name}; tell them apart by as:") for name in twice]


def _other_baseline(file: StudyFile, names: Sequence[str]) -> list[Problem]:
    """Refuse a baseline whose model is none of these."""
    baseline = file.study.final.baseline
    model = baseline.levels.get(MODEL, names[0]) if baseline else names[0]
    told = f"final.baseline names {MODEL} {model!r}; {closest(model, names)}"
    return [] if model in names else [Problem(file.place("final", "baseline", MODEL), told)]


def _other_rows(file: StudyFile, found: dict[str, Checked]) -> list[Problem]:
    """Refuse models that read other rows: text cut into blocks of their tokens, targets cut at their own end tokens."""
    rows = {
        name: (*(fingerprint(one.examples[split]) for split in ("train", "validation")), one.test_digest)
        for name, one in found.items()
    }
    (first, own), *others = rows.items()
    other = next((name for name, each in others if each != own), None)
    if other is None:
        return []
    why = "their targets end with an end token of one of them; leave it off the targets in the data"
    if found[first].text:
        why = "text is cut into blocks of their own tokens; give models with one tokenizer, or study each by itself"
    return [Problem(file.place("models"), f"models {first} and {other} would read other rows: {why}")]


def _tokenizers_differ(found: Sequence[Checked]) -> bool:
    """Return whether any two models read text as other tokens, as far as their files say it."""
    files = [one.description.tokenizer_file for one in found]
    texts = {file.read_bytes() if file else None for file in files}
    if len(texts) == 1 and None not in texts:
        return False
    vocabularies = [
        light_reader(one.description).tokenizer.get_vocab() if file else None
        for one, file in zip(found, files, strict=True)
    ]
    return any(each is None or each != vocabularies[0] for each in vocabularies)


def _of_which(refused: Mapping[str, Sequence[Problem]], names: Sequence[str]) -> list[Problem]:
    """Return what is wrong: once where all models are refused for it, else behind the names of those that are."""
    told = []
    for problem in dict.fromkeys(problem for each in refused.values() for problem in each):
        of = [name for name in names if problem in refused.get(name, ())]
        named = problem.message.startswith("model ") or len(of) == len(names)  # which it says, or all
        told.append(problem if named else problem._replace(message=f"{', '.join(of)}: {problem.message}"))
    return told


def _together(lines: Sequence[Sequence[str]], names: Sequence[str]) -> tuple[str, ...]:
    """Return what is told of models: once of all, with their names of some."""
    every = dict.fromkeys(line for each in lines for line in each)
    told = []
    for line in every:
        of = [name for name, each in zip(names, lines, strict=True) if line in each]
        told.append(line if len(of) == len(names) else f"{', '.join(of)}: {line}")
    return tuple(told)
