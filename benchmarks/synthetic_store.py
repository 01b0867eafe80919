"""A store as a finished study leaves it, made without a model: scores, losses, costs and answers are made up.

Runs are written with the MLflow client, all that belongs to one in a single call: the harness, which logs as it goes,
would take three times as long.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from harness.core.example import Example, Prediction
from harness.metrics import get
from harness.study.search_space import NONE, format_value
from harness.tracking.address import StudyAddress, store_uri
from harness.tracking.mlflow.mlflow_tracker import MlflowTracker
from harness.tracking.study_record import StudyRecord

WORDS = ["the", "a", "note", "plan", "team", "budget", "meeting", "room", "Ada", "Ben", "moved", "agreed", "on", "by"]
NAME = "synthetic"
METRIC = get("rougeL")
LEAD = METRIC.name


class Size(NamedTuple):
    """How much there is of everything."""

    prompts: int = 10
    tunings: int = 6
    """Three at least: none, head, some last blocks, full."""
    trials: int = 20
    seeds: int = 5
    examples: int = 200
    epochs: int = 3


class _Depth(NamedTuple):
    """One tuning, by how deep it goes; 0 trains nothing."""

    number: int
    name: str


class _Writer:
    """Writes runs of one study."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.tracker = MlflowTracker.open(StudyAddress(NAME, NAME, store_uri()))
        self.client = MlflowClient(self.tracker.uri)
        self.now = 1_700_000_000_000

    def run(
        self,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        epochs: tuple[Mapping[str, float], ...] = (),
        last: Mapping[str, float] | None = None,
    ) -> str:
        """Write one run whole; return its id."""
        self.now += 1000
        run = self.client.create_run(self.tracker.pages.experiment, start_time=self.now, tags=dict(tags), run_name=name)
        steps = [*enumerate(epochs, start=1), (len(epochs), last or {})]
        points = [Metric(key, value, self.now, step) for step, values in steps for key, value in values.items()]
        named = [Param(key, str(value)) for key, value in params.items()]
        self.client.log_batch(run.info.run_id, metrics=points, params=named)
        self.client.set_terminated(run.info.run_id, end_time=self.now + 900)
        return str(run.info.run_id)


def depths(size: Size) -> list[_Depth]:
    names = ["none", "head", *(f"last_blocks-{n}" for n in range(1, size.tunings - 2)), "full"]
    return [_Depth(number, name) for number, name in enumerate(names)]


def write_store(size: Size) -> MlflowTracker:
    """Write a finished study called ``synthetic`` into the store of this process; return its tracker."""
    writer, generator = _Writer(size), np.random.default_rng(0)
    cases = [_case(number, generator) for number in range(size.examples)]
    for prompt in range(size.prompts):
        for depth in depths(size):
            _cell(writer, prompt, depth, cases)
    summary = writer.run("summary", {}, {"phase": "summary", "study": NAME})
    _record(size).to_run(writer.tracker, summary)
    return writer.tracker


def _case(number: int, generator: np.random.Generator) -> Example:
    words = [WORDS[int(place)] for place in generator.integers(len(WORDS), size=12)]
    return Example(f"test-{number}", {"source": " ".join(words * 4)}, " ".join(words))


