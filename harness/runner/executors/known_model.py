"""A study's model, known from an earlier command: it is loaded when a job waits for it, and not before.

What the records say of a model is kept in the study's folder, beside all that it was found out from: the files of the
model by size and times, the study, its rows, the versions of the code, the machine. Where any of these is another one,
the model is loaded as if nothing were known. Files that have only just changed are not trusted, nor is code that comes
with a model, which may read anything, nor what is measured on other tasks.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.core.bounded_files import read_json
from harness.core.errors import ModelError
from harness.core.example import Example, digest, fingerprint
from harness.core.file_states import code_states, file_states
from harness.core.named_path import named_path
from harness.core.progress import Progress
from harness.core.provenance import provenance
from harness.core.whole_files import write_whole
from harness.core.workspace import Workspace
from harness.runner.executors.crew import Crew
from harness.runner.executors.protocol import Event, Executor, JobQueue, Reply
from harness.study.check import Checked
from harness.study.model_files import locate
from harness.study.packaged_files import model_location
from harness.study.settings import new_tokens, stop_texts, token_limits
from harness.study.task import task_text
from harness.training.model_facts import ModelFacts

__all__ = ["KnownModel"]

FILE = "model.json"
"""In the study's folder."""

SETTLED = 5.0
"""Seconds after which a file that changes again has another time, whatever the file system's clock."""

MOST = 1000
"""Files of a model; a folder of more is no model's alone."""

ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY")
"""What moves the last digits of a loss, by which it is found how losses may be computed."""


class KnownModel:
    """An executor whose own executor, and with it the model, is made when there is something to do.

    Args:
        make: Makes it, of all that follows.
        checked: The study.
        workspace: Where it is run.
        progress: Is told how far its jobs are, and of what takes time.
        crew: Who trains.
    """

    def __init__(
        self,
        make: Callable[[Checked, Workspace, Progress, Crew], Executor],
        checked: Checked,
        workspace: Workspace,
        progress: Progress,
        crew: Crew,
    ) -> None:
        self._make, self._checked, self._workspace, self._progress = make, checked, workspace, progress
        self._crew = crew
        self._file = workspace.study(checked.study.name) / FILE
        self._test: Sequence[Example] | None = None
        self._facts = self._known()

    def facts(self) -> ModelFacts:
        """Return what the records of the study say of its model."""
        return self._facts or self._found

    def open_test(self, examples: Sequence[Example]) -> None:
        """Hand the test split in."""
        self._test = examples
        if "_executor" in vars(self):
            self._executor.open_test(examples)

    def run(self, queue: JobQueue) -> Generator[Event, Reply, None]:
        """Do jobs until none waits."""
        if not queue.waiting():
            return
        if self._facts not in (None, self._found):
            self._file.unlink(missing_ok=True)
            raise ModelError(
                f"model {self._names()} is another one than when this study was last run, though its "
                "files are the same; the same command goes on, with the model as it is now"
            )
        yield from self._executor.run(queue)

    def recorded(self) -> int:
        """Return the bytes of the recordings that were made or found; 0 where nothing was to be done."""
        return self._executor.recorded() if "_executor" in vars(self) else 0

    def close(self) -> None:
        """End what was started for it."""
        if "_executor" in vars(self):
            self._executor.close()

    @cached_property
    def _executor(self) -> Executor:
        self._progress.stage(f"loading model {self._names()}")
        made = self._make(self._checked, self._workspace, self._progress, self._crew)
        if self._test is not None:
            made.open_test(self._test)
        return made

    @cached_property
    def _found(self) -> ModelFacts:
        """What the loaded model says, which is written down if its files rest."""
        started, before = time.time(), self._signs()
        facts = self._executor.facts()
        if before and before == self._signs() and all(changed + SETTLED < started for changed in self._changes()):
            write_whole(self._file, json.dumps({"from": digest(before), "facts": facts.as_json()}))
        return facts

    def _known(self) -> ModelFacts | None:
        try:
            found = read_json(self._file)
            signs = self._signs()
            return ModelFacts.from_json(found["facts"]) if signs and found["from"] == digest(signs) else None
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None  # nothing was kept, or another version did

    def _signs(self) -> list[Any]:
        """Return all that facts of a model depend on, nothing where that cannot be said."""
        checked, study = self._checked, self._checked.study
        files = file_states(self._files())
        each = [*checked.models.values()] or [checked]
        if not files or any(one.study.model.trust_remote_code for one in each) or checked.general.tasks:
            return []
        halves = [one.description.is_encoder_decoder for one in each]
        metrics = [metric if isinstance(metric, str) else metric.signature() for metric in checked.metrics]
        versions = {name: value for name, value in provenance(checked.file.path.parent).items() if name != "commit"}
        return [
            files,
            code_states(),
            study.model_dump(mode="json"),
            [[type(prompt).__name__, asdict(prompt)] for prompt in checked.prompts],
            {split: fingerprint(examples) for split, examples in checked.examples.items()},
            [token_limits(study, checked.task), new_tokens(study, checked.task)],
            [stop_texts(study, one.task, is_encoder_decoder=half) for one, half in zip(each, halves, strict=True)],
            [fit._asdict() for one in each for fit in one.fits],
            [metrics, task_text(checked.task_file), checked.cautions, checked.general.texts],
            [
                versions,
                platform.node(),
                {name: os.environ.get(name) for name in ENVIRONMENT},
                sorted(map(str, _devices())),
                [self._crew.threads, *self._crew.devices],
            ],
        ]

    def _files(self) -> list[Path]:
        """Return the files of all models, nothing where those of one cannot be said."""
        found = [_files_of(one) for one in self._checked.models.values() or (self._checked,)]
        return [path for files in found for path in files] if all(found) else []

    def _names(self) -> str:
        return ", ".join(self._checked.models) or self._checked.study.model.name

    def _changes(self) -> Iterator[float]:
        return (max(path.stat().st_mtime, path.stat().st_ctime) for path in self._files())


def _files_of(checked: Checked) -> list[Path]:
    """Return the files of a model's folder; on the Hub's cache that of the commit."""
    model = checked.study.model
    source, tokenizer = locate(model_location(model.name), model.revision), checked.description.tokenizer_file
    folder = Path(source.name) if source.commit is None else tokenizer and tokenizer.parent
    folders = [folder, *([named_path(model.adapter)] if model.adapter else [])] if folder else []
    files = [path for place in folders for path in place.rglob("*") if path.is_file()]
    return files if len(files) <= MOST else []


def _devices() -> Iterator[Path]:
    return Path("/dev").glob("nvidia[0-9]*")
