"""The frozen part found, recorded or given up: by key, by proof, within budgets, from one process to the next."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, FalconH1Config, Lfm2Config

from harness.core.errors import ModelError
from harness.core.example import Example
from harness.models.find_blocks import blocks
from harness.models.frozen.replay import Trunk
from harness.models.load import Loaded, load
from harness.study.axes import Tuning
from harness.study.check import check
from harness.study.grid import Cell
from harness.study.load_study import read_study
from harness.study.spec import Precision
from harness.testing import tiny_model
from harness.training.activation_cache import disk as module
from harness.training.activation_cache.disk import MANIFEST, ActivationDisk
from harness.training.activation_cache.keys import _kind as kind_of
from harness.training.activation_cache.memory import ActivationMemory
from harness.training.batching import loss_batches
from harness.training.evaluation import Decoding, prompts_of
from harness.training.trainer import Trainer
from tests.support.opened_trunks import (
    EXAMPLES,
    HEAD,
    LAST,
    LAST_TWO,
    PLENTY,
    WORDS,
    Opened,
    encoded,
    opened,
    right,
    trunks,
)
from tests.support.search_spaces import rate
from tests.support.study_fixture import Places


def keys(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_rows_are_known_by_their_key_and_never_by_their_list(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("llama")
    owner = trunks(loaded, ActivationMemory(2**24, None), [])
    rows = encoded(loaded)
    others = [row._replace(prompt=row.prompt[::-1]) for row in rows]
    assert right(loaded, opened(owner, LAST, rows=rows).found)
    copied = opened(owner, LAST, rows=list(rows))
    assert copied.passes == 1  # its proof
    assert right(loaded, copied.found)
    changed = opened(owner, LAST, rows=others)
    assert changed.passes > 1
    assert right(loaded, changed.found, others)
    with pytest.raises(ModelError, match="rows have changed"):
        right(loaded, changed.found, rows)


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5", "bart"])
@pytest.mark.parametrize("tuning", [HEAD, LAST, LAST_TWO], ids=lambda tuning: tuning.name)
def test_recorded_once_and_then_found(tiny: Callable[..., Loaded], tmp_path: Path, family: str, tuning: Tuning) -> None:
    loaded = tiny(family)
    whole = len(loss_batches(encoded(loaded), loaded, batch_size=4))
    owner = trunks(loaded, ActivationMemory(PLENTY, ActivationDisk(tmp_path, PLENTY)), [])
    first, second = opened(owner, tuning), opened(owner, tuning)
    later = opened(trunks(loaded, ActivationMemory(PLENTY, ActivationDisk(tmp_path, PLENTY)), []), tuning)
    mapped = opened(trunks(loaded, ActivationMemory(0, ActivationDisk(tmp_path, PLENTY)), []), tuning)
    assert [each.passes for each in (first, second, later, mapped)] == [whole + 1, 1, 1, 1], "and one to verify"
    for each in (first, second, later, mapped):
        assert each.said == []
        assert right(loaded, each.found)


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_one_pass_serves_every_cut(tiny: Callable[..., Loaded], tmp_path: Path, family: str) -> None:
    loaded = tiny(family)
    owner = trunks(loaded, ActivationMemory(PLENTY, ActivationDisk(tmp_path, PLENTY)), [])
    count = len(blocks(loaded.model))
    cuts = [count, count - 1, count - 2]
    passes = [opened(owner, tuning, cuts=cuts).passes for tuning in (LAST, HEAD, LAST_TWO)]
    assert passes == [passes[0], 1, 1]
    assert passes[0] > 2


SCRIPT = """
import sys
from pathlib import Path

import torch

from harness.models.load import load
from harness.training.activation_cache.memory import ActivationMemory
from harness.training.activation_cache.disk import ActivationDisk
from tests.support.opened_trunks import LAST, PLENTY, opened, trunks

