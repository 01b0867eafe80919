"""Row lengths: how the prompts and targets of a study fit into its limits, told before anything trains."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, NamedTuple

from harness.core.errors import DataError, EmptyPrompt, TemplateError
from harness.core.example import Example, ListDigest, Split, field_names
from harness.data.choice_rows import each_row
from harness.data.demonstrations import Demonstrations, shots_of
from harness.data.label_words import answers_of, calibration_of, is_labelled
from harness.data.tokenization import (
    Limits,
    PromptForm,
    Reader,
    Row,
    prompt_limit,
    target_ids,
)
from harness.study.problems import Problems, listed_rows
from harness.study.row_counts import RowCount, read_ahead
from harness.study.spec import StudySpec

__all__ = ["TOLD", "UNLIMITED", "Fit", "ids_digest", "measure", "shots_in"]

UNLIMITED = Limits(sys.maxsize, sys.maxsize, sys.maxsize)
"""Where tokens cannot be counted yet: nothing is shortened or dropped."""

TOLD = 0.05
"""The share of rows, dropped or shortened, from which on it is a caution."""

FITTING = 0.95
"""The share of rows that a proposed limit lets through whole."""


class Fit(NamedTuple):
    """How a prompt's renderings, and the targets behind them, fit into the token limits."""

    prompt: str
    longest: int
    """Tokens of the longest training prompt, after shortening."""
    truncated: float
    """Share of the training prompts that were shortened."""
    dropped: int
    """Training examples left out since their target is too long."""
    rows: int
    """Training examples."""
    shortened: Mapping[Split, float]
    """By split, the share of prompts that were shortened."""
    fitting: int
    """Tokens that `FITTING` of all prompts take whole; 0 where no caution needs it."""
    with_target: float
    """Share of all rows whose prompt holds the target word for word, whatever its case, or read backwards."""
    texts: str
    """Digest of all prompts as the model reads them, and of how they are answered."""
    constant: bool
    """Whether rows of different sources all get the same prompt."""
    ids: str
    """`ids_digest` of the training rows."""
    shots: float = 0.0
    """Demonstrations that stand in a prompt, on average over all rows."""
    least_shots: int = 0
    """The fewest."""
    few_shots: float = 0.0
    """Share of all rows with fewer than the prompt asks for."""


def ids_digest(rows: Sequence[Row]) -> str:
    """Return a short content hash of rows in token ids."""
    total = ListDigest()
    for row in rows:
        total.add((row.prompt, row.target))
    return str(total)


def measure(
    study: StudySpec,
    prompts: Sequence[tuple[int, PromptForm]],
    examples: Mapping[Split, Sequence[Example]],
    reader: Reader,
    limits: Limits,
    demonstrations: Demonstrations,
    problems: Problems,
) -> tuple[tuple[Fit, ...], list[str]]:
    """Encode every prompt and target as a run will; return how they fit, and what of it is a caution.

    Args:
        study: The study.
        prompts: With their places in the study file's list.
        examples: All splits at hand.
        reader: The model, or what stands for it.
        limits: The most tokens.
        demonstrations: What prompts pick theirs from.
        problems: Takes what cannot be encoded.
    """
    fits: list[Fit] = []
    cautions: list[str] = []
    with problems.at("training", "max_target_tokens"):
        prompt_limit(reader, limits)
        every = [_fit_of(form, place, examples, reader, limits, demonstrations, problems) for place, form in prompts]
        fits = [fit for fit in every if fit]
        writes = not all(is_labelled(form) for _, form in prompts)  # labels are chosen, however long their names are
        cautions = _length_cautions(study, fits, examples, reader, limits, writes=writes) if fits else []
        asked = {form.name: shots_of(form) for _, form in prompts}
        cautions += _fewer(fits, asked, reader, limits)
    return tuple(fits), cautions


