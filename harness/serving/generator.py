"""A model folder that knows its prompt: written after a final run, loaded to answer rows of fields.

With ``final.store: full`` the folder is what ``from_pretrained`` reads, with ``harness.json`` beside the weights; with
``delta`` it holds the trained tensors, and ``harness.json`` says on which base.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import torch

from harness.core.bounded_files import read_json
from harness.core.closest_match import closest
from harness.core.errors import DataError, ModelError, TemplateError
from harness.core.example import Example, as_text, digest
from harness.core.format_versions import FORMAT, refuse_newer
from harness.data.prompt_forms import restored
from harness.data.tokenization import Limits, PromptForm, Row, encode
from harness.models.content_digests import architecture_digest, weights_digest
from harness.models.delta import Base, load_delta, save_delta, trained_digest
from harness.models.load import Loaded, load
from harness.serving.abandoned_answers import Wanted, always, each_while_wanted, while_wanted
from harness.serving.stored_files import MODEL_FORMAT, READING, SETTINGS, content, verify_base, verify_files
from harness.study.axes import Tuning
from harness.study.grid import Cell
from harness.study.settings import model_location
from harness.study.spec import Precision
from harness.training.batching import prompt_batches
from harness.training.evaluation import Decoding, generate
from harness.training.loop import device
from harness.training.precision import scoring
from harness.training.proofs import texts_depend_on_others
from harness.training.setup import TrainingSetup

__all__ = [
    "SERVED",
    "SETTINGS",
    "Generator",
    "Recipe",
    "Store",
    "model_folder",
    "recipe_of_run",
    "save_model",
]

SERVED = Path(__file__).parent / "pyfunc.py"
"""What MLflow runs to serve such a folder."""

INSIDE = Path("artifacts") / "model"
"""Where MLflow puts such a folder in a model of its own."""

LISTED = 5
"""The most malformed rows that one message names."""

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
    spec, loaded = setup.study.model, setup.loaded
    place = Path(model_location(spec.name)).expanduser()
    base = Base(
        name=spec.name,
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


def save_model(folder: Path, loaded: Loaded, recipe: Recipe) -> None:
    """Write weights (safetensors), tokenizer, prompt and generation settings into a folder.

    Args:
        folder: Made if it is not there.
        loaded: The model as it stands, under its tuning.
        recipe: All the rest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if recipe.store == "full":
        loaded.model.save_pretrained(folder)
    else:
        save_delta(folder, loaded, recipe.tuning)
    loaded.tokenizer.save_pretrained(folder)
    settings = {FORMAT: MODEL_FORMAT, **recipe.as_json(), **content(folder, loaded)}
    (folder / SETTINGS).write_text(json.dumps(settings, ensure_ascii=False, indent=2), encoding="utf-8")
    _verify_stored(folder, loaded, recipe)


def _verify_stored(folder: Path, loaded: Loaded, recipe: Recipe) -> None:
    """See that a model that was stored whole loads back as it is; of a delta, `load_delta` sees that its base fits."""
    if recipe.store == "full":
        stored = _loaded(folder, recipe, {})
        if stored.digest != weights_digest(loaded.model):
            raise ModelError(
                f"model {folder}: {type(loaded.model).__name__} does not load back as it was stored: this transformers "
                "changes its weights; set final.store: delta"
            )


def model_folder(folder: Path) -> Path:
    """Return the folder that `save_model` wrote: this one, or the one inside a model of MLflow's.

    Raises:
        ModelError: There is none.
    """
    for candidate in (folder, folder / INSIDE):
        if (candidate / SETTINGS).is_file():
            return candidate
    raise ModelError(f"model {folder}: no {SETTINGS} in it; name a folder that a study stored, or a model's URI")


