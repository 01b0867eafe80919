"""What `harness check`, `show` and `tasks` print."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Column, Table
from rich.text import Text

from harness.core.example import Example
from harness.data.choice_rows import choice_of
from harness.data.content_free import content_free_rows
from harness.data.demonstrations import Demonstrations
from harness.data.label_words import calibration_of, is_labelled, labels_of
from harness.data.tokenization import Limits, PromptForm, prompt_limit
from harness.data.train_test_overlap import lost
from harness.metrics.base import metric_name
from harness.study.chat_notes import dates
from harness.study.checked_study import Checked
from harness.study.decoding_origins import decoding_settings
from harness.study.generation_keys import NamedGeneration
from harness.study.grid import Cell, searched_by
from harness.study.prompt_lints import Lint
from harness.study.search_faults import search_plan
from harness.study.search_space import SearchSpace, drawn_from, size_searched
from harness.study.settings import token_limits
from harness.study.spec import StudySpec
from harness.study.task import load_task, packaged_tasks

if TYPE_CHECKING:
    from harness.models.apply_tuning import Row
    from harness.models.load import Loaded

__all__ = ["alike_frozen", "duplicates", "lint_lines", "overview", "task_tables", "tunings_and_prompts"]

NO_RUNS = "no long run of tokens stands in two splits"

SHOWN = 60
"""The most characters of a setting's value: some checkpoints ban hundreds of tokens."""


def overview(checked: Checked) -> Iterator[RenderableType]:
    """Yield what a study will do: data, prompts, cells."""
    sizes = {split: len(rows) for split, rows in checked.examples.items()} | {"test": len(checked.test_ids)}
    yield f"task {checked.task.name}; data {checked.source.name}: " + ", ".join(f"{n} {s}" for s, n in sizes.items())
    table = Table("prompt", "longest (tokens)", "shortened", "targets dropped", box=None, header_style="bold")
    each = dict(checked.models) or {"": checked}
    fitting = [
        (f"{fit.prompt} of {name}" if name else fit.prompt, fit, one) for name, one in each.items() for fit in one.fits
    ]
    for name, fit, one in fitting:
        counted = one.description.tokenizer_file is not None
        numbers = (str(fit.longest), f"{fit.truncated:.1%}", str(fit.dropped)) if counted else "???"
        table.add_row(name, *numbers)
    yield table
    yield from (
        f"demonstrations of {name}: {fit.shots:.1f} fit on average, {fit.least_shots} at least"
        for name, fit, _ in fitting
        if fit.shots or fit.few_shots
    )
    yield from (f"caution: {caution}" for caution in checked.cautions)
    yield from (f"note: {note}" for note in checked.notes)
    told = [lint for lint in checked.lints if lint.name != "many-shortened"]  # which is a caution
    yield from (f"note: {line}" for line in lint_lines(told))
    yield from duplicates(checked) or [NO_RUNS if checked.text else "no row stands twice, within a split or across"]
    study, cells = checked.study, checked.cells
    trained = [cell for cell in cells if cell.tuning.trains]
    trials = [search_plan(cell, study, cells).trials for cell in trained if searched_by(cell, cells) == cell]
    searched, most = len(trials), " to ".join(map(str, sorted({min(trials), max(trials)}))) if trials else "0"
    further, finals = len(trained) - len(trials), len(study.final.seeds)
    runs = sum(trials) + len(trained) * finals + len(cells) - len(trained)
    final_runs = f"{finals} final run{'s' * (finals != 1)}"
    yield (
        f"{len(cells)} cell{'s' * (len(cells) != 1)}: {searched} with {most} trial{'s' * (most != '1')} and "
        f"{final_runs}, {f'{further} with {final_runs} of the same weights, ' if further else ''}{_untrained(cells)}; "
        f"{runs} run{'s' * (runs != 1)} in all, tuned on validation {checked.objective}"
    )
    if study.search.edges == "extend":
        yield "a cell whose best learning rate lies at an end of its range gets as many trials beyond it, at most twice"
    yield from _searched(checked)
    if study.final.seeds and checked.general:
        passages, tasks = checked.general
        text = [f"general text ({len(passages)} passages)"] if passages else []
        others = [f"{other.task.name} ({len(other.examples)} examples)" for other in tasks]
        yield f"final runs also measure, before and after: {', '.join(text + others)}"


def _untrained(cells: Sequence[Cell]) -> str:
    """Return how many cells train nothing, by what these are called."""
    counts = Counter(cell.untrained for cell in cells if not cell.tuning.trains)
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items(), reverse=True)) or "0 zero-shot"


