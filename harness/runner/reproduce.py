"""``harness reproduce``: one final run done again from what the store holds of it, and compared number by number.

Nothing is written to the store; what comes from where, `docs/decisions/reproduce.md` says.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.core.errors import UserError
from harness.core.example import Example, Split, fingerprint
from harness.core.named_path import OF_FILE
from harness.core.passwords import masked
from harness.core.permissions import Permissions
from harness.core.progress import Progress
from harness.core.provenance import provenance
from harness.core.workspace import Workspace
from harness.metrics.base import Metric
from harness.metrics.evaluate_hub import resolve_all
from harness.runner.executors.in_process import InProcess
from harness.runner.executors.protocol import Ended, Event, Executor, Job, OneJob, Reply, Scored, drive
from harness.runner.objective import objective_of
from harness.study.checked_study import Checked
from harness.study.grid import Cell, cell_space
from harness.study.load_study import read_study
from harness.study.recorded_folders import recorded_folders, recorded_task
from harness.study.study_from_store import StoredStudy, rebuilt
from harness.study.task import load_task, task_text
from harness.study.task_files import has_run, prompt_in
from harness.tracking.address import store_uri
from harness.tracking.mlflow.mlflow_tracker import MlflowTracker, find_run
from harness.tracking.schema import Metrics, Params, Tags
from harness.tracking.store_protocols import Tracker
from harness.tracking.stored_run import Run
from harness.training.model_facts import ModelFacts

__all__ = ["Difference", "Reproduction", "reproduce"]

SCORED = (Metrics.VALIDATION, Metrics.TEST)
WEIGHTS = "weights"
UNKNOWN = "not recorded"
NOTHING_MORE = Permissions()


class Difference(NamedTuple):
    """Something that is not what it was when the run was made."""

    name: str
    """Of a result, a metric's or ``weights``; or of what may explain differences."""
    then: str
    now: str

    def __str__(self) -> str:
        return f"{self.name}: then {self.then}, now {self.now}"


@dataclass(frozen=True)
class Reproduction:
    """A run done again."""

    run: str
    """Its name."""
    changed: tuple[Difference, ...]
    """What may explain differences: versions, commit, machine, the task's file."""
    compared: tuple[str, ...]
    """All that was compared."""
    differences: tuple[Difference, ...]
    """Empty where metrics and weights are the same to the last bit."""


def reproduce(
    run: str, workspace: Workspace, *, progress: Progress, allowed: Permissions = NOTHING_MORE
) -> Reproduction:
    """Do a final run, named by its id or how that begins, again, without a trace in the store.

    Args:
        run: The id.
        workspace: Where recordings are.
        progress: Who watches.
        allowed: What the model, and a task that was never run here, may do; what the store says counts for nothing.

    Raises:
        UserError: There is no such final run, or data, prompt or model are not what they were; names each.
    """
    tracker, recorded = _final_run(run)
    kept = StoredStudy.fetch(tracker, recorded)
    with tempfile.TemporaryDirectory() as folder:
        try:
            checked = rebuilt(kept, Path(folder), tracker.uri, allowed)
        except UserError as error:
            raise UserError(f"run {recorded.name} cannot be done again: {error}") from error
        name = recorded.tags[Tags.CELL]
        cell = next((cell for cell in checked.cells if cell.id == name), None)
        if cell is None:
            raise UserError(f"run {recorded.name}: its study no longer has the cell {name}; it was edited")
        own = checked.of(cell)
        progress.stage(f"loading model {own.study.model.name}")
        executor = InProcess(checked, workspace, progress)
        metrics, test = resolve_all(checked.metrics), None
        if any(name.startswith(Metrics.TEST) for name in recorded.metrics):
            test = checked.test_examples()
        if stops := [*_prompt(kept, cell), *_digests(recorded, cell, checked, executor.facts().of(cell), test)]:
            raise UserError("\n".join([f"run {recorded.name} cannot be done again:", *map(str, stops)]))
        changed = [*_surroundings(kept, recorded), *_alias(kept, cell, tracker), *_metrics(kept, metrics)]
        if test is not None:
            executor.open_test(test)
        progress.stage(f"{'training' if cell.tuning.trains else 'scoring'} {recorded.name} again")
        predicts = objective_of(checked, metrics).generates or bool(checked.study.final.seeds)
        now = _results(executor, _job(recorded, cell, checked, predicts=predicts), tests=test is not None)
    then = {name: repr(value) for name, value in recorded.metrics.items() if name.startswith(SCORED)}
    then[WEIGHTS] = recorded.tags.get(Tags.WEIGHTS_DIGEST, UNKNOWN)
    names = sorted(then.keys() | now.keys())
    differences = [_difference(name, then.get(name, "nothing"), now.get(name, "nothing")) for name in names]
    return Reproduction(recorded.name, tuple(changed), tuple(names), tuple(filter(None, differences)))


def _difference(name: str, then: str, now: str) -> Difference | None:
    try:
        by = f", by {float(now) - float(then):+.3g}"
    except ValueError:  # digests, or a metric that one of the two lacks
        by = ""
    return Difference(name, then, f"{now}{by}") if then != now else None


def _final_run(identity: str) -> tuple[MlflowTracker, Run]:
    found = find_run(identity, store_uri())
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


