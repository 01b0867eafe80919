"""A study from keyword arguments: the sections of a study file, with rows, a task and a model from memory among them.

What lies in memory is written into the workspace, each thing under a name made of its content, and the study goes on by
its path. So all that is told of a study file is true of it, and a second process that builds it again finds the same.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from numbers import Integral
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, cast

import yaml
from pydantic import ValidationError

from harness.core.closest_match import closest
from harness.core.errors import Problem, StudyError, UserError
from harness.core.example import SPLITS, digest
from harness.core.failures import explained
from harness.core.passwords import addresses_in, masked
from harness.core.plain_yaml import cut, yaml_text, yaml_value
from harness.core.whole_files import file_digests, write_whole
from harness.core.workspace import Workspace
from harness.data.memory_rows import are_rows, as_jsonl, plain_rows
from harness.data.prompt_forms import PROMPT_FORMS, written_keys
from harness.data.tokenization import PromptForm
from harness.study.adapter_files import with_adapter_file
from harness.study.function_source import SourceModule
from harness.study.key_messages import findings
from harness.study.load_study import StudyFile
from harness.study.prompt_files import names_files, prompts_in
from harness.study.spec import StudySpec
from harness.study.study_text import study_text
from harness.study.study_tree import EXTENDS
from harness.study.task import Task
from harness.study.task_from_memory import own_file, task_source

__all__ = ["MemoryStudy", "study_from_memory"]

Keys = tuple[str | int, ...]

SOURCE = Path("harness.Study")
"""What stands where a study file's path does."""

DEEPEST = 16
"""Sections and lists within each other; a study file needs fewer."""

PLAIN = "a study file holds texts, numbers, true or false, lists and mappings of such: write it as one of them"

OWN_LOSS = "write it into a file, and name that: losses.py:mine"

PAIR = "give model=(model, tokenizer), the folder of one, or a Hub id"


@dataclass(frozen=True)
class MemoryStudy(StudyFile):
    """A study that no file was read for; its relative paths start at the working folder."""

    rows: Mapping[str, str] = field(default_factory=dict)
    """The files of rows that came from memory, by split."""
    contents: Mapping[str, str] = field(default_factory=dict)
    """The texts of those files, and of a task's that came from memory."""

    @property
    def memory(self) -> Mapping[str, str]:
        """The files of its rows that came from memory, by split."""
        return self.rows

    def place(self, *keys: str | int) -> str:
        """Return the keyword of a key."""
        return _place(self.written(keys))

    def keep(self) -> None:
        """Write what came from memory, where it is not there yet, or is no longer what its name says."""
        for file, text in self.contents.items():
            path, content = Path(file), text.encode()
            if not path.is_file() or path.read_bytes() != content:
                write_whole(path, content)


@dataclass
class _Memory:
    """What sections hold that lies in memory, as files to be."""

    folder: Path
    rows: dict[str, str] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)

    def file(self, name: str, suffix: str, text: str) -> Path:
        """Return the file of a text, called by its content."""
        file = self.folder / f"{name}-{digest(text)}{suffix}"
        self.contents[str(file)] = text
        return file


def study_from_memory(sections: Mapping[str, Any], workspace: Workspace) -> MemoryStudy:
    """Return the study of some sections; a model from memory is written into the workspace, the rest by `keep`.

    Args:
        sections: By their keys in a study file.
        workspace: Where what lies in memory is written.

    Raises:
        StudyError: All that is wrong with it.
    """
    problems: list[Problem] = []
    if EXTENDS in sections:
        problems.append(Problem(_place((EXTENDS,)), "a file extends another: write one, and give it to Study.load"))
    tree: dict[str, Any] = {}
    memory = _Memory(workspace.memory)
    for key, value in sections.items():
        try:
            tree[key] = _SECTIONS[key](value, memory) if key in _SECTIONS else _plain(value, (key,))
        except UserError as error:
            problems.append(Problem(_place((key,)), str(error)))
    if problems:
        raise StudyError(problems)
    if isinstance(task := sections.get("task"), Task):
        tree["data"] = _with_data(tree.get("data"), task)
    try:
        study = StudySpec.model_validate(yaml_value(yaml_text(tree)))
    except ValidationError as error:
        known = addresses_in(tree)
        raise StudyError([Problem(_place(keys), masked(told, *known)) for keys, told in findings(error)]) from None
    except yaml.YAMLError as error:
        raise StudyError([Problem(str(SOURCE), f"it cannot be written as a study file: {error}")]) from None
    text, rows, contents = study_text(study), memory.rows, memory.contents
    return MemoryStudy(study, SOURCE, text, (), {}, Path(), rows=rows, contents=contents)


def _place(keys: Keys) -> str:
    dotted = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return f"{SOURCE}({dotted.lstrip('.')})" if keys else str(SOURCE)


def _plain(value: Any, keys: Keys) -> Any:
    """Return a value as YAML would give it: paths are texts, numbers of numpy Python's, tuples lists.

    Args:
        value: Of a keyword, or inside of one.
        keys: Where it stands.

    Raises:
        UserError: A study file cannot hold it.
    """
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, tuple(PROMPT_FORMS.values())):
        value = written_keys(cast(PromptForm, value))
    if isinstance(value, Mapping) and len(keys) < DEEPEST:
        return {key: _plain(inner, (*keys, key)) for key, inner in value.items()}
    if isinstance(value, list | tuple | range) and len(keys) < DEEPEST:
        return [_plain(item, (*keys, number)) for number, item in enumerate(value)]
    if isinstance(value, str):
        return str.__str__(value)  # of an enumeration or of numpy
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if hasattr(value, "tolist"):  # a scalar or an array of numpy
        return _plain(value.tolist(), keys)
    where = _place(keys).removeprefix(str(SOURCE)).strip("()")
    raise UserError(f"{where} is {type(value).__name__} {cut(repr(value))}; {PLAIN}")


