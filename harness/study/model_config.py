"""What a model is, from its ``config.json`` alone: no weights, no torch, no transformers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from harness.core.errors import ModelError

__all__ = ["Description", "Source", "context", "describe", "locate"]

# Each family's own words, the most specific first: BART's published files also carry num_hidden_layers.
ENCODER_BLOCKS = ("encoder_layers", "num_encoder_layers", "num_layers", "num_hidden_layers")
DECODER_BLOCKS = ("decoder_layers", "num_decoder_layers")
BLOCKS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length")


class Description(NamedTuple):
    """What a study must know of a model before it loads it."""

    architecture: str
    """The class that wrote the checkpoint, else its ``model_type``."""

    is_encoder_decoder: bool
    """Whether the prompt feeds an encoder."""

    blocks: int
    """How many transformer layers, encoder and decoder together."""

    context: int | None
    """The most tokens of one input; ``None`` where the configuration sets no limit."""

    tokenizer_file: Path | None
    """The fast tokenizer, ``None`` where the model has only a slow one."""

    generation: Mapping[str, Any] = MappingProxyType({})
    """The settings of its ``generate``."""


class Source(NamedTuple):
    """Where a model's files are, and its configuration."""

    name: str
    """What ``from_pretrained`` takes: a folder, or a Hub id."""

    commit: str | None
    """The Hub commit that the revision stands for; ``None`` for a folder."""

    config: Mapping[str, Any]
    """The content of ``config.json``."""


def describe(name: str, revision: str | None = None) -> Description:
    """Say what a model is without loading it.

    Args:
        name: A local folder or a Hub id.
        revision: A Hub branch, tag or commit.

    Raises:
        ModelError: The model cannot be found or its configuration cannot be understood.
    """
    source = locate(name, revision)
    config = source.config
    return Description(
        architecture=_architecture(name, config),
        is_encoder_decoder=bool(config.get("is_encoder_decoder", False)),
        blocks=_blocks(name, config),
        context=context(config),
        tokenizer_file=_file(source, "tokenizer.json"),
        generation=_generation(name, source),
    )


def locate(name: str, revision: str | None = None) -> Source:
    """Find a model's files, and read its configuration.

    What exists is a folder, and so is what looks like a path; anything else is a Hub id, read from the local cache
    or from the Hub that ``HF_ENDPOINT`` names.

    Raises:
        ModelError: There is no such folder, model, revision or ``config.json``, or the Hub is out of reach.
    """
    folder = _folder(name)
    if folder is None:
        file = _hub_config(name, revision)
        # The Hub's cache keeps each commit in a folder of that name; from here on everything comes from that commit.
        return Source(name, file.parent.name, _read(name, file))
    if revision is not None:
        raise ModelError(f"model {name}: revision {revision!r} is given, but a local folder has none; remove revision")
    file = folder / "config.json"
    if not file.is_file():
        raise ModelError(f"model {name}: the folder has no config.json; name a folder written by save_pretrained")
    return Source(str(folder), None, _read(name, file))


def context(config: Mapping[str, Any]) -> int | None:
    """Return the most tokens of one input that a configuration allows, ``None`` where it sets no limit.

    T5's positions are relative: its published files state the length it was trained with, or nothing.

    >>> context({"n_positions": 1024}), context({"model_type": "bloom"})
    (1024, None)
    """
    return _first(config, CONTEXT)


def _first(config: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    return next((config[key] for key in keys if isinstance(config.get(key), int)), None)


def _architecture(name: str, config: Mapping[str, Any]) -> str:
    classes = config.get("architectures") or [config.get("model_type")]
    if not isinstance(classes, list) or not isinstance(classes[0], str):
        raise ModelError(f"model {name}: config.json names neither architectures nor model_type; it is no model's")
    return classes[0]


def _blocks(name: str, config: Mapping[str, Any]) -> int:
    keys = ENCODER_BLOCKS if config.get("is_encoder_decoder") else BLOCKS
    blocks = _first(config, keys)
    if blocks is None:
        raise ModelError(f"model {name}: config.json has no number of blocks; it must hold one of {', '.join(keys)}")
    if not config.get("is_encoder_decoder"):
        return blocks
    # T5 leaves the decoder's number out where it is the encoder's.
    decoder = _first(config, DECODER_BLOCKS)
    return blocks + (blocks if decoder is None else decoder)


def _folder(name: str) -> Path | None:
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise ModelError(f"model {name}: this is a file; name the folder that holds config.json and the weights")
    if name.startswith((".", "/", "~")) or path.is_absolute() or name.count("/") > 1 or "\\" in name:
        raise ModelError(f"model {name}: no such folder; give a folder with config.json, or a Hub id such as org/name")
    return None


def _read(name: str, file: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"model {name}: {file.name} cannot be read: {error}; write the model again") from error
    if not isinstance(config, dict):
        raise ModelError(f"model {name}: {file.name} holds a {type(config).__name__}; it must hold an object")
    return config


def _hub_config(name: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    with _readable(name, revision):
        try:
            return Path(hf_hub_download(name, "config.json", revision=revision))
        except LocalEntryNotFoundError as error:
            raise ModelError(
                f"model {name}: no such folder, not in the local Hub cache, and the Hub cannot be reached; "
                "check the name and the network, or give a local folder"
            ) from error
        except EntryNotFoundError as error:
            raise ModelError(f"model {name}: on the Hub, but without config.json; name a transformers model") from error


def _generation(name: str, source: Source) -> Mapping[str, Any]:
    """Return the settings of ``generate``, which old checkpoints keep in their configuration."""
    file = _file(source, "generation_config.json")
    return source.config if file is None else _read(name, file)


def _file(source: Source, name: str) -> Path | None:
    """Return a file that a model may have."""
    if source.commit is None:
        file = Path(source.name) / name
        return file if file.is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    with _readable(source.name, source.commit):
        try:
            return Path(hf_hub_download(source.name, name, revision=source.commit))
        except EntryNotFoundError:
            return None


@contextmanager
def _readable(name: str, revision: str | None) -> Iterator[None]:
    """Say what the Hub's refusals mean."""
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError as error:
        raise ModelError(
            f"model {name}: neither a folder nor a Hub id (name or org/name); correct model.name"
        ) from error
    except errors.GatedRepoError as error:
        raise ModelError(
            f"model {name}: gated; accept its terms on the Hub, then log in with `hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"model {name}: no such folder, and the Hub has no such model, or a private one; "
            "correct the name, or log in with `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"model {name}: has no revision {revision!r}; name a branch, tag or commit of it") from error
    except errors.HfHubHTTPError as error:
        raise ModelError(f"model {name}: the Hub answered: {str(error).splitlines()[0]}; try again later") from error
