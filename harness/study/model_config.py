"""What a model is, from its ``config.json`` alone: no weights, no torch, no transformers.

What a configuration leaves out, such as what an architecture that nobody listed calls its blocks, is ``None`` here and
is learned when the model is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from harness.core.errors import ModelError
from harness.study.model_files import Source, generation_settings, locate, tokenizer_file

__all__ = ["Description", "context", "describe", "is_masked"]

Config = Mapping[str, Any]

MOST_BLOCKS, MOST_ROWS = 10_000, 100_000_000
"""Transformer layers, and tokens of a vocabulary, beyond which a number is no model's: loading would build them all."""

# Where models of several parts keep what is said of text, as in transformers' own ``get_text_config``.
ENCODER_PARTS = ("encoder", "text_encoder", "text_config")
DECODER_PARTS = ("decoder", "generator", "text_config")
# Each family's own words, the most specific first: BART's published files also carry num_hidden_layers.
BLOCKS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
ENCODER_BLOCKS = ("encoder_layers", "num_encoder_layers", "num_layers", *BLOCKS)
DECODER_BLOCKS = ("decoder_layers", "num_decoder_layers", *BLOCKS)  # T5 leaves the decoder's out where it is as deep
CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length")
UNLIMITED = (
    *("t5", "mt5", "umt5", "longt5", "switch_transformers", "xlnet", "inkling_text", "inkling2_text"),  # distances
    *("jamba", "nemotron_h", "zamba", "mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm", "bloom"),  # order alone
)
"""Kinds of models that know no positions, but distances or an order: their number is the length of their training."""
SOURCE_ROWS = ("src_vocab_size", "vocab_size", "n_words")
TARGET_ROWS = ("tgt_vocab_size", "decoder_vocab_size", "vocab_size", "n_words")

MASKED = (
    *("albert", "bert", "camembert", "convbert", "deberta", "deberta-v2", "distilbert", "electra", "ernie", "fnet"),
    *("ibert", "longformer", "megatron-bert", "mobilebert", "modernbert", "mpnet", "nystromformer", "rembert"),
    *("roberta", "roberta-prelayernorm", "roformer", "squeezebert", "xlm-roberta", "xlm-roberta-xl", "xmod"),
)
"""Kinds of models that are masked language models where their configuration does not say that they decode."""
DECODES = ("LMHeadModel", "ForCausalLM")
"""How the classes of causal models end."""
BEHIND_PADDING = (
    *("roberta", "roberta-prelayernorm", "camembert", "xlm-roberta", "xlm-roberta-xl", "xmod", "data2vec-text"),
    *("longformer", "mpnet", "ibert"),
)
"""Kinds of masked models that count positions from behind the padding token's id, so many of which are never used; of
causal ones of these kinds that is found out when they are loaded."""

LABELS = "num_labels"
"""Of what no study does; transformers names each of them, whatever the model is for."""


class Description(NamedTuple):
    """What a study must know of a model before it loads it."""

    architecture: str
    """The class that wrote the checkpoint, else its ``model_type``."""

    is_encoder_decoder: bool
    """Whether the prompt feeds an encoder."""

    blocks: int | None
    """How many transformer layers, encoder and decoder together; ``None`` where the configuration does not say."""

    context: int | None
    """The most tokens of one input; ``None`` where the configuration sets no limit."""

    tokenizer_file: Path | None
    """The fast tokenizer, ``None`` where the model has only a slow one."""

    embedding_rows: tuple[int | None, int | None] = (None, None)
    """Rows of the embeddings that prompts and targets are looked up in, where the configuration says."""

    generation: Mapping[str, Any] = MappingProxyType({})
    """The settings of its ``generate``."""

    prefixes: tuple[str, ...] = ()
    """What its prompts began with in training, by task, as T5's configuration says."""

    source: Source | None = None
    """Where its files are."""

    is_masked: bool = False
    """Whether it is a masked language model, which reads both ways and fills masks."""


def describe(name: str, revision: str | None = None) -> Description:
    """Say what a model is without loading it.

    Args:
        name: A local folder or a Hub id.
        revision: A Hub branch, tag or commit.

    Raises:
        ModelError: The model cannot be found, its configuration cannot be understood, or no study can use it.
    """
    source = locate(name, revision)
    config = source.config
    two = bool(config.get("is_encoder_decoder"))
    encoder, decoder = _halves(config)
    for part in (config, encoder, decoder):
        _refuse_sizes(name, part)
    stacks = [_first(decoder, DECODER_BLOCKS), _first(encoder, ENCODER_BLOCKS) if two else 0]
    return Description(
        architecture=_architecture(name, config),
        is_encoder_decoder=two,
        blocks=None if None in stacks else sum(filter(None, stacks)),
        context=context(config),
        tokenizer_file=tokenizer_file(source),
        embedding_rows=(_first(encoder, SOURCE_ROWS if two else TARGET_ROWS), _first(decoder, TARGET_ROWS)),
        generation=generation_settings(name, source),
        prefixes=_prefixes(config),
        source=source,
        is_masked=is_masked(config),
    )


