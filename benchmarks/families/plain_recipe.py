"""The plain recipe: transformers alone, a row at a time without padding, its loss, its greedy answer, its AdamW steps.

It shares no code with the harness, and learns from it only which rows make up a batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, GenerationConfig

CLIP = 1.0
KEPT = (
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
    "sequence_bias",
)
"""What a study keeps of a checkpoint's generation settings."""


class PlainRow(NamedTuple):
    """A row in token ids."""

    prompt: list[int]
    target: list[int]
    """With the end token."""


class Answer(NamedTuple):
    """What a model says to a row."""

    text: str
    margin: float
    """How far the best logit lay above the second, where it was closest."""


class Plain(NamedTuple):
    """A model as transformers loads it."""

    model: Any
    tokenizer: Any
    start: list[int]
    """What its decoder begins with; empty for a causal model."""


class PlainSteps(NamedTuple):
    """What training did."""

    losses: list[float]
    """In nats a target token, of each step before it."""
    grad_norm: float
    """Mean over the steps, before clipping."""


def load_plain(folder: Path, mapping: str) -> Plain:
    """Load a folder by the auto class of a mapping."""
    auto: Any = AutoModelForCausalLM if mapping == "causal" else AutoModelForSeq2SeqLM
    model = auto.from_pretrained(folder, dtype=torch.float32).eval()
    # ``generate`` fills from here whatever a call leaves open.
    kept = {name: getattr(model.generation_config, name, None) for name in KEPT}
    model.generation_config = GenerationConfig(**kept)
    plain = Plain(model, AutoTokenizer.from_pretrained(folder), [])
    if not model.config.is_encoder_decoder:
        return plain
    long = list(range(16, 40))  # after a short prompt BigBird would give up its sparse attention for good
    (said,) = _generated(plain, long, 1).sequences.tolist()
    return plain._replace(start=said[:-1])


def plain_row(plain: Plain, source: str, target: str) -> PlainRow:
    """Return a row in token ids: a causal model reads the target behind a space."""
    prompt = plain.tokenizer(source)["input_ids"]
    if plain.start:
        ids: list[int] = plain.tokenizer(text_target=target)["input_ids"]
        forced = plain.model.generation_config.forced_bos_token_id
        return PlainRow(prompt, ids if forced in (None, ids[0]) else [forced, *ids])
    ids = plain.tokenizer(f" {target}", add_special_tokens=False)["input_ids"]
    return PlainRow(prompt, [*ids, plain.tokenizer.eos_token_id])


def row_nlls(plain: Plain, rows: Sequence[PlainRow]) -> list[float]:
    """Return each row's summed negative log-likelihood of its target."""
    plain.model.eval()
    with torch.no_grad():
        return [_nll(plain, row).item() for row in rows]


def answers(plain: Plain, rows: Sequence[PlainRow], new_tokens: int) -> list[Answer]:
    """Return what ``generate`` says to each row, greedily."""
    plain.model.eval()
    said = []
    for row in rows:
        output = _generated(plain, row.prompt, new_tokens)
        skip = len(plain.start) or len(row.prompt)
        text = plain.tokenizer.decode(output.sequences[0, skip:], skip_special_tokens=True)
        best = torch.stack([logits[0].float().topk(2).values for logits in output.logits])  # (tokens, 2)
        said.append(Answer(text.strip(), (best[:, 0] - best[:, 1]).min().item()))
    return said


def train(plain: Plain, modules: Sequence[str], batches: Sequence[Sequence[PlainRow]], rate: float) -> PlainSteps:
    """Train some modules, the whole model where one is the empty path; a tied head is given weights of its own.

    AdamW without weight decay, a linear schedule without warm-up, gradients clipped.
    """
    model = plain.model.eval().requires_grad_(False)
    constant = _constants(model)
    _untie(model, modules)
    for name in modules:
        part = model.get_submodule(name).train()
        for path, weight in part.named_parameters():
            weight.requires_grad_(f"{name}.{path}".lstrip(".") not in constant)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=rate, betas=(0.9, 0.999), weight_decay=0.0)
    losses, norms = [], []
    for step, batch in enumerate(batches):
        optimizer.param_groups[0]["lr"] = rate * (1 - step / len(batches))
        optimizer.zero_grad()
        tokens, total = sum(len(row.target) for row in batch), 0.0
        for row in batch:
            loss = _nll(plain, row) / tokens
            loss.backward()
            total += loss.item()
        norms.append(nn.utils.clip_grad_norm_(weights, CLIP).item())
        losses.append(total)
        optimizer.step()
    return PlainSteps(losses, sum(norms) / len(norms))


