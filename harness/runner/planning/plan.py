"""What a study will take: counted where it can be counted, predicted from a short probe where it cannot.

`harness.runner.planning.probe` measures, and `docs/decisions/plan.md` says what becomes of the prediction.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from harness.core.workspace import Workspace
from harness.models.held_weights import computed_in
from harness.report.number_format import duration
from harness.results.score_forecast import CellForecast, Forecast
from harness.runner.finals.checkpoints import models_size
from harness.runner.planning.planned_work import MIB, Cut, Plan, PlannedCell
from harness.runner.planning.plans_together import together
from harness.runner.planning.probe import SCORED, Speed, longest_prompt, probe_trainer, sample, speed_of
from harness.runner.planning.workload import Load, Work, cuts_of, trained, works
from harness.runner.search.optuna_storage import reach_storage
from harness.study.axes import Tuning
from harness.study.checked_study import Checked
from harness.study.forgetting_texts import General
from harness.study.grid import Cell, cell_space, cell_study, same_answers, searched_by, select, sized_by, with_neighbors
from harness.study.search_faults import search_plan
from harness.study.search_space import SearchSpace, applied
from harness.study.spec import PROXIED, StudySpec
from harness.study.written_space import TRAINING
from harness.tracking.mlflow.http import reach_store
from harness.training.activation_cache.memory import recordings
from harness.training.forgetting import Forgetting
from harness.training.trainer import Trainer

__all__ = ["cell_forecast", "plan"]

ZERO_SHOT = Tuning(kind="none")

PATIENCE = 60.0
"""Seconds of probing; where it would take more, one batch of each kind is probed."""

AS_IT_IS = "as a language model"
"""What is said of a model beside the same with a classification head."""

LONGER = 3
"""How much longer than zero-shot's a tuning's probe takes, for a guess."""


def plan(checked: Checked, workspace: Workspace, *, say: Callable[[str], None], cells: str | None = None) -> Plan:
    """Count the work of what `harness.runner.run_study.run` would do, and predict its time and memory; writes nothing.

    Raises:
        UserError: What a run would refuse before it begins.
    """
    start, checked = time.perf_counter(), _at_the_middle(checked)
    study, chosen = checked.study, select(checked.cells, cells)
    reach_store(checked.file.address.store)
    reach_storage(study.search.storage)
    searched = with_neighbors(chosen, study, checked.cells)
    plans, itemsizes = dict[str, Plan](), list[int]()
    residents = checked.residents
    for resident, one in residents.items():
        if own := [cell for cell in searched if cell.resident == resident]:
            part = _at_the_middle(one) if checked.models else one
            name = resident if checked.models else f"the model {resident or AS_IT_IS}" if len(residents) > 1 else ""
            plans[name], itemsize = _of_model(part, checked, own, chosen, workspace, say)
            itemsizes.append(itemsize)
    made = together(plans, [cell.id for cell in searched])
    sizes = {cell.id: cell.sizes for cell in made.cells}
    models = models_size(study.final, [sizes[cell.id] for cell in chosen], max(itemsizes))
    return replace(made, models=models, planning_seconds=time.perf_counter() - start)


def _of_model(
    checked: Checked,
    grid: Checked,
    searched: Sequence[Cell],
    chosen: Sequence[Cell],
    workspace: Workspace,
    say: Callable[[str], None],
) -> tuple[Plan, int]:
    """Return the plan of some cells of one model, and the bytes of one of its weights.

    Args:
        checked: The study of that model alone.
        grid: The whole study.
        searched: The cells.
        chosen: Those of the study with final runs.
        workspace: Where recordings are.
        say: Told what takes time.
    """
    study = checked.study
    prompts = list(dict.fromkeys(cell.prompt for cell in searched))
    longest = longest_prompt(checked, prompts)
    say(f"loading model {study.model.name}")
    trainer = probe_trainer(checked, sample(checked, longest), replay=study.engine.replay)
    trainer.prove(searched)
    say("counting rows and recordings")
    work, engine = works(prompts, checked, trainer), study.engine
    budget = recordings(workspace.recordings, memory_mib=engine.memory_mib, disk_mib=engine.disk_mib)
    room = budget.memory, budget.disk.budget if budget.disk else 0
    cuts = _cuts(list(work.values()), trainer)
    probed = {cell.tuning: Cell(longest, cell.tuning) for cell in searched}
    speeds = _speeds(list(probed.values()), cuts, trainer, room=room, checked=checked, say=say)
    retained, loads = _retained(checked, trainer), dict[object, Load]()
    own = {cell: trained(cell, work, checked, trainer, loads) for cell in searched}
    forecasts = {}
    for cell in searched:
        asked = cell in chosen and same_answers(cell, chosen)[0] == cell
        finals = (len(study.final.seeds) if cell.tuning.trains else 1) if asked else 0
        forecasts[cell.id] = cell_forecast(
            cell, own[cell], finals=finals, speeds=speeds, retained=retained, checked=grid
        )
    first = next((cell.id for cell in searched if forecasts[cell.id].finals), None)
    if first:
        forecasts[first] = forecasts[first]._replace(seconds=forecasts[first].seconds + retained)
    recorded, loaded = sum(size.total for each in work.values() for size in each.recorded), trainer.setup.loaded
    # On a CPU, what a run holds in recordings comes on top of what the probe needed, which did without.
    held = min(recorded, budget.memory) / MIB if loaded.model.device.type == "cpu" else 0.0
    made = Plan(
        cells=tuple(_counted(cell, own[cell], forecasts[cell.id], grid, trainer) for cell in searched),
        cuts=cuts,
        memory=room[0],
        disk=room[1],
        forecast=Forecast(forecasts, trainer.peak_memory() + held, recorded / MIB),
        models="",
        weights=loaded.digest,
        planning_seconds=0.0,
        epochs=_words(study),
        frozen=_frozen(searched, trainer) if study.model.frozen != "float32" else "",
    )
    return made, computed_in(loaded.model).itemsize


def _frozen(cells: Sequence[Cell], trainer: Trainer) -> str:
    """Return how much less memory the weights of each tuning's runs take than they would in float32."""
    saved = {cell.tuning.name: trainer.saved_memory(cell) for cell in cells}
    each = ", ".join(f"{name} {size / MIB:,.0f}" for name, size in saved.items())
    return f"weights that do not train are held in bfloat16, which saves of peak memory, in MiB: {each}"


