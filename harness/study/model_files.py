"""Where a model's files are: a folder, or a commit on the Hub.

What no study can use is refused by its files alone, without torch or transformers: adapters, quantized weights,
pointers in place of files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from harness.core.bounded_files import open_regular, read_json
from harness.core.errors import ModelError
from harness.core.hub_refusals import LOGIN, closed_to_token, gate
from harness.core.named_path import named_path

__all__ = ["CHAT_TEMPLATE", "Source", "generation_settings", "locate", "tokenizer_file", "weight_files"]

ADAPTER = "adapter_config.json"
"""What PEFT writes beside an adapter's weights."""

CHAT_TEMPLATE = "chat_template.jinja"
"""A tokenizer's chat template, which older folders have in its settings."""

USED = (("model*.safetensors", "pytorch_model*.bin"), ("tokenizer.json", "*.model"))
"""Weights and tokenizer: of each, the files of the first pattern that there are any of."""

PATIENCE = 5.0
"""Seconds that the Hub may take to answer."""

POINTER = b"version https://git-lfs"
"""How Git LFS begins what stands for a file that was not fetched."""

QUANTIZED_BY = ("quantize_config.json", "quant_config.json", "hf_quant_config.json")
"""Where AutoGPTQ, AutoAWQ and ModelOpt said how they quantized, before config.json had a place for it."""


class Source(NamedTuple):
    """Where a model's files are, and its configuration."""

    name: str
    """What ``from_pretrained`` takes: a folder, or a Hub id."""

    commit: str | None
    """The Hub commit that the revision stands for; ``None`` for a folder."""

    config: Mapping[str, Any]
    """The content of ``config.json``."""


def locate(name: str, revision: str | None = None) -> Source:
    """Find a model's files, and read its configuration.

    What exists is a folder, and so is what looks like a path; anything else is a Hub id, read from the local cache
    or from the Hub that ``HF_ENDPOINT`` names.

    Raises:
        ModelError: There is no such folder, model, revision or ``config.json``, or the Hub is out of reach; it is an
            adapter, its weights are quantized, or its files are pointers of Git LFS.
    """
    folder = _folder(name)
    if folder is None:
        # The Hub's cache keeps each commit in a folder of that name; from here on everything comes from that commit.
        file = _hub_config(name, revision)
        source = Source(name, file.parent.name, _read(name, file))
    elif revision is not None:
        raise ModelError(f"model {name}: revision {revision!r} is given, but a local folder has none; remove revision")
    else:
        source = Source(str(folder), None, _read(name, _folder_config(name, folder)))
        _refuse_pointers(name, folder)
    if method := _quantization(source):
        raise ModelError(
            f"model {name}: its weights are quantized ({method}), and a study trains and scores weights in full; name "
            "the model that it was made of, or a copy that was stored dequantized"
        )
    return source


def tokenizer_file(source: Source) -> Path | None:
    """Return the fast tokenizer's file, what is read with it beside it; ``None`` where the model has only a slow one.

    Raises:
        ModelError: The Hub is out of reach.
    """
    file = _file(source, "tokenizer.json")
    for name in ("tokenizer_config.json", CHAT_TEMPLATE) if file else ():
        _file(source, name)
    return file


def generation_settings(name: str, source: Source) -> Mapping[str, Any]:
    """Return the settings of ``generate``, which old checkpoints keep in their configuration.

    Raises:
        ModelError: They cannot be read, or the Hub is out of reach.
    """
    file = _file(source, "generation_config.json")
    return source.config if file is None else _read(name, file)


def weight_files(source: Source) -> list[Path]:
    """Return a checkpoint's safetensors, where it has been read."""
    config = _file(source, "config.json")
    return sorted(config.parent.glob("*.safetensors")) if config else []


def _file(source: Source, name: str) -> Path | None:
    if source.commit is None:
        file = Path(source.name) / name
        return file if file.is_file() else None
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return _hub_file(source.name, name, source.commit)
    except EntryNotFoundError:
        return None


def _folder(name: str) -> Path | None:
    path = named_path(name)
    if path.is_dir():
        return path
    if path.exists():
        raise ModelError(f"model {name}: this is a file; name the folder that holds config.json and the weights")
    if name.startswith((".", "/", "~")) or path.is_absolute() or name.count("/") > 1 or "\\" in name:
        raise ModelError(f"model {name}: no such folder; give a folder with config.json, or a Hub id such as org/name")
    return None


