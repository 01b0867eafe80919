"""Counted operations against closed forms and against torch's own counter on what really runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness.core.example import Example
from harness.data.template import Template
from harness.data.tokenization import Limits, Row, encode
from harness.models.apply_tuning import apply, first_block, reset
from harness.models.find_blocks import blocks
from harness.models.frozen.replay import Trunk
from harness.models.last_block import modules_at_labels
from harness.models.load import Loaded
from harness.study.axes import Tuning
from harness.training.activation_cache.cache import ActivationCache
from harness.training.activation_cache.memory import ActivationMemory
from harness.training.batching import loss_batches
from harness.training.cost_meter.flops import counted
from harness.training.cost_meter.prices import Amount, Call, Prices, amounts, noting
from harness.training.evaluation import Decoding, generate, prompts_of
from harness.training.loss import ForwardPass
from tests.support.first_of_kind import first_of_kind

WORDS = ["a", "short", "note", "about", "the", "meeting", "it", "moved", "to", "Tuesday", "and", "room", "is", "booked"]
EXAMPLES = [
    Example(
        str(i), {"source": " ".join(WORDS[i % 5 : 6 + i * 3 % 9] * (1 + i % 3))}, " ".join(WORDS[i : i + 1 + i % 4])
    )
    for i in range(9)
]
FAMILIES = ["llama", "gpt2", "t5", "bart"]
TUNINGS = [Tuning(kind="head"), *(Tuning(kind="last_blocks", blocks=count) for count in (1, 2)), Tuning(kind="full")]
NEW = 5


def eager(loaded: Loaded) -> Loaded:
    """Compute attention by plain products: torch's counter leaves out the kernel that a CPU has for it."""
    loaded.model.set_attn_implementation("eager")
    return loaded


def prices(loaded: Loaded) -> Prices:
    return Prices(loaded, ForwardPass(loaded.model, at_labels=modules_at_labels(loaded.model)), NEW)


def rows_of(loaded: Loaded) -> list[Row]:
    return list(encode(EXAMPLES, Template("t", "{{ source }}\nSummary:"), loaded, limits=Limits(60, 40)).rows)


def by_torch(work: Callable[[], object]) -> int:
    """Return what torch's counter says; it does not know products that are added in place."""
    added = {torch.ops.aten.addmm_: lambda total, left, right, **_: 2 * left[0] * left[1] * right[1]}
    counter = FlopCounterMode(display=False, custom_mapping=added)
    with counter:
        work()
    return int(counter.get_total_flops())


# One matrix


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(1, 9)] * 3),
    trains=st.booleans(),
    passes=st.booleans(),
    bias=st.booleans(),
)
def test_a_linear_layer_in_closed_form(sizes: tuple[int, int, int], trains: bool, passes: bool, bias: bool) -> None:
    """Two operations a parameter and row forward; the same again for its gradient, and for one passed through it."""
    rows, width, out = sizes
    layer = nn.Linear(width, out, bias=bias)
    layer.requires_grad_(trains)
    values = torch.randn(rows, width, requires_grad=passes)
    with counted([]) as parts:
        found = layer(values).sum()
        if trains or passes:
            found.backward()
    assert parts.tolist() == [2 * rows * width * out * (1 + trains + passes)]


# Against torch's counter


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5"])
def test_training_everything_is_what_transformers_does(tiny: Callable[..., Loaded], family: str) -> None:
    """With a label at every position: exactly, but for a causal model's last position, which predicts nothing."""
    loaded = eager(tiny(family))
    model, size = loaded.model, 16
    trainable = apply(model, Tuning(kind="full"))
    ids = torch.arange(3 * size).remainder(50).view(3, size) + 3
    labels = ids if family == "t5" else torch.where(torch.arange(size) > 0, ids, -100)
    plain = by_torch(lambda: model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss.backward())
    counts = size if family == "t5" else size - 1
    forward = ForwardPass(model)
    found = Prices(loaded, forward, NEW).steps({(size, size): Amount(3, 3 * counts)}, "full", forward)
    head = model.get_output_embeddings().weight.numel()
    reset(model, trainable)
    assert found == plain - 3 * (size - counts) * 6 * head
    if family != "t5":  # Kaplan et al. 2020, table 1: six for each parameter and token, and attention's own products
        matrices = sum(each.numel() for block in blocks(model) for each in block.module.parameters() if each.ndim > 1)
        scores = 12 * len(blocks(model)) * size * model.config.hidden_size
        assert found == 3 * size * (6 * matrices + scores) + 3 * counts * 6 * head


@pytest.mark.parametrize("family", first_of_kind(FAMILIES))
@pytest.mark.parametrize("tuning", TUNINGS, ids=lambda tuning: tuning.name)
def test_an_epoch_is_what_really_runs(tiny: Callable[..., Loaded], family: str, tuning: Tuning) -> None:
    """Padded batches of several shapes, replayed where that can be, parts of the last block at label positions."""
    loaded = eager(tiny(family))
    model, rows, found = loaded.model, rows_of(loaded), prices(loaded)
    trainable = apply(model, tuning)
    cut = first_block(model, tuning) or 0
    trunk = (
        ActivationCache(loaded, ActivationMemory(10**9, None), 4, "fp32", print).open(
            ("prompt", "train"), rows, cut, cuts=[cut]
        )
        if cut
        else None
    )
    assert not isinstance(trunk, str), trunk
    forward = ForwardPass(model, trunk, at_labels=modules_at_labels(model))
    batches = loss_batches(rows, loaded, batch_size=4)
    ran = by_torch(lambda: [torch.autograd.backward(forward.total_nll(batch)) for batch in batches])
    scored = by_torch(lambda: [_scored(forward, batch) for batch in batches])
    work = found.epoch("rows", rows, tuning, forward, cut)
    loss = found.scoring("rows", rows, cut)
    live = ForwardPass(model, at_labels=forward.at_labels)
    saved = by_torch(lambda: [_scored(live, batch) for batch in batches]) - scored
    reset(model, trainable)
    assert work.done == ran
    assert loss.done == scored
    assert loss.saved == work.saved == saved
    assert (saved > 0) == (cut > 0)