def lint_lines(lints: Iterable[Lint]) -> list[str]:
    """Return a line for each advice, with the prompts that it is for."""
    prompts: dict[str, list[str]] = {}
    for lint in lints:
        prompts.setdefault(lint.advice, []).append(lint.prompt)
    return [f"prompt{'s' * (len(names) > 1)} {', '.join(names)}: {advice}" for advice, names in prompts.items()]


def _searched(checked: Checked) -> Iterator[str]:
    """Yield the learning rates where the study leaves them out, and what else is searched over."""
    search = checked.study.search
    own = [tuning for tuning in checked.study.tuning if tuning.trains and search.leaves_out(tuning)]
    if own:
        ranges = [(tuning.name, *tuning.rates) for tuning in own]
        told = ", ".join(f"{name} {low:g} to {high:g}" for name, low, high in ranges)
        yield f"learning rates, each kind's own since the study names none: {told}"
    if further := SearchSpace.of(checked.study).beyond_learning_rate.dimensions:
        yield f"searched over beside the learning rate: {'; '.join(map(drawn_from, further))}"


def duplicates(checked: Checked, *, across: bool = False) -> list[str]:
    """Return what stands twice, a line per pair of splits; or across splits alone; and what became of it."""
    found = [overlap for overlap in checked.overlaps if overlap.twins and (overlap.across or not across)]
    lines = [f"duplicates: {overlap.line()}" for overlap in found]
    if checked.study.data.on_overlap != "drop":
        return lines
    dropped = {split: len(lost(split, checked.overlaps)) for split in checked.examples}
    return [*lines, *(f"dropped from {split}: {count} rows" for split, count in dropped.items() if count)]


def tunings_and_prompts(checked: Checked) -> Iterator[RenderableType]:
    """Yield what trains at every tuning, how is decoded, and an example of every prompt; loads each model in turn."""
    from harness.models.load import load_study_model

    for name, one in checked.models.items():
        yield f"model {name}"
        yield from tunings_and_prompts(one)
    if checked.models:
        return
    residents = checked.residents
    for name, one in residents.items() if len(residents) > 1 else ():
        yield f"the model {name or 'as a language model'}"
        yield from tunings_and_prompts(one)
    if len(residents) > 1:
        return
    loaded = load_study_model(checked.study.model, checked.head)
    yield from _tuning_tables(checked, loaded)
    if not all(map(is_labelled, checked.prompts)):  # a label is chosen, not written
        yield from (_decoding_table(one, checked) for one in checked.study.by_setting())
    yield from _rendered_prompts(checked, loaded)


def _tuning_tables(checked: Checked, loaded: Loaded) -> Iterator[RenderableType]:
    """Yield, for every tuning, the table of what trains in the model."""
    from harness.models.apply_tuning import apply, first_block, reset
    from harness.models.find_blocks import blocks

    names = [block.name for block in blocks(loaded.model)]
    for tuning in checked.study.tunings():
        first = first_block(loaded.model, tuning)
        trainable = apply(loaded.model, tuning)
        share = trainable.trainable / trainable.total
        yield f"{tuning.name}: {trainable.trainable:,} of {trainable.total:,} parameters train ({share:.1%})"
        if (sized := size_searched(checked.study, tuning)) is not None:
            yield f"note: the search draws {drawn_from(sized)}, which decides how many train; here: {tuning.leading}"
        table = Table("part", Column("parameters", justify="right"), Column("trains", justify="right"))
        for alike in alike_frozen(trainable.rows):
            row, many = alike[0], len(alike) > 1
            part = f"{row.part} to {alike[-1].part}" if many else row.part
            each = f"{len(alike)} x {row.parameters:,}" if many else f"{row.parameters:,}"
            table.add_row(part, each, f"{row.trainable:,}" if row.trainable else "-")
        yield table
        for note in trainable.notes:
            yield f"note: {note}"
        if first is not None and checked.study.engine.replay:
            frozen = "all blocks" if first == len(names) else f"the blocks before {names[first]}"
            yield f"note: {frozen} are frozen: what they make of a row is computed once, and replayed"
        elif trainable.names:
            yield "note: no block is frozen before what trains, or replay is off: every step computes all of them"
        reset(loaded.model, trainable)


