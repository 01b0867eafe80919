"""Tokens without an embedding: a tokenizer may know more of them than the weights beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.core.errors import DataError

if TYPE_CHECKING:
    from harness.data.tokenization import PromptForm, Reader, Row

__all__ = ["refuse_without_embedding"]


def refuse_without_embedding(reader: Reader, row: Row, prompt: PromptForm) -> None:
    """See that each token of a row has a row in the model's embeddings.

    Raises:
        DataError: One has none; names it, and the remedy.
    """
    parts = {f"prompt {prompt.name!r}": row.prompt, "its target": row.target}
    for (part, ids), rows in zip(parts.items(), reader.embedding_rows, strict=True):
        highest = max(ids, default=0)
        if rows is not None and highest >= rows:
            settings = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
            (token,) = reader.tokenizer.batch_decode([[highest]], **settings)
            raise DataError(
                f"example {row.id!r}: {part} holds the token {token!r} (id {highest}), but the model's embeddings end "
                f"after {rows} rows; use the tokenizer that was saved with the weights, or store the model after "
                "model.resize_token_embeddings(len(tokenizer))"
            )
