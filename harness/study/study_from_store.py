"""A study rebuilt from what the store holds of it: its file, its overrides, its task, the versions of its prompts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.core.errors import UserError
from harness.study.check import Checked, check
from harness.study.load_study import read_study
from harness.study.task import load_task
from harness.tracking.store_protocols import Run, Tracker

__all__ = ["StudyRecord", "rebuilt"]


class StudyRecord(NamedTuple):
    """What the store holds of a run's study."""

    study: str
    task: str
    task_name: str
    facts: Mapping[str, Any]
    prompt: str
    versions: Mapping[str, str]
    """Prompts to the addresses of the versions that runs used."""

    @classmethod
    def fetch(cls, tracker: Tracker, run: Run) -> StudyRecord:
        """Read it from the store.

        Raises:
            UserError: The study has not been run to its end.
        """
        runs = tracker.runs()
        summaries = [each for each in runs if each.phase == "summary"]
        if not summaries or run.parent is None:
            raise UserError(f"run {run.name}: its study has no summary in the store; run it to its end")
        summary = summaries[-1].id
        facts = json.loads(tracker.fetch(summary, "study.json"))
        return cls(
            study=tracker.fetch(summary, "study.yaml"),
            task=tracker.fetch(summary, f"task/{facts['task_file']}"),
            task_name=facts["study"]["task"],
            facts=facts,
            prompt=tracker.fetch(run.parent, "prompt.jinja"),
            versions={
                each.params["prompt"]: each.tags["prompt_uri"]
                for each in runs
                if each.phase == "cell" and "prompt_uri" in each.tags
            },
        )


def rebuilt(kept: StudyRecord, folder: Path) -> Checked:
    """Check the study as it was, its task from the store's copy."""
    file, task = folder / "study.yaml", folder / kept.facts["task_file"]
    file.write_text(kept.study, encoding="utf-8")
    task.write_text(kept.task, encoding="utf-8")
    overrides = [*kept.facts["overrides"], f"task={json.dumps(str(task))}", *_pinned(kept)]
    data = kept.facts["study"]["data"]
    if not data["path"] and not data["hub"]:  # the task's own: where it is now, if it is anywhere
        overrides.append(f"data.path={json.dumps(_task_data(kept))}")
    read = read_study(file, overrides)
    return check(read, test=bool(read.study.final.seeds))


def _pinned(kept: StudyRecord) -> list[str]:
    """Return the override that names registered prompts by version: an alias may have moved since."""
    prompts = kept.facts["study"]["prompts"]
    if not any(prompt["registered"] for prompt in prompts):
        return []
    pinned = [
        {**prompt, "registered": kept.versions.get(prompt["name"], prompt["registered"])}
        if prompt["registered"]
        else prompt
        for prompt in prompts
    ]
    return [f"prompts={json.dumps([{key: each for key, each in one.items() if each is not None} for one in pinned])}"]


def _task_data(kept: StudyRecord) -> str:
    try:
        task, file = load_task(kept.task_name)
    except UserError:
        return str(kept.facts["data"]["source"])
    return str(file.parent / task.data)