def _scored(forward: ForwardPass, batch: Any) -> None:
    with torch.no_grad():
        forward.row_nlls(batch)


def test_counting_leaves_the_model_and_the_generators_alone(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("gpt2", resid_pdrop=0.3)
    model = loaded.model
    trainable = apply(model, Tuning(kind="full"))
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    found = prices(loaded)
    found.steps({(16, 16): Amount(1, 3)}, "full", found.forward)
    found.generation({Call(1, 16, 0, 0): 1}, 0)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())
    reset(model, trainable)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_kernel_for_attention_is_counted(tiny: Callable[..., Loaded], family: str) -> None:
    """Forward as plain products are; backward it makes the scores once more."""
    found = {}
    for name in ("eager", "sdpa"):
        loaded = tiny(family)
        loaded.model.set_attn_implementation(name)
        trainable = apply(loaded.model, Tuning(kind="full"))
        of, price = {(16, 16): Amount(2, 5)}, prices(loaded)
        found[name] = price.losses(of).sum(), price.steps(of, "full", price.forward)
        reset(loaded.model, trainable)
    config = loaded.model.config
    again = 2 * config.num_hidden_layers * 2 * 16 * 16 * config.hidden_size
    assert found["sdpa"] == (found["eager"][0], found["eager"][1] + again)


# Generation


@pytest.mark.parametrize("family", first_of_kind(FAMILIES))
@pytest.mark.parametrize(("beams", "replays"), [(1, True), (1, False), (2, False)], ids=["replayed", "live", "beams"])
def test_generation_is_what_really_runs(tiny: Callable[..., Loaded], family: str, beams: int, replays: bool) -> None:
    """Prompts of several shapes, rows that leave early, prefill replayed or not, prompts encoded once for all beams."""
    loaded = eager(tiny(family))
    rows, decoding, model = rows_of(loaded), Decoding(NEW, beams, stop=("e",), batch_size=4), loaded.model
    batches, cut = prompts_of(rows, loaded, decoding), len(blocks(model)) - 1
    trainable = apply(model, Tuning(kind="last_blocks", blocks=1))
    owner = ActivationCache(loaded, ActivationMemory(10**9, None), 4, "fp32", print)
    trunk = owner.open_prefill(("prompt", "train"), rows, batches, cut, cuts=[cut]) if replays else None
    assert trunk is None or isinstance(trunk, Trunk), trunk
    calls = Counter[Call]()
    with noting(model, calls):
        ran = by_torch(lambda: generate(loaded, batches, decoding, trunk=trunk))
    live = by_torch(lambda: generate(loaded, batches, decoding))
    reset(model, trainable)
    found = prices(loaded).generation(calls, cut if replays else 0, beams=beams)
    assert found.done == pytest.approx(ran, rel=1e-12)
    assert found.saved == pytest.approx(live - ran, rel=1e-12)
    assert (found.saved > 0) == replays


# Recording


@pytest.mark.parametrize("family", first_of_kind(FAMILIES))
@pytest.mark.parametrize("room", [0, NEW], ids=["loss", "prefill"])
@pytest.mark.parametrize("back", [0, 2])
def test_recording_is_what_really_runs(tiny: Callable[..., Loaded], family: str, room: int, back: int) -> None:
    """Passes that end at the last place, and the two that prove."""
    loaded = eager(tiny(family))
    rows, model = rows_of(loaded), loaded.model
    count = len(blocks(model))
    cut, cuts = count - back, [count - 1, count - 2]
    owner, found = ActivationCache(loaded, ActivationMemory(10**9, None), 4, "fp32", print), prices(loaded)
    trainable = apply(model, Tuning(kind="last_blocks", blocks=back) if back else Tuning(kind="head"))

    def opened(rows: Sequence[Row]) -> int:
        if room:
            prompts = prompts_of(rows, loaded, Decoding(room, batch_size=4))
            return by_torch(lambda: owner.open_prefill(("prompt", "train"), rows, prompts, cut, cuts=cuts))
        return by_torch(lambda: owner.open(("prompt", "train"), rows, cut, cuts=cuts))

    opened(rows[:2])  # looks at the model on three tokens, which are not counted
    owner.opened()
    ran, made = opened(rows), owner.opened()
    again, proved = opened(rows), owner.opened()
    reset(model, trainable)
    assert found.opening(proved.passes) == again > 0
    assert found.opening(made.passes) == ran > again
    assert len(proved.passes) == 2 < len(made.passes)
    assert min(made.seconds, proved.seconds) > 0
    assert owner.opened() == (0.0, ())


def test_amounts_are_those_of_the_batches(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("llama")
    rows = rows_of(loaded)
    found = amounts(rows, loaded)
    assert sum(amount.rows for amount in found.values()) == len(rows)
    assert sum(amount.labels for amount in found.values()) == sum(len(row.target) for row in rows)
    assert len(found) > 1