def _at_the_middle(checked: Checked) -> Checked:
    """Return a study that trains as the middle of its search space does; how long a run is is counted apart."""
    study = checked.study
    space = SearchSpace.of(study)
    middle = applied(study, space.at([0.5] * len(space.dimensions))).training
    training = middle.model_copy(update={"epochs": study.training.epochs, "steps": study.training.steps})
    return replace(checked, file=replace(checked.file, study=study.model_copy(update={"training": training})))


def _cuts(work: Sequence[Work], trainer: Trainer) -> tuple[Cut, ...]:
    found = []
    for cut, tunings in cuts_of(trainer).items():
        parts = [[size.cuts.get(cut, 0) for size in each.recorded] for each in work]
        train, validation, start = map(sum, zip(*parts, strict=True))
        losses, starts = max(sum(part[:2]) for part in parts), max(part[2] for part in parts)
        found.append(Cut(tuple(tunings), train, validation, start, losses, starts))
    return tuple(found)


def _speeds(
    cells: Sequence[Cell],
    cuts: Sequence[Cut],
    trainer: Trainer,
    *,
    room: tuple[int, int],
    checked: Checked,
    say: Callable[[str], None],
) -> dict[str, Speed]:
    """Probe one cell of every tuning, zero-shot always: the test split is scored with nothing replayed."""
    too_large = {name for cut in cuts for name in cut.tunings if not cut.losses_fit(*room)}
    whole = {name for cut in cuts for name in cut.tunings if not cut.starts_fit(*room)} - too_large
    generate = checked.objective != "loss" or bool(checked.study.final.seeds)
    prompt = cells[0].prompt
    live = probe_trainer(checked, sample(checked, prompt), replay=False) if too_large else trainer
    probed = [Cell(prompt, ZERO_SHOT), *(cell for cell in cells if cell.tuning.trains)]
    began = time.perf_counter()
    speed_of(trainer, probed[0], generate=generate)  # the first passes of a process are slow
    ahead = (time.perf_counter() - began) * (1 + LONGER * (len(probed) - 1))
    if ahead > PATIENCE:
        ahead /= SCORED
        say(f"one batch of each kind is probed, for about {duration(ahead)}: the model is slow here")
        for each in {id(one): one for one in (trainer, live)}.values():
            each.setup.take(sample(checked, prompt, brief=True))
    found = {}
    for number, cell in enumerate(probed, start=1):
        name = cell.tuning.name
        say(f"probing {name}, {number} of {len(probed)}")
        found[name] = speed_of(live if name in too_large else trainer, cell, generate=generate)
        if name in whole:
            found[name] = found[name]._replace(prefill=found[ZERO_SHOT.name].prefill)
    return found


def _retained(checked: Checked, trainer: Trainer) -> float:
    """Return the seconds of one look at what a model still knows, 0 where none is taken: a few rows, scaled up."""
    general, study = checked.general if checked.study.final.seeds else None, checked.study
    seconds, size = 0.0, study.training.batch_size * SCORED
    parts = [General(tasks=(task,)) for task in general.tasks] if general else []
    parts += [General(general.texts)] if general and general.texts else []
    for part in parts:
        rows = len(part.texts) or len(part.tasks[0].examples)
        few = General(part.texts[:size], tuple(task._replace(examples=task.examples[:size]) for task in part.tasks))
        sizes = {"batch_size": study.training.batch_size, "prompts": trainer.setup.decoding.batch_size}
        forgetting = Forgetting(few, trainer.setup.loaded, forward=trainer.setup.forward, **sizes)
        forgetting.measure()  # the first passes are slow
        start = time.perf_counter()
        forgetting.measure()
        seconds += (time.perf_counter() - start) * rows / min(rows, size)
    return seconds