def alike_frozen(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the rows, those together that follow one another, train nothing and differ in a number alone."""

    def kind(row: Row) -> object:
        return row.part if row.trainable else (re.sub(r"\d+", "#", row.part), row.parameters)

    return [list(alike) for _, alike in groupby(rows, kind)]


def _rendered_prompts(checked: Checked, loaded: Loaded) -> Iterator[RenderableType]:
    """Yield the first training example as every prompt renders it, and as the model reads it: tokens with their ids."""
    from harness.models.languages import beginning
    from harness.models.source_vectors import with_vectors

    demonstrations = with_vectors(checked.demonstrations, checked.prompts, loaded)
    example, limits = checked.examples["train"][0], token_limits(checked.study, checked.task)
    start = [beginning(loaded.model).start] if loaded.is_encoder_decoder else []
    told = dates(checked.prompts, loaded)
    for prompt in checked.prompts:
        (shown,) = demonstrations.attached(prompt, [example], of_train=True)
        if is_labelled(prompt):
            yield from _chosen_from(prompt, shown, loaded, limits, demonstrations)
            continue
        text = prompt.render(example.fields, shown.shots)
        between = "" if text[-1:].isspace() or checked.text else " "
        body = Text.assemble(text, between, (example.target, "green"))
        yield Panel(body, title=Text(f"prompt {prompt.name} (target in green)"), title_align="left")
        row, _ = prompt.tokenize(shown, loaded, limit=prompt_limit(loaded, limits))
        if checked.text and loaded.is_masked:
            yield f"{limits.source} tokens: {_tokens(loaded, row.prompt + row.target)}"
            yield "trained: 15% of these, drawn anew in every epoch"
            continue
        yield f"{len(row.prompt)} tokens: {_tokens(loaded, row.prompt)}"
        seam = f"its decoder: {_tokens(loaded, start)}" if start else "trained:"
        yield Text.assemble(f"{seam} ", (_tokens(loaded, row.target), "green"))
        if prompt.name in told:
            yield f"date that the model's chat template asks for: {told[prompt.name]}"


def _chosen_from(
    prompt: PromptForm, example: Example, loaded: Loaded, limits: Limits, demonstrations: Demonstrations
) -> Iterator[RenderableType]:
    """Yield an example of a prompt that is answered by a label, as the model reads it, and the words of each label."""
    choice, text = choice_of(example, prompt, loaded, limits)
    between = "" if text[-1:].isspace() or loaded.is_masked else " "
    body = Text.assemble(text, between, (example.target, "green"))
    yield Panel(body, title=Text(f"prompt {prompt.name} (label in green)"), title_align="left")
    for ids in dict.fromkeys(row.prompt for row in choice.rows):
        yield f"{len(ids)} tokens: {_tokens(loaded, ids)}"
    if not choice.words:
        labels = ", ".join(repr(label.name) for label in labels_of(prompt))
        yield f"trained: the head's score of {example.target!r} among {labels}"
        return
    if calibration_of(prompt):
        free = content_free_rows(prompt, loaded, demonstrations, limits=limits)
        for each in free.choices:
            yield f"calibrated by {each.id}: {_tokens(loaded, each.rows[0].prompt)}"
    for place, label in enumerate(labels_of(prompt)):
        words = [_tokens(loaded, word.tokens) for word in choice.words if word.label == place]
        yield Text.assemble(
            f"label {label.name}: ", (" | ".join(words), "green" if label.name == example.target else "")
        )


def _decoding_table(study: StudySpec, checked: Checked) -> Table:
    """Return how predictions are made: each setting, where it comes from, and what the checkpoint asks for instead.

    Args:
        study: Of one of the settings of generation that are compared.
        checked: The whole study.
    """
    name = f"decoding: {study.generation.name}" if isinstance(study.generation, NamedGeneration) else "decoding"
    table = Table(name, "value", "from", "the checkpoint asks for")
    for setting in decoding_settings(study, checked.task, checked.description):
        asked = "" if setting.asked is None else _value(setting.asked)
        table.add_row(
            setting.name, "not used" if setting.value is None else _value(setting.value), setting.source, asked
        )
    return table


def _value(value: object) -> Text:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return Text(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")


def _tokens(loaded: Loaded, ids: Sequence[int | None]) -> str:
    tokens = loaded.tokenizer.convert_ids_to_tokens(list(ids))
    return " ".join(f"{token}={number}" for token, number in zip(tokens, ids, strict=True))


def task_tables() -> Iterator[RenderableType]:
    """Yield the packaged tasks with their prompts and metrics, and the folder of their files."""
    table = Table("task", "prompts", "metrics (the first leads)")
    for name in packaged_tasks():
        task, _ = load_task(name)
        prompts = ", ".join(prompt.name for prompt in task.prompts)
        table.add_row(name, prompts, ", ".join(metric_name(metric) for metric in task.metrics))
    yield table
    yield from map(str, packaged_tasks().values())
