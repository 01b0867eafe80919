"""The class of transformers that loads a model: of a language model by its kind, or one for sequence classification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)

from harness.core.errors import ModelError

__all__ = ["auto_class"]

AUTO = (
    (AutoModelForCausalLM, MODEL_FOR_CAUSAL_LM_MAPPING),
    (AutoModelForSeq2SeqLM, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING),
)
FILLS = ((AutoModelForMaskedLM, MODEL_FOR_MASKED_LM_MAPPING),)
"""What loads masked language models; the same mapping has encoder-decoders, which are loaded as such."""
LABELS = ((AutoModelForSequenceClassification, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING),)
"""What loads any of them under a classification head."""


def auto_class(name: str, config: Any, *, masked: bool, labels: Sequence[str] = ()) -> Any:
    """Return what loads a model; causal ones of sound and text are known to the other class alone.

    Args:
        name: The model's, for the message.
        config: Its configuration.
        masked: Whether it is a masked language model.
        labels: Those of its classification head; none: it is loaded as a language model.

    Raises:
        ModelError: transformers has none.
    """
    for auto, classes in LABELS if labels else FILLS if masked else AUTO[1:] if config.is_encoder_decoder else AUTO:
        if type(config) in classes or auto.__name__ in getattr(config, "auto_map", {}):
            return auto
    kind = type(config).__name__
    if labels:
        raise ModelError(
            f"model {name}: transformers has no class for sequence classification with a {kind}, so that no prompt can "
            "be answered by a head; set answers: likelihood there, or use a model of another family"
        )
    raise ModelError(
        f"model {name}: by its {kind} no language model that transformers knows; name one that generates text of text"
    )
