"""What the runs of a study say: every one of them, and its summary run, of all that a report needs to know."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any

from harness.core.bounded_files import read_text
from harness.core.environment_names import written
from harness.core.errors import DamagedError
from harness.core.example import Example, Split, field_names, fingerprint
from harness.core.passwords import masked, masked_all
from harness.core.provenance import provenance
from harness.core.workspace import Workspace
from harness.data.demonstrations import pick_of, shots_of
from harness.data.prompt_forms import form_of, more_than_texts, stored_fields
from harness.metrics.base import Metric
from harness.report.charts.palette import COLORS
from harness.results.score_forecast import Forecast
from harness.runner.cell_facts import facts_of_cells, model_identity, model_tags
from harness.runner.mixture_shares import part_shares, part_sizes
from harness.runner.objective import Objective
from harness.runner.resume.missing_runs import StudyRuns
from harness.runner.resume.put_by import PutBy
from harness.runner.told_of_models import model_names, model_provenance, prompt_fits
from harness.study.axes import Prompt, Tuning
from harness.study.cell_digests import cell_digests, edition
from harness.study.checked_study import Checked
from harness.study.grid import Cell, cell_study, sized_by
from harness.study.own_losses import own_loss
from harness.study.search_space import SearchSpace
from harness.study.settings import token_limits
from harness.study.size_notes import draws_compared
from harness.study.spec import StudySpec
from harness.study.task import task_text
from harness.study.training_keys import COMPUTED
from harness.study.written_space import RATE
from harness.tracking.adapter_growth import Growth
from harness.tracking.memory_names import FROZEN
from harness.tracking.model_names import MODEL_NAME
from harness.tracking.prediction_table import TextsKeptOff
from harness.tracking.run_records import CellRecord
from harness.tracking.schema import Artifacts, Params, Tags
from harness.tracking.shot_names import ASKED, PICK
from harness.tracking.store_protocols import DataUse, Registered, Tracker
from harness.tracking.study_record import StudyRecord, summary_of
from harness.training.model_facts import ModelFacts

__all__ = ["data_use", "open_summary", "study_record", "study_runs"]

QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")  # what `repr` makes of a text


def study_runs(
    checked: Checked, facts: ModelFacts, metrics: Sequence[Metric], tracker: Tracker, workspace: Workspace
) -> StudyRuns:
    """Return the runs of a study: those in the store, and what those to come will carry."""
    study, data = checked.study, {split: fingerprint(examples) for split, examples in checked.examples.items()}
    identity = {
        "task": checked.task.name,
        "data": data,
        **model_identity(facts),
        "metrics": [metric.signature() for metric in metrics],
    }
    template = None if checked.models else facts.chat_template
    templates = {prompt: template for prompt in checked.prompts if form_of(prompt) != "text"}
    loss = own.digest() if (own := own_loss(study)) else None
    cells, each = checked.cells, facts_of_cells(checked, facts, data)
    identities = {cell: facts.identity for cell, facts in each.items()}
    digests = cell_digests(cells, study, identity, templates, own=identities, loss=loss)
    colors = dict(zip(checked.prompts, cycle(COLORS)))  # as in the report
    prompts = {prompt.name: _registered(prompt, checked, tracker) for prompt in study.prompt_levels()}
    return StudyRuns(
        tracker,
        {cell.id: _record(cell, checked, facts, digests[cell.id]) for cell in cells},
        tags=_tags(checked, facts, data) | {Tags.EDITION: edition(study, digests)},
        links={c.id: {**prompts[c.prompt.name].link, Tags.COLOR: colors[c.prompt], **each[c.id].tags} for c in cells},
        data={split: data_use(checked, split, examples) for split, examples in checked.examples.items()},
        trained_on={cell: data_use(checked, "train", found.train) for cell, found in each.items() if found.train},
        put_by=PutBy(workspace.study(study.name)),
        kept_off=None if study.tracking.texts else TextsKeptOff(workspace.texts(study.name), metrics),
    )


def _record(cell: Cell, checked: Checked, facts: ModelFacts, digest: str) -> CellRecord:
    study, (trainable, total) = cell_study(checked.study, cell), facts.parameters[cell.id]
    searched, sized = SearchSpace.of(study).names, sized_by(study, cell)  # a run's own params say what is searched
    stated, limits = cell_study(checked.file.study, cell), token_limits(study, checked.task)
    said = study.training.model_dump(exclude=COMPUTED | study.training.unsaid)
    said |= {"max_source_tokens": limits.source, "loss": stated.training.loss}  # as it is written anywhere
    training = {f"{Params.TRAINING}{name}": value for name, value in said.items()}
    languages = study.model.languages | stated.model.merged
    return CellRecord(
        id=cell.id,
        digest=digest,
        task=checked.task.name,
        model=stated.model.name,
        factors=cell.levels,
        trainable_parameters=trainable,
        parameters=total,
        growth=Growth(sized.name, int(cell.tuning.leading or 0), facts.growth.get(cell.id, 0)) if sized else None,
        sizes=_split_sizes(checked, checked.used_by(cell)) | part_sizes(checked, checked.used_by(cell)),
        shots=facts.of(cell).shots(cell.prompt.name) if shots_of(cell.prompt) else {},
        settings={
            **{name: value for name, value in training.items() if name not in searched},
            **({MODEL_NAME: stated.model.name} if cell.model else {}),
            Params.DTYPE: study.model.dtype,
            **({} if study.model.frozen == "float32" else {FROZEN: study.model.frozen}),
            **({ASKED: shots_of(cell.prompt), PICK: pick} if (pick := pick_of(cell.prompt)) else {}),
            **{f"{Params.LANGUAGES}{key}": code for key, code in languages.items()},
            Params.SAMPLER: study.search.sampler,
            Params.METRIC: checked.objective,
        },
    )


def _split_sizes(checked: Checked, used: Mapping[Split, Sequence[Example]]) -> dict[str, int]:
    """Return how many examples each split that was opened has."""
    sizes: dict[str, int] = {split: len(examples) for split, examples in used.items()}
    return sizes | ({"test": len(checked.test_ids)} if checked.test_ids else {})


def _tags(checked: Checked, facts: ModelFacts, data: Mapping[Split, str]) -> dict[str, str]:
    return {
        Tags.STUDY: checked.study.name,
        **model_tags(facts),
        **{Tags.data_digest(split): value for split, value in data.items()},
        **(said := provenance(checked.file.path.resolve().parent)),
        **_source(checked, said["commit"]),
    }


def _source(checked: Checked, commit: str) -> dict[str, str]:
    """Return what MLflow's pages show as a run's source and version; ``commit`` is that of `provenance`."""
    head, _, changes = commit.partition("+")
    said = {} if commit == "none" else {Tags.SOURCE_COMMIT: head, Tags.SOURCE_CHANGED: str(bool(changes)).lower()}
    return {Tags.SOURCE: checked.file.path.name, **said}


def data_use(checked: Checked, split: Split, examples: Sequence[Example]) -> DataUse:
    """Return one split of a study's data as its runs use it."""
    hub, origin = checked.file.study.data.hub, _written(checked.source.origin, checked)
    used = DataUse(
        name=hub or "+".join(part.name for part in checked.source.parts) or Path(origin).name,
        split=split,
        digest=fingerprint(examples),
        source=origin,
        source_type="hf" if hub else "local",
        rows=len(examples),
        fields=(*field_names(examples[:1] if checked.text else examples), "target"),
    )
    return used if checked.study.tracking.texts else used._replace(source=used.digest, source_type="local", fields=())