def draws(plain: Plain, row: PlainRow) -> str:
    """Say in which modes a call draws at random: ``training``, ``always``, or neither."""
    answers: dict[bool, list[float]] = {}
    for training in (False, True):
        plain.model.train(training)
        with torch.no_grad():
            answers[training] = [_seeded(seed, plain, row) for seed in (0, 1)]
    plain.model.eval()
    if len(set(answers[False])) > 1:
        return "always"
    return "training" if len(set(answers[True])) > 1 else ""


def sees_ahead(plain: Plain, row: PlainRow) -> bool:
    """Return whether a changed last token of the half that generates moves a logit before it."""
    read = [*plain.start, *row.target] if plain.start else row.prompt + row.target
    with torch.no_grad():
        one, other = (_read(plain, row, [*read[:-1], last])[:-1] for last in (read[-1], read[-2]))
    return bool((one - other).abs().max() > 1e-4 * one.abs().max())


def norms_behind(plain: Plain, block: str, row: PlainRow) -> list[str]:
    """Return the norms that a decoder calls behind its last block, by path, in that order."""
    called: list[str] = []
    root = next(
        part for part in (plain.model.get_decoder(), plain.model.base_model) if _holds(part, plain.model, block)
    )
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: called.append(name))
        for name, module in plain.model.named_modules()
        if name == block or (_is_norm(module) and any(module is each for each in root.modules()))
    ]
    with torch.no_grad():
        _nll(plain, row)
    for hook in hooks:
        hook.remove()
    behind = called[len(called) - called[::-1].index(block) :] if block in called else []
    return [name for name in behind if not name.startswith(f"{block}.")]


def _holds(part: nn.Module, model: nn.Module, path: str) -> bool:
    return any(module is model.get_submodule(path) for module in part.modules())


def _is_norm(module: nn.Module) -> bool:
    return "Norm" in type(module).__name__ and any(True for _ in module.parameters())


def _seeded(seed: int, plain: Plain, row: PlainRow) -> float:
    torch.manual_seed(seed)
    return _nll(plain, row).item()


def _nll(plain: Plain, row: PlainRow) -> Tensor:
    """Return the loss as transformers has it: a causal model reads its last target token too."""
    if plain.start:
        logits = _read(plain, row, [*plain.start, *row.target[:-1]])[len(plain.start) - 1 :]
    else:
        logits = _read(plain, row, row.prompt + row.target)[len(row.prompt) - 1 : -1]
    return cross_entropy(logits.float(), torch.tensor(row.target), reduction="sum")


def _read(plain: Plain, row: PlainRow, read: Sequence[int]) -> Tensor:
    """Return the logits behind each token that the decoder reads, shape (tokens, vocabulary)."""
    if plain.start:
        return _logits(plain, row.prompt, decoder_input_ids=torch.tensor([read]))
    return _logits(plain, read)


def _logits(plain: Plain, ids: Sequence[int], **others: Tensor) -> Tensor:
    """Return logits of one row, shape (tokens, vocabulary)."""
    cache = {"use_cache": False} if _takes(plain, "use_cache") else {}
    logits: Tensor = plain.model(input_ids=torch.tensor([ids]), **others, **cache).logits[0]
    return logits


def _generated(plain: Plain, prompt: Sequence[int], new_tokens: int) -> Any:
    ids = torch.tensor([prompt])
    mask = {"attention_mask": torch.ones_like(ids)} if _takes(plain, "attention_mask") else {}
    settings = {"do_sample": False, "return_dict_in_generate": True, "output_logits": True}
    with torch.no_grad():
        return plain.model.generate(input_ids=ids, **mask, max_new_tokens=new_tokens, **settings)


def _takes(plain: Plain, argument: str) -> bool:
    parameters: Mapping[str, Any] = inspect.signature(plain.model.forward).parameters
    return argument in parameters or "kwargs" in parameters


def _constants(model: Any) -> set[str]:
    """Return the parameters that the architecture never trains; ``from_pretrained`` forgets which they are."""
    fresh = type(model)(model.config)
    return {name for name, weight in fresh.named_parameters() if not weight.requires_grad}


def _untie(model: Any, modules: Sequence[str]) -> None:
    head = model.get_output_embeddings()
    names = {name for name, module in model.named_modules() if module is head}
    others = [
        module for module in model.modules() if module is not head and getattr(module, "weight", None) is head.weight
    ]
    if others and names & set(modules):
        head.weight = nn.Parameter(head.weight.detach().clone())
