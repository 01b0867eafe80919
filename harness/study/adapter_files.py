"""PEFT's configuration of an adapter in a file of its own, which is read with the study file that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.core.bounded_files import read_json
from harness.core.errors import UserError
from harness.core.named_path import named_path

__all__ = ["ADAPTER_CONFIG", "adapter_config", "adapter_file"]

ADAPTER_CONFIG = "adapter_config.json"


def adapter_file(named: str, folder: Path) -> Path:
    """Return the file that a path stands for, itself or in the folder that it names.

    Args:
        named: As the study file has it.
        folder: Where a relative path starts.
    """
    place = folder / named_path(named)
    return place / ADAPTER_CONFIG if place.is_dir() else place


def adapter_config(file: Path) -> dict[str, Any]:
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
