"""What each family's tiny model is made of, written out by hand: the oracle of the tests beside it."""

from __future__ import annotations

from dataclasses import dataclass


def weights(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}.weight" for name in names)


def pairs(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}.{kind}" for name in names for kind in ("weight", "bias"))


@dataclass(frozen=True)
class Facts:
    blocks: dict[str, tuple[str, ...]]
    """Block -> its parameters below it; encoder first, then decoder."""

    embeddings: tuple[str, ...]
    norms: dict[str, tuple[str, ...]]
    """Stack -> the parameters of its final norm."""

    head: tuple[str, ...]
    tied_to: str | None = None
    """The first name of the tensor that is also the head's."""

    aliases: tuple[str, ...] = ()
    """Further names of that tensor, beside the head's."""

    constants: tuple[str, ...] = ()
    """What the architecture never trains."""

    flat: tuple[str, ...] = ()
    """What may keep its value in training: a bias of the keys shifts all scores of a query alike."""

    context: int | None = 128

    def of(self, *blocks: str) -> set[str]:
        return {f"{block}.{name}" for block in blocks for name in self.blocks[block]}

    @property
    def head_alone(self) -> set[str]:
        return set(self.head)

    @property
    def everything(self) -> set[str]:
        head = set() if self.tied_to else set(self.head)
        norms = {name for names in self.norms.values() for name in names}
        return self.of(*self.blocks) | set(self.embeddings) - set(self.constants) | norms | head


