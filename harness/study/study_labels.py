"""The labels of a study: where they come from, and which cannot be told apart, learned or scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice

from harness.core.closest_match import closest
from harness.core.errors import DataError, HarnessError
from harness.core.example import Example, Split
from harness.data.choice_rows import word_ids
from harness.data.data_keys import Draw
from harness.data.label_words import Label, answers_of, is_labelled, labels_of
from harness.data.tokenization import Ids, PromptForm, Reader
from harness.study.masked_models import refuse_writing
from harness.study.problems import Problems
from harness.study.settings import token_limits
from harness.study.spec import StudySpec
from harness.study.task import Task

__all__ = ["MOST", "with_labels"]

MOST = 50
"""Distinct targets of train that are taken for labels; more are hardly answers to choose from."""

TOLD = 8
"""Targets that are no labels, told by name."""

Prompts = list[tuple[int, PromptForm]]


def with_labels(
    study: StudySpec,
    task: Task,
    prompts: Prompts,
    examples: Mapping[Split, Sequence[Example]],
    parts: Mapping[Draw, Sequence[Example]],
    reader: Reader | None,
    problems: Problems,
) -> tuple[Prompts, list[str]]:
    """Return prompts with the labels that they are answered by, and what is told of labels.

    A prompt whose labels are refused is returned as one that is answered by a text, so that the rest of it is checked.

    Args:
        study: The study.
        task: Its task.
        prompts: With their places in the study file's list.
        examples: All splits at hand.
        parts: By draw, what cells use of train, where several draws are compared.
        reader: Stands for the model; ``None``: it could not be read.
        problems: Takes what is wrong.
    """
    refuse_writing(study, prompts, reader, problems)
    asked = [form for _, form in prompts if is_labelled(form)]
    if not asked:
        if study.data.per_label is not None:
            rule = (
                "counts rows by label, but all prompts are answered by a text; set data.train, or answers: likelihood"
            )
            problems.add(f"data.per_label {rule}", "data", "per_label")
        if study.data.labels is not None:
            rule = "says nothing where all prompts are answered by a text; set answers: likelihood, or leave it out"
            problems.add(f"data.labels {rule}", "data", "labels")
        return prompts, []
    before = len(problems.problems)
    labels = _found(study, task, examples, problems)
    if labels and examples:
        _refuse_targets(labels, examples, problems)
    if labels and reader and examples.get("train"):
        for form in [form for form in asked if answers_of(form) == "likelihood"]:
            _refuse_words(replace(form, labels=labels), study, task, examples["train"][0], reader, problems)
    sound = len(problems.problems) == before and labels and reader
    found = [(place, _with(form, labels if sound else ()) if is_labelled(form) else form) for place, form in prompts]
    return found, [*_unlearned(labels, examples, parts)]


def _with(form: PromptForm, labels: Sequence[Label]) -> PromptForm:
    """Return a prompt with its labels, whose words no classification head needs; without any, answered by a text."""
    if answers_of(form) == "head":
        labels = [Label(label.name, (label.name,)) for label in labels]
    return replace(form, **({"labels": tuple(labels)} if labels else {"answers": None}))


def _found(
    study: StudySpec, task: Task, examples: Mapping[Split, Sequence[Example]], problems: Problems
) -> tuple[Label, ...]:
    """Return the study's labels, else the task's, else the distinct targets of train; none where they are refused."""
    written = study.data.labels if study.data.labels is not None else task.labels
    at = ("data", "labels") if study.data.labels is not None else ("task",)
    if not written and study.data.labels is None:
        targets = sorted({example.target for example in examples.get("train", ())} - {""})
        if not targets:
            return ()  # why there are none is told of the rows
        if len(targets) > MOST:
            rule = f"more than the {MOST} that can be chosen from; name them by data.labels, or set answers: generate"
            problems.add(f"the targets of train are {len(targets)} distinct texts, {rule}", "answers")
            return ()
        written, at = {target: (target,) for target in targets}, ("data",)
    labels = tuple(Label(name, tuple(word.strip() for word in words) or (name,)) for name, words in written.items())
    if len(labels) < 2 and (written or examples):
        names = ", ".join(repr(label.name) for label in labels) or "none"
        problems.add(f"the labels are {names}; there must be two at least to choose from", *at)
        return ()
    return () if _look_alike(labels, at, problems) or _alike(labels, at, problems) else labels


def _look_alike(labels: Sequence[Label], at: Sequence[str], problems: Problems) -> bool:
    """Note labels that differ in white space alone, which no metric counts; return whether there are any."""
    of: dict[str, str] = {}
    for name in (label.name for label in labels):
        plain = " ".join(name.split())
        if plain in of:
            rule = "differ by white space alone, so that each would count as the other; name one of them otherwise"
            problems.add(f"labels {of[plain]!r} and {name!r} {rule}", *at)
            return True
        of[plain] = name
    return False


def _alike(labels: Sequence[Label], at: Sequence[str], problems: Problems) -> bool:
    """Note words that are empty, or that stand for two labels; return whether there are any."""
    of: dict[str, str] = {}
    for label in labels:
        for word in label.words:
            if not word:
                problems.add(f"label {label.name!r} has an empty word; write one, or leave it out", *at)
                return True
            if word in of:
                two = f"label {label.name!r}" if of[word] == label.name else f"labels {of[word]!r} and {label.name!r}"
                problems.add(f"the word {word!r} stands twice, for {two}; keep one of them", *at)
                return True
            of[word] = label.name
    return False


def _refuse_targets(labels: Sequence[Label], examples: Mapping[Split, Sequence[Example]], problems: Problems) -> None:
    """Note targets that are no label, each with its rows."""
    names = {label.name for label in labels}
    strays: dict[str, list[str]] = {}
    for split, rows in examples.items():
        for row in rows:
            if row.target not in names:
                strays.setdefault(row.target, []).append(f"{split} {row.id!r}")
    if strays:
        said = [_with_rows(target, rows) for target, rows in islice(strays.items(), TOLD)]
        said += [f"{len(strays) - TOLD} more"] * (len(strays) > TOLD)
        rule = f"{'are no labels' if len(strays) > 1 else 'is no label'}; {closest(next(iter(strays)), sorted(names))}"
        problems.add(f"the target {', '.join(said)} {rule}; correct the rows, or name all by data.labels", "data")


def _with_rows(target: str, rows: Sequence[str]) -> str:
    """Return a target with how many rows have it, and the first of them."""
    return f"{target[:40]!r} of {len(rows)} row{'s' * (len(rows) > 1)} ({rows[0]}{' and more' * (len(rows) > 1)})"


def _refuse_words(
    form: PromptForm, study: StudySpec, task: Task, example: Example, reader: Reader, problems: Problems
) -> None:
    """Note words of a prompt's labels that the model does not know, reads alike, or that are longer than targets."""
    limits, of = token_limits(study, task), dict[Ids, tuple[str, str]]()
    for label, word in ((one, word) for one in labels_of(form) for word in one.words):
        try:
            ids = word_ids(example, form, reader, limits, word)
        except HarnessError as error:
            if not isinstance(error, DataError):
                problems.add(f"prompt {form.name!r}: {error}", "prompts")
            return  # told of when rows are measured
        if reader.tokenizer.unk_token_id in ids:
            rule = f"has parts that the model's tokenizer knows no token for ({reader.tokenizer.unk_token})"
            told = f"the word {word!r} of label {label.name!r} {rule}; write another one, by data.labels"
            problems.add(told, "data", "labels")
            return  # two such words are no news
        if len(ids) > limits.target:
            rule = f"takes {len(ids)} tokens, but a target at most {limits.target}; raise training.max_target_tokens"
            problems.add(f"the word {word!r} of label {label.name!r} {rule}", "data", "labels")
        if ids in of and of[ids][0] != label.name:
            (other, said), rule = of[ids], "are the same tokens to the model's tokenizer; write other words"
            problems.add(f"{said!r} of label {other!r} and {word!r} of label {label.name!r} {rule}", "data", "labels")
        of.setdefault(ids, (label.name, word))


def _unlearned(
    labels: Sequence[Label], examples: Mapping[Split, Sequence[Example]], parts: Mapping[Draw, Sequence[Example]]
) -> list[str]:
    """Return a sentence for each label of which train, or what cells use of it, has no row."""
    used = {f"of the {draw} training rows": part for draw, part in parts.items()}
    there = {
        rows: {one.target for one in part} for rows, part in (used or {"of train": examples.get("train", ())}).items()
    }
    return [
        f"No row {rows} has the label {label.name!r}: what is trained can only learn that it is never right."
        for rows, targets in there.items()
        for label in labels
        if examples and label.name not in targets
    ]
