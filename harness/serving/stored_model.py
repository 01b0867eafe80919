"""A final run's model in a folder: its weights whole, for ``from_pretrained``, or what was trained, on its base."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.core.environment_names import resolved
from harness.core.errors import ModelError
from harness.core.format_versions import FORMAT
from harness.core.named_path import named_path
from harness.core.permissions import Permissions
from harness.data.demonstrations import NO_DEMONSTRATIONS, Demonstrations
from harness.data.label_words import head_labels
from harness.models.content_digests import weights_digest
from harness.models.delta import can_be_whole, load_delta, save_delta, whole_model
from harness.models.held_weights import widened
from harness.models.load import Loaded, load
from harness.serving.recipe import Recipe
from harness.serving.stored_files import (
    MODEL_FORMAT,
    SETTINGS,
    content,
    verify_base,
)
from harness.serving.stored_rows import write_demonstrations
from harness.study.packaged_files import model_location

__all__ = ["load_stored", "save_model", "save_whole"]


def save_model(
    folder: Path, loaded: Loaded, recipe: Recipe, demonstrations: Demonstrations = NO_DEMONSTRATIONS
) -> None:
    """Write weights (safetensors), tokenizer, prompt and generation settings into a folder.

    Args:
        folder: Made if it is not there.
        loaded: The model as it stands, under its tuning.
        recipe: All the rest.
        demonstrations: What its prompt picks from, if it does.
    """
    digest = _save_weights(folder, loaded, recipe, whole=recipe.store == "full")
    write_demonstrations(folder, demonstrations, loaded, recipe)
    settings = {FORMAT: MODEL_FORMAT, **recipe.as_json(), **content(folder, loaded)}
    (folder / SETTINGS).write_text(json.dumps(settings, ensure_ascii=False, indent=2), encoding="utf-8")
    if digest:
        _verify_stored(folder, digest, recipe)


def save_whole(folder: Path, loaded: Loaded, recipe: Recipe) -> None:
    """Write a model as it stands, for ``from_pretrained``; with what can be no part of weights, PEFT's own folder."""
    _save_weights(folder, loaded, recipe, whole=can_be_whole(loaded, recipe.tuning))


def _save_weights(folder: Path, loaded: Loaded, recipe: Recipe, *, whole: bool) -> str | None:
    """Write weights and tokenizer; return the digest of a whole model, ``None`` of what stands on a base."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = None
    if whole:
        with widened(loaded.model):
            model = whole_model(loaded, recipe.tuning)
            model.save_pretrained(folder)
            digest = weights_digest(model)
    else:
        save_delta(folder, loaded, recipe.tuning, recipe.base)
    loaded.tokenizer.save_pretrained(folder)
    return digest


def _verify_stored(folder: Path, digest: str, recipe: Recipe) -> None:
    """See that a model that was stored whole loads back as it is; of a delta, `load_delta` sees that its base fits."""
    stored = load_stored(folder, recipe, {}, Permissions(recipe.base.trust_remote_code, recipe.base.allow_pickle))
    if stored.digest != digest:
        raise ModelError(
            f"model {folder}: {type(stored.model).__name__} does not load back as it was stored: this transformers "
            "changes its weights; set final.store: delta"
        )


def load_stored(folder: Path, recipe: Recipe, reading: Mapping[str, str], allowed: Permissions) -> Loaded:
    """Return the model of a folder, on its base where the folder holds what was trained alone.

    Args:
        folder: What `save_model` wrote.
        recipe: As the folder has it.
        reading: Digests of how its base reads.
        allowed: What the model may do.

    Raises:
        ModelError: The base is not there, or another one.
    """
    base = recipe.base
    options: dict[str, Any] = {
        "labels": head_labels(recipe.prompt),
        "dtype": base.dtype,
        "trust_remote_code": allowed.trust_remote_code,
        **base.languages,
    }
    if recipe.store == "full":
        return load(str(folder), **options)
    # A name may mean another folder wherever this is run.
    known = base.folder if base.folder and named_path(base.folder).is_dir() else None
    place = known or _base_place(folder, base.name)
    allow: dict[str, Any] = {"allow_pickle": allowed.allow_pickle, "frozen": base.frozen, "adapter": base.adapter}
    pretrained = load(place, revision=base.commit, **allow, **options)
    verify_base(folder, pretrained, reading)
    return load_delta(folder, pretrained, tuning=recipe.tuning, base=base)


def _base_place(folder: Path, name: str) -> str:
    """Return where a base is, by its name; what the environment holds goes to no hub because a model's folder names it.

    Raises:
        ModelError: It is named by the environment and is no folder here.
    """
    place = resolved(name, "model")
    if place != name and not named_path(place).is_dir():
        raise ModelError(f"model {folder}: its base is named {name}, which leads to no folder here; set it to one")
    return model_location(place)
