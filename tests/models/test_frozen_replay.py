"""Replay against the live model: equal logits at every cut, equal training, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from harness.core.errors import ModelError
from harness.models.apply_tuning import Trainable, apply, reset, set_modes
from harness.models.find_blocks import blocks
from harness.models.frozen.capture import Rows, capture_points
from harness.models.frozen.replay import Trunk, first_trained, record, refusal, verify
from harness.models.load import load
from harness.models.mask_filling import fills_masks
from harness.study.axes import Tuning
from harness.testing import FAMILIES, MASKED_FAMILIES

Tiny = Callable[..., Path]

ALL = (*FAMILIES, *MASKED_FAMILIES)

HEAD, FULL, NONE = Tuning(kind="head"), Tuning(kind="full"), Tuning(kind="none")
LAST, LAST_TWO, LAST_FOUR = (Tuning(kind="last_blocks", blocks=count) for count in (1, 2, 4))
ENCODER_DECODERS = ("t5", "bart", "marian")
LENGTHS = (5, 12, 9, 12, 7, 10, 12, 4)
"""Of the prompts of eight rows, padded to 12; three need no padding, of which a mask can be left out."""


def pretrained(folder: Path) -> Any:
    return load(str(folder)).model


def make_rows(model: Any, indices: Sequence[int]) -> Rows:
    """Return rows that are the same whatever their companions; of a masked model, wanted at its masks."""
    both = model.config.is_encoder_decoder
    size = 12 if both else 16
    ids, mask = torch.zeros(len(indices), size, dtype=torch.long), torch.zeros(len(indices), size, dtype=torch.long)
    answers, wanted = torch.zeros(len(indices), 8, dtype=torch.long), torch.zeros(len(indices), 8, dtype=torch.bool)
    if not both:
        wanted = torch.zeros(len(indices), size, dtype=torch.bool)
    for at, index in enumerate(indices):
        length, more = LENGTHS[index], 4 if LENGTHS[index] == 12 else 1 + index % 4
        drawn = torch.randint(4, 300, (24,), generator=torch.Generator().manual_seed(index))
        ids[at, : length + (0 if both else more)] = drawn[: length + (0 if both else more)]
        mask[at, : length + (0 if both else more)] = 1
        wanted[at, slice(0, more + 1) if both else slice(length - 1, length + more - 1)] = True
        answers[at, : more + 1] = drawn[-more - 1 :]
        if fills_masks(model):
            ids[at, wanted[at]] = 4
    inputs = {"input_ids": ids, "attention_mask": mask}
    return Rows(tuple(indices), {**inputs, **({"decoder_input_ids": answers} if both else {})}, wanted)


def logits(model: Any, rows: Rows) -> Tensor:
    return model(**rows.inputs, use_cache=False).logits[rows.wanted]


def recorded(model: Any, *cuts: int) -> dict[str, Tensor]:
    """Record eight rows in batches of other sizes and orders than they are replayed in."""
    store: dict[str, Tensor] = {}
    batches = [make_rows(model, indices) for indices in ((0, 1, 2, 3, 4), (7, 6), (5,))]
    points = [point for cut in sorted(cuts) for point in capture_points(model, cut)]
    record(model, batches, points=points, keep=store.__setitem__, run=lambda rows: logits(model, rows))
    return store


@contextmanager
def counting(modules: Sequence[nn.Module]) -> Iterator[list[str]]:
    """Count the calls of all that lies inside some modules, which a stand-in of theirs does not reach."""
    calls: list[str] = []
    inside = [each for module in modules for each in module.modules() if each is not module]
    with ExitStack() as undo:
        for module in inside:
            undo.callback(module.register_forward_hook(lambda module, *_: calls.append(type(module).__name__)).remove)
        yield calls


def anatomy_of(model: Any) -> list[tuple[Any, ...]]:
    """Return all that a replay could have left behind: modules, modes, instance attributes, hooks."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs")
    return [
        (name, id(module), module.training, "forward" in vars(module), *(len(getattr(module, kind)) for kind in hooks))
        for name, module in model.named_modules()
    ]


def values(model: Any) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def asked(model: Any, rows: Rows) -> Callable[[AbstractContextManager[None]], Tensor]:
    def call(replay: AbstractContextManager[None]) -> Tensor:
        with replay:
            return logits(model, rows)

    return call


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@torch.no_grad()
@pytest.mark.parametrize("family", ALL)
def test_replayed_logits_equal_live_ones_at_every_cut(tiny_folder: Tiny, family: str) -> None:
    model = pretrained(tiny_folder(family))
    listed = blocks(model)
    store = recorded(model, *range(1, len(listed) + 1))
    before, shape = values(model), anatomy_of(model)
    for cut in range(1, len(listed) + 1):
        trunk = Trunk(model, capture_points(model, cut), store.__getitem__)
        for indices in ((4, 1, 0), (3,), (2, 7, 5, 6, 0, 1, 3, 4), (1, 3, 6)):
            rows = make_rows(model, indices)
            live = logits(model, rows)
            with counting([block.module for block in listed[:cut]]) as calls, trunk.replaying(rows):
                replayed = logits(model, rows)
            assert calls == []
            assert torch.equal(replayed, live), (cut, indices, (replayed - live).abs().max())
            assert verify(trunk, rows, asked(model, rows)) is None
    assert same(values(model), before)
    assert anatomy_of(model) == shape


