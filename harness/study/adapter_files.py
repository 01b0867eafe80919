"""PEFT's configuration of an adapter in a file of its own, which is read with the study file that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.core.bounded_files import read_json
from harness.core.errors import UserError
from harness.core.named_path import named_path
from harness.study.tuning_kinds import stands_at_weights

__all__ = ["ADAPTER_CONFIG", "ADAPTER_WEIGHTS", "refuse_adapter", "with_adapter_file"]

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def refuse_adapter(folder: str) -> None:
    """See that a folder holds an adapter that a study can start from, as far as that shows without loading it.

    Raises:
        UserError: It does not.
    """
    place = named_path(folder)
    if not place.is_dir():
        raise UserError(f"model.adapter {folder!r} is no folder here; correct the path, or leave it out")
    config = _config(place / ADAPTER_CONFIG)
    if not stands_at_weights("peft", config):
        kind = f"{config['peft_type']}, whose virtual tokens cannot become a part of the model"
        raise UserError(f"model.adapter {folder!r} is of {kind}; start from an adapter such as LoRA's")
    if not (place / ADAPTER_WEIGHTS).is_file():
        raise UserError(f"model.adapter {folder!r} has no {ADAPTER_WEIGHTS}; save it again with PEFT, as safetensors")


def _file(named: str, folder: Path) -> Path:
    """Return the file that a path stands for, itself or in the folder that it names.

    Args:
        named: As the study file has it.
        folder: Where a relative path starts.
    """
    place = folder / named_path(named)
    return place / ADAPTER_CONFIG if place.is_dir() else place


def with_adapter_file(entry: Any, folder: Path) -> tuple[Any, list[Path]]:
    """Return a tuning with what a file of PEFT's holds in the place of its name, and the file, if it names one.

    Args:
        entry: As a study has it.
        folder: Where a relative path starts.

    Raises:
        UserError: The file cannot be read.
    """
    if not isinstance(entry, dict) or not isinstance(named := entry.get("peft"), str):
        return entry, []
    file = _file(named, folder)
    return {**entry, "peft": _config(file)}, [file]


def _config(file: Path) -> dict[str, Any]:
    """Read PEFT's configuration of an adapter.

    Raises:
        UserError: It cannot be read as one.
    """
    try:
        found = read_json(file)
    except FileNotFoundError:
        raise UserError(f"there is no file {file}; correct the path, which starts at the study file's folder") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read as PEFT's configuration of an adapter: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("peft_type"), str):
        raise UserError(f"{file} is no configuration of PEFT's: it has no peft_type; name an {ADAPTER_CONFIG}")
    return found