def is_masked(config: Config) -> bool:
    """Return whether a configuration is that of a masked language model.

    >>> is_masked({"model_type": "bert", "architectures": ["BertForMaskedLM"]}), is_masked({"model_type": "deberta-v2"})
    (True, True)
    >>> is_masked({"model_type": "bert", "architectures": ["BertForMaskedLM"], "is_decoder": True})
    False
    """
    if config.get("is_encoder_decoder") or config.get("is_decoder"):
        return False
    listed = config.get("architectures")
    classes = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    if any(name.endswith("ForMaskedLM") for name in classes):
        return True
    return config.get("model_type") in MASKED and not any(name.endswith(DECODES) for name in classes)


def _prefixes(config: Config) -> tuple[str, ...]:
    """Return the prefixes that a configuration keeps of each task, as T5's does."""
    tasks = config.get("task_specific_params")
    settings = tasks.values() if isinstance(tasks, Mapping) else ()
    prefixes = [one.get("prefix") for one in settings if isinstance(one, Mapping)]
    return tuple(prefix for prefix in prefixes if isinstance(prefix, str) and prefix.strip())


def context(config: Config) -> int | None:
    """Return the most tokens of one input that a configuration allows, ``None`` where it sets no limit.

    >>> context({"model_type": "gpt2", "n_positions": 1024}), context({"model_type": "t5", "n_positions": 512})
    (1024, None)
    >>> context({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1})
    512
    """
    limited = [half for half in _halves(config) if not _without_positions(half)]
    return min((limit for half in limited if (limit := _positions(half)) > 0), default=None)


def _positions(config: Config) -> int:
    """Return how many positions a half has, 0 where its configuration does not say."""
    pad, behind = config.get("pad_token_id", 1), config.get("model_type") in BEHIND_PADDING and is_masked(config)
    unused = pad + 1 if behind and type(pad) is int else 0
    return (_first(config, CONTEXT) or 0) - unused


def _refuse_sizes(name: str, config: Config) -> None:
    patterns = config.get("attention_types")  # of GPT-Neo: kinds of attention, and how often they are repeated
    repeats = (
        [pattern[-1] for pattern in patterns if isinstance(pattern, list) and pattern]
        if isinstance(patterns, list)
        else []
    )
    if any(isinstance(count, int) and count > MOST_BLOCKS for count in repeats):
        raise ModelError(f"model {name}: config.json says attention_types {str(patterns)[:80]}; lower its counts")
    for keys, most in (
        ((*ENCODER_BLOCKS, *DECODER_BLOCKS, LABELS), MOST_BLOCKS),
        ((*SOURCE_ROWS, *TARGET_ROWS), MOST_ROWS),
    ):
        for key in keys:
            value = config.get(key)
            if isinstance(value, int | float) and not 0 <= value <= most:
                raise ModelError(f"model {name}: config.json says {key} {value}; a model has at most {most:,}")


def _without_positions(config: Config) -> bool:
    return (
        config.get("model_type") in UNLIMITED
        or bool(config.get("alibi") and config.get("model_type") == "falcon")
        or config.get("position_embedding_type") == "nope"
    )


def _halves(config: Config) -> tuple[Config, Config]:
    """Return what a configuration says of the text that goes in, and of the text that comes out: often all of it."""
    if not config.get("is_encoder_decoder"):
        return (_part(config, DECODER_PARTS),) * 2
    return _part(config, ENCODER_PARTS), _part(config, DECODER_PARTS)


def _part(config: Config, names: tuple[str, ...]) -> Config:
    part = next((config[name] for name in names if isinstance(config.get(name), Mapping)), None)
    return config if part is None else _part(part, names)


def _first(config: Config, keys: tuple[str, ...]) -> int | None:
    return next((config[key] for key in keys if type(config.get(key)) is int), None)


def _architecture(name: str, config: Config) -> str:
    classes = config.get("architectures") or [config.get("model_type")]
    if not isinstance(classes, list) or not isinstance(classes[0], str):
        raise ModelError(f"model {name}: config.json names neither architectures nor model_type; it is no model's")
    return classes[0]