@pytest.mark.parametrize("family", ALL)
def test_one_pass_keeps_for_several_cuts_what_a_pass_for_each_keeps(tiny_folder: Tiny, family: str) -> None:
    model = pretrained(tiny_folder(family))
    cuts = range(1, len(blocks(model)) + 1)
    apart: dict[str, Tensor] = {}
    for cut in cuts:
        apart |= recorded(model, cut)
    assert same(recorded(model, *cuts), apart)


@pytest.mark.parametrize("cut", [1, 2])
def test_recording_ends_at_the_last_cut(tiny_folder: Tiny, cut: int) -> None:
    model = pretrained(tiny_folder("llama"))
    with counting([block.module for block in blocks(model)[cut:]]) as calls:
        Trunk(model, capture_points(model, cut), {}.__getitem__)
        looked = len(calls)
        recorded(model, cut)
    assert len(calls) == 2 * looked  # finding out what blocks return takes one whole pass, recording none


def test_the_head_needs_label_positions_alone(tiny_folder: Tiny) -> None:
    model = pretrained(tiny_folder("gpt2"))
    store = recorded(model, 3)
    assert {tuple(tensor.shape) for tensor in store.values()} == {(more, 32) for more in (1, 2, 3, 4)}
    assert len(store) == 8


def train(model: Any, trainable: Trainable, trunk: Trunk | None) -> list[float]:
    """Take 20 steps over eight rows, whose batches differ from epoch to epoch."""
    groups = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer, losses = torch.optim.AdamW(groups, lr=1e-3), []
    order = torch.Generator().manual_seed(0)
    set_modes(model, trainable)
    while len(losses) < 20:
        for indices in torch.randperm(8, generator=order).split(3):
            rows = make_rows(model, indices.tolist())
            with trunk.replaying(rows) if trunk else nullcontext():
                found = logits(model, rows)
            loss = cross_entropy(found, torch.arange(len(found)) * 7 % 250)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    return losses[:20]


CASES = [
    *[(family, tuning) for family in ALL for tuning in (HEAD, LAST, LAST_TWO)],
    *[(family, LAST_FOUR) for family in ENCODER_DECODERS],
]


@pytest.mark.parametrize(("family", "tuning"), CASES, ids=lambda case: getattr(case, "name", case))
def test_twenty_steps_are_the_same_with_and_without_replay(tiny_folder: Tiny, family: str, tuning: Tuning) -> None:
    model = pretrained(tiny_folder(family))
    before, shape = values(model), anatomy_of(model)
    trainable = apply(model, tuning)
    assert refusal(model, trainable) is None
    live = train(model, trainable, None)
    wanted = {name: model.get_parameter(name).detach().clone() for name in trainable.names}
    reset(model, trainable)

    trainable = apply(model, tuning)
    cut = first_trained(model)
    trunk = Trunk(model, capture_points(model, cut), recorded(model, cut).__getitem__)
    with counting([block.module for block in blocks(model)[:cut]]) as calls:
        replayed = train(model, trainable, trunk)
    assert calls == []
    assert replayed == pytest.approx(live, rel=1e-6, abs=0)
    assert not any(torch.equal(tensor, before[name]) for name, tensor in wanted.items())
    for name, tensor in wanted.items():
        if not name.endswith(("k_proj.bias", "key.bias")):  # true gradient zero: Adam scales rounding noise up
            found = model.get_parameter(name).detach()
            assert torch.allclose(found, tensor, rtol=0, atol=1e-5), (name, (found - tensor).abs().max())
    reset(model, trainable)
    assert same(values(model), before)
    assert anatomy_of(model) == shape


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_the_model_is_whole_again_after_an_exception(tiny_folder: Tiny, family: str) -> None:
    model = pretrained(tiny_folder(family))
    rows, shape, total = make_rows(model, [0, 1]), anatomy_of(model), len(blocks(model))
    live = logits(model, rows)
    for cut in range(1, total + 1):
        trunk = Trunk(model, capture_points(model, cut), recorded(model, cut).__getitem__)
        with pytest.raises(IndexError), trunk.replaying(rows):
            logits(model, rows)[10**6]
        with pytest.raises(KeyError), Trunk(model, capture_points(model, cut), {}.__getitem__).replaying(rows):
            pass
        with pytest.raises(IndexError):  # a token id out of range, in the middle of a pass
            record(
                model,
                [rows._replace(inputs={"input_ids": rows.inputs["input_ids"] + 9999})],
                points=capture_points(model, cut),
                keep={}.__setitem__,
                run=lambda rows: logits(model, rows),
            )
    assert anatomy_of(model) == shape
    assert torch.equal(logits(model, rows), live)


