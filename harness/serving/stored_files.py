"""The content of a stored model's folder, by digests: what answers is what was stored, or nothing does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.bounded_files import read_json
from harness.core.errors import ModelError
from harness.core.stored_values import of_kind
from harness.core.whole_files import file_digests

if TYPE_CHECKING:
    from harness.models.load import Loaded

__all__ = [
    "FILES",
    "MODEL_FORMAT",
    "READING",
    "READ_ON_LOADING",
    "SERVED",
    "SETTINGS",
    "content",
    "model_folder",
    "verify_base",
    "verify_files",
]

SETTINGS = "harness.json"
"""Holds the recipe, and `content` beside it."""

MODEL_FORMAT = 1
"""The newest version of a stored model's folder, delta or whole; beside the recipe as well."""

FILES, READING = "files", "reading"
"""Beside the recipe in `SETTINGS`: the digests of all other files, and of what the base reads and writes by."""

SERVED = Path(__file__).parent / "pyfunc.py"
"""What MLflow runs to serve such a folder."""

INSIDE = Path("artifacts") / "model"
"""Where MLflow puts such a folder in a model of its own."""

READ_ON_LOADING = {".json", ".safetensors", ".bin", ".model", ".jinja", ".txt", ".py", ".npy"}
"""Kinds of files that loading a model would read, were they added to its folder."""


def model_folder(folder: Path) -> Path:
    """Return the folder that `save_model` wrote: this one, or the one inside a model of MLflow's.

    Raises:
        ModelError: There is none.
    """
    for candidate in (folder, folder / INSIDE):
        if (candidate / SETTINGS).is_file():
            return candidate
    raise ModelError(f"model {folder}: no {SETTINGS} in it; name a folder that a study stored, or a model's URI")


def content(folder: Path, loaded: Loaded) -> dict[str, dict[str, str]]:
    """Return the digests of a folder's files, and of what the model in it reads and writes by."""
    return {FILES: file_digests(folder, apart_from=SETTINGS), READING: _reading(loaded)}


def verify_files(folder: Path) -> dict[str, dict[str, str]]:
    """See that a folder's files are the very ones that `save_model` wrote.

    Returns:
        The digests of its files, and of how its base reads; nothing of an older folder, which does not say.

    Raises:
        ModelError: Some are not: weights, tokenizer or configuration of another model would answer in its name.
    """
    settings = read_json(folder / SETTINGS)
    if settings.get(FILES) is None:
        return {}
    try:
        then, reading = (of_kind(dict[str, str], settings.get(key)) for key in (FILES, READING))
    except ValueError as error:
        raise ModelError(f"model {folder}: digests in {SETTINGS} cannot be read: {error}; bring it back") from None
    now = file_digests(folder, apart_from=SETTINGS)
    states = {name: "changed" if name in now else "missing" for name in then if now.get(name) != then[name]}
    states |= {name: "new" for name in now.keys() - then.keys() if Path(name).suffix in READ_ON_LOADING}
    if states:
        files = ", ".join(f"{name} is {state}" for name, state in sorted(states.items()))
        raise ModelError(
            f"model {folder} cannot be read as it was stored: {files}; bring these files back, "
            "or run its study again, which stores the model that it keeps anew"
        )
    return {FILES: then, READING: reading}


def _reading(loaded: Loaded) -> dict[str, str]:
    """Return digests of what a model reads and writes by, beside its weights and its configuration."""
    from harness.models.content_digests import chat_template_digest, generation_digest, tokenizer_digest  # torch

    template = chat_template_digest(loaded.tokenizer)
    own = {"tokenizer": tokenizer_digest(loaded.tokenizer), "generation settings": generation_digest(loaded.model)}
    return {**own, "chat template": template} if template else own


def verify_base(folder: Path, base: Loaded, then: Mapping[str, str]) -> None:
    """See that the base of a delta still reads as it did; its weights are compared by `load_delta`.

    Raises:
        ModelError: It does not.
    """
    for what, now in _reading(base).items():
        if then.get(what, now) != now:
            raise ModelError(
                f"model {folder} is a delta on a base whose {what} had the digest {then[what]} then and {now} now; "
                "bring that base back, or train again with final.store: full"
            )