def _written(text: str, checked: Checked) -> str:
    """Return a text to be stored: no password, and ``${NAME}`` where the study file has it."""
    return masked(written(text, " ".join([checked.file.text, *checked.file.overrides])))


def _without_rows(line: str, checked: Checked) -> str:
    """Return a caution to be stored; what it quotes may be of a row."""
    return _written(line, checked) if checked.study.tracking.texts else QUOTED.sub("'…'", _written(line, checked))


def _masked(text: str, checked: Checked) -> str:
    """Return what a study file, or an override of it, says without passwords."""
    for address in filter(None, (checked.file.study.search.storage, checked.file.study.tracking.uri)):
        text = text.replace(address, masked(address, address))
    return masked(text)


def _said(checked: Checked) -> dict[str, Any]:
    """Return the study as its file says it, defaults filled in, without passwords."""
    said: dict[str, Any] = masked_all(checked.file.study.model_dump(mode="json"))
    if models := checked.file.study.models:
        said["models"] = [masked_all(model.model_dump(mode="json", by_alias=True)) for model in models]
        del said["model"]
    said["search"]["storage"] = _masked(checked.file.study.search.storage, checked)
    if uri := checked.file.study.tracking.uri:
        said["tracking"]["uri"] = _masked(uri, checked)
    return said


def _registered(prompt: Prompt, checked: Checked, tracker: Tracker) -> Registered:
    """Return a prompt's version in the store's registry, made where its text is new there."""
    if prompt.registered:
        return tracker.prompts.find(prompt.registered)
    template = next(template for template in checked.prompts if template.name == prompt.name)
    return tracker.prompts.register(template, task=checked.task.name, study=checked.study.name)