def cell_forecast(
    cell: Cell, work: Work, *, finals: int, speeds: Mapping[str, Speed], retained: float, checked: Checked
) -> CellForecast:
    """Multiply one cell's work by its tuning's speed.

    Trials that a pruner would stop are counted in full; where the length is searched over, a run has its mean. Test
    rows are taken to be like validation rows, since nothing of that split is known but how many they are. Zero-shot's
    speed is that of a whole model computed live. One look at what a model still knows takes the seconds ``retained``;
    that before training is the study's.
    """
    study, speed, live = checked.study, speeds[cell.tuning.name], speeds[ZERO_SHOT.name]
    trials = search_plan(cell, study, checked.cells).trials if cell.tuning.trains else 0
    generates, has_finals = checked.objective != "loss", bool(study.final.seeds)
    tested = live.scoring(work.validation, generate=True) * len(checked.test_ids) / len(checked.examples["validation"])
    if not cell.tuning.trains:
        last = live.scoring(work.validation, generate=generates or has_finals)
        return CellForecast(0, finals, finals * (last + tested))
    loss, made = (speed.scoring(work.validation, generate=generate) for generate in (False, True))
    epochs, scores = _length(cell, work, study)
    if searched_by(cell, checked.cells) != cell:  # answered by what the first setting's runs trained
        return CellForecast(0, finals, finals * (made + tested))
    training = speed.opening + epochs * speed.training * work.train.tokens
    among_best = sum(min(1.0, PROXIED / index) for index in range(1, trials + 1))  # if any order is as likely
    proxied = among_best * made if has_finals and not generates else 0.0
    recording = speed.recording * (work.train.tokens + work.validation.tokens)
    searching = recording + trials * (training + scores * (made if generates else loss)) + proxied
    watched = study.training.patience is not None or study.training.keep == "best"
    followed = scores * (made if generates else loss) if watched else (scores - 1) * loss
    return CellForecast(trials, finals, searching + finals * (training + followed + made + tested + retained))


def _counted(cell: Cell, work: Work, forecast: CellForecast, checked: Checked, trainer: Trainer) -> PlannedCell:
    trainable, total = trainer.parameters(cell)
    fewest, most = _added(cell, checked.study, trainer)
    epochs, _ = _length(cell, work, checked.study)
    steps = epochs * _epoch_steps(cell, work, checked.study)
    trains = cell.tuning.trains and searched_by(cell, checked.cells) == cell
    counts = trainable + most, total + most, trainable + fewest
    return PlannedCell(cell.id, *forecast, round(steps) if trains else 0, *counts)


def _added(cell: Cell, study: StudySpec, trainer: Trainer) -> tuple[int, int]:
    """Return how many weights a cell's search may add to those of its tuning as it is written: the fewest, the most."""
    sized = sized_by(study, cell)
    if sized is None:
        return 0, 0
    ends = [int(value) for value in sized.choices or (sized.low, sized.high) if isinstance(value, int | float)]
    at, each = int(cell.tuning.leading or 0), trainer.growth(cell)
    return (min(ends) - at) * each, (max(ends) - at) * each


def _words(study: StudySpec) -> str:
    """Return what steps and seconds are counted with, where the length of a run is searched over."""
    unit = "epochs" if study.training.steps is None else "steps"
    searched = SearchSpace.of(study).find(f"{TRAINING}{unit}")
    return (
        f"steps and seconds are those of {searched.mean:g} {unit} a run, the mean of what is searched over"
        if searched
        else ""
    )


def _epoch_steps(cell: Cell, work: Work, study: StudySpec) -> int:
    """Return the optimizer steps of an epoch."""
    return math.ceil(work.train.batches / cell_study(study, cell).training.accumulation)


def _length(cell: Cell, work: Work, study: StudySpec) -> tuple[float, float]:
    """Return how many epochs a run of a cell trains, and how often it is scored; on average where that is searched."""
    training, per_epoch = cell_study(study, cell).training, _epoch_steps(cell, work, study)
    searched = cell_space(study, cell).find(f"{TRAINING}{'epochs' if training.steps is None else 'steps'}")
    length = searched.mean if searched else float(training.steps or training.epochs or 0)
    epochs = length if training.steps is None else length / per_epoch
    if not training.counts_steps:
        return epochs, epochs
    return epochs, math.ceil(epochs * per_epoch / (training.evaluate_every or per_epoch))