torch.set_num_threads(1)
loaded = load(sys.argv[1])
found = opened(trunks(loaded, ActivationMemory(PLENTY, ActivationDisk(Path(sys.argv[2]), PLENTY)), []), LAST)
print(found.passes, found.said)
"""


@pytest.mark.slow
def test_the_next_process_uses_it(tmp_path: Path) -> None:
    tiny_model("llama", tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "model"), str(tmp_path / "store")],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = load(str(tmp_path / "model"))
    whole = len(loss_batches(encoded(loaded), loaded, batch_size=4))
    assert done.stdout.split("\n")[0] == f"{whole + 1} []"
    here = opened(trunks(loaded, ActivationMemory(PLENTY, ActivationDisk(tmp_path / "store", PLENTY)), []), LAST)
    assert (here.passes, here.said) == (1, [])
    assert right(loaded, here.found)


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    """Change a recording as somebody might who knows how it is made: its digests are right."""
    manifest = json.loads((folder / MANIFEST).read_text())
    for name in manifest["shards"]:
        save_file(change(load_file(folder / name)), folder / name)
        manifest["shards"][name] = module._digest(folder / name)
    (folder / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize("tuning", [HEAD, LAST], ids=lambda tuning: tuning.name)
@pytest.mark.parametrize("room", [0, 6], ids=["loss", "prefill"])
def test_wrong_numbers_are_found_and_recorded_anew(
    tiny: Callable[..., Loaded], tmp_path: Path, tuning: Tuning, room: int
) -> None:
    loaded = tiny("llama")

    def again() -> Opened:
        owner = trunks(loaded, ActivationMemory(PLENTY, ActivationDisk(tmp_path, PLENTY)), [])
        return opened(owner, tuning, room=room)

    good = again()
    for folder in tmp_path.iterdir():
        rewrite(folder, lambda tensors: {name: tensor * 1.001 for name, tensor in tensors.items()})
    found = again()
    (said,) = found.said
    assert said.startswith("replayed logits differ from live ones by ")
    assert said.endswith(" of the largest, 1e-05 is allowed; recording anew")
    assert found.passes == good.passes + 1
    assert room or right(loaded, found.found)
    assert (again().passes, again().said) == (1, [])


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("tuning", [HEAD, LAST], ids=lambda tuning: tuning.name)
@pytest.mark.parametrize("item", ["keys", "values"])
def test_wrong_keys_and_values_are_found(
    tiny: Callable[..., Loaded], tmp_path: Path, family: str, tuning: Tuning, item: str
) -> None:
    """The first call does not read what frozen blocks left in the cache: the next one does."""
    loaded = tiny(family)

    def again() -> Opened:
        return opened(trunks(loaded, ActivationMemory(PLENTY, ActivationDisk(tmp_path, PLENTY)), []), tuning, room=6)

    again()
    for folder in tmp_path.iterdir():
        rewrite(
            folder,
            lambda tensors: {
                name: tensor * 1.5 if f".cache/{item}/" in name else tensor for name, tensor in tensors.items()
            },
        )
    (said,) = again().said
    assert said.startswith("replayed logits differ from live ones by ")
    assert again().said == []


STATES = {
    "lfm2": Lfm2Config(
        vocab_size=512,
        hidden_size=32,
        num_hidden_layers=3,
        intermediate_size=48,
        num_attention_heads=4,
        num_key_value_heads=2,
        layer_types=["conv", "full_attention", "full_attention"],
    ),
    "falcon_h1": FalconH1Config(
        vocab_size=512,
        hidden_size=32,
        num_hidden_layers=3,
        intermediate_size=48,
        num_attention_heads=4,
        num_key_value_heads=2,
        mamba_d_ssm=32,
        mamba_n_heads=4,
        mamba_d_head=8,
        mamba_n_groups=1,
        mamba_d_state=8,
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_states_that_are_no_keys_and_values_are_never_lost(
    tiny: Callable[..., Loaded], tmp_path: Path, name: str
) -> None:
    """A block may keep more in the cache than what is recorded; it is found out once, and not tried again."""
    model = AutoModelForCausalLM.from_config(STATES[name], dtype=torch.float32).eval()
    loaded = tiny("llama")._replace(model=model)
    owner = trunks(loaded, ActivationMemory(PLENTY, ActivationDisk(tmp_path, PLENTY)), [])
    first = opened(owner, LAST, room=6)
    assert isinstance(first.found, str), "these states are not recorded"
    assert opened(owner, LAST, room=6) == Opened(first.found, [], 0)
    assert keys(tmp_path) == set()


@pytest.mark.parametrize("family", ["llama", "t5"])
@pytest.mark.parametrize("tuning", [HEAD, LAST], ids=lambda tuning: tuning.name)
def test_the_longest_rows_are_proved_once_and_the_shortest_in_every_run(
    tiny: Callable[..., Loaded], tmp_path: Path, family: str, tuning: Tuning
) -> None:
    loaded = tiny(family)
    lengths = {index: len(row.prompt) for index, row in enumerate(encoded(loaded))}
    longest = max(lengths, key=lengths.__getitem__)
    opened(trunks(loaded, ActivationMemory(PLENTY, ActivationDisk(tmp_path, PLENTY)), []), tuning)
    for folder in tmp_path.iterdir():
        rewrite(
            folder,
            lambda tensors: {
                name: tensor * 1.001 if name.endswith(f"/{longest}") else tensor for name, tensor in tensors.items()
            },
        )
    owner = trunks(loaded, ActivationMemory(PLENTY, ActivationDisk(tmp_path, PLENTY)), [])
    (said,) = opened(owner, tuning).said
    assert said.startswith("replayed logits differ")
    assert longest in owner.opened().passes[0].rows.indices
    assert opened(owner, tuning).said == []
    again = owner.opened().passes
    assert len(again) == 2
    assert min(lengths, key=lengths.__getitem__) in again[0].rows.indices


def test_arithmetic_is_that_of_one_model_of_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["One", "Another"])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: next(names))
    assert kind_of(torch.device("cpu")) == "cpu"
    assert kind_of(torch.device("cuda", 0)) != kind_of(torch.device("cuda", 0))


def test_a_recording_that_lacks_rows_is_recorded_anew(tiny: Callable[..., Loaded], tmp_path: Path) -> None:
    loaded = tiny("llama")
    opened(trunks(loaded, ActivationMemory(PLENTY, ActivationDisk(tmp_path, PLENTY)), []), LAST)
    (folder,) = tmp_path.iterdir()
    rewrite(folder, lambda tensors: dict(list(tensors.items())[:1]))
    found = opened(trunks(loaded, ActivationMemory(PLENTY, ActivationDisk(tmp_path, PLENTY)), []), LAST)
    assert found.said[0].startswith("the recording lacks 'model.layers.1/0/")
    assert right(loaded, found.found)


def test_what_numbers_depend_on_is_in_the_key(tiny: Callable[..., Loaded], tmp_path: Path) -> None:
    loaded, seen = tiny("llama"), set[str]()

    def fresh(loaded: Loaded, precision: Precision = "fp32", **options: Any) -> int:
        owner = trunks(loaded, ActivationMemory(PLENTY, ActivationDisk(tmp_path, PLENTY)), [], precision)
        assert isinstance(opened(owner, LAST, **options).found, Trunk)
        new = keys(tmp_path) - seen
        seen.update(new)
        return len(new)

    assert fresh(loaded) == 1
    assert fresh(loaded) == 0
    assert fresh(tiny("llama")) == 0, "another copy of the same model"
    assert fresh(tiny("llama", seed=1)) == 1
    assert fresh(loaded, rows=encoded(loaded, "{{ source }}\nIn short:")) == 1
    assert fresh(loaded, rows=encoded(loaded)[:-1]) == 1
    assert fresh(loaded, rows=encoded(loaded)[::-1]) == 1
    assert fresh(loaded, "bf16") == 1
    changed = tiny("llama")
    changed.model.set_attn_implementation("eager")
    assert fresh(changed) == 1
    changed.model.bfloat16()
    assert fresh(changed) == 1
    assert fresh(loaded, room=6) == 3, "keys and values of two blocks, and hidden states"


def test_targets_are_in_the_key(tiny: Callable[..., Loaded], tmp_path: Path) -> None:
    """What is kept before the head stands where a target does."""
    loaded = tiny("llama")
    disk = ActivationDisk(tmp_path, PLENTY)
    plain = encoded(loaded)
    others = [row._replace(target=(row.target[-2], *row.target[1:])) for row in plain]
    for rows in (plain, others):
        found = opened(trunks(loaded, ActivationMemory(PLENTY, disk), []), HEAD, rows=rows)
        assert right(loaded, found.found, rows)
    assert len(keys(tmp_path)) == 2


def test_an_edited_configuration_is_another_model(tmp_path: Path) -> None:
    """The weights are the same, and so are the logits of short rows, which are within the window."""
    folder = tiny_model("mistral", tmp_path / "model", sliding_window=60)
    disk = ActivationDisk(tmp_path / "store", PLENTY)
    one = load(str(folder))
    assert right(one, opened(trunks(one, ActivationMemory(PLENTY, disk), []), LAST).found)
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "sliding_window": 20}))
    other = load(str(folder))
    assert one.digest == other.digest
    assert right(other, opened(trunks(other, ActivationMemory(PLENTY, disk), []), LAST).found)


def test_more_new_tokens_leave_prompts_less_padding(tiny: Callable[..., Loaded], tmp_path: Path) -> None:
    """A prompt of a long bucket is padded to what the context leaves: to another size, which its keys have."""
    loaded = tiny("llama")
    long = [Example("long", {"source": " ".join(WORDS * 6)}, "a"), *EXAMPLES]
    rows = encoded(loaded, examples=long)
    longest = max(len(row.prompt) for row in rows)
    shapes = set()
    for room in (128 - longest, 10, 20):
        decoding = Decoding(max_new_tokens=room, batch_size=4)
        prompts = prompts_of(rows, loaded, decoding)
        owner = trunks(loaded, ActivationMemory(PLENTY, ActivationDisk(tmp_path, PLENTY)), [])
        found = opened(owner, LAST, rows=rows, room=room)
        assert isinstance(found.found, Trunk)
        last = prompts[-1]
        shapes.add(last.inputs["input_ids"].size(1))
        index = last.indices[-1]
        assert len(found.found.fetch(f"model.layers.1/0/{index}")) == last.inputs["input_ids"].size(1)
    assert len(shapes) > 1, "the case is the one that is meant"


def test_too_large_for_memory_and_disk(tiny: Callable[..., Loaded], tmp_path: Path) -> None:
    loaded = tiny("llama")
    owner = trunks(loaded, ActivationMemory(1000, ActivationDisk(tmp_path, 1000)), [])
    first = opened(owner, LAST)
    assert isinstance(first.found, str)
    assert first.found.endswith(" MiB or more fits neither engine.memory_mib nor engine.disk_mib")
    assert opened(owner, LAST) == Opened(first.found, [], 0), "it is not tried in every trial"
    assert keys(tmp_path) == set()


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_room_for_one_cut_alone(tiny: Callable[..., Loaded], family: str) -> None:
    """Where one pass cannot keep what all cuts need, it keeps what this one does."""
    loaded = tiny(family)
    count = len(blocks(loaded.model))
    plenty = ActivationMemory(PLENTY, None)
    opened(trunks(loaded, plenty, []), HEAD)
    owner = trunks(loaded, ActivationMemory(sum(plenty._sizes.values()), None), [])
    found = opened(owner, HEAD, cuts=[count, count - 1, count - 2])
    assert right(loaded, found.found)
    assert isinstance(opened(owner, LAST).found, str), "hidden states of all positions take more"


def test_a_block_without_a_cache_is_generated_live(tiny: Callable[..., Loaded]) -> None:
    """As one that keeps a state of another kind."""
    model = (loaded := tiny("llama")).model
    block = blocks(model)[0].module
    uncached = block.register_forward_pre_hook(
        lambda module, args, kwargs: (args, {**kwargs, "past_key_values": None}), with_kwargs=True
    )
    found = opened(trunks(loaded, ActivationMemory(PLENTY, None), []), LAST, room=6)
    uncached.remove()
    assert found.found == "a block was called without a cache of transformers' own kind"
    assert not any(
        "forward" in vars(each) or each._forward_hooks or each._forward_pre_hooks for each in model.modules()
    )


@pytest.mark.slow
def test_a_trainer_trains_live_where_nothing_can_be_kept(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place = places()
    monkeypatch.chdir(place.folder)
    text = place.study.read_text(encoding="utf-8")
    found = {}
    for limits in ("{}", "{memory_mib: 0.001, disk_mib: 0}", "{memory_mib: 0.001}", "{disk_mib: 0}"):
        place.study.write_text(f"{text}engine: {limits}\n", encoding="utf-8")
        checked = check(read_study(place.study))
        trainer = Trainer(checked)
        cell = Cell(checked.cells[-1].prompt, LAST)
        with trainer.run(cell) as run:
            found[limits] = [
                (epoch.losses, run.score("validation", generate=True).scores)
                for epoch in run.epochs(rate(1e-2), seed=0)
            ]
        lives = limits == "{memory_mib: 0.001, disk_mib: 0}"
        assert run.trunk == (
            "live: a recording of 0.0 MiB or more fits neither engine.memory_mib nor engine.disk_mib"
            if lives
            else "replayed"
        )
    assert all(each == found["{}"] for each in found.values())