def test_a_forward_that_was_already_hidden_comes_back(tiny_folder: Tiny) -> None:
    model = pretrained(tiny_folder("llama"))
    store, rows, block = recorded(model, 1), make_rows(model, [0]), blocks(model)[0].module
    hidden = block.forward
    vars(block)["forward"] = hidden
    with Trunk(model, capture_points(model, 1), store.__getitem__).replaying(rows):
        assert vars(block)["forward"] is not hidden
    assert vars(block)["forward"] is hidden


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_a_wrong_record_is_found_out(tiny_folder: Tiny, family: str) -> None:
    model = pretrained(tiny_folder(family))
    rows = make_rows(model, [0, 1, 2])
    for cut in range(1, len(blocks(model)) + 1):
        store = recorded(model, cut)
        for name, tensor in store.items():
            store[name] = tensor * 1.001
        found = verify(Trunk(model, capture_points(model, cut), store.__getitem__), rows, asked(model, rows))
        assert found is not None
        assert found.startswith("replayed logits differ from live ones by ")
        for name, tensor in store.items():
            store[name] = tensor * torch.nan
        assert verify(Trunk(model, capture_points(model, cut), store.__getitem__), rows, asked(model, rows)) is not None


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_rows_that_have_changed_are_refused(tiny_folder: Tiny, family: str) -> None:
    """A row's index says which recording is its own, so nothing but its tokens can say that it is another row now."""
    model = pretrained(tiny_folder(family))
    store, rows = recorded(model, 1), make_rows(model, [0, 1, 2])
    trunk = Trunk(
        model, capture_points(model, 1), store.__getitem__, [make_rows(model, [3, 1]), make_rows(model, [0, 2])]
    )
    with trunk.replaying(rows):
        pass
    ids = rows.inputs["input_ids"].clone()
    ids[1, 2] += 1
    changed = rows._replace(inputs={**rows.inputs, "input_ids": ids})
    with pytest.raises(ModelError, match="rows have changed since"), trunk.replaying(changed):
        pass


@pytest.mark.parametrize(
    ("tuning", "reason"),
    [
        (FULL, "the embeddings train"),
        (NONE, "nothing trains"),
        (Tuning(kind="last_blocks", blocks=3), "the first block trains: nothing before it is worth keeping"),
    ],
)
def test_where_nothing_can_be_replayed_the_reason_is_given(tiny_folder: Tiny, tuning: Tuning, reason: str) -> None:
    model = pretrained(tiny_folder("gpt2"))
    assert refusal(model, apply(model, tuning)) == reason


def test_a_tensor_shared_across_the_cut_is_refused(tiny_folder: Tiny) -> None:
    model = pretrained(tiny_folder("gpt2", tie_word_embeddings=True))
    assert refusal(model, apply(model, HEAD)) is None  # an untied copy trains
    model.get_input_embeddings().weight = nn.Parameter(model.get_output_embeddings().weight[:], requires_grad=False)
    trainable = Trainable(("lm_head.weight",), ("lm_head",), (), (), pristine=None)  # type: ignore[arg-type]
    found = refusal(model, trainable)
    assert found is not None
    assert found.startswith("transformer.wte.weight lies in the frozen part, but trains or shares its tensor")


def test_a_frozen_norm_of_the_encoder_must_not_train(tiny_folder: Tiny) -> None:
    model = pretrained(tiny_folder("t5"))
    trainable = apply(model, LAST)
    assert refusal(model, trainable) is None
    model.get_parameter("encoder.final_layer_norm.weight").requires_grad_(True)
    found = refusal(model, trainable)
    assert found is not None
    assert found.startswith("encoder.final_layer_norm.weight lies in the frozen part")


def test_dropout_in_the_frozen_part_is_refused(tiny_folder: Tiny) -> None:
    model = pretrained(tiny_folder("bart", dropout=0.1))
    trainable = apply(model, LAST)
    assert refusal(model, trainable) is None
    blocks(model)[0].module.train()
    assert refusal(model, trainable) == (
        "model.encoder.layers.0 is frozen, but in train mode: dropout would not be replayed"
    )


@pytest.mark.parametrize("cut", [0, 4])
def test_a_cut_is_between_the_first_block_and_the_head(tiny_folder: Tiny, cut: int) -> None:
    with pytest.raises(ValueError, match="a cut must be between 1 and 3, the number of blocks"):
        capture_points(pretrained(tiny_folder("gpt2")), cut)
