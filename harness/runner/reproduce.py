"""``harness reproduce``: one final run done again from what the store holds of it, and compared number by number.

The study file, the overrides, the task file, the prompt, the learning rate and the seed come from the store; the data
and the pretrained model from where the study says, if they still have the digests that the run recorded. Nothing is
written to the store.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.core.errors import UserError
from harness.core.example import Example, fingerprint
from harness.core.progress import Progress
from harness.core.provenance import provenance
from harness.core.workspace import Workspace
from harness.data.sources import read_split
from harness.metrics.base import Metric
from harness.metrics.evaluate_hub import resolve_all
from harness.runner.executors.in_process import InProcess
from harness.runner.executors.protocol import Ended, Event, Job, Reply, Scored, drive
from harness.runner.objective import objective_of
from harness.study.check import Checked
from harness.study.grid import Cell, cell_study
from harness.study.load_study import read_study
from harness.study.search_space import SearchSpace
from harness.study.study_from_store import StoredStudy, rebuilt
from harness.study.task import load_task
from harness.tracking.mlflow.mlflow_tracker import find_run
from harness.tracking.schema import Metrics, Params, Tags
from harness.tracking.store_protocols import Run, Tracker
from harness.training.trainer import ModelFacts

__all__ = ["Changed", "Difference", "Reproduction", "reproduce"]

SCORED = (Metrics.VALIDATION, Metrics.TEST)
WEIGHTS = "weights"


class Changed(NamedTuple):
    """Something that is not what it was when the run was made."""

    what: str
    then: str
    now: str

    def __str__(self) -> str:
        return f"{self.what}: then {self.then}, now {self.now}"


class Difference(NamedTuple):
    """A result that came out otherwise."""

    name: str
    """A metric's, or ``weights``."""
    then: str
    now: str

    def __str__(self) -> str:
        try:
            by = f", by {float(self.now) - float(self.then):+.3g}"
        except ValueError:  # digests, or a metric that one of the two lacks
            by = ""
        return f"{self.name}: then {self.then}, now {self.now}{by}"


@dataclass(frozen=True)
class Reproduction:
    """A run done again."""

    run: str
    """Its name."""
    changed: tuple[Changed, ...]
    """What may explain differences: versions, commit, machine, the task's file."""
    compared: tuple[str, ...]
    """All that was compared."""
    differences: tuple[Difference, ...]
    """Empty where metrics and weights are the same to the last bit."""


def reproduce(run: str, workspace: Workspace, *, progress: Progress) -> Reproduction:
    """Do a final run again, without a trace in the store.

    Args:
        run: Its id, or how that begins.
        workspace: Where recordings are kept.
        progress: Told what is being done.

    Raises:
        UserError: There is no such final run, or data, prompt or model are not what they were; names each.
    """
    tracker, found = _final_run(run)
    kept = StoredStudy.fetch(tracker, found)
    with tempfile.TemporaryDirectory() as folder:
        try:
            checked = rebuilt(kept, Path(folder))
        except UserError as error:
            raise UserError(f"run {found.name} cannot be done again: {error}") from error
        name = found.tags[Tags.CELL]
        cell = next((cell for cell in checked.cells if cell.id == name), None)
        if cell is None:
            raise UserError(f"run {found.name}: its study no longer has the cell {name}; it was edited")
        progress.say(f"loading model {checked.study.model.name}")
        executor = InProcess(checked, workspace, progress.say)
        model, metrics = executor.facts(), resolve_all(checked.metrics)
        test = _test(checked, found)
        if stops := [
            *_prompt(kept, cell),
            *_data(found, checked, test),
            *_model(found, model, checked.study.model.name),
        ]:
            raise UserError("\n".join([f"run {found.name} cannot be done again:", *map(str, stops)]))
        changed = [*_surroundings(kept, found), *_alias(kept, cell, tracker), *_metrics(kept, metrics)]
        if test is not None:
            executor.open_test(test)
        progress.say(f"training {found.name} again" if cell.tuning.trains else f"scoring {found.name} again")
        then = _then(found)
        predicts = objective_of(checked, metrics).generates or bool(checked.study.final.seeds)
        queue = _OneRun(
            found, cell, SearchSpace.of(cell_study(checked.study, cell)), predicts=predicts, tests=test is not None
        )
        drive(executor, queue)
        now = queue.results
    names = sorted(then.keys() | now.keys())
    differences = [
        Difference(name, then.get(name, "nothing"), now.get(name, "nothing"))
        for name in names
        if then.get(name) != now.get(name)
    ]
    return Reproduction(found.name, tuple(changed), tuple(names), tuple(differences))


def _final_run(identity: str) -> tuple[Tracker, Run]:
    found = find_run(identity)
    if len(found) != 1:
        many = f"{len(found)} runs have an id that begins so" if found else "there is no such run"
        raise UserError(f"run {identity!r}: {many}; take the id of a final run from the MLflow UI")
    ((study, tracker, run),) = found
    if run.phase != "final" or run.status != "FINISHED":
        raise UserError(
            f"run {run.name} of study {study} is {run.phase or 'no run of the harness'} and {run.status}; only a "
            "finished final run of the study as it now is can be done again"
        )
    return tracker, run


