"""What it would be worth to compute a system text, or fixed demonstrations, once for all rows that begin with it.

The frozen part's pass over the rows as the harness makes it, each row whole, against the same pass with the shared
beginning computed once and its keys and values lent to every row; a Llama of random weights, rows of one length. The
last hidden states behind the beginning must agree, or the benchmark ends with an error. Both are taken in turns, the
least of the times counts. A study saves that ratio in its recordings and in reading prompts of a model that trains
nowhere, and nowhere else: `costs.csv` has what recordings take (``recording_seconds``) of the whole.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from typing import Any

from support import Shape, print_table, write_json

ROWS, BATCH, OWN = 32, 16, 160
"""Rows, rows a pass, and tokens of a row of its own: a dialogue and its answer in a chat's marks."""

SHARED = {"a system text": 32, "a long one": 96, "two fixed demonstrations": 272, "four": 512}
"""Tokens that all rows begin with."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    found = [measured(name, tokens, options.repeats) for name, tokens in SHARED.items()]
    print_table(found)
    write_json("shared_prefix", found)


def measured(name: str, shared: int, repeats: int) -> dict[str, Any]:
    """Return the seconds of both ways.

    Raises:
        RuntimeError: They do not agree.
    """
    import torch

    shape = Shape()
    model = model_of(shape)
    generator = torch.Generator().manual_seed(0)
    start = torch.randint(shape.vocabulary, (1, shared), generator=generator)
    rows = torch.randint(shape.vocabulary, (ROWS, OWN), generator=generator)

    def whole() -> torch.Tensor:
        parts = [torch.cat([start.expand(len(part), -1), part], 1) for part in rows.split(BATCH)]
        return torch.cat([model(input_ids=part).last_hidden_state[:, shared:] for part in parts])

    def once() -> torch.Tensor:
        lent = model(input_ids=start, use_cache=True).past_key_values
        caches = [(part, repeated(lent, len(part))) for part in rows.split(BATCH)]
        return torch.cat([model(input_ids=part, past_key_values=cache).last_hidden_state for part, cache in caches])

    with torch.no_grad():
        apart = float((whole() - once()).abs().max())
        if apart > 1e-3:
            raise RuntimeError(f"{name}: the two ways differ by {apart}")
        seconds = {"whole": [], "once": []}
        for _ in range(repeats):
            for way, run in (("whole", whole), ("once", once)):
                seconds[way].append(timed(run))
    least = {way: min(times) for way, times in seconds.items()}
    return {
        "shared": name,
        "tokens": shared,
        "of a row": f"{shared / (shared + OWN):.0%}",
        "whole, s": least["whole"],
        "once, s": least["once"],
        "ratio": least["whole"] / least["once"],
    }


def repeated(cache: Any, rows: int) -> Any:
    """Return a cache of one row for several."""
    copied = copy.deepcopy(cache)
    copied.batch_repeat_interleave(rows)
    return copied


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def model_of(shape: Shape) -> Any:
    """Return the blocks of a Llama of random weights."""
    import torch
    from transformers import LlamaConfig, LlamaModel

    torch.manual_seed(0)
    sizes = {"hidden_size": shape.width, "intermediate_size": shape.inner, "num_hidden_layers": shape.blocks}
    heads = {"num_attention_heads": shape.heads, "num_key_value_heads": shape.heads}
    return LlamaModel(LlamaConfig(vocab_size=shape.vocabulary, max_position_embeddings=1024, **sizes, **heads)).eval()


if __name__ == "__main__":
    main()