class Generator:
    """Answers rows as the study's final run did.

    Args:
        folder: What `save_model` wrote, or MLflow's model around it.

    Raises:
        ModelError: The folder is no such model, a file of it or the base of its delta has changed.
    """

    def __init__(self, folder: Path) -> None:
        folder = model_folder(folder)
        self.recipe = Recipe.read(folder)
        verified = verify_files(folder)
        self.digest = digest({**self.recipe.as_json(), **verified})
        """Of weights, tokenizer, prompt and settings together."""
        self._one_at_a_time = Lock()  # a server asks from several threads; generation settings are the model's own
        self._loaded = _loaded(folder, self.recipe, verified.get(READING, {}))
        torch.nn.Module.to(self._loaded.model, device("auto"))
        self._decoding: Decoding | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that the prompt uses."""
        return tuple(sorted(self.recipe.prompt.names()))

    def row(self, id: str, columns: Mapping[str, Any]) -> Row:
        """Return a row in token ids.

        Args:
            id: For messages.
            columns: With those that the prompt uses.

        Raises:
            DataError: A column is missing that the prompt cannot do without, nothing of the prompt is left, or it
                cannot be made to fit.
        """
        fields = {name: _value(name, columns[name]) for name in self.fields if name in columns}
        example = Example(id=id, fields=fields, target="-")
        try:
            return encode([example], self.recipe.prompt, self._loaded, limits=self.recipe.limits).rows[0]
        except (DataError, TemplateError) as error:
            for name in self.fields:
                if name not in columns:
                    hint = closest(name, sorted(map(str, columns)))
                    raise DataError(f"column {name!r} is missing; {hint}") from error
            raise DataError(str(error)) from error

    def answer(self, rows: Sequence[Row]) -> list[str]:
        """Return one text per row, in their order."""
        if not rows:
            return []
        with self._one_at_a_time, scoring(self._loaded.model, self.recipe.precision):
            decoding = self._decoding = self._decoding or self._proved(rows)
            batches = prompt_batches(rows, self._loaded, batch_size=decoding.batch_size, room=decoding.max_new_tokens)
            return generate(self._loaded, batches, decoding)

    def _proved(self, rows: Sequence[Row]) -> Decoding:
        """Return how rows are answered: one at a time where prompts move each other's texts, as in a study."""
        limits, decoding = self.recipe.limits, self.recipe.decoding
        if decoding.batch_size > 1 and texts_depend_on_others(self._loaded, rows, limits, self.recipe.precision):
            return decoding._replace(batch_size=1)
        return decoding

    def __call__(
        self, columns: Sequence[Mapping[str, Any]], *, skip: bool = False, wanted: Wanted = always
    ) -> list[str | None]:
        """Return one text per row.

        Args:
            columns: The rows, each with the prompt's fields.
            skip: Whether a malformed row gets ``None``, and the others are answered.
            wanted: Asked before each row that is read, and each token that is made.

        Raises:
            DataError: Some rows are malformed and none is to be skipped: none is answered; names them, counted from 1.
            Abandoned: It is not wanted any more.
        """
        rows: list[Row | None] = []
        problems = []
        for number, each in enumerate(each_while_wanted(columns, wanted), start=1):
            try:
                rows.append(self.row(f"row-{number}", each))
            except DataError as error:
                rows.append(None)
                problems.append(f"row {number}: {error}")
        if problems and not skip:
            more = [f"and {len(problems) - LISTED} more"] if len(problems) > LISTED else []
            raise DataError("; ".join(problems[:LISTED] + more))
        with while_wanted(self._loaded.model, wanted):
            said = iter(self.answer([row for row in rows if row is not None]))
        return [None if row is None else next(said) for row in rows]


def _loaded(folder: Path, recipe: Recipe, reading: Mapping[str, str]) -> Loaded:
    base = recipe.base
    options: dict[str, Any] = {"dtype": base.dtype, "trust_remote_code": base.trust_remote_code, **base.languages}
    if recipe.store == "full":
        return load(str(folder), **options)
    # A name may mean another folder wherever this is run.
    place = base.folder if base.folder and Path(base.folder).is_dir() else model_location(base.name)
    pretrained = load(place, revision=base.commit, allow_pickle=base.allow_pickle, **options)
    verify_base(folder, pretrained, reading)
    return load_delta(folder, pretrained, tuning=recipe.tuning, base=base)


def _value(name: str, value: Any) -> Any:
    """Return a field's value; a table has a number that is none in an empty place."""
    try:
        as_text(value).encode()
    except UnicodeEncodeError:
        raise DataError(f"column {name!r} holds half of a character ({ascii(value)[:40]}); write it whole") from None
    return None if isinstance(value, float) and math.isnan(value) else value
