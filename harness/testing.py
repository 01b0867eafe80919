"""Small things to test against: randomly initialized models with a tokenizer, in a folder like a real one's.

For the authors of tasks, metrics and studies: a whole study runs through them in seconds, without a download.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedConfig, PreTrainedModel

__all__ = ["FAMILIES", "MASKED_FAMILIES", "tiny_model"]

PAD, BOS, EOS, UNK = SPECIALS = ("<pad>", "<s>", "</s>", "<unk>")
"""Every tokenizer's special tokens; their ids are 0, 1, 2 and 3."""

MASK = "<mask>"
"""That of masked models stands behind them; its id is 4."""

TEXT = (
    "A short note about the meeting: it moved to Tuesday, and the small room is booked.",
    "The train left early, so the guests came late and the dinner was cold.",
    "Could you send me the report before noon? Yes, it is on its way.",
    "Summarize the text above. Translate the sentence into French. Write a reply.",
    "Le train est parti en avance, et les invités sont arrivés en retard.",
    "Könnten Sie mir den Bericht vor Mittag schicken? Ja, er ist unterwegs.",
    "source: 12 boxes, 3 keys; target: fifteen things. TL;DR: nothing happened today.",
)
"""What tokenizers are trained on: enough for common words to become one token, and rare ones several."""


class _Family(NamedTuple):
    """How a family differs from the others, as its published models do."""

    config: str
    """Name of the configuration class."""

    sizes: dict[str, Any]
    """Its arguments, in its own words: few blocks, narrow, dropout off."""

    template: str = "$A"
    """What the tokenizer puts around a text."""

    pads: bool = False
    """Whether the tokenizer has a padding token of its own."""

    masked: Literal["", "cls", "bos"] = ""
    """Of a masked language model, whether its tokenizer calls the ends of a text ``cls`` and ``sep`` alone, as BERT's
    does, or ``bos`` and ``eos`` as well, as RoBERTa's."""