def _fit_of(
    form: PromptForm,
    place: int,
    examples: Mapping[Split, Sequence[Example]],
    reader: Reader,
    limits: Limits,
    demonstrations: Demonstrations,
    problems: Problems,
) -> Fit | None:
    """Return how a prompt fits; what cannot be encoded at all becomes a problem."""
    counts: dict[Split, RowCount] = {}
    texts = ListDigest()
    if is_labelled(form):
        texts.add(answers_of(form))  # it is no prompt that reads the same
    if calibration := calibration_of(form):
        texts.add(calibration)  # likewise
    fields = field_names(chain.from_iterable(examples.values()))
    for split, rows in examples.items():
        try:
            form.validate(fields)
            form.ends(reader)
            count = RowCount(texts)
            shown = demonstrations.attached(form, rows, of_train=split == "train")
            each = read_ahead(shown, form, reader, count)
            for example, row, text in each_row(each, form, reader, limits=limits, drop_long_targets=split == "train"):
                count.add(example, row, text, form.reads(example.fields, reader) if row.shots else text)
            counts[split] = count
        except EmptyPrompt:
            rule = f"prompt {form.name!r} renders to an empty text; correct the rows, or leave them out"
            problems.add(f"of {listed_rows(_empty(form, examples))} {rule}", "prompts", place)
            break
        except (DataError, TemplateError) as error:
            if isinstance(error.__cause__, TemplateError):
                problems.add(f"{split} {error}", "prompts", place)
                break  # it would fail on the other splits as well
            if isinstance(error, TemplateError):
                problems.add(str(error), "prompts", place)
                break  # it would fail on the other splits as well
            problems.add(str(error), "data", split)
    return _fit(form, len(examples["train"]), counts) if "train" in counts else None


def shots_in(counts: Sequence[int], asked: int) -> dict[str, Any]:
    """Return what a `Fit` says of the demonstrations of rows, by how many each has and how many a prompt asks for."""
    if not asked or not counts:
        return {}
    fewer = sum(count < asked for count in counts) / len(counts)
    return {"shots": sum(counts) / len(counts), "least_shots": min(counts), "few_shots": fewer}


def _empty(form: PromptForm, examples: Mapping[Split, Sequence[Example]]) -> dict[Split, list[str]]:
    """Return the ids of the rows, by split, that leave nothing of a prompt."""
    empty: dict[Split, list[str]] = {}
    for split, rows in examples.items():
        for example in rows:
            with suppress(TemplateError):
                if not form.render(example.fields).strip():
                    empty.setdefault(split, []).append(example.id)
    return empty


def _fit(form: PromptForm, rows: int, counts: Mapping[Split, RowCount]) -> Fit:
    train, parts = counts["train"], counts.values()
    shortened = {split: count.share for split, count in counts.items()}
    shots = shots_in([number for count in parts for number in count.shots], shots_of(form))
    is_cut = max(shortened.values()) >= TOLD or shots.get("few_shots", 0.0) > TOLD
    return Fit(
        prompt=form.name,
        longest=train.longest,
        truncated=train.share,
        dropped=rows - train.rows,
        rows=rows,
        shortened=shortened,
        fitting=max(_quantile(count.whole) for count in parts) if is_cut else 0,
        with_target=sum(count.telling for count in parts) / sum(count.rows for count in parts),
        texts=str(train.texts),
        constant=len(set().union(*(count.prompts for count in parts))) == 1
        and len(set().union(*(count.sources for count in parts))) > 1,
        ids=str(train.ids),
        **shots,
    )


def _quantile(lengths: Sequence[int]) -> int:
    return sorted(lengths)[math.ceil(FITTING * len(lengths)) - 1]


def _length_cautions(
    study: StudySpec,
    fits: Sequence[Fit],
    examples: Mapping[Split, Sequence[Example]],
    reader: Reader,
    limits: Limits,
    *,
    writes: bool,
) -> list[str]:
    """Return what a study loses to its limits, from `TOLD` on, each with the limit that would do."""
    beyond = [example for split, rows in examples.items() if split != "train" and writes for example in rows]
    return [
        *_dropped(fits, examples["train"], reader, limits),
        *_shortened(fits, reader, limits),
        *_unreached(study, [_target_length(reader, example) for example in beyond], limits),
    ]


