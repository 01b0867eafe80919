"""Weights as a folder holds them, looked at without torch: broken ones are refused before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.core.bounded_files import open_regular, parse_json
from harness.core.errors import ModelError

__all__ = ["header", "refuse_broken_weights", "refuse_whole_numbers"]

LIMIT = 512 * 2**20
"""Bytes. Larger checkpoints are looked at when they are loaded, as all are, since reading them takes seconds."""

HEADER = 100_000_000
"""Bytes that safetensors itself reads of a header."""

FAULTS = (OSError, ValueError, LookupError, AttributeError, TypeError, OverflowError, MemoryError)
"""What reading a file raises that is no safetensors, or a broken one."""

EXPONENTS = {
    "F64": (np.uint64, 0x7FF0_0000_0000_0000),
    "F32": (np.uint32, 0x7F80_0000),
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
}
"""Types of safetensors to the bits of a number's exponent: all of them are set in NaN and infinity, and in no other."""


WHOLE = {"I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64", "BOOL"}
"""Types that no weight has but a quantized one."""


def refuse_whole_numbers(name: str, files: Iterable[Path]) -> None:
    """See that no weight is stored as whole numbers: loaded as they stand, without their scale, they mean nothing.

    Args:
        name: The model's, for the message.
        files: The checkpoint's safetensors; of a file that is none nothing is said.

    Raises:
        ModelError: Some are; names the tensors.
    """
    entries = [entry for file in files for entry in header(file).items() if isinstance(entry[1], Mapping)]
    whole = [key for key, stored in entries if key.endswith(".weight") and stored.get("dtype") in WHOLE]
    if whole:
        more = f" and {len(whole) - 1} more" if len(whole) > 1 else ""
        raise ModelError(
            f"model {name}: weights that are whole numbers in {whole[0]}{more}: they are quantized, though config.json "
            "does not say so; name the model that it was made of, or a copy that was stored dequantized"
        )


def refuse_broken_weights(folder: Path) -> None:
    """See that the weights in a folder's safetensors are finite; a number by itself may be a bound that is not.

    Raises:
        ModelError: Some are NaN or infinite; names the tensors.
    """
    files = sorted(folder.glob("*.safetensors"))
    if sum(file.stat().st_size for file in files) > LIMIT:
        return
    broken = [name for file in files for name in _broken(file)]
    if broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        raise ModelError(
            f"model {folder}: weights that are NaN or infinite in {broken[0]}{more}; take an intact checkpoint"
        )


def header(file: Path) -> Mapping[str, Any]:
    """Return what a safetensors file says of each tensor; nothing where it is none."""
    try:
        return _header(file)[0]
    except FAULTS:
        return {}


def _header(file: Path) -> tuple[Mapping[str, Any], int]:
    """Return a file's header, and the byte at which its values begin."""
    with open_regular(file) as content:
        size = int.from_bytes(content.read(8), "little")
        found = parse_json(content.read(min(size, HEADER)).decode())
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found, 8 + size


def _broken(file: Path) -> Iterator[str]:
    """Yield the names of tensors that hold such weights; a file that is no safetensors is left to the loader."""
    try:
        entries, begin = _header(file)
        values = np.memmap(file, np.uint8, "r", offset=begin) if file.stat().st_size > begin else None
        for name, entry in entries.items():
            bits, exponent = EXPONENTS.get(entry.get("dtype"), (None, 0))
            if bits is None or values is None:
                continue
            start, end = entry["data_offsets"]
            numbers = np.frombuffer(values[start:end].tobytes(), bits)
            if numbers.size > 1 and ((numbers & bits(exponent)) == exponent).any():
                yield name
    except FAULTS:
        return