LLAMA_BLOCK = weights(
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
    "input_layernorm",
    "post_attention_layernorm",
)
QWEN3_BLOCK = LLAMA_BLOCK + weights("self_attn.q_norm", "self_attn.k_norm")
GEMMA3_BLOCK = QWEN3_BLOCK + weights("pre_feedforward_layernorm", "post_feedforward_layernorm")
GPT2_BLOCK = pairs("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
NEOX_BLOCK = pairs(
    "input_layernorm",
    "post_attention_layernorm",
    "attention.query_key_value",
    "attention.dense",
    "mlp.dense_h_to_4h",
    "mlp.dense_4h_to_h",
)
BLOOM_BLOCK = pairs(
    "input_layernorm",
    "post_attention_layernorm",
    "self_attention.query_key_value",
    "self_attention.dense",
    "mlp.dense_h_to_4h",
    "mlp.dense_4h_to_h",
)
PHI_BLOCK = pairs(
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.dense",
    "mlp.fc1",
    "mlp.fc2",
    "input_layernorm",
)
SELF = pairs("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "self_attn_layer_norm")
CROSS = pairs(
    "encoder_attn.q_proj",
    "encoder_attn.k_proj",
    "encoder_attn.v_proj",
    "encoder_attn.out_proj",
    "encoder_attn_layer_norm",
)
FEED = pairs("fc1", "fc2", "final_layer_norm")
T5_SELF = weights(
    "layer.0.SelfAttention.q",
    "layer.0.SelfAttention.k",
    "layer.0.SelfAttention.v",
    "layer.0.SelfAttention.o",
    "layer.0.layer_norm",
)
T5_CROSS = weights(
    "layer.1.EncDecAttention.q",
    "layer.1.EncDecAttention.k",
    "layer.1.EncDecAttention.v",
    "layer.1.EncDecAttention.o",
    "layer.1.layer_norm",
)
T5_ENCODER = T5_SELF + weights("layer.1.DenseReluDense.wi", "layer.1.DenseReluDense.wo", "layer.1.layer_norm")
T5_DECODER = (
    T5_SELF + T5_CROSS + weights("layer.2.DenseReluDense.wi", "layer.2.DenseReluDense.wo", "layer.2.layer_norm")
)
T5_BIAS = weights("layer.0.SelfAttention.relative_attention_bias")


def three(path: str, block: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {f"{path}.0": block, f"{path}.1": block, f"{path}.2": block}


def like_llama(block: tuple[str, ...], *, tied: bool = False) -> Facts:
    return Facts(
        blocks=three("model.layers", block),
        embeddings=("model.embed_tokens.weight",),
        norms={"decoder": ("model.norm.weight",)},
        head=("lm_head.weight",),
        tied_to="model.embed_tokens.weight" if tied else None,
    )


def like_bart(*, embeddings: tuple[str, ...], constants: tuple[str, ...] = ()) -> Facts:
    encoder, decoder = "model.encoder.layers", "model.decoder.layers"
    return Facts(
        blocks={
            f"{encoder}.0": SELF + FEED,
            f"{encoder}.1": SELF + FEED,
            f"{decoder}.0": SELF + CROSS + FEED,
            f"{decoder}.1": SELF + CROSS + FEED,
            f"{decoder}.2": SELF + CROSS + FEED,
        },
        embeddings=("model.shared.weight", *embeddings),
        norms={},
        head=("lm_head.weight",),
        tied_to="model.shared.weight",
        aliases=("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"),
        constants=constants,
        flat=("self_attn.k_proj.bias", "encoder_attn.k_proj.bias"),
    )


POSITIONS = ("model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight")

FACTS = {
    "gpt2": Facts(
        blocks=three("transformer.h", GPT2_BLOCK),
        embeddings=("transformer.wte.weight", "transformer.wpe.weight"),
        norms={"decoder": ("transformer.ln_f.weight", "transformer.ln_f.bias")},
        head=("lm_head.weight",),
        tied_to="transformer.wte.weight",
    ),
    "llama": like_llama(LLAMA_BLOCK),
    "qwen3": like_llama(QWEN3_BLOCK),
    "mistral": like_llama(LLAMA_BLOCK),
    "gemma3": like_llama(GEMMA3_BLOCK, tied=True),
    "gpt_neox": Facts(
        blocks=three("gpt_neox.layers", NEOX_BLOCK),
        embeddings=("gpt_neox.embed_in.weight",),
        norms={"decoder": ("gpt_neox.final_layer_norm.weight", "gpt_neox.final_layer_norm.bias")},
        head=("lm_head.weight",),
    ),
    "opt": Facts(
        blocks=three("model.decoder.layers", SELF + FEED),
        embeddings=("model.decoder.embed_tokens.weight", "model.decoder.embed_positions.weight"),
        norms={"decoder": ("model.decoder.final_layer_norm.weight", "model.decoder.final_layer_norm.bias")},
        head=("lm_head.weight",),
        tied_to="model.decoder.embed_tokens.weight",
        flat=("self_attn.k_proj.bias",),
    ),
    "phi": Facts(
        blocks=three("model.layers", PHI_BLOCK),
        embeddings=("model.embed_tokens.weight",),
        norms={"decoder": ("model.final_layernorm.weight", "model.final_layernorm.bias")},
        head=("lm_head.weight", "lm_head.bias"),
    ),
    "bloom": Facts(
        blocks=three("transformer.h", BLOOM_BLOCK),
        embeddings=(
            "transformer.word_embeddings.weight",
            "transformer.word_embeddings_layernorm.weight",
            "transformer.word_embeddings_layernorm.bias",
        ),
        norms={"decoder": ("transformer.ln_f.weight", "transformer.ln_f.bias")},
        head=("lm_head.weight",),
        tied_to="transformer.word_embeddings.weight",
        context=None,
    ),
    "t5": Facts(
        blocks={
            "encoder.block.0": T5_ENCODER + T5_BIAS,
            "encoder.block.1": T5_ENCODER,
            "encoder.block.2": T5_ENCODER,
            "decoder.block.0": T5_DECODER + T5_BIAS,
            "decoder.block.1": T5_DECODER,
        },
        embeddings=("shared.weight",),
        norms={"encoder": ("encoder.final_layer_norm.weight",), "decoder": ("decoder.final_layer_norm.weight",)},
        head=("lm_head.weight",),
        tied_to="shared.weight",
        aliases=("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"),
        context=None,
    ),
    "bart": like_bart(
        embeddings=(
            *POSITIONS,
            "model.encoder.layernorm_embedding.weight",
            "model.encoder.layernorm_embedding.bias",
            "model.decoder.layernorm_embedding.weight",
            "model.decoder.layernorm_embedding.bias",
        )
    ),
    "marian": like_bart(embeddings=POSITIONS, constants=POSITIONS),
}

ENCODER_DECODERS = ("t5", "bart", "marian")

LAST_TWO = {
    "gpt2": ("transformer.h.1", "transformer.h.2"),
    "llama": ("model.layers.1", "model.layers.2"),
    "qwen3": ("model.layers.1", "model.layers.2"),
    "mistral": ("model.layers.1", "model.layers.2"),
    "gemma3": ("model.layers.1", "model.layers.2"),
    "gpt_neox": ("gpt_neox.layers.1", "gpt_neox.layers.2"),
    "opt": ("model.decoder.layers.1", "model.decoder.layers.2"),
    "phi": ("model.layers.1", "model.layers.2"),
    "bloom": ("transformer.h.1", "transformer.h.2"),
    "t5": ("decoder.block.0", "decoder.block.1"),
    "bart": ("model.decoder.layers.1", "model.decoder.layers.2"),
    "marian": ("model.decoder.layers.1", "model.decoder.layers.2"),
}

LAST_FOUR = {
    "t5": ("encoder.block.1", "encoder.block.2", "decoder.block.0", "decoder.block.1"),
    "bart": (
        "model.encoder.layers.1",
        "model.decoder.layers.0",
        "model.decoder.layers.1",
        "model.decoder.layers.2",
    ),
    "marian": (
        "model.encoder.layers.1",
        "model.decoder.layers.0",
        "model.decoder.layers.1",
        "model.decoder.layers.2",
    ),
}


LLAMA_NORMS = ("input_layernorm", "post_attention_layernorm")
QWEN3_NORMS = (*LLAMA_NORMS, "self_attn.q_norm", "self_attn.k_norm")
BART_NORMS = ("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm")

SUBLAYERS: dict[str, dict[str, tuple[str, ...]]] = {
    "gpt2": {"attention": ("attn",), "feed_forward": ("mlp",), "norms": ("ln_1", "ln_2")},
    "llama": {"attention": ("self_attn",), "feed_forward": ("mlp",), "norms": LLAMA_NORMS},
    "qwen3": {"attention": ("self_attn",), "feed_forward": ("mlp",), "norms": QWEN3_NORMS},
    "mistral": {"attention": ("self_attn",), "feed_forward": ("mlp",), "norms": LLAMA_NORMS},
    "gemma3": {
        "attention": ("self_attn",),
        "feed_forward": ("mlp",),
        "norms": (*QWEN3_NORMS, "pre_feedforward_layernorm", "post_feedforward_layernorm"),
    },
    "gpt_neox": {"attention": ("attention",), "feed_forward": ("mlp",), "norms": LLAMA_NORMS},
    "opt": {"attention": ("self_attn",), "feed_forward": ("fc1", "fc2"), "norms": BART_NORMS},
    "phi": {"attention": ("self_attn",), "feed_forward": ("mlp",), "norms": ("input_layernorm",)},
    "bloom": {"attention": ("self_attention",), "feed_forward": ("mlp",), "norms": LLAMA_NORMS},
    "t5": {
        "attention": ("layer.0.SelfAttention", "layer.1.EncDecAttention"),
        "feed_forward": ("layer.1.DenseReluDense", "layer.2.DenseReluDense"),
        "norms": ("layer.0.layer_norm", "layer.1.layer_norm", "layer.2.layer_norm"),
    },
    "bart": {"attention": ("self_attn", "encoder_attn"), "feed_forward": ("fc1", "fc2"), "norms": BART_NORMS},
    "marian": {"attention": ("self_attn", "encoder_attn"), "feed_forward": ("fc1", "fc2"), "norms": BART_NORMS},
}
"""The parts of blocks, by their paths below one."""

EMBEDDING_NORMS = {
    "bloom": pairs("transformer.word_embeddings_layernorm"),
    "bart": pairs("model.encoder.layernorm_embedding", "model.decoder.layernorm_embedding"),
}


def of_parts(family: str, kind: str, blocks: tuple[str, ...] | None) -> set[str]:
    """The parameters of a kind of part, in some blocks, or in all of the model."""
    facts = FACTS[family]
    if kind == "embeddings":
        return set(facts.embeddings) - set(facts.constants)
    if blocks is None:
        whole, outside = facts.of(*facts.blocks), {name for names in facts.norms.values() for name in names}
        outside |= set(EMBEDDING_NORMS.get(family, ()))
    else:
        whole, outside = facts.of(*blocks), set(facts.norms.get("decoder", ()))  # the last two are a decoder's
    if kind == "biases":
        head = set(facts.head) if blocks is None else set()
        return {name for name in whole | outside | head if name.endswith(".bias")}
    below = tuple(f"{block}.{part}." for block in facts.blocks for part in SUBLAYERS[family][kind])
    return {name for name in whole if name.startswith(below)} | (outside if kind == "norms" else set())


def expected(family: str, tuning: str) -> set[str]:
    """The parameters that a tuning trains; of a tied tensor the first name."""
    facts = FACTS[family]
    return {
        "none": lambda: set(),
        "head": lambda: set(facts.head),
        "last_blocks-2": lambda: facts.of(*LAST_TWO[family]) | set(facts.norms.get("decoder", ())),
        "last_blocks-4": lambda: (
            facts.of(*LAST_FOUR[family]) | set(facts.norms.get("decoder", ())) | set(facts.norms.get("encoder", ()))
        ),
        "full": lambda: facts.everything,
    }[tuning]()
