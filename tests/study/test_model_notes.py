"""What `check` tells of a model: limits that it lowers, settings that do not hold, special tokens in texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers

from harness.core.example import Example
from harness.data.template import Template
from harness.data.tokenization import Limits, encode
from harness.models.load import Loaded
from harness.study.model_config import context, describe
from harness.study.model_notes import doubled_tokens, special_tokens_in_texts
from tests.support.study_fixture import Place, Places, rows, write_rows

LONG = 40
SMALL = {"vocab_size": 96, "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 48}
T5 = {"vocab_size": 96, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_heads": 4, "num_layers": 2, "num_decoder_layers": 2}
FREE: dict[str, tuple[str, dict[str, Any], str]] = {
    "t5": ("T5Config", T5, "n_positions"),
    "mt5": ("MT5Config", T5, "n_positions"),
    "umt5": ("UMT5Config", T5, "n_positions"),
    "longt5": ("LongT5Config", T5, "n_positions"),
    "switch": ("SwitchTransformersConfig", {**T5, "num_experts": 2}, "n_positions"),
    "falcon": ("FalconConfig", {**SMALL, "alibi": True}, "max_position_embeddings"),
    "jamba": (
        "JambaConfig",
        {**SMALL, "num_key_value_heads": 2, "num_experts": 2, "mamba_dt_rank": 4, "mamba_d_state": 4}
        | {"attn_layer_period": 2, "attn_layer_offset": 1, "pad_token_id": 0},
        "max_position_embeddings",
    ),
}


def logits(config: Any) -> torch.Tensor:
    two = config.is_encoder_decoder
    auto: Any = transformers.AutoModelForSeq2SeqLM if two else transformers.AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = auto.from_config(config).eval()
        ids = torch.randint(4, 90, (1, LONG), generator=torch.Generator().manual_seed(1))
        return model(input_ids=ids, **({"decoder_input_ids": ids} if two else {})).logits


@pytest.mark.parametrize("name", FREE)
def test_a_number_that_is_no_limit(name: str) -> None:
    """Beyond it nothing fails, and no logit depends on it."""
    kind, sizes, key = FREE[name]
    configs = [getattr(transformers, kind)(**sizes, **{key: number}) for number in (16, 4096)]
    assert [context(config.to_dict()) for config in configs] == [None, None]
    short, long = map(logits, configs)
    assert torch.equal(short, long)


@pytest.mark.parametrize(
    ("kind", "sizes", "key"),
    [
        ("GPT2Config", {"vocab_size": 96, "n_embd": 32, "n_layer": 2, "n_head": 4}, "n_positions"),
        ("MptConfig", {"vocab_size": 96, "d_model": 32, "n_heads": 4, "n_layers": 2}, "max_seq_len"),
        ("OPTConfig", {**SMALL, "ffn_dim": 48, "word_embed_proj_dim": 32}, "max_position_embeddings"),
    ],
)
def test_a_number_that_is_one(kind: str, sizes: dict[str, Any], key: str) -> None:
    config = getattr(transformers, kind)(**sizes, **{key: 16})
    assert context(config.to_dict()) == 16
    with pytest.raises((IndexError, RuntimeError)):
        logits(config)


def test_a_t5_reads_prompts_beyond_the_length_that_it_was_trained_with(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("t5", n_positions=32)
    example = Example("a", {"source": "note " * 99}, "key " * 99)
    (row,) = encode([example], Template("t", "{{ source }}"), loaded, limits=Limits(900, 900)).rows
    assert min(len(row.prompt), len(row.target)) > 32


def checked(place: Place, *options: str) -> str:
    done = place.command("check", "study.yaml", *options)
    assert done.status == 0, done.err
    return " ".join(done.out.split())


def test_a_limit_that_the_context_lowers_is_told(places: Places) -> None:
    for family, limit in {"gpt2": "115 tokens", "bart": "128 tokens"}.items():
        told = checked(places(family, store=False), "--set", "training.max_source_tokens=300")
        assert (
            f"note: prompts may take {limit}, not 300 (training.max_source_tokens): the model's context is 128" in told
        )
    for family in ("gpt2", "t5"):
        assert "prompts may take" not in checked(places(family, store=False))


def settings_of(place: Place, **changes: object) -> None:
    file = place.folder / "model" / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_settings_of_generate_that_do_not_hold_are_told(places: Places) -> None:
    place = places("gpt2", store=False)
    assert "settings of generate" not in checked(place)
    settings_of(place, num_beams=4, do_sample=False, length_penalty=2.0, suppress_tokens=[5], max_length=20)
    assert "own settings of generate are not used (num_beams 4, length_penalty 2.0): predictions" in checked(place)
    old = places("bart", store=False)  # which keeps them in its configuration
    (old.folder / "model" / "generation_config.json").unlink()
    assert "forced_eos_token_id 2" in checked(old)


def test_special_tokens_in_texts_are_counted(places: Places) -> None:
    place = places("llama", store=False)
    assert "special tokens" not in checked(place)
    place.edit("- bare", '- bare\n  - {name: marked, text: "{{ source }} <unk>\\n", shorten: source}')
    train = rows("train")
    odd = [{**row, "source": f"{row['source']} <pad>"} for row in train[:3]]
    write_rows(place.folder / "data" / "train.jsonl", [*odd, {**train[3], "target": "it <unk> moved"}, *train[4:]])
    told = checked(place)
    assert "prompt marked ('<unk>'); field source in 3 of 40 ('<pad>' 3); target in 1 of 40 ('<unk>' 1)." in told


@pytest.mark.parametrize(
    ("family", "text", "told"),
    [
        ("llama", "<s>{{ source }}\n", "begins with '<s>'"),
        ("llama", "{{ source }} <s>\n", None),
        ("gpt2", "<s>{{ source }}\n", None),
        ("t5", "{{ source }}</s>", "ends with '</s>'"),
        ("bart", "<s> {{ source }}", "begins with '<s>'"),
        ("opt", "</s>{{ source }}:", "begins with '</s>'"),
    ],
)
def test_a_token_that_text_and_tokenizer_write(
    tiny: Callable[..., Loaded], family: str, text: str, told: str | None
) -> None:
    loaded, form = tiny(family), Template("own", text)
    example = Example("a", {"source": "short note"}, "note")
    ids = form.tokenize(example, loaded, limit=40)[0].prompt
    lines = doubled_tokens([form], example, loaded)
    assert [f"Prompt own {told} twice" in line for line in lines] == ([True] if told else [])
    assert bool(told) == (ids[0] == ids[1] or ids[-1] == ids[-2])
    assert special_tokens_in_texts([form], {"train": [example]}, loaded)


def test_show_prints_what_the_model_reads(places: Places) -> None:
    place = places("llama", store=False)
    place.edit("- bare", '- {name: bare, text: "<s>{{ source }}\\n", shorten: source}')
    shown = place.command("show", "study.yaml").out
    assert "tokens: <s>=1 <s>=1 " in shown
    assert shown.rstrip().endswith("</s>=2")
    two = places("bart", store=False)
    shown = " ".join(two.command("show", "study.yaml").out.split())
    assert "</s>=2 its decoder: </s>=2 <s>=1 " in shown
    assert describe(str(two.folder / "model")).is_encoder_decoder