def _alias(kept: StoredStudy, cell: Cell, tracker: Tracker) -> Iterator[Difference]:
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
        yield Difference(f"prompt {uri}", then, now)


def _prompt(kept: StoredStudy, cell: Cell) -> list[Difference]:
    """Hold the prompt that the run was given against what its name stands for in the study file as it now is."""
    texts, name = [cell.prompt.text], cell.prompt.name
    own, working = recorded_folders(kept.record)
    file = own / Path(kept.record.file).name
    with suppress(UserError):  # the file is being edited; what the store holds is enough
        if os.path.isfile(file):
            study = read_study(file, kept.record.overrides, working=working).study
            prompt = next((prompt for prompt in study.prompt_levels() if prompt.name == name), None)
            if prompt is not None and not prompt.registered:
                task = recorded_task(kept.record, study.task)
                texts.append(form.text if (form := prompt.form()) else _of_task(task, name, kept.prompt))
    others = [text for text in texts if text != kept.prompt]
    return [Difference(f"prompt {name}", repr(kept.prompt), repr(text)) for text in others[:1]]


def _of_task(file: Path, name: str, then: str) -> str:
    """Return the text of a prompt of a task's file as it now is, as far as the file says it without being run."""
    source = task_text(file) if file.is_file() else ""
    if has_run(source):
        return load_task(str(file))[0].prompt(name).text
    found = prompt_in(source, name)
    return then if found is None else found


def _digests(
    run: Run, cell: Cell, checked: Checked, model: ModelFacts, test: Sequence[Example] | None
) -> Iterator[Difference]:
    """Yield the data and the parts of the model that are not those of a run."""
    splits: dict[Split, Sequence[Example]] = {**checked.used_by(cell)} | ({} if test is None else {"test": test})
    origin, name = checked.source.origin, checked.of(cell).study.model.name
    digests = {
        **{f"{split} data in {origin}": (Tags.data_digest(split), fingerprint(splits[split])) for split in splits},
        f"weights of model {name}": (Tags.MODEL_DIGEST, model.weights),
        f"configuration of model {name}": (Tags.ARCHITECTURE_DIGEST, model.architecture),
    }
    if Tags.TOKENIZER_DIGEST in run.tags:  # older runs do not say
        digests[f"tokenizer of model {name}"] = Tags.TOKENIZER_DIGEST, model.tokenization
        digests[f"generation settings of model {name}"] = Tags.GENERATION_DIGEST, model.generation
    for what, (tag, now) in digests.items():
        if (then := run.tags.get(tag, UNKNOWN)) != now:
            yield Difference(what, f"digest {then}", f"digest {now}")


def _surroundings(kept: StoredStudy, run: Run) -> Iterator[Difference]:
    """Yield versions, commit, machine and task file that differ."""
    place, name = recorded_folders(kept.record).own.resolve(), kept.record.study["task"]
    for what, now in provenance(place if place.is_dir() else Path()).items():
        if (then := run.tags.get(what, UNKNOWN)) != now:
            yield Difference(what, then, now)
        elif now.endswith("+changes"):
            yield Difference(what, then, f"{now}, whose uncommitted changes cannot be compared")
    file = recorded_task(kept.record)
    task = masked(task_text(file)) if file.is_file() else None
    if task != kept.task:
        yield Difference(f"task {name}", "as the store holds it", "gone" if task is None else "another text")
    yield from _loss(kept)


def _loss(kept: StoredStudy) -> Iterator[Difference]:
    """Yield a loss of one's own whose file differs."""
    name = kept.record.study["training"].get("loss", "")
    if not kept.loss or (found := OF_FILE.fullmatch(name)) is None:
        return
    places = [folder / found["file"] for folder in (*recorded_folders(kept.record), Path())]
    file = next((place for place in places if os.path.isfile(place)), None)
    loss = masked(task_text(file, "loss file")) if file else None
    if loss != kept.loss:
        yield Difference(f"loss {name}", "as the store holds it", "gone" if loss is None else "another text")


def _metrics(kept: StoredStudy, metrics: Sequence[Metric]) -> Iterator[Difference]:
    for metric in metrics:
        then = kept.record.signatures.get(metric.name, "not there")
        if metric.signature() != then:
            yield Difference(f"metric {metric.name}", then, metric.signature())


def _job(run: Run, cell: Cell, checked: Checked, *, predicts: bool) -> Job:
    winner = cell_space(checked.study, cell).parse(run.params)
    seed = int(run.params[Params.SEED]) if cell.tuning.trains else 0
    return Job(run.name, cell.id, winner, seed, follows=False, scores="validation", predicts=predicts)


def _results(executor: Executor, job: Job, *, tests: bool) -> dict[str, str]:
    """Do a job, and return its scores and the digest of its weights as texts."""
    results: dict[str, str] = {}

    def handle(event: Event) -> Reply:
        if isinstance(event, Ended) and event.outcome == "diverged":
            raise UserError(f"run {event.job} does not come to its end any more: {event.error}")
        if not isinstance(event, Scored):
            return Reply()
        scores = {name: value for name, value in event.metrics.items() if name.startswith(SCORED)}
        results.update({name: repr(float(value)) for name, value in scores.items() if value == value})
        results[WEIGHTS] = event.weights
        return Reply(score="test" if tests and event.split == "validation" else None)

    drive(executor, OneJob(job, handle))
    return results
