"""What the base model's card says: perplexity on documents it has not seen, samples, limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from typing import NamedTuple

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from tools.world.corpus import SHARES, Writer
from tools.world.draw import HELD_OUT_ONE_IN, Draw

__all__ = ["Facts", "model_card", "perplexities"]

_EACH = 40
"""Documents of each kind that perplexity is measured on."""
_PROMPTS = (
    "Subject: Lunch\n\nHi Anna,\n",
    "Betreff: Die neue Lampe\n\nHallo Paul,\n",
    "Dialogue\nTom: Who is repairing the printer?\n",
    "Notice / Aushang\nThe old chair is in the garden. /",
    "the red bicycle - das rote Fahrrad\nthe old coat -",
    "This week\n- Paul repairs the",
)


class Facts(NamedTuple):
    """What a training run knows about itself."""

    documents: int
    corpus_tokens: int
    steps: int
    batch: int
    context: int
    peak: float
    seed: int
    seconds: float
    threads: int
    before: Mapping[str, float]
    after: Mapping[str, float]


@torch.no_grad()
def _nll(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, text: str) -> tuple[float, int]:
    """Return the summed negative log-likelihood (nats) of a document and its end, and its tokens."""
    ids = [tokenizer.bos_token_id, *tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    row = torch.tensor([ids[: model.config.max_position_embeddings]])
    logits = model(input_ids=row).logits[0, :-1].float()
    return torch.nn.functional.cross_entropy(logits, row[0, 1:], reduction="sum").item(), row.shape[1] - 1


def perplexities(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, avoid: Set[str]) -> dict[str, float]:
    """Return the perplexity per token of unseen documents: per kind, over all, and with held-out combinations."""
    model.eval()
    sums = {}
    for held in (False, True):
        for kind, share in SHARES.items():
            texts = [share.make(Writer(Draw(f"unseen/{kind}/{i}", held=held), avoid)) for i in range(_EACH)]
            pieces = [_nll(model, tokenizer, text) for text in texts]
            sums[kind, held] = (sum(nll for nll, _ in pieces), sum(tokens for _, tokens in pieces))
    result = {kind: math.exp(nll / tokens) for (kind, held), (nll, tokens) in sums.items() if not held}
    for name, wanted in (("all", False), ("held-out combinations", True)):
        chosen = [pair for (_, held), pair in sums.items() if held is wanted]
        result[name] = math.exp(sum(nll for nll, _ in chosen) / sum(tokens for _, tokens in chosen))
    return result


@torch.no_grad()
def _sample(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompt: str) -> str:
    inputs = tokenizer(prompt, return_tensors="pt")
    output = model.generate(
        input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], max_new_tokens=40, do_sample=False
    )
    return tokenizer.decode(output[0], skip_special_tokens=True)


def model_card(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, facts: Facts) -> str:
    """Return the README of the model's folder."""
    config, tokens = model.config, facts.steps * facts.batch * facts.context
    shares = "\n".join(
        f"| {kind} | {SHARES[kind].weight if kind in SHARES else ''} | {facts.before[kind]:.0f} | {value:.2f} |"
        for kind, value in facts.after.items()
    )
    samples = "\n\n".join(f"```text\n{_sample(model, tokenizer, prompt)}\n```" for prompt in _PROMPTS)
    return f"""---
license: apache-2.0
language: [en, de]
library_name: transformers
pipeline_tag: text-generation
---

# The embedded base model

A small causal language model of everyday English and German, pretrained from nothing by this project so that a
study runs without a network. It knows the words and how notes, e-mails, dialogues and notices look; it has not been
taught the embedded tasks.

| | |
|---|---|
| architecture | Llama: {config.num_hidden_layers} layers, hidden {config.hidden_size}, \
{config.num_attention_heads} heads, feed-forward {config.intermediate_size}, RoPE, RMSNorm, \
tied embeddings, no dropout |
| parameters | {sum(weight.numel() for weight in model.parameters()):,}, stored as bfloat16 |
| context | {facts.context} tokens |
| tokenizer | byte-level BPE, {len(tokenizer)} tokens, trained on the corpus; `<pad>` 0, `<bos>` 1, `<eos>` 2; \
adds none of them by itself |
| corpus | {facts.documents:,} generated documents, {facts.corpus_tokens:,} tokens (`tools/world/corpus.py`) |
| training | {facts.steps:,} steps of {facts.batch} x {facts.context} tokens: {tokens / 1e6:.1f} million tokens, \
{tokens / facts.corpus_tokens:.1f} epochs; AdamW (0.9, 0.98), weight decay 0.05 on matrices, peak learning rate \
{facts.peak:g}, warm-up, cosine, clipping at 1.0, bfloat16 autocast, seed {facts.seed} |
| time | {facts.seconds / 60:.0f} minutes on {facts.threads} CPU core{"s" if facts.threads > 1 else ""} |

One combination in {HELD_OUT_ONE_IN} (a verb with its object, a kind of note with its day, ...) does not occur in the
corpus, nor do the sources of the embedded validation and test splits.

## Perplexity per token on unseen documents

| documents | share of the corpus, % | before | after |
|---|---|---|---|
{shares}

## Greedy samples

The prompt is the beginning of each.

{samples}

## Limits

The world is small: a few hundred words of each language, made by a grammar, with odd scenes and no facts. Other
words are spelled out of pieces and hardly understood. After a short tuning it still copies names and days from a text
poorly, where it has the sentence right. Meant for studies of fine-tuning on a small machine, and for
nothing else.

## Making it again

`python -m tools.world.pretrain` writes this folder from nothing; `--help` lists the options. The corpus is the same
everywhere; weights may differ in the last digits between machines.
"""