def _folder_config(name: str, folder: Path) -> Path:
    if (folder / ADAPTER).is_file():
        raise _adapter(name, folder / ADAPTER)
    file = folder / "config.json"
    if not file.is_file():
        raise ModelError(f"model {name}: the folder has no config.json; name a folder written by save_pretrained")
    return file


def _hub_config(name: str, revision: str | None) -> Path:
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return _hub_file(name, "config.json", revision)
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"model {name}: no such folder, not in the local Hub cache, and the Hub cannot be reached; "
            "check the name and the network, or give a local folder"
        ) from error
    except EntryNotFoundError as error:
        with suppress(EntryNotFoundError):
            raise _adapter(name, _hub_file(name, ADAPTER, revision)) from error
        raise ModelError(f"model {name}: on the Hub, but without config.json; name a transformers model") from error


def _adapter(name: str, file: Path) -> ModelError:
    base = _read(name, file).get("base_model_name_or_path")
    return ModelError(
        f"model {name}: an adapter of {base}, by its {ADAPTER}, and no whole model; merge it and name the result: "
        f"PeftModel.from_pretrained(base, {name!r}).merge_and_unload().save_pretrained(folder); where its weights "
        f"are merged already, remove {ADAPTER}"
    )


def _refuse_pointers(name: str, folder: Path) -> None:
    for patterns in USED:
        files = next((files for pattern in patterns if (files := sorted(folder.glob(pattern)))), [])
        for file in files:
            try:
                with open_regular(file) as content:
                    begins = content.read(len(POINTER))
            except OSError as error:
                raise ModelError(f"model {name}: {file.name} cannot be read: {error}; write the model again") from error
            if begins == POINTER:
                raise ModelError(
                    f"model {name}: {file.name} is a pointer of Git LFS and not the file itself; "
                    "run `git lfs pull` in the folder"
                )


def _quantization(source: Source) -> str | None:
    """Return how weights were quantized, as their configuration calls it."""
    parts = [source.config, *(part for part in source.config.values() if isinstance(part, Mapping))]
    keys = ("quantization_config", "compression_config", "quantization")  # the last is MLX's
    for settings in (part[key] for part in parts for key in keys if isinstance(part.get(key), Mapping)):
        loaded_in = next((bits for bits in (4, 8) if settings.get(f"load_in_{bits}bit")), None)
        unnamed = "bitsandbytes" if loaded_in else "a method that it does not name"
        method = settings.get("quant_method") or settings.get("quant_algo") or unnamed
        bits = settings.get("bits") or loaded_in
        return f"{method}, {bits} bits" if bits else str(method)
    folder = Path(source.name)
    return next((f"by its {file}" for file in QUANTIZED_BY if not source.commit and (folder / file).is_file()), None)


def _read(name: str, file: Path) -> Mapping[str, Any]:
    try:
        config = read_json(file)
    except (OSError, ValueError) as error:
        raise ModelError(f"model {name}: {file.name} cannot be read: {error}; write the model again") from error
    if not isinstance(config, dict):
        raise ModelError(f"model {name}: {file.name} holds a {type(config).__name__}; it must hold an object")
    return config


def _hub_file(name: str, file: str, revision: str | None) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import LocalEntryNotFoundError
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # in its __all__, but not in its types

    with _readable(name, revision):
        if not isinstance(try_to_load_from_cache(name, file, revision=revision), str):
            try:  # the download would ask six times, for half a minute where nothing answers
                get_hf_file_metadata(hf_hub_url(name, file, revision=revision), timeout=PATIENCE)
            except (ConnectionError, httpx.RequestError) as error:
                raise LocalEntryNotFoundError(f"{file} is not cached, and the Hub does not answer") from error
        return Path(hf_hub_download(name, file, revision=revision))


@contextmanager
def _readable(name: str, revision: str | None) -> Iterator[None]:
    """Say what the Hub's refusals mean; a file that is not there is none."""
    from huggingface_hub import errors

    try:
        yield
    except errors.EntryNotFoundError:
        raise
    except errors.HFValidationError as error:
        raise ModelError(
            f"model {name}: neither a folder nor a Hub id (name or org/name); correct model.name"
        ) from error
    except errors.GatedRepoError as error:
        raise ModelError(f"model {name}: {gate()}") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"model {name}: no such folder, and the Hub has no such model, or a private one; "
            f"correct the name, or {LOGIN}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"model {name}: has no revision {revision!r}; name a branch, tag or commit of it") from error
    except errors.HfHubHTTPError as error:
        told = closed_to_token(error) or f"the Hub answered: {str(error).splitlines()[0]}; try again later"
        raise ModelError(f"model {name}: {told}") from error
