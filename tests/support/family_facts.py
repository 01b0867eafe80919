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

    projection: str = "lm_head.weight"
    """The head's matrix."""

    bias: tuple[str, ...] = ()
    """All names of the projection's bias, where there are several; the first stands in the head."""

    constants: tuple[str, ...] = ()
    """What the architecture never trains."""

    flat: tuple[str, ...] = ()
    """What may keep its value in training: a bias of the keys shifts all scores of a query alike."""

    context: int | None = 128

    def of(self, *blocks: str) -> set[str]:
        return {f"{block}.{name}" for block in blocks for name in self.blocks[block]}

    def under_all_names(self, trained: set[str]) -> set[str]:
        """Parameters that train, by all the names under which they are found to have moved."""
        tied = {*self.aliases, self.projection} if self.tied_to in trained else set()
        return trained | tied | (set(self.bias) if set(self.bias) & trained else set())

    @property
    def everything(self) -> set[str]:
        head = set(self.head) - ({self.projection} if self.tied_to else set())
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


BERT_BLOCK = pairs(
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)
DEBERTA_BLOCK = pairs(
    "attention.self.query_proj",
    "attention.self.key_proj",
    "attention.self.value_proj",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)
MODERNBERT_BLOCK = weights("attn.Wqkv", "attn.Wo", "mlp_norm", "mlp.Wi", "mlp.Wo")


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


def like_bert(
    name: str, transform: tuple[str, str], decoder: str, *, embeddings: tuple[str, ...] = (), bias: str | None = None
) -> Facts:
    """A masked model; the bias of its decoder may be a parameter of the head's as well, which is its first name."""
    words = f"{name}.embeddings"
    return Facts(
        blocks=three(f"{name}.encoder.layer", DEBERTA_BLOCK if name == "deberta" else BERT_BLOCK),
        embeddings=(f"{words}.word_embeddings.weight", *pairs(f"{words}.LayerNorm"), *embeddings),
        norms={},
        head=(*pairs(*transform), f"{decoder}.weight", bias or f"{decoder}.bias"),
        tied_to=f"{words}.word_embeddings.weight",
        projection=f"{decoder}.weight",
        bias=(bias, f"{decoder}.bias") if bias else (),
        flat=("attention.self.key.bias",),
    )


def places(name: str) -> tuple[str, ...]:
    return weights(f"{name}.embeddings.position_embeddings", f"{name}.embeddings.token_type_embeddings")


OF_BERT = "cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm"
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
    "bert": like_bert(
        "bert", OF_BERT, "cls.predictions.decoder", embeddings=places("bert"), bias="cls.predictions.bias"
    ),
    "roberta": like_bert(
        "roberta",
        ("lm_head.dense", "lm_head.layer_norm"),
        "lm_head.decoder",
        embeddings=places("roberta"),
        bias="lm_head.bias",
    ),
    "electra": like_bert(
        "electra",
        ("generator_predictions.dense", "generator_predictions.LayerNorm"),
        "generator_lm_head",
        embeddings=(*places("electra"), *pairs("electra.embeddings_project")),
    ),
    "deberta-v2": like_bert(
        "deberta",
        OF_BERT,
        "cls.predictions.decoder",
        embeddings=("deberta.encoder.rel_embeddings.weight", *pairs("deberta.encoder.LayerNorm")),
        bias="cls.predictions.bias",
    ),
    "modernbert": Facts(
        blocks={
            "model.layers.0": MODERNBERT_BLOCK,
            "model.layers.1": (*MODERNBERT_BLOCK, "attn_norm.weight"),
            "model.layers.2": (*MODERNBERT_BLOCK, "attn_norm.weight"),
        },
        embeddings=weights("model.embeddings.tok_embeddings", "model.embeddings.norm"),
        norms={"decoder": ("model.final_norm.weight",)},
        head=(*weights("head.dense", "head.norm"), "decoder.weight", "decoder.bias"),
        tied_to="model.embeddings.tok_embeddings.weight",
        projection="decoder.weight",
    ),
}

ENCODER_DECODERS = ("t5", "bart", "marian")
MASKED = ("bert", "roberta", "electra", "deberta-v2", "modernbert")

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
    "bert": ("bert.encoder.layer.1", "bert.encoder.layer.2"),
    "roberta": ("roberta.encoder.layer.1", "roberta.encoder.layer.2"),
    "electra": ("electra.encoder.layer.1", "electra.encoder.layer.2"),
    "deberta-v2": ("deberta.encoder.layer.1", "deberta.encoder.layer.2"),
    "modernbert": ("model.layers.1", "model.layers.2"),
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
BERT_PARTS = {
    "attention": ("attention.self", "attention.output.dense"),
    "feed_forward": ("intermediate.dense", "output.dense"),
    "norms": ("attention.output.LayerNorm", "output.LayerNorm"),
}
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
    "bert": BERT_PARTS,
    "roberta": BERT_PARTS,
    "electra": BERT_PARTS,
    "deberta-v2": BERT_PARTS,
    "modernbert": {"attention": ("attn",), "feed_forward": ("mlp",), "norms": ("attn_norm", "mlp_norm")},
}
"""The parts of blocks, by their paths below one."""

OTHER_NORMS = {
    "bloom": pairs("transformer.word_embeddings_layernorm"),
    "bart": pairs("model.encoder.layernorm_embedding", "model.decoder.layernorm_embedding"),
    "bert": pairs("bert.embeddings.LayerNorm", "cls.predictions.transform.LayerNorm"),
    "roberta": pairs("roberta.embeddings.LayerNorm", "lm_head.layer_norm"),
    "electra": pairs("electra.embeddings.LayerNorm", "generator_predictions.LayerNorm"),
    "deberta-v2": pairs(
        "deberta.embeddings.LayerNorm", "deberta.encoder.LayerNorm", "cls.predictions.transform.LayerNorm"
    ),
    "modernbert": weights("model.embeddings.norm", "head.norm"),
}
"""Those outside of blocks and behind no stack: of embeddings, and of a masked model's head."""


def of_parts(family: str, kind: str, blocks: tuple[str, ...] | None) -> set[str]:
    """The parameters of a kind of part, in some blocks, or in all of the model."""
    facts = FACTS[family]
    if kind == "embeddings":
        return set(facts.embeddings) - set(facts.constants)
    if blocks is None:
        whole, outside = facts.of(*facts.blocks), {name for names in facts.norms.values() for name in names}
        outside |= set(OTHER_NORMS.get(family, ()))
    else:
        whole, outside = facts.of(*blocks), set(facts.norms.get("decoder", ()))  # the last two are a decoder's
    if kind == "biases":
        head = set(facts.head) if blocks is None else set()
        other = set(facts.embeddings) if blocks is None else set()
        return {name for name in whole | outside | head | other if name.endswith(".bias")}
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
