"""The seam of prompt and target: each in token ids, so that a causal model reads both as one sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.data.tokenization import Reader

__all__ = ["Ids", "anchored", "prompt_ids", "prompt_text", "target_ids", "word_ids"]

Ids = tuple[int, ...]


def prompt_text(reader: Reader, text: str) -> str:
    """Return a prompt as a model reads it: a causal one's ends in no space, since its target begins with one."""
    return text if _is_whole(reader) else text.rstrip(" \t")


def prompt_ids(reader: Reader, text: str) -> Ids:
    """Return the ids of a `prompt_text`, without an end token where a target follows in the same sequence."""
    ids = tuple(reader.tokenizer(text, verbose=False)["input_ids"])
    return ids if _is_whole(reader) else _without_end(reader, ids)


def _is_whole(reader: Reader) -> bool:
    """Return whether a prompt is all that is read with it, so that no target follows in the same sequence."""
    return reader.is_encoder_decoder or reader.is_masked


def target_ids(reader: Reader, prompt: str, target: str) -> Ids:
    """Return the ids of a target behind a `prompt_text`, with exactly one end token.

    Behind an encoder they begin as generation does; what a tokenizer puts behind targets, as mBART does, is left out.
    """
    if reader.is_encoder_decoder:
        bare = reader.tokenizer(text_target=target.strip(), add_special_tokens=False, verbose=False)["input_ids"]
        ids = (*reader.answers.prefix, *bare)
    else:
        ids = _continuation(reader, prompt, target.strip())
    return (*_without_end(reader, ids), reader.tokenizer.eos_token_id)


def _continuation(reader: Reader, prompt: str, target: str) -> Ids:
    """Return the ids of a target as they follow a prompt.

    A stand-in for the prompt's end is tokenized with the target, and its own ids are taken off. So one rule serves
    tokenizers that mark a word by the space in front of it and those that mark the first word of any text.
    """
    anchor, joint = anchored(prompt, target)
    head, ids = _bare_ids(reader, anchor), _bare_ids(reader, joint)
    # Where the stand-in merges with the target, or newlines are dropped: as if nothing stood in front.
    return ids[len(head) :] if ids[: len(head)] == head else _bare_ids(reader, target)


def word_ids(reader: Reader, before: str, word: str) -> Ids:
    """Return the ids of a word where a mask stands, behind some text that may end in a space; no end token follows."""
    bare = before.rstrip(" \t")
    if bare != before and bare:
        return _continuation(reader, bare, word)
    anchor = bare[-1:]  # of which the word goes on, as behind a bracket; empty where it is the first
    head, ids = _bare_ids(reader, anchor), _bare_ids(reader, f"{anchor}{word}")
    return ids[len(head) :] if ids[: len(head)] == head else _bare_ids(reader, word)


def anchored(prompt: str, target: str) -> tuple[str, str]:
    """Return the stand-in for a prompt's end, and the same with a target behind it."""
    return ("\n", f"\n{target}") if prompt[-1:].isspace() else (":", f": {target}")


def _bare_ids(reader: Reader, text: str) -> Ids:
    return tuple(reader.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _without_end(reader: Reader, ids: Ids) -> Ids:
    while ids and ids[-1] == reader.tokenizer.eos_token_id:
        ids = ids[:-1]
    return ids