def _target_length(reader: Reader, example: Example) -> int:
    """Return the tokens of a target without its end, behind whichever prompt makes it longer: a line or a space."""
    return max(len(target_ids(reader, prompt, example.target)) for prompt in ("\n", ":")) - 1


def _dropped(fits: Sequence[Fit], train: Sequence[Example], reader: Reader, limits: Limits) -> list[str]:
    worst = max(fits, key=lambda fit: fit.dropped)
    if worst.dropped < TOLD * worst.rows:
        return []
    fitting = _quantile([_target_length(reader, example) for example in train])
    return [
        f"{worst.dropped} of {worst.rows} training rows ({worst.dropped / worst.rows:.0%}) are dropped, since their "
        f"targets take more than {limits.target} tokens; {FITTING:.0%} of targets fit in {fitting} tokens "
        f"(training.max_target_tokens: {fitting})."
    ]


def _shortened(fits: Sequence[Fit], reader: Reader, limits: Limits) -> list[str]:
    cut = [(fit, *max(fit.shortened.items(), key=lambda item: item[1])) for fit in fits]
    cut = [(fit, split, share) for fit, split, share in cut if share >= TOLD]
    if not cut:
        return []
    limit, fitting = prompt_limit(reader, limits), max(fit.fitting for fit, _, _ in cut)
    shares = ", ".join(f"{share:.0%} of {split} prompts of {fit.prompt}" for fit, split, share in cut)
    remedy = f"{FITTING:.0%} of prompts fit in {_enough(fitting, reader, limits)}"
    return [f"{shares} are shortened to fit in {limit} tokens; {remedy}."]


def _enough(fitting: int, reader: Reader, limits: Limits) -> str:
    """Return the limit of prompts that would do, and what the model's context makes of it."""
    room = prompt_limit(reader, limits._replace(source=fitting))
    left = f"; the model's context of {reader.context} leaves {room} beside targets and predictions"
    return f"{fitting} tokens (training.max_source_tokens: {fitting}){left if room < fitting else ''}"


def _fewer(fits: Sequence[Fit], asked: Mapping[str, int], reader: Reader, limits: Limits) -> list[str]:
    """Tell of demonstrations that many rows do without, and of what would do: a limit, or more training rows."""
    lines = []
    for fit in (fit for fit in fits if fit.few_shots > TOLD):
        limit = prompt_limit(reader, limits)
        why = f"no more fit in {limit} tokens or differ enough from the row; {FITTING:.0%} of prompts with all there "
        why += f"are take {_enough(fit.fitting, reader, limits)}"
        if fit.fitting <= limit:
            why = "no more training rows differ enough from the row: ask for fewer, or train on more rows"
        lines.append(
            f"prompt {fit.prompt} asks for {asked[fit.prompt]} demonstrations, and {fit.few_shots:.0%} of rows get "
            f"fewer ({fit.shots:.1f} on average, {fit.least_shots} at least), since {why}."
        )
    return lines


def _unreached(study: StudySpec, lengths: Sequence[int], limits: Limits) -> list[str]:
    """Tell of references that no prediction can be as long as."""
    long = sum(length > limits.generated for length in lengths)
    if not lengths or long < TOLD * len(lengths):
        return []
    own, fitting = study.first_generation.max_new_tokens is not None, _quantile(lengths)
    key = "generation.max_new_tokens" if own else "training.max_target_tokens"
    return [
        f"{long} of {len(lengths)} targets beyond training ({long / len(lengths):.0%}) take more than the "
        f"{limits.generated} tokens of a prediction, which ends before; {FITTING:.0%} fit in {fitting} tokens "
        f"({key}: {fitting})."
    ]
