"""What loads, and what a person is told about what does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from harness.core.errors import ModelError
from harness.models.content_digests import weights_digest
from harness.models.find_blocks import blocks
from harness.models.load import load
from harness.study.model_config import describe, is_masked
from harness.study.tokenizer_without_model import light_reader
from tests.support.family_facts import ENCODER_DECODERS, FACTS, MASKED

Tiny = Callable[..., Path]
Change = Callable[[Path], object]


@pytest.fixture
def broken(tiny_folder: Tiny, tmp_path: Path) -> Callable[[Change], str]:
    """``broken(change)``: a copy of a tiny Llama after a change."""

    def folder(change: Change) -> str:
        shutil.copytree(tiny_folder("llama"), tmp_path / "model")
        change(tmp_path / "model")
        return str(tmp_path / "model")

    return folder


def config(**changes: Any) -> Change:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return change


def weights(edit: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    def change(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        edit(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return change


def content(name: str, data: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(data)


def without(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize("family", FACTS)
def test_a_family_loads_with_what_it_was_made_of(tiny_folder: Tiny, family: str) -> None:
    folder = tiny_folder(family)
    loaded = load(str(folder))
    stored = load_file(folder / "model.safetensors")
    held = loaded.model.state_dict()
    on_disk = {"embed_out.weight": "lm_head.weight"}  # GPT-NeoX's head keeps its old name in files

    assert all(torch.equal(held[on_disk.get(name, name)], tensor) for name, tensor in stored.items())
    assert loaded.is_encoder_decoder == (family in ENCODER_DECODERS)
    assert loaded.is_masked == (family in MASKED)
    assert loaded.context == FACTS[family].context
    assert loaded.commit is None
    assert not loaded.model.training
    own_padding = "<pad>" if family in {"qwen3", "gemma3", "opt", "bloom", *ENCODER_DECODERS, *MASKED} else "</s>"
    assert loaded.tokenizer.pad_token == own_padding
    assert loaded.tokenizer.eos_token_id == 2
    assert loaded.model.get_input_embeddings().weight.shape[0] == len(loaded.tokenizer)
    text = "Könnten Sie 3 keys: TL;DR?"
    assert loaded.tokenizer.decode(loaded.tokenizer(text).input_ids, skip_special_tokens=True) == text


@pytest.mark.parametrize("family", FACTS)
def test_a_description_equals_the_loaded_model(tiny_folder: Tiny, family: str) -> None:
    folder = tiny_folder(family)
    said, loaded = describe(str(folder)), load(str(folder))
    assert said.architecture == type(loaded.model).__name__
    assert said.is_encoder_decoder == loaded.is_encoder_decoder
    assert said.is_masked == loaded.is_masked
    assert said.blocks == len(blocks(loaded.model)) == len(FACTS[family].blocks)
    assert said.context == loaded.context
    assert said.tokenizer_file == folder / "tokenizer.json"


@pytest.mark.parametrize("family", MASKED)
def test_a_masked_model_s_tokenizer_is_given_an_end(tiny_folder: Tiny, family: str) -> None:
    folder = tiny_folder(family)
    loaded, light = load(str(folder)), light_reader(describe(str(folder)))
    assert (light.tokenizer.mask_token, light.tokenizer.mask_token_id) == ("<mask>", loaded.tokenizer.mask_token_id)
    assert (light.tokenizer.eos_token, light.tokenizer.eos_token_id) == ("</s>", loaded.tokenizer.eos_token_id)
    plain = transformers.AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32)
    assert type(plain) is type(loaded.model)
    assert weights_digest(plain) == loaded.digest


@pytest.mark.parametrize(
    ("said", "masked"),
    [
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, True),
        ({"model_type": "bert", "architectures": ["BertForPreTraining"]}, True),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"], "is_decoder": True}, False),
        ({"model_type": "bert", "architectures": ["BertLMHeadModel"]}, False),
        ({"model_type": "deberta-v2"}, True),
        ({"model_type": "unheard-of", "architectures": ["NewForMaskedLM"]}, True),
        ({"model_type": "bart", "architectures": ["BartForMaskedLM"], "is_encoder_decoder": True}, False),
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, False),
        ({"model_type": "bert", "architectures": "BertForMaskedLM"}, True),
        ({}, False),
    ],
)
def test_a_configuration_says_whether_a_model_is_masked(said: dict[str, Any], masked: bool) -> None:
    assert is_masked(said) is masked


def test_a_masked_model_without_a_mask_token_is_refused(tiny_folder: Tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder("bert"), tmp_path, dirs_exist_ok=True)
    transformers.AutoTokenizer.from_pretrained(tiny_folder("t5")).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="its tokenizer has no mask token; use the tokenizer that was saved with"):
        load(str(tmp_path))


def test_a_discriminator_is_refused_for_what_it_lacks(tiny_folder: Tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder("electra"), tmp_path, dirs_exist_ok=True)
    settings = transformers.AutoConfig.from_pretrained(tmp_path)
    transformers.ElectraForPreTraining(settings).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="they are ELECTRA's discriminator, which fills no masks; name its generator"):
        load(str(tmp_path))


def test_a_folder_may_start_at_home(tiny_folder: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_folder("gpt2")
    monkeypatch.setenv("HOME", str(folder.parent))
    assert describe(f"~/{folder.name}").blocks == 3
    assert load(f"~/{folder.name}").digest == load(str(folder)).digest


@pytest.mark.parametrize(("given", "kept"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_the_dtype_is_the_one_asked_for(tiny_folder: Tiny, tmp_path: Path, given: str, kept: torch.dtype) -> None:
    model, tokenizer, *_ = load(str(tiny_folder("llama")))
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert {each.dtype for each in load(str(tmp_path), dtype=given).model.parameters()} == {kept}


def test_the_digest_is_of_the_weights_and_of_nothing_else(tiny_folder: Tiny) -> None:
    folder = str(tiny_folder("llama"))
    first = load(folder)
    assert load(folder).digest == first.digest
    assert first.digest == weights_digest(first.model.train())
    assert load(folder, dtype="bfloat16").digest != first.digest
    assert load(str(tiny_folder("llama", seed=1))).digest != first.digest
    with torch.no_grad():
        # One bit: the sign of a zero.
        first.model.model.layers[1].mlp.up_proj.weight[0, 0] = 0.0
    zero = weights_digest(first.model)
    with torch.no_grad():
        first.model.model.layers[1].mlp.up_proj.weight[0, 0] = -0.0
    assert zero != weights_digest(first.model)


BROKEN: dict[str, tuple[Change, str]] = {
    "no configuration": (without("config.json"), r"no config\.json; name a folder written by save_pretrained"),
    "no JSON": (content("config.json", b"{"), r"config\.json cannot be read: .*line 1"),
    "no text": (content("config.json", b"\xff\xfe"), r"config\.json cannot be read"),
    "no object": (content("config.json", b"[1]"), r"config\.json holds a list"),
    "unknown architecture": (config(model_type="zork"), r"configuration: ValueError: .*zork"),
    "not a language model": (config(model_type="vit"), r"by its ViTConfig no language model"),
    "wrong type": (config(hidden_size="wide"), r"configuration: .*'hidden_size' expected int, got str"),
    "impossible heads": (config(num_attention_heads=5, head_dim=None), r"not a multiple of the number of attention"),
    "unknown activation": (config(hidden_act="zork"), r"architecture: KeyError: 'zork'"),
    "no weights": (without("model.safetensors"), r"no file named model\.safetensors.*set model\.allow_pickle"),
    "empty weights": (content("model.safetensors", b""), r"weights: SafetensorError: .*header"),
    "garbage": (content("model.safetensors", b"hello" * 99), r"weights: SafetensorError: .*header too large"),
    "cut off": (
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:9999]),
        r"weights: SafetensorError: .*not fully covered",
    ),
    "missing weight": (
        weights(lambda tensors: tensors.pop("model.norm.weight")),
        r"1 missing from the checkpoint \(model\.norm\.weight\); use the config\.json that was saved",
    ),
    "unexpected weight": (
        weights(lambda tensors: tensors.update(zork=torch.zeros(2))),
        r"1 unknown to the architecture \(zork\)",
    ),
    "more blocks than weights": (
        config(num_hidden_layers=4),
        r"9 missing from the checkpoint \(model\.layers\.3\.input_layernorm\.weight, \.\.\.\)",
    ),
    "fewer blocks than weights": (config(num_hidden_layers=2), r"9 unknown to the architecture \(model\.layers\.2\."),
    "another width": (config(intermediate_size=64), r"9 of another shape .* \(model\.layers\.0\.mlp\.down_proj"),
    "no tokenizer": (without("tokenizer.json"), r"cannot load its tokenizer: .*put tokenizer\.json"),
    "broken tokenizer": (content("tokenizer.json", b"{"), r"tokenizer: .*put tokenizer\.json"),
    "strange tokenizer": (content("tokenizer.json", b'{"a": 1}'), r"tokenizer: KeyError: 'added_tokens'"),
    "no end token": (
        lambda folder: (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}'),
        r"no end token; set eos_token in tokenizer_config\.json",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_folder_is_refused_by_name_with_a_remedy(broken: Callable[[Change], str], kind: str) -> None:
    change, message = BROKEN[kind]
    folder = broken(change)
    with pytest.raises(ModelError, match=message) as caught:
        load(folder)
    assert str(caught.value).startswith(f"model {folder}: ")
    assert "\n" not in str(caught.value)


def test_files_of_a_tokenizer_that_are_all_missing(tiny_folder: Tiny, tmp_path: Path) -> None:
    # For this family transformers would make an empty tokenizer.
    shutil.copytree(tiny_folder("gpt2"), tmp_path, dirs_exist_ok=True)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer's files are missing"):
        load(str(tmp_path))


def test_a_tokenizer_of_another_model(tiny_folder: Tiny, broken: Callable[[Change], str]) -> None:
    other = tiny_folder("mistral", vocabulary=600, tokenizer="sentencepiece-style")
    folder = broken(lambda folder: shutil.copy(other / "tokenizer.json", folder))
    with pytest.raises(ModelError, match=r"tokenizer has \d{3} tokens, its embeddings 508 rows"):
        load(folder)


def test_a_padding_token_without_a_row_gives_way_to_the_end_token(broken: Callable[[Change], str]) -> None:
    loaded = load(broken(lambda folder: _set_padding(folder, "<another>")))
    assert loaded.tokenizer.pad_token == "</s>"
    assert loaded.model.get_input_embeddings().weight.shape[0] == 508


def _set_padding(folder: Path, token: str) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": token})
    assert tokenizer.pad_token_id == 508
    tokenizer.save_pretrained(folder)


def test_pickled_weights_need_leave(tiny_folder: Tiny, broken: Callable[[Change], str]) -> None:
    def pickle(folder: Path) -> None:
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()

    folder = broken(pickle)
    with pytest.raises(ModelError, match=r"set model\.allow_pickle"):
        load(folder)
    assert load(folder, allow_pickle=True).digest == load(str(tiny_folder("llama"))).digest


@pytest.mark.parametrize("entries", [{"pad_token_id": 99999}, {"num_attention_heads": 0}])
def test_a_configuration_of_which_no_model_can_be_made(broken: Callable[[Change], str], entries: Any) -> None:
    with pytest.raises(ModelError, match=r"its (architecture|configuration): .*; (correct|check) config\.json"):
        load(broken(config(**entries)))


def test_code_that_comes_with_a_model_needs_leave(tiny_folder: Tiny, broken: Callable[[Change], str]) -> None:
    def own_code(folder: Path) -> None:
        kinds = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
        config(model_type="own", architectures=["OwnModel"], auto_map=kinds)(folder)
        (folder / "own.py").write_text(
            "from transformers import LlamaConfig, LlamaForCausalLM\n"
            "class OwnConfig(LlamaConfig):\n    model_type = 'own'\n"
            "class OwnModel(LlamaForCausalLM):\n    config_class = OwnConfig\n"
        )

    folder = broken(own_code)
    with pytest.raises(ModelError, match="trust_remote_code"):
        load(folder)
    loaded = load(folder, trust_remote_code=True)
    assert type(loaded.model).__name__ == "OwnModel"
    assert loaded.digest == load(str(tiny_folder("llama"))).digest


def test_a_folder_has_no_revision(tiny_folder: Tiny) -> None:
    for read in (load, describe):
        with pytest.raises(ModelError, match=r"revision 'v2' is given, but a local folder has none"):
            read(str(tiny_folder("llama")), revision="v2")


@pytest.mark.parametrize("name", ["./nothing", "../nothing", "/nothing", "~/nothing", "a/b/nothing"])
def test_a_missing_folder_is_no_hub_id(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for read in (load, describe):
        with pytest.raises(ModelError, match=rf"model {name}: no such folder; give a folder"):
            read(name)


def test_a_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="this is a file; name the folder"):
        load(str(tmp_path / "weights.bin"))


def test_a_name_that_can_be_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"model my model: neither a folder nor a Hub id"):
        describe("my model")


def test_loading_leaves_logging_and_gradients_as_they_were(
    tiny_folder: Tiny, capfd: pytest.CaptureFixture[str]
) -> None:
    logging = transformers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    folder = str(tiny_folder("marian"))
    capfd.readouterr()  # making the folder may have said something
    model = load(folder).model
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr().err == ""
    constant = {name for name, each in model.named_parameters() if not each.requires_grad}
    assert constant == set(FACTS["marian"].constants)
    assert not any(isinstance(each, nn.Parameter) and each.is_meta for each in model.parameters())


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
def test_weights_that_are_no_numbers_are_refused_by_name(value: float, broken: Callable[[Change], str]) -> None:
    name = "model.layers.0.mlp.down_proj.weight"
    folder = broken(weights(lambda tensors: tensors[name][0].fill_(value)))
    with pytest.raises(ModelError, match=rf"{name}: \d+ of \d+ as float32.*intact checkpoint"):
        load(folder)


def test_weights_that_half_precision_cannot_hold_are_refused(broken: Callable[[Change], str]) -> None:
    folder = broken(weights(lambda tensors: tensors["model.norm.weight"].fill_(1e6)))
    load(folder)
    with pytest.raises(ModelError, match=r"model\.norm\.weight: \d+ of \d+ as float16"):
        load(folder, dtype="float16")