def _task(task: Any, memory: _Memory) -> Any:
    """Return a task's name or the path of its file: of one from memory its module's, else one that is written of it."""
    if not isinstance(task, Task):
        return _plain(task, ("task",))
    return str(own_file(task) or memory.file("task", ".py", task_source(task)))


def _with_data(data: Any, task: Task) -> Any:
    """Return a study's data; a task from memory says where its own are from the working folder."""
    if isinstance(data, Mapping) and {"path", "splits", "hub", "sources"} & data.keys():
        return data
    return {**(data or {}), "path": task.data}


def _data(data: Any, memory: _Memory) -> Any:
    """Return a study's data, with rows written as files, which ``splits`` names."""
    if are_rows(data):
        data = {"rows": {"train": data}}
    if not isinstance(data, Mapping):
        return _plain(data, ("data",))
    given = data.get("rows", {})
    rows = dict(given) if isinstance(given, Mapping) else {"train": given}
    held = [key for key in SPLITS if are_rows(data.get(key)) or isinstance(data.get(key), Mapping)]
    rows |= {key: data[key] for key in held}  # a mapping of columns is refused below
    said = {key: _plain(value, ("data", key)) for key, value in data.items() if key not in ("rows", *held)}
    if not rows:
        return said
    if clash := next((key for key in ("path", "splits", "hub", "sources") if key in said), None):
        raise UserError(f"data has rows and names {clash}; keep one of them")
    if strays := [str(split) for split in rows if split not in SPLITS]:
        raise UserError(f"data has rows of {strays[0]!r}, which is no split; {closest(strays[0], SPLITS)}")
    if "train" not in rows:
        raise UserError(f"data has rows of {', '.join(rows)}, but none of train; give data.train too")
    for split, part in rows.items():
        text = as_jsonl(plain_rows(part, f"data.{split}"), f"data.{split}")
        memory.rows[split] = str(memory.file("rows", ".jsonl", text))
    return {**said, "path": str(memory.folder), "splits": {key: Path(file).name for key, file in memory.rows.items()}}


def _prompts(prompts: Any, memory: _Memory) -> Any:
    """Return a study's prompts, those that stand in files read from the working folder."""
    given = _plain(prompts, ("prompts",))
    if not isinstance(given, list):
        return given
    each = [[found for found, _ in prompts_in(one, Path())] if names_files(one) else [one] for one in given]
    return list(chain.from_iterable(each))


def _tuning(tuning: Any, memory: _Memory) -> Any:
    """Return a study's tunings, those of PEFT's files read from the working folder."""
    given = _plain(tuning, ("tuning",))
    return [with_adapter_file(one, Path())[0] for one in given] if isinstance(given, list) else given


def _model(model: Any, memory: _Memory) -> Any:
    """Return a study's model; one from memory is written as a folder."""
    section = dict(model) if isinstance(model, Mapping) else {"name": model}
    name = section.get("name")
    if isinstance(name, tuple | list):
        section["name"] = str(_folder_of(name, memory.folder))
    elif name is not None and not isinstance(name, str | os.PathLike):
        raise UserError(f"model is a {type(name).__name__} without a tokenizer; {PAIR}")
    return _plain(section, ("model",))


def _models(models: Any, memory: _Memory) -> Any:
    """Return the models that a study compares, each a name or a section."""
    if not isinstance(models, list | tuple):
        return _plain(models, ("models",))
    return [_model(model, memory) for model in models]


def _folder_of(pair: Any, folder: Path) -> Path:
    """Write a model and its tokenizer into a folder that is called by their content, and return it."""
    if len(pair) != 2 or not all(hasattr(part, "save_pretrained") for part in pair):
        raise UserError(f"model is {len(pair)} things: {', '.join(type(part).__name__ for part in pair)}; {PAIR}")
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(mkdtemp(prefix=".draft-", dir=folder))
    try:
        for part in pair:
            _save(part, draft)
        final = folder / f"{type(pair[0]).__name__}-{digest(file_digests(draft, apart_from=''))}"
        if not final.exists():
            draft.rename(final)
        return final
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _save(part: Any, folder: Path) -> None:
    """Write a model or a tokenizer, as its library does."""
    try:
        part.save_pretrained(folder)
    except Exception as error:  # whatever its library makes of one that it cannot write, such as a quantized one
        if explained(error) is not None:
            raise
        why = f"{type(error).__name__}: {cut(str(error))}"
        raise UserError(f"{type(part).__name__} cannot be saved, {why}; {PAIR} that can be") from error


def _training(training: Any, memory: _Memory) -> Any:
    """Return a study's training section; a loss from memory is written as a file."""
    loss = training.get("loss") if isinstance(training, Mapping) else None
    if not callable(loss):
        return _plain(training, ("training",))
    module = SourceModule("training.loss", remedy=OWN_LOSS)
    made = module.expression(loss, "the function")
    file = memory.file("loss", ".py", f"{module.text()}\nloss = {made}\n")
    return _plain({**training, "loss": f"{file}:loss"}, ("training",))


_SECTIONS = {
    "task": _task,
    "data": _data,
    "prompts": _prompts,
    "tuning": _tuning,
    "model": _model,
    "models": _models,
    "training": _training,
}
"""The sections that may hold what lies in memory or in files, and what makes them a study file's."""
