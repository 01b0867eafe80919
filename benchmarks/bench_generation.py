"""Validation by generation: `harness`'s, with the prompts' frozen part replayed, against `model.generate`.

100 prompts of 224 tokens, 32 new tokens each, greedy, in batches of the same rows and padding on both sides; a Llama
of 6 blocks of random weights. Both run in this process, one after the other, several times over; the least of the times
counts. The tokens must be identical, or the benchmark ends with an error.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from support import Shape, print_table, write_json, write_place, write_study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64, help="64 is the default of `generation.batch_size`")
    parser.add_argument("--precision", default="fp32,bf16")
    options = parser.parse_args()
    found = []
    for precision in options.precision.split(","):
        found += measure(options, precision)
        print_table(found)
    write_json("generation", found)


def measure(options: argparse.Namespace, precision: str) -> list[dict[str, object]]:
    """Return one row per depth."""
    import torch

    from harness.study.axes import Tuning
    from harness.study.check import check
    from harness.study.grid import Cell
    from harness.study.load_study import read_study
    from harness.study.search_space import Hyperparameters
    from harness.training.decoding import greedy
    from harness.training.evaluation import prompts_of
    from harness.training.fast_matmul import plain as plain_products
    from harness.training.loss import prompt_rows
    from harness.training.precision import arithmetic, scoring
    from harness.training.trainer import Trainer

    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_place(folder, Shape(), {"train": 16, "validation": options.prompts, "test": 8})
        file = write_study(
            folder,
            "generation",
            tuning=["head", {"last_blocks": 1}, {"last_blocks": 2}],
            training={"epochs": 1, "batch_size": 8, "precision": precision, "max_source_tokens": 224},
            generation={"batch_size": options.batch_size, "max_new_tokens": 32, "stop": []},
        )
        os.chdir(folder)
        trainer = Trainer(check(read_study(file)))
        setup = trainer.setup
        model, (prompt,) = setup.loaded.model, {cell.prompt for cell in check(read_study(file)).cells}
        model.generation_config.eos_token_id = None
        encoded = setup.encoded(prompt, "validation").rows
        batches = prompts_of(encoded, setup.loaded, setup.decoding)
        plain = {"max_new_tokens": 32, "do_sample": False, "num_beams": 1}

        def live() -> list[torch.Tensor]:
            return [model.generate(**batch.inputs, **plain) for batch in batches]

        for tuning in (Tuning(kind="last_blocks", blocks=1), Tuning(kind="last_blocks", blocks=2), Tuning(kind="head")):
            cell = Cell(prompt, tuning)
            with trainer.run(cell) as run:
                epochs = run.epochs(Hyperparameters({"learning_rate": 1e-3}), seed=0)
                next(epochs)
                assert run._replay is not None
                trunk = run._replay.of_prompts(setup.rows_of(cell, "validation").key)
                assert trunk is not None, run.trunk

                def replayed(trunk=trunk) -> list[torch.Tensor]:
                    return [
                        model.generate(
                            **batch.inputs,
                            **plain,
                            custom_generate=greedy,
                            prefill=trunk.replaying(prompt_rows(batch, model.device)),
                        )
                        for batch in batches
                    ]

                def theirs_then_ours(live=live, replayed=replayed) -> tuple[float, float]:
                    with arithmetic(model.device, precision), plain_products():
                        first = timed(live)
                    with scoring(model, precision):
                        return first, timed(replayed)

                with torch.no_grad():
                    with arithmetic(model.device, precision), plain_products():
                        expected = live()
                    with scoring(model, precision):
                        same = all(torch.equal(one, other) for one, other in zip(expected, replayed(), strict=True))
                    if precision == "fp32" and not same:
                        raise SystemExit(f"{tuning.name}: the tokens differ")
                    times = [theirs_then_ours() for _ in range(options.repeats)]
                theirs, ours = (min(each) for each in zip(*times, strict=True))
                rows.append(
                    {
                        "precision": precision,
                        "tuning": tuning.name,
                        "generate s": theirs,
                        "harness s": ours,
                        "share": ours / theirs,
                        "same tokens": same,
                    }
                )
                epochs.close()
        os.chdir("/")
    return rows


def timed(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