def _cell(writer: _Writer, prompt: int, depth: _Depth, cases: list[Example]) -> None:
    size, quality = writer.size, 0.3 + 0.03 * prompt + 0.08 * depth.number
    cell = f"prompt{prompt}/{depth.name}"
    rates = np.geomspace(1e-4, 1e-2, size.trials if depth.number else 0)
    values = [float(quality - 0.05 * abs(math.log10(rate) + 3 + 0.2 * depth.number) ** 2) for rate in rates]
    best = int(np.argmax(values)) if values else -1
    rate = format_value(float(rates[best])) if values else NONE
    factors = {"prompt": f"prompt{prompt}", "tuning": depth.name, "trainable_parameters": 100_000 * depth.number}
    tags = {"phase": "cell", "cell": cell, "best_trial": str(best)}
    parent = writer.run(cell, {**factors, "learning_rate": rate}, tags)
    below = {"cell": cell, "mlflow.parentRunId": parent}
    for index, value in enumerate(values):
        params = {"learning_rate": format_value(float(rates[index])), "seed": 0}
        tags = {**below, "phase": "search", "trial": str(index), "optuna_trial": str(index), "outcome": "complete"}
        last = {"objective": value, f"validation/{LEAD}": value, **_costs(depth)}
        writer.run(f"trial {index}", params, tags, _losses(depth, index, size), last)
    for seed in range(size.seeds if depth.number else 1):
        said = _answers(cases, quality, np.random.default_rng([prompt, depth.number, seed]))
        score = float(METRIC.reduce([METRIC.statistics(*pair) for pair in zip(said, cases, strict=True)]))
        last = {f"validation/{LEAD}": score, f"test/{LEAD}": score, **_general(depth, seed), **_costs(depth)}
        if not depth.number:
            last["validation/loss"] = 2.2
        params = {"learning_rate": rate, "seed": str(seed) if depth.number else NONE}
        tags = {**below, "phase": "final", "test_digest": "made-up"}
        run = writer.run(f"seed {seed}", params, tags, _losses(depth, seed, size), last)
        writer.client.log_text(run, json.dumps(_table(cases, said)), "predictions/test.json")


def _losses(depth: _Depth, seed: int, size: Size) -> tuple[Mapping[str, float], ...]:
    """Return the losses of each epoch; none where nothing trains."""
    falls = [1.2 * math.exp(-0.5 * depth.number * epoch / size.epochs) for epoch in range(1, size.epochs + 1)]
    return tuple(
        {"train/loss": 0.8 + fall + 0.01 * seed, "validation/loss": 1.0 + fall + 0.01 * seed}
        for fall in falls[: size.epochs if depth.number else 0]
    )


def _general(depth: _Depth, seed: int) -> dict[str, float]:
    after = 20.0 + 0.8 * depth.number**2 + 0.1 * seed
    return {"generality/perplexity_before": 20.0, "generality/perplexity": after}


def _costs(depth: _Depth) -> dict[str, float]:
    spent = {"train_seconds": 1.0 + depth.number, "flops": 1e12 * (1 + depth.number), "peak_memory_mib": 900.0}
    return {f"cost/{name}": value for name, value in spent.items()}


def _answers(cases: list[Example], share: float, generator: np.random.Generator) -> list[Prediction]:
    texts = (" ".join(word if generator.random() < share else "um" for word in case.target.split()) for case in cases)
    return [Prediction(case.id, text, 12.0, 12) for case, text in zip(cases, texts, strict=True)]


def _table(cases: list[Example], said: list[Prediction]) -> dict[str, Any]:
    """Return what MLflow's `log_table` would store."""
    columns = ["id", "source", "prediction", "reference", "nll", "tokens"]
    rows = [
        [case.id, case.fields["source"], one.text, case.target, one.nll, one.tokens]
        for case, one in zip(cases, said, strict=True)
    ]
    return {"columns": columns, "data": rows}


def _record(size: Size) -> StudyRecord:
    search = {"learning_rate": {"low": 1e-4, "high": 1e-2}, "trials": size.trials, "sampler": "grid", "pruner": "none"}
    return StudyRecord(
        question="How long does the report of a large study take?",
        study={"task": "summarization", "search": search},
        overrides=(),
        file="synthetic.yaml",
        task_file="task.py",
        cells=tuple(f"prompt{prompt}/{depth.name}" for prompt in range(size.prompts) for depth in depths(size)),
        prompts={f"prompt{prompt}": "{{ source }}\nTL;DR:" for prompt in range(size.prompts)},
        metrics=(LEAD, "loss"),
        signatures={LEAD: METRIC.signature()},
        lead=LEAD,
        maximize=True,
        objective=LEAD,
        baseline="prompt0/full",
        data={"test examples": size.examples},
        provenance={"python": "3"},
    )