_NARROW = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "max_position_embeddings": 128,
}
_GROUPED = {**_NARROW, "num_key_value_heads": 2, "head_dim": 8}
_HALVES = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "max_position_embeddings": 128,
    "dropout": 0.0,
}
# transformers 5.23 sizes the decoder's cache by T5's encoder: with more decoder blocks than encoder blocks it fails.
_T5 = {
    "d_model": 32,
    "d_ff": 48,
    "d_kv": 8,
    "num_heads": 4,
    "num_layers": 3,
    "num_decoder_layers": 2,
    "dropout_rate": 0.0,
}
_UNDROPPED = {"resid_pdrop": 0.0, "embd_pdrop": 0.0}
_BOTH_WAYS = {**_NARROW, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
_AROUND = f"{BOS} $A {EOS}"

_FAMILIES = {
    "gpt2": _Family(
        "GPT2Config", {"n_embd": 32, "n_head": 4, "n_layer": 3, "n_positions": 128, "attn_pdrop": 0.0, **_UNDROPPED}
    ),
    "llama": _Family("LlamaConfig", {**_GROUPED}, f"{BOS} $A"),
    "qwen3": _Family("Qwen3Config", {**_GROUPED}, pads=True),
    "mistral": _Family("MistralConfig", {**_GROUPED, "sliding_window": 16}, f"{BOS} $A"),
    "gemma3": _Family("Gemma3TextConfig", {**_GROUPED, "sliding_window": 16}, f"{BOS} $A", pads=True),
    "gpt_neox": _Family("GPTNeoXConfig", {**_NARROW}),
    "opt": _Family(
        "OPTConfig",
        {
            "hidden_size": 32,
            "word_embed_proj_dim": 32,
            "ffn_dim": 48,
            "num_attention_heads": 4,
            "num_hidden_layers": 3,
            "max_position_embeddings": 128,
            "dropout": 0.0,
        },
        f"{EOS} $A",
        pads=True,
    ),
    "phi": _Family("PhiConfig", {**_NARROW, **_UNDROPPED}),
    "bloom": _Family("BloomConfig", {"hidden_size": 32, "n_head": 4, "n_layer": 3}, pads=True),
    "t5": _Family("T5Config", {**_T5, "decoder_start_token_id": 0}, f"$A {EOS}", pads=True),
    "bart": _Family(
        "BartConfig",
        {**_HALVES, "decoder_start_token_id": 2, "forced_eos_token_id": 2},
        _AROUND,
        pads=True,
    ),
    "marian": _Family(
        "MarianConfig",
        {**_HALVES, "decoder_start_token_id": 0, "forced_eos_token_id": None},
        f"$A {EOS}",
        pads=True,
    ),
    "bert": _Family("BertConfig", {**_BOTH_WAYS}, _AROUND, pads=True, masked="cls"),
    # Positions are counted from behind the padding token's id, so that the first of their table is never used.
    "roberta": _Family(
        "RobertaConfig", {**_BOTH_WAYS, "max_position_embeddings": 129}, _AROUND, pads=True, masked="bos"
    ),
    "electra": _Family("ElectraConfig", {**_BOTH_WAYS, "embedding_size": 16}, _AROUND, pads=True, masked="cls"),
    "deberta-v2": _Family(
        "DebertaV2Config",
        {
            **_BOTH_WAYS,
            "relative_attention": True,
            "position_buckets": 16,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
        _AROUND,
        pads=True,
        masked="cls",
    ),
    "modernbert": _Family(
        "ModernBertConfig",
        {**_NARROW, "local_attention": 16, "cls_token_id": 1, "sep_token_id": 2},
        _AROUND,
        pads=True,
        masked="cls",
    ),
}

FAMILIES = tuple(name for name, family in _FAMILIES.items() if not family.masked)
"""The families that `tiny_model` knows and that write text; ``t5``, ``bart`` and ``marian`` are encoder-decoders."""

MASKED_FAMILIES = tuple(name for name, family in _FAMILIES.items() if family.masked)
"""Its masked language models, which fill masks; of ELECTRA that is the generator."""


def tiny_model(
    family: str,
    folder: Path,
    *,
    seed: int = 0,
    vocabulary: int = 512,
    tokenizer: Literal["byte-level", "sentencepiece-style"] = "byte-level",
    **config_overrides: Any,
) -> Path:
    """Write a random model of a family, with a tokenizer, as ``from_pretrained`` reads them.

    Width 32, three blocks (BART and Marian: two and three, T5: three and two), dropout 0, a context of 128 tokens
    where the family has a limit; weights as safetensors in float32. The tokenizer puts the same special tokens around
    a text as the family's published ones do, and has a padding token only where they have one.

    Args:
        family: One of `FAMILIES` or `MASKED_FAMILIES`.
        folder: Where to write; made if absent.
        seed: Decides the weights; the global generator stays untouched.
        vocabulary: The most tokens that the tokenizer may have, at least 300.
        tokenizer: A byte-level BPE like GPT-2's, or a BPE over ``▁``-marked words with byte fallback like Llama's.
        **config_overrides: Arguments of the family's configuration class, such as ``tie_word_embeddings=True``.

    Returns:
        The folder.

    Raises:
        ValueError: The family is unknown.
    """
    if family not in _FAMILIES:
        raise ValueError(f"unknown family {family!r}; known: {', '.join(_FAMILIES)}")
    own = _FAMILIES[family]
    special = [*SPECIALS, *([MASK] if own.masked else [])]
    words = (_byte_level if tokenizer == "byte-level" else _sentencepiece_style)(vocabulary, special)
    _save_tokenizer(words, own, folder)
    model = _random(_config(own, words.get_vocab_size(), config_overrides), seed, masked=bool(own.masked))
    if config_overrides.get("tie_word_embeddings") is False:
        _untie(model)
    model.save_pretrained(folder)
    return folder


def _config(family: _Family, vocabulary: int, overrides: dict[str, Any]) -> PreTrainedConfig:
    import transformers

    ids = {"pad_token_id": 0 if family.pads else None, "bos_token_id": 1, "eos_token_id": 2}
    if family.config == "MarianConfig":
        ids["decoder_vocab_size"] = vocabulary
    config: PreTrainedConfig = getattr(transformers, family.config)(
        **{"vocab_size": vocabulary, **ids, **family.sizes, **overrides}
    )
    return config


def _random(config: PreTrainedConfig, seed: int, *, masked: bool) -> PreTrainedModel:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

    single: Any = AutoModelForMaskedLM if masked else AutoModelForCausalLM
    auto: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else single
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = auto.from_config(config, dtype=torch.float32)
    return model


def _untie(model: PreTrainedModel) -> None:
    """Give a head that is still tied weights of its own.

    T5's configuration always says that the head is tied; what makes a T5 1.1 is a checkpoint that holds two tensors.
    """
    import torch

    head: Any = model.get_output_embeddings()
    if head.weight is next(model.get_input_embeddings().parameters()):
        head.weight = torch.nn.Parameter(head.weight.detach().flip(0).clone())


def _byte_level(vocabulary: int, special: list[str]) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(TEXT, trainer)
    return words


def _sentencepiece_style(vocabulary: int, special: list[str]) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    words = Tokenizer(models.BPE(unk_token=UNK, byte_fallback=True, fuse_unk=True))
    words.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    words.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(vocab_size=vocabulary - 256, special_tokens=special, show_progress=False)
    words.train_from_iterator(TEXT, trainer)
    # Byte tokens go in afterwards: as special tokens of the trainer they would vanish in decoding.
    state = json.loads(words.to_str())
    tokens = state["model"]["vocab"]
    for byte in range(256):
        tokens[f"<0x{byte:02X}>"] = len(tokens)
    return Tokenizer.from_str(json.dumps(state))


def _save_tokenizer(words: Tokenizer, family: _Family, folder: Path) -> None:
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    if family.template != "$A":
        words.post_processor = processors.TemplateProcessing(
            single=family.template, special_tokens=[(BOS, 1), (EOS, 2)]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token=UNK, clean_up_tokenization_spaces=False, **_roles(family)
    )
    fast.save_pretrained(folder)


def _roles(family: _Family) -> dict[str, Any]:
    """Return what a family's tokenizer calls its special tokens, the unknown one apart."""
    from tokenizers import AddedToken

    ends = {} if family.masked == "cls" else {"bos_token": BOS, "eos_token": EOS}
    # RoBERTa's mask takes the space before it, as the words that it hides begin with theirs.
    mask = AddedToken(MASK, lstrip=family.masked == "bos", special=True)
    masked = {"cls_token": BOS, "sep_token": EOS, "mask_token": mask} if family.masked else {}
    return {**ends, **masked, **({"pad_token": PAD} if family.pads else {})}
