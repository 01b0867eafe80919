"""Proof that answers begin alike: what a decoder is trained to read first is what generation starts it with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.generation import LogitsProcessorList

from harness.core.errors import ModelError
from harness.data.tokenization import Row
from harness.models.hooks import eval_mode
from harness.models.load import Loaded
from harness.training.batching import loss_batches, prompt_batches
from harness.training.decoding import generation_settings
from harness.training.loss import model_rows

__all__ = ["refuse_other_beginning"]


def refuse_other_beginning(name: str, loaded: Loaded, row: Row) -> None:
    """See that generation starts an encoder-decoder's answers as training does, by asking both on a row.

    Args:
        name: The model's, for the message.
        loaded: On its device.
        row: Any one of the study's.

    Raises:
        ModelError: They differ; shows both.
    """
    if not loaded.is_encoder_decoder:
        return
    (batch,) = loss_batches([row], loaded, batch_size=1)
    trained = model_rows(loaded.model, batch).inputs["decoder_input_ids"][0].tolist()
    generated = _generated(loaded, row)
    if trained[: len(generated)] != generated:
        said, read = (
            " ".join(loaded.tokenizer.convert_ids_to_tokens(ids)) for ids in (generated, trained[: len(generated)])
        )
        raise ModelError(
            f"model {name}: generation starts an answer with {said}, training with {read}; set decoder_start_token_id "
            "and forced_bos_token_id in its generation_config.json to what its targets begin with"
        )


def _generated(loaded: Loaded, row: Row) -> list[int]:
    """Return what generation starts an answer with: what the decoder reads first, and what is forced behind it."""
    model, begun = loaded.model, list[int]()

    def begin(model: Any, input_ids: Tensor, logits_processor: LogitsProcessorList, **others: Any) -> Tensor:
        ids = input_ids
        for _ in row.target:
            scores = torch.zeros(1, len(model.get_input_embeddings().weight), device=ids.device)
            (possible,) = logits_processor(ids, scores).isfinite().nonzero(as_tuple=True)[1:]
            if len(possible) != 1:
                break
            ids = torch.cat([ids, possible[None]], dim=-1)
        begun.extend(ids[0].tolist())
        return ids

    (prompts,) = prompt_batches([row], loaded, batch_size=1, room=len(row.target))
    inputs = {name: tensor.to(model.device) for name, tensor in prompts.inputs.items()}
    with eval_mode(model), generation_settings(model, max_new_tokens=len(row.target), pad_token_id=0):
        model.generate(**inputs, custom_generate=begin)
    return begun