def _alias(kept: StoredStudy, cell: Cell, tracker: Tracker) -> Iterator[Changed]:
    """Say where the study's own name for a registered prompt now stands for another version."""
    names = {prompt["name"]: prompt["registered"] for prompt in kept.record.study["prompts"]}
    then, uri = kept.versions.get(cell.prompt.name), names.get(cell.prompt.name)
    if then is None or not uri:
        return
    try:
        now = tracker.prompts.find(uri).link[Tags.PROMPT_URI]
    except UserError:
        now = "gone"
    if now != then:
        yield Changed(f"prompt {uri}", then, now)


def _test(checked: Checked, run: Run) -> list[Example] | None:
    """Return the test split, if the run was scored on it."""
    if not any(name.startswith(Metrics.TEST) for name in run.metrics):
        return None
    return read_split(checked.source, "test", checked.study.data, checked.task.example)


def _prompt(kept: StoredStudy, cell: Cell) -> Iterator[Changed]:
    """Hold the prompt that the run was given against what its name stands for in the study file as it now is."""
    for now in (cell.prompt.text, _prompt_on_disk(kept, cell.prompt.name)):
        if now is not None and now != kept.prompt:
            yield Changed(f"prompt {cell.prompt.name}", repr(kept.prompt), repr(now))
            return


def _prompt_on_disk(kept: StoredStudy, name: str) -> str | None:
    """Return a prompt's text in the study file and task file where they lie, ``None`` where they are gone."""
    file = Path(kept.record.file)
    if not file.is_file():
        return None
    try:
        study = read_study(file, kept.record.overrides).study
        prompt = next((prompt for prompt in study.prompts if prompt.name == name), None)
        if prompt is None or prompt.registered:
            return None
        return (prompt.form() or load_task(study.task)[0].prompt(name)).text
    except UserError:  # it is being edited; what the store holds is enough
        return None


def _data(run: Run, checked: Checked, test: Sequence[Example] | None) -> Iterator[Changed]:
    splits: dict[str, Sequence[Example]] = {**checked.examples} | ({} if test is None else {"test": test})
    for split, examples in splits.items():
        then = run.tags.get(Tags.data_digest(split), "not recorded")
        if (now := fingerprint(examples)) != then:
            yield Changed(f"{split} data in {checked.source.origin}", f"digest {then}", f"digest {now}")


def _model(run: Run, model: ModelFacts, name: str) -> Iterator[Changed]:
    digests = {
        "weights": (Tags.MODEL_DIGEST, model.weights),
        "configuration": (Tags.ARCHITECTURE_DIGEST, model.architecture),
    }
    for part, (tag, now) in digests.items():
        if (then := run.tags.get(tag, "not recorded")) != now:
            yield Changed(f"{part} of model {name}", f"digest {then}", f"digest {now}")


def _surroundings(kept: StoredStudy, run: Run) -> Iterator[Changed]:
    """Yield versions, commit, machine and task file that differ."""
    place, name = Path(kept.record.file).resolve().parent, kept.record.study["task"]
    for what, now in provenance(place if place.is_dir() else Path()).items():
        if (then := run.tags.get(what, "not recorded")) != now:
            yield Changed(what, then, now)
        elif now.endswith("+changes"):
            yield Changed(what, then, f"{now}, whose uncommitted changes cannot be compared")
    try:
        task = load_task(name)[1].read_text(encoding="utf-8")
    except UserError:
        task = None
    if task != kept.task:
        yield Changed(f"task {name}", "as the store holds it", "gone" if task is None else "another text")


def _metrics(kept: StoredStudy, metrics: Sequence[Metric]) -> Iterator[Changed]:
    for metric in metrics:
        then = kept.record.signatures.get(metric.name, "not there")
        if metric.signature() != then:
            yield Changed(f"metric {metric.name}", then, metric.signature())


def _then(run: Run) -> dict[str, str]:
    found = {name: repr(value) for name, value in run.metrics.items() if name.startswith(SCORED)}
    return {**found, WEIGHTS: run.tags.get(Tags.WEIGHTS_DIGEST, "not recorded")}


class _OneRun:
    """The queue of a final run that is done again: what it comes to is kept here, and nothing is recorded.

    Args:
        run: As it was.
        cell: Its cell.
        space: What its hyperparameters were drawn from.
        predicts: Whether predictions are made, or losses alone.
        tests: Whether the test split is scored.
    """

    def __init__(self, run: Run, cell: Cell, space: SearchSpace, *, predicts: bool, tests: bool) -> None:
        trains = cell.tuning.trains
        job = Job(
            run.name,
            cell.id,
            space.parse(run.params),
            int(run.params[Params.SEED]) if trains else 0,
            follows=False,
            scores="validation",
            predicts=predicts,
        )
        self._jobs, self._tests = {job.name: job}, tests
        self.results: dict[str, str] = {}
        """What `_then` returns."""

    def waiting(self) -> Sequence[str]:
        return list(self._jobs)

    def take(self, name: str) -> Job:
        return self._jobs.pop(name)

    def handle(self, event: Event) -> Reply:
        if isinstance(event, Ended) and event.outcome == "diverged":
            raise UserError(f"run {event.job} does not come to its end any more: {event.error}")
        if not isinstance(event, Scored):
            return Reply()
        scores = {name: value for name, value in event.metrics.items() if name.startswith(SCORED)}
        self.results |= {name: repr(float(value)) for name, value in scores.items() if value == value}
        self.results[WEIGHTS] = event.weights
        return Reply(score="test" if self._tests and event.split == "validation" else None)
