"""The tiny study with two models instead of one: a causal one, and one with an encoder, called ``small``."""

from __future__ import annotations

from harness.testing import tiny_model
from tests.support.study_fixture import Place, Places

__all__ = ["MODELS", "with_models"]

MODELS = ("model", "small")
"""What ids call them."""


def with_models(places: Places, *, store: bool = True) -> Place:
    """Return a place whose study compares two models."""
    place = places(store=store)
    tiny_model("t5", place.folder / "models" / "other")
    place.edit("model: {name: model}", "models: [./model, {name: ./models/other, as: small}]")
    return place
