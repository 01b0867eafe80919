"""Record how validation depends on the number of training rows: what `bench_forecasts.py` forecasts.

Three embedded tasks at three depths, each at a learning rate near its best, as `curves.csv` has it; nested subsets of
the training rows, three epochs of each. Per cell, size and seed one training run, scored at its end. The seed orders
the rows and nothing else. Takes some eight minutes of computing on one core; `sizes.csv` is its output, kept in the
repository.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.study.check import check
from harness.study.checked_study import Checked
from harness.study.load_study import read_study
from harness.study.search_space import Hyperparameters
from harness.training.trainer import Trainer

OUT = Path(__file__).with_name("sizes.csv")
SIZES = {
    "summarization": (12, 25, 50, 100, 200, 400),
    "translation": (12, 25, 50, 100, 200, 400, 800),
    "reply_generation": (12, 25, 50, 100, 200, 400),
}
"""By task; larger ones take longer than all others together."""
RATES = {"head": 0.003, "last_blocks-2": 0.002, "full": 0.0007}
SEEDS = (0, 1, 2)
FIELDS = ("cell", "size", "seed", "loss", "metric")
"""Each validation row's mean loss of a token, and its first metric (chrF over 100), in thousandths, by spaces."""

STUDY = """\
name: sizes
task: {task}
data: {{train: {size}, validation: 64}}
prompts: [cue]
tuning: [head, {{last_blocks: 2}}, full]
training: {{epochs: 3, batch_size: 8, max_source_tokens: 96}}
generation: {{max_new_tokens: 24}}
final: {{seeds: []}}
"""


def checked(task: str, size: int) -> Checked:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "study.yaml"
        file.write_text(STUDY.format(task=task, size=size), encoding="utf-8")
        return check(read_study(file), test=False)


def recorded(task: str, size: int) -> Iterator[dict[str, Any]]:
    """Train each depth on so many rows, once for each seed."""
    study = checked(task, size)
    trainer = Trainer(study)
    lead, rows = trainer.setup.metrics[0], trainer.setup.examples("validation")
    scale = 10 if lead.name == "chrf" else 1000
    for cell in [cell for cell in study.cells if cell.tuning.trains]:
        for seed in SEEDS:
            with trainer.run(cell) as run:
                for _ in run.epochs(Hyperparameters({"learning_rate": RATES[cell.tuning.name]}), seed=seed):
                    pass
                said = run.score("validation", generate=True).predictions
            losses = " ".join(str(round(1000 * one.nll / one.tokens)) for one in said)
            pairs = zip(said, rows, strict=True)
            scores = " ".join(str(round(scale * lead.reduce([lead.statistics(*pair)]))) for pair in pairs)
            yield {"cell": f"{task}/{cell.id}", "size": size, "seed": seed, "loss": losses, "metric": scores}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="where the CSV goes; an earlier one is replaced")
    asked = parser.parse_args()
    with asked.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        for task, sizes in SIZES.items():
            for size in sizes:
                for row in recorded(task, size):
                    writer.writerow(row)
                file.flush()
                print(task, size, flush=True)


if __name__ == "__main__":
    main()
