"""Models whose configurations have parts, or that are half of an architecture, and models of more than text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from harness.core.errors import ModelError
from harness.data.tokenization import Row
from harness.models.apply_tuning import apply, reset
from harness.models.content_digests import tensors_digest
from harness.models.find_blocks import anatomy, blocks
from harness.models.load import Loaded, load
from harness.study.axes import Tuning
from harness.study.model_config import describe
from harness.training.batching import prompt_batches
from harness.training.evaluation import Decoding, generate
from tests.support.plain_decoding import decode_plainly

SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
PLAIN = {
    "vocab_size": 508,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "max_position_embeddings": 128,
}
GROUPED = {**PLAIN, "num_key_value_heads": 2, "head_dim": 8, **SPECIAL}
HALVES = {
    "vocab_size": 508,
    "d_model": 32,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "max_position_embeddings": 128,
    **SPECIAL,
}
HALF = {"is_decoder": True, "is_encoder_decoder": False}
EYES = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "num_hidden_layers": 3, "patch_size": 4}
EARS = {"d_model": 32, "encoder_layers": 3, "encoder_ffn_dim": 48, "encoder_attention_heads": 4, "num_mel_bins": 8}


def of_two_berts() -> transformers.PreTrainedConfig:
    halves = [transformers.BertConfig(**{**PLAIN, "num_hidden_layers": number}) for number in (2, 3)]
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(*halves)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 1, 0, 2
    return config


MADE: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "t5gemma": (
        lambda: transformers.T5GemmaConfig(
            encoder=GROUPED, decoder={**GROUPED, "num_hidden_layers": 1}, decoder_start_token_id=1, **SPECIAL
        ),
        ["model.encoder.layers.0", "model.encoder.layers.1", "model.decoder.layers.0"],
    ),
    "encoder-decoder": (
        of_two_berts,
        [f"encoder.encoder.layer.{block}" for block in range(2)]
        + [f"decoder.bert.encoder.layer.{block}" for block in range(3)],
    ),
    "gemma3": (
        lambda: transformers.Gemma3Config(
            text_config={**GROUPED, "sliding_window": 16},
            vision_config={**EYES, "image_size": 8},
            mm_tokens_per_image=4,
            image_token_index=5,
        ),
        ["model.language_model.layers.0", "model.language_model.layers.1"],
    ),
    # Its blocks for images are more, and stand within the same module.
    "git": (
        lambda: transformers.GitConfig(vision_config={**EYES, "image_size": 8}, **PLAIN, **SPECIAL),
        ["git.encoder.layer.0", "git.encoder.layer.1"],
    ),
    # Known to the class of encoder-decoders alone.
    "qwen2_audio": (
        lambda: transformers.Qwen2AudioConfig(
            audio_config={**EARS, "max_source_positions": 16}, text_config={**GROUPED, "model_type": "qwen2"}
        ),
        ["model.language_model.layers.0", "model.language_model.layers.1"],
    ),
    "bart": (
        lambda: transformers.BartConfig(**HALVES, **HALF),
        ["model.decoder.layers.0", "model.decoder.layers.1"],
    ),
    "marian": (
        lambda: transformers.MarianConfig(**HALVES, **HALF, decoder_vocab_size=508),
        ["model.decoder.layers.0", "model.decoder.layers.1"],
    ),
    # Its head is called "decoder".
    "modernbert-decoder": (
        lambda: transformers.ModernBertDecoderConfig(**PLAIN, **SPECIAL, cls_token_id=1, sep_token_id=2),
        ["model.layers.0", "model.layers.1"],
    ),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path]) -> Callable[[str], Path]:
    """``made(kind)``: the folder of a tiny model, written once."""
    folders: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in folders:
            config = MADE[kind][0]()
            two = config.is_encoder_decoder or kind == "qwen2_audio"
            auto: Any = transformers.AutoModelForSeq2SeqLM if two else transformers.AutoModelForCausalLM
            torch.manual_seed(0)
            folders[kind] = tmp_path_factory.mktemp(kind)
            auto.from_config(config).save_pretrained(folders[kind])
            tokenizer = tiny_folder("bart" if config.is_encoder_decoder else "gpt2")
            transformers.AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folders[kind])
        return folders[kind]

    return folder


@pytest.mark.parametrize("kind", MADE)
def test_a_description_equals_the_loaded_model(made: Callable[[str], Path], kind: str) -> None:
    said, loaded = describe(str(made(kind))), load(str(made(kind)))
    assert [block.name for block in blocks(loaded.model)] == MADE[kind][1]
    assert said.blocks == len(MADE[kind][1])
    assert said.is_encoder_decoder == loaded.is_encoder_decoder
    assert (said.context, said.embedding_rows) == (loaded.context, loaded.embedding_rows) == (128, (508, 508))


@pytest.mark.parametrize("kind", MADE)
def test_a_tuning_trains_what_it_says(made: Callable[[str], Path], kind: str) -> None:
    model = load(str(made(kind))).model
    last = MADE[kind][1][-1]
    trainable = apply(model, Tuning(kind="last_blocks", blocks=1))
    norms = {norm.name for norm in anatomy(model).final_norms if norm.stack == "decoder"}
    assert {name for name, weight in model.named_parameters() if weight.requires_grad} == {
        name for name, _ in model.named_parameters() if name.startswith(f"{last}.") or name.rpartition(".")[0] in norms
    }
    reset(model, trainable)


@pytest.mark.parametrize("kind", MADE)
def test_predictions_are_those_of_plain_transformers(made: Callable[[str], Path], kind: str) -> None:
    loaded = load(str(made(kind)))
    rows = [Row(str(length), tuple(range(40, 40 + length)), (2,), False) for length in (8, 16)]  # nothing is padded
    batches = prompt_batches(rows, loaded, batch_size=1, room=6)
    assert generate(loaded, batches, Decoding(6)) == [_plain(loaded, row.prompt) for row in rows]


def _plain(loaded: Loaded, prompt: tuple[int, ...]) -> str:
    ids = torch.tensor([prompt])
    ends = {"eos_token_id": 2, "forced_eos_token_id": None, "pad_token_id": 0}
    made = loaded.model.generate(ids, max_new_tokens=6, do_sample=False, **ends)
    said = made[0, 0 if loaded.is_encoder_decoder else len(prompt) :].tolist()
    return decode_plainly(loaded.tokenizer, said).strip()


def test_the_text_of_a_whole_checkpoint(tmp_path: Path, tiny_folder: Callable[..., Path]) -> None:
    text = {**GROUPED, "intermediate_size_mlp": 48, "num_local_experts": 2}
    eyes = {**EYES, "intermediate_size": 512, "image_size": 8, "vision_output_dim": 32}
    projector = {"projector_input_dim": 32, "projector_output_dim": 32}
    config = transformers.Llama4Config(text_config=text, vision_config={**eyes, **projector})
    whole = transformers.Llama4ForConditionalGeneration(config)
    whole.save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(tiny_folder("gpt2")).save_pretrained(tmp_path)
    loaded = load(str(tmp_path))
    assert type(loaded.model).__name__ == "Llama4ForCausalLM"
    assert loaded.digest == tensors_digest(whole.language_model.state_dict())
    weights = load_file(tmp_path / "model.safetensors")
    save_file({**weights, "zork": torch.ones(2)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 unknown to the architecture \(zork\)"):
        load(str(tmp_path))


def test_a_part_that_could_not_be_loaded_again_by_itself_is_refused(
    tmp_path: Path, tiny_folder: Callable[..., Path]
) -> None:
    text = {**GROUPED, "cross_attention_layers": [1], "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}
    eyes = {**EYES, "image_size": 8, "num_global_layers": 1, "intermediate_layers_indices": [0], "max_num_tiles": 1}
    config = transformers.MllamaConfig(text_config=text, vision_config={**eyes, "supported_aspect_ratios": [[1, 1]]})
    transformers.MllamaForConditionalGeneration(config).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(tiny_folder("gpt2")).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="by its MllamaTextConfig no language model that transformers knows"):
        load(str(tmp_path))


@pytest.mark.parametrize("config", [transformers.ViTConfig(), transformers.LlavaConfig(), transformers.BlipConfig()])
def test_what_generates_no_text_of_text_is_refused(config: transformers.PreTrainedConfig, tmp_path: Path) -> None:
    config.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=rf"by its {type(config).__name__} no language model.*text of text"):
        load(str(tmp_path))
