"""Record how validation depends on the learning rate, on a dense grid: what `bench_search.py` searches.

Sixteen cells: the three embedded tasks at four depths, and one of them under a second prompt. Per cell, seed and
learning rate one training run, scored after every epoch as a trial is. The seed orders the training rows and nothing
else, so the difference between seeds is the noise that a search sees. Takes about a quarter of an hour on one core;
`curves.csv` is its output, kept in the repository. ``--beyond`` records into `curves_beyond.csv` what that leaves
out: `head` above 0.1, and three depths of another model (`../shared`) on two other data sets, over the whole reach.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from harness.core.errors import Diverged
from harness.study.check import check
from harness.study.checked_study import Checked
from harness.study.dimension import Dimension
from harness.study.grid import Cell
from harness.study.load_study import read_study
from harness.study.search_space import Hyperparameters
from harness.training.evaluation import SplitScores
from harness.training.trainer import Trainer

OUT = Path(__file__).with_name("curves.csv")
GRIDS: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("summarization", "cue", (0, 1)),
    ("translation", "cue", (0, 1)),
    ("reply_generation", "cue", (0, 1)),
    ("summarization", "instruction", (0,)),
)
"""Task, prompt, seeds."""
RATES = [float(f"{rate:.6g}") for rate in Dimension("learning_rate", 1e-5, 1e-1, "log").points(17)]
BEYOND = [float(f"{rate:.6g}") for rate in Dimension("learning_rate", 1e-1, 1e1, "log").points(9)][1:]
REACH = [float(f"{rate:.6g}") for rate in Dimension("learning_rate", 1e-6, 1e1, "log").points(22)]
OTHERS = {
    "sgd": "task: reply_generation\nmodel: {name: ../shared/models/mix-llama-5m}\nprompts: [cue]\n"
    "data: {path: ../shared/data/sgd, train: 96, validation: 48}\n",
    "tatoeba": "task: translation\nmodel: {name: ../shared/models/mix-llama-5m}\nprompts: [cue]\n"
    "data: {path: ../shared/data/tatoeba_en_fr, train: 96, validation: 48}\n",
}
"""Another model on other data, for two tasks; their names stand in place of a task's."""
FIELDS = ("cell", "seed", "learning_rate", "epoch", "loss", "metric", "train_seconds", "validation_seconds", "examples")
"""``metric`` is the task's first; ``examples`` its value on every validation row, in thousandths, at the last epoch."""

STUDY = """\
name: curves
task: {task}
data: {{train: 96, validation: 48}}
prompts: [{prompt}]
tuning: [head, {{last_blocks: 1}}, {{last_blocks: 2}}, full]
training: {{epochs: 3, batch_size: 16, max_source_tokens: 96}}
generation: {{max_new_tokens: 24}}
final: {{seeds: []}}
"""


def checked(task: str, prompt: str) -> Checked:
    return _checked(STUDY.format(task=task, prompt=prompt))


def other(name: str) -> Checked:
    """Return a study of another model, whose tunings are one of each kind."""
    rest = STUDY[STUDY.index("tuning:") :].replace("{{last_blocks: 1}}, ", "").replace("{{", "{").replace("}}", "}")
    return _checked(f"name: curves\n{OTHERS[name]}{rest}")


def _checked(text: str) -> Checked:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "study.yaml"
        file.write_text(text, encoding="utf-8")
        return check(read_study(file), test=False)


def by_example(trainer: Trainer, scored: SplitScores) -> str:
    """Return the first metric of every validation row, in thousandths, space-separated."""
    lead, rows = trainer.setup.metrics[0], zip(scored.predictions, trainer.setup.examples("validation"), strict=True)
    values = [lead.reduce([lead.statistics(*row)]) for row in rows]
    scale = 10 if lead.name == "chrf" else 1000  # chrF counts to 100
    return " ".join(str(round(value * scale)) for value in values)


def recorded(
    task: str, trainer: Trainer, cell: Cell, *, seed: int, rates: Sequence[float] = RATES
) -> Iterator[dict[str, Any]]:
    """Train a cell at every learning rate; a run that diverges has no rows from there on."""
    last = trainer.setup.study.training.epochs
    for rate in rates:
        key = {"cell": f"{task}/{cell.id}", "seed": seed, "learning_rate": rate}
        try:
            with trainer.run(cell) as run:
                for epoch in run.epochs(Hyperparameters({"learning_rate": rate}), seed=seed):
                    scored = run.score("validation", generate=True)
                    values = {"loss": scored.scores["loss"], "metric": scored.scores[trainer.setup.metrics[0].name]}
                    times = {"train_seconds": epoch.seconds, "validation_seconds": scored.seconds}
                    shown = {name: f"{value:.5g}" for name, value in (values | times).items()}
                    rows = by_example(trainer, scored) if epoch.epoch == last else ""
                    yield {**key, "epoch": epoch.epoch, **shown, "examples": rows}
        except Diverged as error:
            print(key, error, flush=True)


def write_beyond(writer: csv.DictWriter[str], file: TextIO) -> None:
    for name in OTHERS:
        study = other(name)
        trainer = Trainer(study)
        for cell in [cell for cell in study.cells if cell.tuning.trains]:
            writer.writerows(recorded(name, trainer, cell, seed=0, rates=REACH))
            file.flush()
            print(name, cell.id, flush=True)
    for task, prompt, seeds in GRIDS:
        study = checked(task, prompt)
        trainer = Trainer(study)
        for seed in seeds:
            cell = next(cell for cell in study.cells if cell.tuning.kind == "head")
            writer.writerows(recorded(task, trainer, cell, seed=seed, rates=BEYOND))
            file.flush()
            print(task, cell.id, seed, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="where the CSV goes; an earlier one is replaced")
    parser.add_argument("--beyond", action="store_true", help="record what curves.csv leaves out")
    asked = parser.parse_args()
    out = asked.out.with_name("curves_beyond.csv") if asked.beyond and asked.out == OUT else asked.out
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        if asked.beyond:
            write_beyond(writer, file)
            return
        for task, prompt, seeds in GRIDS:
            study = checked(task, prompt)
            trainer = Trainer(study)
            for cell in [cell for cell in study.cells if cell.tuning.trains]:
                for seed in seeds:
                    writer.writerows(recorded(task, trainer, cell, seed=seed))
                    file.flush()
                    print(task, cell.id, seed, flush=True)


if __name__ == "__main__":
    main()
