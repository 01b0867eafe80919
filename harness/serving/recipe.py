"""The recipe of a stored model: how it answers, all but weights and tokenizer, as ``harness.json`` holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.core.bounded_files import read_json
from harness.core.errors import ModelError, TemplateError
from harness.core.format_versions import FORMAT, refuse_newer
from harness.data.prompt_forms import restored
from harness.data.tokenization import Limits, PromptForm
from harness.models.base_of_delta import Base
from harness.serving.stored_files import MODEL_FORMAT, SETTINGS
from harness.study.axes import Tuning
from harness.study.packaged_files import model_location
from harness.study.spec import Precision
from harness.training.model_facts import Decoding

if TYPE_CHECKING:  # what trains is no part of what answers, which a stored model carries
    from harness.study.grid import Cell
    from harness.training.setup import TrainingSetup

__all__ = ["Recipe", "Store", "recipe_of_run"]

Store = Literal["full", "delta"]


@dataclass(frozen=True)
class Recipe:
    """How a model answers: everything but weights and tokenizer."""

    prompt: PromptForm
    limits: Limits
    decoding: Decoding
    precision: Precision
    tuning: Tuning
    base: Base
    store: Store
    weights: str
    """Digest of the tensors that trained."""

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        base = self.base._asdict()
        if not base["languages"]:
            del base["languages"]  # as in the digests of those who name none, early ones among them
        parts = {"prompt": asdict(self.prompt), "tuning": self.tuning.model_dump(), "base": base}
        settings = {"limits": self.limits._asdict(), "decoding": self.decoding._asdict()}
        return {**parts, **settings, "precision": self.precision, "store": self.store, "weights": self.weights}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Recipe:
        """Return what `as_json` made."""
        return cls(
            prompt=restored(found["prompt"]),
            limits=Limits(**found["limits"]),
            decoding=Decoding(**{**found["decoding"], "stop": tuple(found["decoding"]["stop"])}),
            precision=found["precision"],
            tuning=Tuning(**found["tuning"]),
            base=Base(**found["base"]),
            store=found["store"],
            weights=found["weights"],
        )

    @classmethod
    def read(cls, folder: Path) -> Recipe:
        """Read a folder's.

        Raises:
            ModelError: It cannot be read.
            NewerError: A newer version of the harness wrote it.
        """
        try:
            found = read_json(folder / SETTINGS)
            refuse_newer(f"model {folder}", found.get(FORMAT), MODEL_FORMAT)
            return cls.from_json(found)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, TemplateError) as error:
            raise ModelError(
                f"model {folder}: {SETTINGS} cannot be read: {error!r}; bring it back, or run its study again"
            ) from error


def recipe_of_run(cell: Cell, setup: TrainingSetup) -> Recipe:
    """Return the recipe of a model that is being trained, as it stands."""
    from harness.models.content_digests import architecture_digest  # torch
    from harness.models.delta import trained_digest

    spec, loaded = setup.study.model, setup.loaded
    place = Path(model_location(spec.name)).expanduser()
    base = Base(
        name=setup.model_name,
        folder=str(place.resolve()) if loaded.commit is None and spec.name != "embedded" else None,
        commit=loaded.commit,
        dtype=spec.dtype,
        trust_remote_code=spec.trust_remote_code,
        allow_pickle=spec.allow_pickle,
        weights=loaded.digest,
        architecture=architecture_digest(loaded.model),
        languages=spec.languages,
    )
    return Recipe(
        prompt=cell.prompt,
        limits=setup.limits,
        decoding=setup.decoding,
        precision=setup.study.training.precision,
        tuning=cell.tuning,
        base=base,
        store=setup.study.final.store if cell.tuning.trains else "delta",  # nothing changed: the base by reference
        weights=trained_digest(loaded, cell.tuning),
    )
