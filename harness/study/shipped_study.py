"""A study that was checked, as it travels to a machine that reaches none of its files, and as it arrives there.

Rows, prompts and texts travel as values, code as the text of its files: a pickle would name a function and not carry
it. What stands under ``model`` does not: that machine has it under the same path, or gets it from the Hub.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from harness.core.errors import ModelError
from harness.core.example import Example
from harness.core.named_path import named_path
from harness.core.whole_files import write_whole
from harness.core.workspace import HERE
from harness.data.demonstrations import Demonstrations
from harness.data.prompt_forms import restored, stored_fields
from harness.data.tokenization import Limits
from harness.metrics import get
from harness.metrics.base import Metric
from harness.study.checked_model import checked_model
from harness.study.checked_study import Checked
from harness.study.forgetting_texts import General, OtherTask
from harness.study.load_study import StudyFile
from harness.study.model_config import Description
from harness.study.problems import Problems
from harness.study.spec import StudySpec
from harness.study.study_from_memory import MemoryStudy
from harness.study.study_paths import Placed, path_in, with_paths
from harness.study.study_tree import Keys
from harness.study.task import load_task, task_text

__all__ = ["Shipped", "arrived", "shipped"]

CODE = (("task",), ("training", "loss"), ("generality", "tasks"))
"""The keys that name files of code, where they name a file."""

NOT_READ = ("data", "tracking", "search", "generality")
"""The sections whose other paths a worker reads nothing of."""


class Shipped(NamedTuple):
    """A study as plain values."""

    checked: Checked
    """What can be pickled of it; the other fields are the rest."""
    study: StudySpec
    """Its paths of code and of models from the root, as they are on the machine that it comes from."""
    code: Mapping[str, str]
    """The texts of its files of code, by these paths."""
    prompts: Sequence[Mapping[str, Any]]
    """Their fields."""
    other_tasks: Sequence[tuple[Sequence[Example], Limits]]
    """Of ``generality.tasks``, in their order."""
    model: Description
    """What was found of it, without where."""
    has_own_model: bool
    """Whether that came from memory: then no other machine has it."""


def shipped(checked: Checked) -> Shipped:
    """Return a study as it travels.

    Raises:
        TaskError: A file of its code has gone since it was checked.
    """
    code = dict[str, str]()

    def from_root(text: str, keys: Keys, is_path: bool | None) -> str:
        there = named_path(path_in(text)).absolute() if is_path is not False else None
        if there is None or (is_path is None and not there.exists()):
            return text
        if _is_code(keys):
            code[str(there)] = task_text(there)
        elif keys[0] in NOT_READ:
            return text
        return text.replace(path_in(text), str(there), 1)

    study, file, general = with_paths(_without_stores(checked.study), from_root), checked.file, checked.general
    travels = {
        "file": StudyFile(_without_stores(file.study), file.path, "", (), file.lines, file.folder, file.working),
        "task": None,
        "prompts": (),
        "metrics": (),
        "source": None,
        "description": None,
        "demonstrations": Demonstrations(checked.demonstrations.rows),  # without what it found out about them
        "general": General(general.texts),
        "test_ids": (),
        "overlaps": (),
        "lints": (),
        "tokens": None,
    }
    return Shipped(
        checked=replace(checked, **cast(Any, travels)),
        study=study,
        code=code,
        prompts=[stored_fields(prompt) for prompt in checked.prompts],
        other_tasks=[(other.examples, other.limits) for other in general.tasks],
        model=_without_place(checked.description),
        has_own_model=isinstance(file, MemoryStudy) and Path(study.model.name).parent.name == HERE.memory.name,
    )


def arrived(found: Shipped, folder: Path) -> Checked:
    """Return a study as it is checked here, but for its source of rows.

    Args:
        found: As it came.
        folder: Where its code is put.

    Raises:
        ModelError: What it names of its model is not on this machine, or is another one here.
        UserError: Its code, or its model, cannot be read here.
    """

    def here(text: str, keys: Keys, is_path: bool | None) -> str:
        path = path_in(text)
        if _is_code(keys) and path in found.code:
            file = folder / str(list(found.code).index(path)) / Path(path).name
            write_whole(file, found.code[path])
            return text.replace(path, str(file), 1)
        if keys[0] not in NOT_READ and path.startswith("/") and not Path(path).exists():
            raise ModelError(
                f"{'.'.join(map(str, keys))} is {path}, which is not on {platform.node()}; put it there under this "
                "path, or on a disk that all machines have, or name a model of the Hub"
            )
        return text

    study, file = with_paths(found.study, here), replace(found.checked.file)
    vars(file)["placed"] = Placed(study, ())  # no other folder is looked into
    problems = Problems(file)
    description, _ = checked_model(study, problems)
    if problems.problems:
        raise ModelError(f"on {platform.node()}, {problems.problems[0].message}")
    if description is None or _without_place(description) != found.model:
        raise ModelError(
            f"model {study.model.name} is another one on {platform.node()} than where the study was checked; "
            "give all machines the same files"
        )
    task, task_file = load_task(study.task)
    others = zip(study.generality.tasks, found.other_tasks, strict=bool(found.other_tasks))
    return replace(
        found.checked,
        file=file,
        task=task,
        task_file=task_file,
        prompts=tuple(map(restored, found.prompts)),
        metrics=tuple(
            metric if isinstance(metric, Metric) or metric.startswith("evaluate:") else get(metric)
            for metric in task.metrics
        ),
        description=description,
        general=General(
            found.checked.general.texts,
            tuple(OtherTask(load_task(name)[0], list(rows), limits) for name, (rows, limits) in others),
        ),
    )


def _is_code(keys: Keys) -> bool:
    return any(keys[: len(code)] == code for code in CODE)


def _without_stores(study: StudySpec) -> StudySpec:
    """Return a study that names no store, whose address may hold a password: the driver alone writes."""
    search = study.search.model_copy(update={"storage": type(study.search).model_fields["storage"].default})
    return study.model_copy(update={"tracking": type(study.tracking)(), "search": search})


def _without_place(description: Description) -> Description:
    """Return a description that is equal wherever the model's files are."""
    return description._replace(tokenizer_file=None, source=None, generation=dict(description.generation))
