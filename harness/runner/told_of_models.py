"""What a study's record says of its model, or of each of several."""

from __future__ import annotations

from harness.study.check import Checked
from harness.training.model_facts import ModelFacts

__all__ = ["model_names", "model_provenance", "prompt_fits"]


def model_names(checked: Checked) -> str:
    """Return the names of the study's models, as they are written."""
    study = checked.file.study
    return ", ".join(model.name for model in study.models or (study.model,))


def model_provenance(checked: Checked, facts: ModelFacts) -> dict[str, str]:
    """Return which models a study started from, and the digests of their weights."""
    study = checked.file.study
    if not facts.models:
        return {"model": study.model.name, **study.model.merged, "weights": facts.weights}
    told = {f"model {name}": one.name for name, one in zip(facts.models, study.models, strict=True)}
    return told | {f"weights of {name}": own.weights for name, own in facts.models.items()}


def prompt_fits(facts: ModelFacts) -> dict[str, str]:
    """Return how each prompt's training rows fit each model, in words."""
    fits = {f"prompt {fit.prompt} of {name}": fit for name, own in facts.models.items() for fit in own.fits}
    fits = fits or {f"prompt {fit.prompt}": fit for fit in facts.fits}
    return {name: f"{fit.truncated:.1%} shortened, {fit.dropped} dropped" for name, fit in fits.items()}
