"""A study rebuilt from what the store holds of it: its file, its overrides, its task, the versions of its prompts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.core.errors import UserError
from harness.core.named_path import OF_FILE
from harness.core.permissions import Permissions
from harness.core.workspace import inside
from harness.data.split_slices import names_file, pieces_of
from harness.study.check import Checked, check
from harness.study.load_study import read_study
from harness.study.recorded_folders import recorded_folders, recorded_task
from harness.study.spec import Search
from harness.study.task import load_task, task_text
from harness.study.task_files import has_run, task_path
from harness.tracking.run_records import prompt_versions
from harness.tracking.schema import Artifacts
from harness.tracking.store_protocols import RunStore
from harness.tracking.stored_run import Run
from harness.tracking.study_record import StudyRecord, summary_of

__all__ = ["StoredStudy", "rebuilt"]


class StoredStudy(NamedTuple):
    """The sources of a run's study, as the store holds them."""

    record: StudyRecord
    file: str
    """The text of the study file."""
    task: str
    """The text of the task's file."""
    loss: str
    """That of a loss of one's own; empty where the loss is one of the harness."""
    prompt: str
    """The text of the run's own prompt."""
    rows: Mapping[str, str]
    """The rows that came from memory, by split, as a jsonl file has them; none where texts are kept off the store."""
    versions: Mapping[str, str]
    """Prompts to the addresses of the versions that runs used."""

    @classmethod
    def fetch(cls, tracker: RunStore, run: Run) -> StoredStudy:
        """Read them.

        Raises:
            UserError: The study has not been run to its end.
        """
        runs = tracker.runs()
        summary = summary_of(runs)
        if summary is None or run.parent is None:
            raise UserError(f"run {run.name}: its study has no summary in the store; run it to its end")
        record = StudyRecord.from_run(tracker, summary)
        return cls(
            record=record,
            file=tracker.fetch(summary.id, Artifacts.STUDY),
            task=tracker.fetch(summary.id, Artifacts.task(record.task_file)),
            loss=tracker.fetch(summary.id, Artifacts.LOSS) if _own_loss(record) else "",
            prompt=tracker.fetch(run.parent, Artifacts.PROMPT),
            rows={split: tracker.fetch(summary.id, Artifacts.rows(split)) for split in _stored_rows(record)},
            versions=prompt_versions(run for run in runs if run.phase == "cell"),
        )


def rebuilt(stored: StoredStudy, folder: Path, store: str, allowed: Permissions) -> Checked:
    """Check the study as it was, its task from the store's copy, which is code, as are the files of other tasks.

    Its registered prompts are those of the store that it was found in.

    Raises:
        UserError: It does not pass, or such code was never run here and is not allowed.
    """
    record = stored.record
    _refuse_unknown(f"the store's copy of task {record.task_file}", stored.task, allowed)
    file, task = folder / Artifacts.STUDY, inside(folder, record.task_file)
    file.write_text(stored.file, encoding="utf-8")
    task.write_text(stored.task, encoding="utf-8")
    overrides = [*record.overrides, f"task={json.dumps(str(task))}", *_pinned(stored)]
    overrides += _permitted(record, allowed)
    overrides.append(_override("search", "storage", Search().storage))  # nothing is searched
    if function := _own_loss(record):
        _refuse_unknown(f"the store's copy of loss {record.study['training']['loss']}", stored.loss, allowed)
        (folder / Artifacts.LOSS).write_text(stored.loss, encoding="utf-8")
        overrides.append(_override("training", "loss", f"{folder / Artifacts.LOSS}:{function}"))
    overrides.append(_override("tracking", "uri", store))
    data, folders = record.study["data"], recorded_folders(record)
    overrides += _rows(stored, folder)
    files = [piece for text in data.get("splits", {}).values() for piece in pieces_of(text) if names_file(piece.name)]
    if not files and not any(data.get(key) for key in ("path", "hub", "sources")):  # the task's own, if it is anywhere
        place, source = recorded_task(record), folders.working / record.data["source"]
        own = place.parent / load_task(str(task))[0].data if place.is_file() else source
        overrides.append(_override("data", "path", str(own)))
    read = read_study(file, overrides, folder=folders.own, working=folders.working)
    for other in map(task_path, read.resolved.generality.tasks):
        if other.is_file():
            _refuse_unknown(f"task {other}", task_text(other), allowed)
    return check(read, test=bool(read.study.final.seeds))


def _permitted(record: StudyRecord, allowed: Permissions) -> list[str]:
    """Return the overrides that say what models may do, whatever the store says of it."""
    said = allowed._asdict()
    if not (models := record.study.get("models")):
        return [_override("model", name, value) for name, value in said.items()]
    each = [{key: value for key, value in model.items() if value is not None} | said for model in models]
    return [f"models={json.dumps(each)}"]


def _own_loss(record: StudyRecord) -> str | None:
    """Return the name of the function that is a study's loss, where it is one of the user's own."""
    found = OF_FILE.fullmatch(record.study["training"].get("loss", ""))  # older ones lack that key
    return found["function"] if found else None


def _stored_rows(record: StudyRecord) -> Sequence[str]:
    """Return the splits whose rows the store holds."""
    return [*record.rows] if record.rows and record.study["tracking"]["texts"] else []  # older ones lack that key


def _rows(stored: StoredStudy, folder: Path) -> list[str]:
    """Write the rows that came from memory, and return the overrides that name them.

    Raises:
        UserError: The store has none, and neither has the workspace any more.
    """
    if not stored.rows:
        for split, file in stored.record.rows.items():
            if not os.path.isfile(recorded_folders(stored.record).working / file):
                raise UserError(
                    f"the rows of {split} came from memory and were kept off the store (tracking.texts: false), and "
                    f"{file} is not there any more; build the study in Python again, which writes it"
                )
        return []
    for split, text in stored.rows.items():
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
    splits = {split: f"{split}.jsonl" for split in stored.rows}
    return [_override("data", "path", str(folder)), _override("data", "splits", splits)]


def _override(section: str, key: str, value: object) -> str:
    return f"{section}.{key}={json.dumps(value)}"


def _pinned(stored: StoredStudy) -> list[str]:
    """Return the override that names registered prompts by version: an alias may have moved since."""
    prompts = stored.record.study["prompts"]
    if not any(prompt["registered"] for prompt in prompts):
        return []
    pinned = [
        {**prompt, "registered": stored.versions.get(prompt["name"], prompt["registered"])}
        if prompt["registered"]
        else prompt
        for prompt in prompts
    ]
    set_keys = [{key: value for key, value in prompt.items() if value is not None} for prompt in pinned]
    return [f"prompts={json.dumps(set_keys)}"]


def _refuse_unknown(what: str, text: str, allowed: Permissions) -> None:
    """Refuse a task file that nobody ran here by hand, unless it is allowed to run."""
    if not (allowed.trust_remote_code or has_run(text)):
        raise UserError(f"{what} is code that was not run here before; read it, then say --trust-remote-code")
