"""The splits of a study of plain text: tokens cut into blocks, the last of which are splits that have no file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import DataError, UserError
from harness.core.example import SPLITS, Example, Split
from harness.data.data_keys import CARVED_SHARE, Data, Draw
from harness.data.open_source import open_source
from harness.data.plain_text import PlainText
from harness.data.sources import Source
from harness.data.text_blocks import TextBlocks
from harness.data.text_overlap import shared_runs, without_shared
from harness.data.token_files import TokenFile
from harness.data.tokenization import Reader
from harness.data.train_draws import refuse_equal, text_part
from harness.study.masked_models import masked_notes
from harness.study.problems import Problems
from harness.study.row_lengths import Fit
from harness.study.spec import StudySpec
from harness.study.study_rows import StudyRows
from harness.study.task import Task
from harness.study.tokenized_text import around_blocks, tokenized

__all__ = ["text_fits", "text_rows", "text_split"]


def text_rows(
    study: StudySpec,
    task: Task,
    task_file: Path,
    form: PlainText,
    reader: Reader | None,
    folder: Path | None,
    problems: Problems,
    *,
    test: bool,
) -> StudyRows:
    """Read the text of a study, and cut it into blocks.

    Args:
        study: Resolved.
        task: Names data where the study does not.
        task_file: Its file, beside which its own data are.
        form: How long blocks are.
        reader: Stands for the model; ``None``: it could not be read.
        folder: Where token files lie; ``None``: nothing is kept.
        problems: Takes what is wrong with the text.
        test: Whether to read the test split.
    """
    source: Source | None = None
    examples: dict[Split, Sequence[Example]] = {}
    with problems.at("data"):
        source = open_source(study.data, task_file.parent / task.data)
    if source is None or reader is None or problems.problems:
        return StudyRows(source, [], {}, (), (), (), frozenset())
    drawn, errors = dict[Draw, TextBlocks](), list[UserError]()
    for split in SPLITS if test else SPLITS[:2]:
        try:
            examples[split] = text_split(source, split, study.data, form, reader, folder)
            if split == "train" and study.data.compares_draws:
                drawn = _drawn(source, study.data, form, reader, folder)
                numbers = np.concatenate([blocks.numbers for blocks in drawn.values()])
                examples[split] = next(iter(drawn.values())).chosen(np.unique(numbers))
        except UserError as error:
            errors.append(error)
    problems.add_once(errors, source.prefix, "data")
    if problems.problems:
        return StudyRows(source, [], {}, (), (), (), frozenset())
    found = shared_runs(examples)
    with problems.at("data", "on_overlap"):
        examples = without_shared(examples, found, study.data.on_overlap)
    parts = dict[Draw, Sequence[Example]]()
    with problems.at("data", "train"):
        parts = {draw: text_part(draw, blocks, examples["train"]) for draw, blocks in drawn.items()}
    notes = (*source.notes, *masked_notes(study, reader, examples))
    return StudyRows(source, [], examples, found, notes, (), frozenset(), parts)


def _drawn(source: Source, data: Data, form: PlainText, reader: Reader, folder: Path | None) -> dict[Draw, TextBlocks]:
    """Return the blocks of train by draw."""
    drawn = {draw: text_split(source, "train", data, form, reader, folder, draw) for draw in data.draws}
    refuse_equal({draw: blocks.numbers.tolist() for draw, blocks in drawn.items()})
    return drawn


def text_split(
    source: Source,
    split: Split,
    data: Data,
    form: PlainText,
    reader: Reader,
    folder: Path | None,
    draw: Draw | None = None,
) -> TextBlocks:
    """Return the blocks of one split; of train those of a draw, by default the study's first.

    Raises:
        DataError: Its text cannot be read, or makes fewer blocks than are asked for.
    """
    holder = source.holder(split)
    tokens, around = tokenized(source, holder, data, reader, folder), around_blocks(reader)
    none = TextBlocks(tokens, form, np.empty(0, dtype=np.int64), reader.tokenizer, around)
    return none.chosen(_numbers(source, split, data, none.width, tokens, draw or data.draws[0]))


def _numbers(source: Source, split: Split, data: Data, size: int, tokens: TokenFile, draw: Draw) -> NDArray[np.int64]:
    """Return which blocks of its text a split has: some that are drawn with the study's seed, where it has a size."""
    holder = source.holder(split)
    wanted: int | None = draw.train if split == "train" else getattr(data, split)
    count, rest = divmod(tokens.count, size)
    if rest:
        _tell(source, f"the last {rest} tokens of {holder} make no whole block of {size}, and are dropped.")
    missing: list[Split] = [name for name in ("validation", "test") if name not in source.readers]
    sizes = {name: getattr(data, name) or max(1, round(count * CARVED_SHARE)) for name in missing}
    if holder == "train" and sizes and sum(sizes.values()) >= count:
        parts = " and ".join(f"{number} to {name}" for name, number in sizes.items())
        lower = "".join(f"data.{name}, " for name in missing if getattr(data, name))
        raise DataError(
            f"{source.place(split)}: its {tokens.count} tokens make {count} block{'s' * (count != 1)} of {size}, which "
            f"cannot give {parts} and leave some to train on; lower {lower}training.block_tokens, or bring more text"
        )
    if not count:
        raise DataError(
            f"{source.place(split)}: its {tokens.count} tokens make no block of {size}; lower training.block_tokens"
        )
    ends = dict(zip(missing, (count - sum(sizes.values()) + np.cumsum([sizes[name] for name in missing])), strict=True))
    if split in missing:
        end = int(ends[split])
        none = "no rows were given" if source.from_memory else f"there is no file for it in {source.origin}"
        last = f"the last {sizes[split]}" if end == count else f"the {sizes[split]} before the last {count - end}"
        rule = f"data.{split} sets how many, {CARVED_SHARE:.0%} where it is left out"
        _tell(source, f"{split} is {last} of the {count} blocks of train: {none}; {rule}.")
        return np.arange(end - sizes[split], end)
    count -= sum(sizes.values()) if holder == "train" else 0
    if wanted is not None and wanted > count:
        raise DataError(f"{source.place(split)}: data.{split} is {wanted}, but there are {count} blocks; lower it")
    order = np.random.default_rng(draw.seed if split == "train" else data.first_seed).permutation(count)
    return np.sort(order[:wanted])


def _tell(source: Source, note: str) -> None:
    if note not in source.notes:
        source.notes.append(note)


def text_fits(form: PlainText | None, examples: Mapping[Split, Sequence[Example]]) -> tuple[Fit, ...]:
    """Return how blocks fit into the token limits, which all do; none of a task that has no blocks."""
    train = examples.get("train")
    if form is None or not isinstance(train, TextBlocks):
        return ()
    fit = Fit(
        prompt=form.name,
        longest=form.block_tokens,
        truncated=0.0,
        dropped=0,
        rows=len(train),
        shortened=dict.fromkeys(SPLITS[:2], 0.0),
        fitting=0,
        with_target=0.0,
        texts=train.fingerprint,
        constant=False,
        ids=train.fingerprint,
    )
    return (fit,)
