"""Pretrain the embedded base model: ``python -m tools.world.pretrain``.

A small Llama (Touvron et al., 2023) learns the corpus of `tools.world.corpus` with AdamW in bfloat16
autocast over float32 weights. Everything depends on the seed; on another machine or with another
number of threads the last digits, and so the weights, may differ.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tools.world.card import Facts, model_card, perplexities
from tools.world.corpus import DOCUMENTS, corpus
from tools.world.datasets import evaluation_sources

__all__ = ["BASE_MODEL", "CONTEXT", "VOCABULARY", "build_model", "build_tokenizer", "pack", "train"]

BASE_MODEL = Path(__file__).parents[2] / "tasks" / "base_model"
"""Where the model lies."""
CONTEXT = 256
"""Tokens of a training sequence, and the most that the model can take."""
VOCABULARY = 4096
STEPS = 4000
BATCH = 8
"""Sequences of a step."""
PEAK = 2e-3
"""The highest learning rate."""
WARM_UP = 100
SPECIAL = ["<pad>", "<bos>", "<eos>"]
"""The special tokens, in the order of their ids."""


def build_tokenizer(texts: Iterator[str] | Sequence[str]) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE, which leaves spaces as they are and adds no special token by itself."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    pad, bos, eos = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=pad,
        bos_token=bos,
        eos_token=eos,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def build_model(seed: int) -> LlamaForCausalLM:
    """Return the model with random weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=160,
        intermediate_size=432,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        attention_dropout=0.0,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config)


def pack(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> torch.Tensor:
    """Return the documents end to end, cut into rows of `CONTEXT` tokens (the rest is dropped).

    Every second document begins with ``<bos>``, so that prompts without it are no surprise; all end
    with ``<eos>``.
    """
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    stream: list[int] = []
    for index, ids in enumerate(tokenizer(list(texts), add_special_tokens=False)["input_ids"]):
        stream += [bos] * (index % 2 == 0) + ids + [eos]
    rows = len(stream) // CONTEXT
    return torch.tensor(stream[: rows * CONTEXT]).view(rows, CONTEXT)


def _batches(rows: torch.Tensor, seed: int) -> Iterator[torch.Tensor]:
    """Yield batches without end, every epoch in another order."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(rows), generator=generator)
        for batch in order.split(BATCH):
            if len(batch) == BATCH:
                yield rows[batch]


def _rate(step: int, steps: int) -> float:
    """Return the learning rate as a fraction of the peak: linear warm-up, then a cosine down to 2%."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    done = (step - WARM_UP) / max(1, steps - WARM_UP)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))


def train(model: LlamaForCausalLM, rows: torch.Tensor, *, steps: int, seed: int) -> float:
    """Train in place; return the seconds it took. Weight decay is on matrices alone."""
    matrices = [weight for weight in model.parameters() if weight.ndim >= 2]
    others = [weight for weight in model.parameters() if weight.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    model.train()
    start, shown = time.perf_counter(), 0.0
    for step, batch in zip(range(1, steps + 1), _batches(rows, seed), strict=False):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=batch, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].float().flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        shown += loss.item()
        if step % 50 == 0 or step == steps:
            seconds = time.perf_counter() - start
            rate = step * batch.numel() / seconds
            print(
                f"step {step}/{steps} loss {shown / (step % 50 or 50):.3f} {rate:.0f} tokens/s {seconds:.0f} s",
                flush=True,
            )
            shown = 0.0
    return time.perf_counter() - start


def _save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    model.generation_config = GenerationConfig(do_sample=False, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.world.pretrain", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS, help=f"optimizer steps (default {STEPS})")
    parser.add_argument(
        "--documents", type=int, default=DOCUMENTS, help=f"documents of the corpus (default {DOCUMENTS})"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1, as for the shipped model)")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights and the order of the batches")
    parser.add_argument("--out", type=Path, default=BASE_MODEL, help="folder to write")
    return parser.parse_args()


def main() -> None:
    """Make the corpus, train the tokenizer and the model, measure, and write the folder with its card."""
    options = _options()
    torch.set_num_threads(options.threads)
    avoid = evaluation_sources()
    texts = [text for _, text in corpus(options.documents, avoid=avoid)]
    tokenizer = build_tokenizer(texts)
    rows = pack(texts, tokenizer)
    print(f"{len(texts)} documents, {rows.numel()} tokens, vocabulary {len(tokenizer)}", flush=True)
    model = build_model(options.seed)
    before = perplexities(model, tokenizer, avoid)
    seconds = train(model, rows, steps=options.steps, seed=options.seed)
    _save(model, tokenizer, options.out)
    facts = Facts(
        documents=len(texts),
        corpus_tokens=rows.numel(),
        steps=options.steps,
        batch=BATCH,
        context=CONTEXT,
        peak=PEAK,
        seed=options.seed,
        seconds=seconds,
        threads=options.threads,
        before=before,
        after=perplexities(model, tokenizer, avoid),
    )
    (options.out / "README.md").write_text(model_card(model, tokenizer, facts), encoding="utf-8")
    print(f"wrote {options.out}: perplexity {before['all']:.0f} -> {facts.after['all']:.2f}")


if __name__ == "__main__":
    main()
