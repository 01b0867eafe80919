"""Loading: from a name to a model and its tokenizer, or to an error that says what to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from harness.core.errors import ModelError
from harness.core.named_path import named_path
from harness.core.permissions import PICKLE, REMOTE_CODE
from harness.data.decoder_prefix import AnswerTokens, answer_tokens
from harness.models.checkpoint_misfits import refuse_misfits, refuse_non_finite
from harness.models.classification_head import (
    classifies,
    configure_head,
    drawn_alike,
    name_labels,
    refuse_foreign_trunk,
)
from harness.models.content_digests import weights_digest
from harness.models.fills_masks import fills_masks
from harness.models.find_blocks import anatomy
from harness.models.held_weights import hold, hold_as_loaded, let_go, saved_bytes
from harness.models.hooks import look
from harness.models.languages import beginning, set_languages
from harness.models.model_class import auto_class
from harness.models.prepare_tokenizer import prepare_tokenizer
from harness.models.skeleton import hold_constants
from harness.study.model_config import context, is_masked
from harness.study.model_files import Source, locate, weight_files
from harness.study.packaged_files import model_location
from harness.study.spec import Model
from harness.study.weights_on_disk import refuse_whole_numbers

__all__ = ["Loaded", "load", "load_study_model"]

TRUST = (
    f"set model.trust_remote_code in the study, of a stored model say --trust-remote-code or {REMOTE_CODE}=1, if you "
    "trust the code that comes with it"
)
UNPICKLE = (
    f"set model.allow_pickle in the study, of a stored model say --allow-pickle or {PICKLE}=1, if you trust these files"
)


_Drawn = tuple[PreTrainedModel, tuple[str, ...]]


class Loaded(NamedTuple):
    """A pretrained model, ready to be tuned."""

    model: PreTrainedModel
    """On the CPU, in eval mode."""

    tokenizer: PreTrainedTokenizerBase
    """With an end token and a padding token; which side is padded is as published."""

    is_encoder_decoder: bool
    """Whether the prompt feeds an encoder."""

    context: int | None
    """The most tokens of one input; ``None`` where the configuration sets no limit."""

    digest: str
    """`weights_digest` of the weights as loaded."""

    commit: str | None
    """The Hub commit that everything came from; ``None`` for a folder."""

    embedding_rows: tuple[int, int]
    """Rows of the embeddings that prompts and targets are looked up in."""

    answers: AnswerTokens = AnswerTokens()
    """What they begin with, and what they never hold."""

    is_masked: bool = False
    """Whether it is a masked language model, which reads both ways and fills masks; its tokenizer has a mask token."""

    drawn: tuple[str, ...] = ()
    """Under a classification head, the weights that its checkpoint lacks, which were drawn."""


def load(
    name: str,
    *,
    revision: str | None = None,
    dtype: str = "float32",
    frozen: str = "float32",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    source_language: str | None = None,
    target_language: str | None = None,
    adapter: str | None = None,
    labels: Sequence[str] = (),
) -> Loaded:
    """Load a causal, encoder-decoder or masked language model with its tokenizer.

    Every weight must come from the checkpoint and be finite, and every weight in the checkpoint must have a place: a
    model that is partly random, or broken, is an error, not a warning. A classification head alone may be drawn.

    Args:
        name: A local folder or a Hub id.
        revision: A Hub branch, tag or commit.
        dtype: What the weights become, whatever the checkpoint holds.
        frozen: What those that do not train are held in, ``float32`` or ``bfloat16``: `harness.models.held_weights`.
        trust_remote_code: Whether code that comes with the model may run.
        allow_pickle: Whether weights that are no safetensors may be read; unpickling runs code.
        source_language: The code of the language of prompts; ``None``: the tokenizer's own.
        target_language: That of answers; ``None``: the checkpoint's own.
        adapter: The folder of an adapter of PEFT's, which is merged into the weights.
        labels: Those that a classification head in place of the language model's own chooses from; none: there is none.

    Raises:
        ModelError: The model cannot be found, read or used; the message names the remedy.
    """
    source = locate(name, revision)
    options = {"revision": source.commit or "main", "trust_remote_code": trust_remote_code}
    with _quiet(progress=source.commit is not None):
        config = _config(name, source, options)
        name_labels(config, labels)
        weights = partial(_model, name, source, config, options, allow_pickle, labels)
        model, drawn = weights(dtype) if frozen == "float32" else (_held(name, source, weights), ())
        model = _with_adapter(model, adapter) if adapter else model
        with _readable(name, "tokenizer", "put tokenizer.json and tokenizer_config.json beside the weights"):
            tokenizer = AutoTokenizer.from_pretrained(source.name, **options)
    refuse_non_finite(name, dict(model.named_parameters()))
    embedding_rows, masked = _embedding_rows(model), is_masked(source.config)
    prepare_tokenizer(name, tokenizer, rows=embedding_rows[0], masked=masked)
    configure_head(model, tokenizer.pad_token_id)
    set_languages(model, tokenizer, source=source_language, target=target_language)
    return Loaded(
        model.eval(),
        tokenizer,
        bool(config.is_encoder_decoder),
        context(config.to_dict()),
        weights_digest(model),
        source.commit,
        embedding_rows,
        _answers(model, tokenizer),
        masked,
        drawn,
    )


def _config(name: str, source: Source, options: Mapping[str, Any]) -> Any:
    remedy = "check config.json, and that this transformers knows the architecture"
    if "auto_map" in source.config and not options["trust_remote_code"]:
        remedy += f", or {TRUST}"
    with _readable(name, "configuration", remedy):
        return AutoConfig.from_pretrained(source.name, **options)


def _held(name: str, source: Source, weights: Callable[[str], _Drawn]) -> PreTrainedModel:
    """Load a model with what does not train in bfloat16; by way of all in float32 where there is no other."""
    files, (model, _) = weight_files(source), weights("bfloat16")
    if not hold_as_loaded(model, files):
        del model  # before there is another one
        model, _ = weights("float32")
        hold(model, files)
    if not saved_bytes(model, ()):
        raise ModelError(
            f"model {name}: model.frozen is bfloat16, but none of its weights can be read again when they are to "
            "train; store it as safetensors, by save_pretrained, or set model.frozen: float32"
        )
    try:
        look(model, rows=1, positions=2)
    except ModelError as error:
        raise ModelError(
            f"model {name}: {type(model).__name__} cannot be called with model.frozen: bfloat16, since it multiplies "
            "with weights of its layers by itself; set model.frozen: float32"
        ) from error
    let_go(model)
    return model


def _with_adapter(model: PreTrainedModel, adapter: str) -> PreTrainedModel:
    from harness.models.adapters.merge_in import merge_in  # PEFT takes seconds to import

    return merge_in(model, named_path(adapter))


def load_study_model(spec: Model, labels: Sequence[str] = ()) -> Loaded:
    """Load the model that a study names, under a head for some labels; see `load`."""
    return load(
        model_location(spec.name),
        revision=spec.revision,
        dtype=spec.dtype,
        frozen=spec.frozen,
        trust_remote_code=spec.trust_remote_code,
        allow_pickle=spec.allow_pickle,
        adapter=spec.adapter,
        labels=labels,
        **spec.languages,
    )


def _model(
    name: str,
    source: Source,
    config: Any,
    options: Mapping[str, Any],
    allow_pickle: bool,
    labels: Sequence[str],
    dtype: str,
) -> _Drawn:
    """Load a model, and return what of its classification head was drawn, if it has one."""
    masked = is_masked(source.config)
    auto = auto_class(name, config, masked=masked, labels=labels)
    remedy = "the folder needs intact weights as model.safetensors (or its shards) of a language model"
    remedy += "" if allow_pickle else f", or {UNPICKLE}"
    with drawn_alike(), _buildable(name, auto, config, options), _readable(name, "weights", remedy):
        model, report = auto.from_pretrained(
            source.name,
            config=config,
            use_safetensors=None if allow_pickle else True,
            ignore_mismatched_sizes=True,  # they are reported below, with the other misfits
            output_loading_info=True,
            dtype=dtype,
            **options,
        )
    is_part, drawn = type(model.config) is not type(config), tuple(sorted(report["missing_keys"]))
    if labels:
        parts = anatomy(model.eval())
        refuse_foreign_trunk(name, model, drawn, [part.name for part in (*parts.transform, parts.head)])
    else:
        refuse_misfits(name, model, report, is_part=is_part)
    if is_part:
        auto_class(name, model.config, masked=masked, labels=labels)  # what is stored of it must load again
    refuse_whole_numbers(name, weight_files(source))
    hold_constants(model)
    return model, drawn


@contextmanager
def _buildable(name: str, auto: Any, config: Any, options: Mapping[str, Any]) -> Iterator[None]:
    """Tell of a configuration of which no model can be made, where a model with its weights could not be."""
    try:
        yield
    except ModelError:
        remedy = "correct config.json, or use the one that was saved with the weights"
        with _readable(name, "architecture", remedy), torch.device("meta"):
            auto.from_config(config, trust_remote_code=options["trust_remote_code"])
        raise


def _answers(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> AnswerTokens:
    """Return what of a model's answers is settled; one that writes none has no settings of generation."""
    writes = not (fills_masks(model) or classifies(model))
    if writes and model.config.is_encoder_decoder:
        beginning(model)  # refuses settings that do not say
    settings = model.generation_config.to_dict() if writes else {}
    return answer_tokens(tokenizer, settings, halves=model.config.is_encoder_decoder)


def _embedding_rows(model: PreTrainedModel) -> tuple[int, int]:
    halves = (model.get_encoder(), model.get_decoder()) if model.config.is_encoder_decoder else (model, model)
    return _rows(halves[0]), _rows(halves[1])


def _rows(half: Any) -> int:
    """Return the rows of a half's embeddings; FSMT's halves have them, but not transformers' way to them."""
    embeddings = half.get_input_embeddings() if hasattr(half, "get_input_embeddings") else half.embed_tokens
    return len(next(embeddings.parameters()))


@contextmanager
def _readable(name: str, what: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # files, libraries and code that comes with a model raise whatever they like
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        # Of the strict configuration errors the first line is a heading.
        reason = " ".join(lines[:2]) if isinstance(error, StrictDataclassError) else "".join(lines[:1])
        if "trust_remote_code" in str(error):  # of a tokenizer, say, whose model needs no code of its own
            remedy = TRUST
        raise ModelError(
            f"model {name}: cannot load its {what}: {type(error).__name__}: {reason[:300]}; {remedy}"
        ) from error


@contextmanager
def _quiet(*, progress: bool) -> Iterator[None]:
    """Keep transformers from talking: what it would warn of is checked here; only downloads show their progress."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not progress:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
