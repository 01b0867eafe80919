"""What a study reads to see whether fine-tuning spoils what a model knew: general text, and other tasks' data.

Nothing of it is trained on. The default text is written for the harness: a hundred passages of plain English, or, for
the embedded model, documents of the small world that it was pretrained on, which the pretraining did not see. Plain
English would tell nothing about that model: it knows a few hundred words, and is worse there than a uniform guess, so
it has nothing to forget.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from harness.core.closest_match import closest
from harness.core.errors import DataError, TaskError
from harness.core.example import Example, field_names
from harness.core.named_path import named_path
from harness.data.data_keys import Data
from harness.data.open_source import open_source
from harness.data.plain_text import PlainText
from harness.data.readers import FORMATS, Row, format_of, read_rows
from harness.data.sources import read_split
from harness.data.template import Template
from harness.data.tokenization import Encoded, Limits, Reader, encode
from harness.metrics import get
from harness.metrics.try_metrics import try_metrics
from harness.study.packaged_files import packaged
from harness.study.spec import Generality, StudySpec
from harness.study.task import Task, load_task

__all__ = ["General", "OtherTask", "encode_task", "encode_texts", "passage", "read_general"]

DEFAULT = "default"
SHORTEST, LONGEST = 40, 600
"""Characters: a shorter text is no passage (a heading, a caption); of a longer one, the beginning is read."""
SPARE = 8
"""Tokens left over in the context: halves that are tokenized apart may take a few more than the whole."""


class OtherTask(NamedTuple):
    """A task that the study does not train on."""

    task: Task
    examples: list[Example]
    """Of its own validation split."""
    limits: Limits


class General(NamedTuple):
    """What final runs measure beside their own task; falsy where that is nothing."""

    texts: tuple[str, ...] = ()
    tasks: tuple[OtherTask, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.texts or self.tasks)


def read_general(
    study: StudySpec, own: str, reader: Reader | None, *, at: Callable[..., AbstractContextManager[None]]
) -> General:
    """Read what the study's section names; a masked model goes on with no text, by which it would be measured.

    Args:
        study: The study.
        own: The name of its own task.
        reader: Stands for the model, if it could be read.
        at: Turns an error that is raised inside into a problem at a place of the study file.
    """
    spec, texts = study.generality, list[str]()
    if reader is not None and reader.is_masked:
        return General()
    with at("generality", "text"):
        texts = _texts(spec, embedded=study.model.name == "embedded")
    tasks = dict[str, OtherTask]()
    for index, name in enumerate(spec.tasks):
        with at("generality", "tasks", index):
            other = _other(name, study, reader, taken={own, *tasks})
            if reader:
                encode_task(other, reader)
            tasks[other.task.name] = other
    return General(tuple(texts), tuple(tasks.values()))


def _texts(spec: Generality, *, embedded: bool) -> list[str]:
    if spec.text is None:
        return []
    rows = _rows(spec.text, spec, embedded=embedded)
    found = [text for row in rows if (text := passage(_text(row, spec.text)))]
    if not found:
        raise DataError(f"generality.text {spec.text!r} holds no text of at least {SHORTEST} characters; name another")
    return found[: spec.examples]


def _rows(text: str, spec: Generality, *, embedded: bool) -> list[Row]:
    path = named_path(text)
    is_hub = text != DEFAULT and format_of(path) is None and re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", text)
    if not is_hub and (spec.config or spec.revision):
        raise DataError("generality.config and generality.revision belong to a Hub id; leave them out")
    if text == DEFAULT:
        return read_rows(packaged() / "general" / ("world.jsonl" if embedded else "plain.txt"))
    if is_hub:
        return _hub_rows(text, spec)
    if format_of(path) is None:
        endings = ", ".join(FORMATS)
        raise DataError(
            f"generality.text is {text!r}; it must be {DEFAULT}, a file ({endings}), a Hub id org/name or null"
        )
    if not path.is_file():
        places = "paths start from the study file's folder, then from the current folder"
        raise DataError(f"generality.text {text!r} is no file; {places}")
    return read_rows(path)


def _hub_rows(text: str, spec: Generality) -> list[Row]:
    """Return the validation split of a data set on the Hub, else its training split."""
    try:
        readers = open_source(Data(hub=text, config=spec.config, revision=spec.revision), Path()).readers
        return readers.get("validation", readers["train"])()
    except DataError as error:
        raise DataError(f"generality.text is read as data.hub would be: {error}") from error


def _text(row: Row, origin: str) -> str:
    text = row.get("text")
    if not isinstance(text, str):
        hint = closest("text", sorted(row)) if "text" not in row else f"it holds {text!r}"
        raise DataError(f"generality.text {origin!r}: every row needs a column 'text' with a text; {hint}")
    return text


def passage(text: str) -> str:
    """Return the beginning of a text that is read, up to the end of a word; empty where it is too short to tell.

    >>> passage("= Heading =")
    ''
    """
    text = text.strip()
    if len(text) > LONGEST:
        text = _start(text, LONGEST)
    return text if len(text) >= SHORTEST else ""


def _start(text: str, length: int) -> str:
    """Return the words that the first characters of a text hold whole; all these characters if that is none."""
    return text[:length].rsplit(None, 1)[0] if re.search(r"\S\s+\S", text[:length]) else text[:length]


def _halves(text: str) -> tuple[str, str]:
    """Split a text at the space that is nearest to its middle, in the middle of what has none.

    >>> _halves("one two three"), _halves("abcd")
    (('one two', 'three'), ('ab', 'cd'))
    """
    middle = len(text) / 2
    gaps = [match.span() for match in re.finditer(r"\s+", text)]
    start, end = min(gaps, key=lambda gap: abs(sum(gap) / 2 - middle), default=(int(middle), int(middle)))
    return text[:start] + ("\n" if "\n" in text[start:end] else ""), text[end:]


def encode_texts(texts: tuple[str, ...], reader: Reader) -> Encoded:
    """Return general text as rows: the first half of each passage the prompt, the second the target.

    The target has no end token: where a passage ends is no knowledge. What a model's context cannot hold loses words
    at its end before it is split.
    """
    examples = []
    for index, text in enumerate(texts):
        first, second = _halves(_within(text, reader))
        examples.append(Example(str(index), {"text": first}, second))
    everything = Limits(source=LONGEST * 8, target=1)
    found = encode(examples, Template("text", "{{ text }}"), reader, limits=everything)
    end = reader.tokenizer.eos_token_id
    return found._replace(rows=[row._replace(target=tuple(i for i in row.target if i != end)) for row in found.rows])


def _within(text: str, reader: Reader) -> str:
    if reader.context is not None:
        while len(reader.tokenizer(text, verbose=False)["input_ids"]) + SPARE > reader.context and len(text) > 2:
            text = _start(text, len(text) * 3 // 4)
    return text


def _other(name: str, study: StudySpec, reader: Reader | None, *, taken: set[str]) -> OtherTask:
    """Return another task, its targets held to half of a short context, since a study cannot set their limit."""
    task, file = load_task(name)
    if task.name in taken:
        raise TaskError(f"generality.tasks names {task.name!r}, which the study has already; name other tasks")
    if any(isinstance(prompt, PlainText) for prompt in task.prompts):
        raise TaskError(f"generality.tasks names {task.name!r}, a task of plain text; name its file as generality.text")
    for metric in task.metrics:
        if isinstance(metric, str) and not metric.startswith("evaluate:"):
            get(metric)
    task = task.trimming(reader.tokenizer.eos_token if reader else None)
    examples = read_split(open_source(Data(), file.parent / task.data), "validation", Data(), task.example)
    try_metrics(task.metrics, examples)
    context = reader.context if reader else None
    target = min(task.max_target_tokens, context // 2 if context else task.max_target_tokens)
    limits = Limits(study.training.max_source_tokens or task.max_source_tokens, target, target)
    return OtherTask(task, examples[: study.generality.examples], limits)


def encode_task(other: OtherTask, reader: Reader) -> Encoded:
    """Return another task's examples as rows of its first prompt.

    Raises:
        DataError: They do not fit the model.
        TemplateError: The prompt does not fit the data.
    """
    prompt = other.task.prompts[0]
    prompt.validate(field_names(other.examples))
    return encode(other.examples, prompt, reader, limits=other.limits)