def open_summary(checked: Checked, record: StudyRecord, runs: StudyRuns) -> tuple[str, bool]:
    """Start or reopen the study's summary run, and record the study on it.

    Returns:
        Its id, and whether it was there before.
    """
    tracker = runs.tracker
    earlier = summary_of(tracker.runs(phase="summary"))
    if earlier:
        tracker.reopen(summary := earlier.id)
    else:
        params = {Params.TASK: checked.task.name, Params.MODEL: model_names(checked)}
        source = (Tags.STUDY, Tags.SOURCE, Tags.SOURCE_COMMIT, Tags.SOURCE_CHANGED)
        tags = {name: runs.tags[name] for name in source if name in runs.tags}
        summary = tracker.start("summary", phase="summary", parent=None, params=params, tags=tags)
    tracker.text(summary, _masked(checked.file.text, checked), Artifacts.STUDY)
    tracker.text(summary, masked(task_text(checked.task_file)), Artifacts.task(record.task_file))
    if own := own_loss(checked.study):
        tracker.text(summary, own.stored(), Artifacts.LOSS)
    if checked.study.tracking.texts:
        for split, file in record.rows.items():
            tracker.text(summary, read_text(Path(file)), Artifacts.rows(split))
    record.to_run(tracker, summary)
    return summary, earlier is not None


def study_record(
    checked: Checked,
    model: ModelFacts,
    metrics: Sequence[Metric],
    objective: Objective,
    runs: StudyRuns,
    forecast: Forecast | None,
) -> StudyRecord:
    """Return what a report needs to know of a study beside its runs."""
    study = checked.study
    return StudyRecord(
        question=masked(checked.file.question),
        study=_said(checked),
        space=SearchSpace.of(study).record(),
        ranges={tuning.name: ranges[0] for tuning in study.tunings() if (ranges := _rates(study, tuning))},
        overrides=tuple(_masked(override, checked) for override in checked.file.overrides),
        file=str(checked.file.path),
        working_folder=str(Path.cwd()),
        task_file=re.sub(r"[^A-Za-z0-9_.-]", "_", checked.task_file.name),  # no address of a server needs escapes then
        edition=runs.tags[Tags.EDITION],
        forecast=forecast.as_json() if forecast else None,
        cells=tuple(cell.id for cell in checked.cells),
        axes=tuple(checked.baseline.factors),
        levels={cell.id: cell.levels for cell in checked.cells},
        depths=tuple(tuning.name for tuning in sorted(study.tunings(), key=lambda tuning: tuning.depth)),
        prompts={prompt.name: prompt.text for prompt in checked.prompts},
        prompt_forms=tuple(map(stored_fields, more_than_texts(checked.prompts))),
        filled=model.filled if study.tracking.texts else {},
        metrics=(*(metric.name for metric in metrics), "loss"),
        signatures={metric.name: metric.signature() for metric in metrics},
        lead=objective.lead,
        maximize=objective.lead_maximize,
        objective=objective.name,
        baseline=_baseline(checked, runs.tracker),
        rows=checked.file.memory,
        data=_data(checked, model),
        cautions=tuple(_without_rows(line, checked) for line in (*checked.cautions, *model.cautions)),
        leaks=tuple(o.line() for o in checked.overlaps if o.across and o.twins and study.data.on_overlap == "warn"),
        provenance=model_provenance(checked, model)
        | ({"energy": ", ".join(model.energy)} if model.energy else {})
        | provenance(checked.file.path.resolve().parent),
    )


def _baseline(checked: Checked, tracker: Tracker) -> str:
    """Return the baseline's id: what an earlier version took where nothing was named, zero-shot, its study keeps."""
    first, summary = checked.cells[0], summary_of(tracker.runs(phase="summary"))
    if checked.study.final.baseline or checked.baseline.tuning.name == "full" or first.tuning.trains or not summary:
        return checked.baseline.id
    with suppress(DamagedError):
        earlier = StudyRecord.from_run(tracker, summary)
        if earlier.baseline == first.id and not earlier.study["final"]["baseline"]:
            return first.id
    return checked.baseline.id


def _rates(study: StudySpec, tuning: Tuning) -> list[dict[str, Any]]:
    """Return the learning rates that a tuning's cells search; none where nothing trains."""
    rates = SearchSpace.of(study, tuning).find(RATE) if tuning.trains else None
    return SearchSpace((rates,)).record() if rates else []


def _data(checked: Checked, facts: ModelFacts) -> dict[str, str | int]:
    return (
        {"source": _written(checked.source.origin, checked)}
        | {f"{split} examples": size for split, size in _split_sizes(checked, checked.examples).items()}
        | draws_compared(checked.study)
        | part_shares(checked)
        | prompt_fits(facts)
        | {f"duplicates, {o.earlier} and {o.later}": o.line() for o in checked.overlaps if o.twins}
    )
