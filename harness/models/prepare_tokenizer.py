"""A loaded tokenizer made ready: that it is the model's, and has a token for the end, for padding and for masks."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from harness.core.errors import ModelError

__all__ = ["prepare_tokenizer"]


def prepare_tokenizer(name: str, tokenizer: PreTrainedTokenizerBase, *, rows: int, masked: bool) -> None:
    """Check that tokenizer and model belong together, and see to an end and a padding token.

    Args:
        name: The model's, for the message.
        tokenizer: As it was loaded; it is given what it lacks.
        rows: Of the model's embeddings.
        masked: Whether the model fills masks.

    Raises:
        ModelError: It is no tokenizer for this model; names what is missing.
    """
    # Without files, transformers makes some families an empty tokenizer, in silence; T5's has the mark of a space.
    if len(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens)) < 2:
        raise ModelError(f"model {name}: its tokenizer's files are missing; put tokenizer.json beside the weights")
    if not isinstance(tokenizer.model_max_length, int | float):
        length = f"{tokenizer.model_max_length!r:.40}"
        raise ModelError(f"model {name}: model_max_length in tokenizer_config.json is {length}; it must be a number")
    if masked:
        _prepare_masks(name, tokenizer, rows)
    if tokenizer.eos_token_id is None:
        raise ModelError(f"model {name}: its tokenizer has no end token; set eos_token in tokenizer_config.json")
    if max(tokenizer.vocab_size - 1, tokenizer.eos_token_id) >= rows:
        raise ModelError(
            f"model {name}: its tokenizer has {len(tokenizer)} tokens, its embeddings {rows} rows; "
            "use the tokenizer that was saved with the weights"
        )
    # Padding is masked everywhere, so the end token serves where a model has no other.
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id >= rows:
        tokenizer.pad_token = tokenizer.eos_token


def _prepare_masks(name: str, tokenizer: PreTrainedTokenizerBase, rows: int) -> None:
    """Check that there is a mask to be filled; what stands behind a text of BERT's kind stands for its end."""
    mask = tokenizer.mask_token_id
    if mask is None or mask >= rows:
        told = "no mask token" if mask is None else f"the mask token {mask}, its embeddings {rows} rows"
        raise ModelError(f"model {name}: its tokenizer has {told}; use the tokenizer that was saved with the weights")
    if tokenizer.eos_token_id is None and tokenizer.sep_token is not None:
        tokenizer.eos_token = tokenizer.sep_token
