"""The study file: a closed, frozen, typed description of what is compared.

Layout of a file: see the README. Every class here is one section of it; an attribute's docstring says what a key
means. Reading a file, with line numbers and all problems at once, is `harness.study.load_study`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from harness.core.closest_match import closest
from harness.core.named_path import StorageUrl, TaskName
from harness.core.number_types import Amount, Mebibytes, Seed
from harness.core.workspace import LONGEST_NAME, STUDY_NAME
from harness.core.yaml_section import Section
from harness.data.data_keys import Data
from harness.data.label_words import Answers
from harness.data.plain_text import NAME
from harness.study.axes import AXES, Prompt, Tuning, tuning_of
from harness.study.dimension import NARROWEST
from harness.study.further_axes import MODEL
from harness.study.generality_keys import Generality, generality_of
from harness.study.generation_keys import Generation, NamedGeneration, Settings, generation_of
from harness.study.model_keys import ComparedModel, Model
from harness.study.search_keys import PROXIED, LearningRate, Search
from harness.study.training_keys import Precision, Training

__all__ = [
    "NARROWEST",
    "PROXIED",
    "Baseline",
    "ComparedModel",
    "Engine",
    "Final",
    "Generality",
    "Generation",
    "LearningRate",
    "Model",
    "Precision",
    "Search",
    "StudySpec",
    "Tracking",
    "Training",
]


class Engine(Section):
    """How the frozen part of the network is computed; changes the clock, never the numbers."""

    replay: bool = True
    """Whether its hidden states are recorded once and shared by all trials and final runs."""
    memory_mib: Mebibytes | None = Field(default=None, gt=0)
    """The most memory that recordings may take; left out: a quarter of what is free."""
    disk_mib: Mebibytes | None = None
    """The most disk that they may take in ``.harness``, for later runs; left out: a tenth of what is free; 0: none."""


class Baseline(Section):
    """The cell that others are compared with; further axes by their names, left out: their first level."""

    model_config = ConfigDict(extra="allow")

    prompt: str
    """The name of its prompt."""
    tuning: Annotated[Tuning, BeforeValidator(tuning_of)]
    """Its tuning, written as in ``tuning``."""

    @model_validator(mode="before")
    @classmethod
    def _axes_alone(cls, value: Any) -> Any:
        axes = [axis.name for axis in AXES]
        for key in value if isinstance(value, dict) else ():
            if key not in axes:
                raise ValueError(f"unknown key {key!r} in final.baseline; {closest(str(key), axes)}")
        return value

    def without(self, axis: str) -> Baseline:
        """Return the same cell of a grid that lacks an axis."""
        return Baseline(**{key: value for key, value in self if key != axis})

    @property
    def levels(self) -> Mapping[str, str]:
        """The names of its levels, by axis."""
        further = {axis: str(level) for axis, level in (self.model_extra or {}).items()}
        return {"prompt": self.prompt, "tuning": self.tuning.name, **further}


class Final(Section):
    """How winners are retrained and scored on the test split."""

    seeds: tuple[Seed, ...] = (11, 12, 13)
    """One final run each; empty: no final runs, and the test split stays unread."""
    baseline: Baseline | None = None
    """What every verdict is against: ``{prompt: bare, tuning: full}``. Left out: the first prompt with ``full``, else
    the first cell that trains."""
    models: Literal["best", "cells", "none"] = "best"
    """Which models are kept: of the first-ranked cell's middle run by validation, of every cell's, none."""
    store: Literal["full", "delta"] = "full"
    """``full``: a folder for ``from_pretrained``; ``delta``: the trained tensors alone, and the base by reference."""
    registered_as: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)
    """The registered model that the best one becomes a version of; left out: the study's name; ``null``: none."""
    prompt_alias: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]+$", max_length=100)
    """The alias that the winning prompt's version is given in the Prompt Registry when the study ends."""
    smallest_difference: Amount | None = None
    """Of interest, in the leading metric's units: what the report plans further examples for. Left out: a fiftieth of
    the metric's range (0.02 of one from 0 to 1); none for a metric without a range."""
    pairs: bool = False
    """Whether the report compares each cell with each, besides with the baseline and with the best."""
    transfer: bool = False
    """Whether every final model answers test under every other prompt of the study as well: what of its gain is bound
    to the prompt that it trained with."""

    @field_validator("prompt_alias")
    @classmethod
    def _free(cls, alias: str | None) -> str | None:
        if alias and (alias.lower() == "latest" or (alias[0] in "vV" and alias[1:].isdigit())):
            raise ValueError(f"final.prompt_alias {alias!r} is an address of MLflow's own; take another word")
        return alias

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"final.seeds must be distinct, but are {list(seeds)}")
        return seeds


class Tracking(Section):
    """Where runs are recorded, and what the tracking store is told."""

    uri: StorageUrl | None = None
    """The store, whatever ``MLFLOW_TRACKING_URI`` says; left out: what that says, else ``mlflow.db``."""
    experiment: str | None = Field(default=None, min_length=1, max_length=500)
    """What MLflow calls the experiment, which is this study's alone: any text or path, such as ``/Users/me/x``; left
    out: the study's name."""
    texts: bool = True
    """``false``: no example, filled-in prompt or prediction goes there, but ids, scores and digests; the texts are kept
    in ``.harness/.texts``."""


class StudySpec(Section):
    """A whole study file."""

    extends: str | None = Field(default=None, exclude=True)
    """Another study file, from this one's folder, whose keys hold where this one does not say otherwise."""
    name: str = Field(pattern=STUDY_NAME, max_length=LONGEST_NAME)
    """The report folder's, and the MLflow experiment's unless ``tracking.experiment`` says otherwise; letters, digits,
    ``_``, ``.``, ``-``."""
    task: TaskName
    """A task that travels with the harness, or the path of a task file."""
    tracking: Tracking = Tracking()
    model: Model = Model()
    models: tuple[ComparedModel, ...] = ()
    """Several models instead of one, ``[gpt2, {name: org/large, as: large}]``: one more axis, ``model``; each by its
    name, or a section with the keys of ``model`` and ``as``, how ids and tables call it."""
    data: Data = Data()
    prompts: tuple[Prompt, ...] = Field(default=(), min_length=1)
    """The prompts that are compared: names of the task's, addresses in the Prompt Registry, or sections with these
    keys; left out by tasks of plain text, whose documents hold theirs already, and by no other."""
    tuning: tuple[Annotated[Tuning, BeforeValidator(tuning_of)], ...] = Field(min_length=1)
    """The tunings that are compared: ``none``, ``head``, ``norms``, ``biases``, ``embeddings``, ``full``,
    ``{last_blocks: 2}``, ``{first_blocks: 2}``, ``{blocks: 3-5}``, ``{attention: {blocks: last-2}}``,
    ``{feed_forward: {blocks: all}}``; adapters, as ``{lora: {rank: 8, blocks: last-2}, with: [head]}``, ``dora``,
    ``rslora``, ``ia3``, ``{prompt_tuning: {tokens: 20}}``, ``prefix_tuning``, ``p_tuning``,
    ``{peft: adapter_config.json}``; ``none`` is added where it is missing."""
    answers: Answers | None = None
    """How prompts are answered that do not say so themselves: ``generate``, by a text that the model writes;
    ``likelihood``, by the label whose words are the likeliest behind the prompt, which is also what training makes
    likelier among all labels; ``head``, by a classification head of transformers in the place of all words, drawn anew
    in each run, which trains with whatever trains; left out: as the task says, ``generate`` by most."""
    training: Training = Training()
    generation: Annotated[Generation | Settings, BeforeValidator(generation_of)] = Generation()
    """How predictions are made; greedy by default. A list of named settings, ``[{name: greedy}, {name: beams,
    num_beams: 4}]``, is one more axis, ``generation``: every final model answers under each, and the search goes by the
    first."""
    engine: Engine = Engine()
    search: Search = Search()
    final: Final = Final()
    generality: Annotated[Generality, BeforeValidator(generality_of)] = Generality()
    """What fine-tuning should leave as it was; measured before and after by every final run. ``none``: nothing is
    measured."""

    @model_validator(mode="after")
    def _one_or_several(self) -> StudySpec:
        if not self.models:
            return self
        if "model" in self.model_fields_set:
            raise ValueError("the study names model and models; keep one of the two")
        names = [model.level for model in self.models]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"models calls two of them {repeated[0]}; tell them apart by as: {repeated[0]}-2")
        return self

    @field_validator("prompts", "tuning")
    @classmethod
    def _no_repeats(cls, items: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        each = [one for item in items for one in (item.combinations() if isinstance(item, Prompt) else [item])]
        names = [item.name for item in each]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"{info.field_name} names {', '.join(repeated)} more than once; each must be distinct")
        return items

    @property
    def settings(self) -> tuple[NamedGeneration, ...]:
        """The settings of generation that are compared, in order; none where the study has one without a name."""
        return self.generation if isinstance(self.generation, tuple) else ()

    @property
    def first_generation(self) -> Generation:
        """How predictions are made: of several settings by the first, which the search goes by."""
        return self.generation[0] if isinstance(self.generation, tuple) else self.generation

    def by_setting(self) -> tuple[StudySpec, ...]:
        """Return the study of each setting of generation alone; itself where it has one without a name."""
        return tuple(self.model_copy(update={"generation": one}) for one in self.settings) or (self,)

    @property
    def registered_as(self) -> str | None:
        """The registered model that the best one becomes a version of, if any."""
        if not self.final.seeds or self.final.models == "none":
            return None
        return self.final.registered_as if "registered_as" in self.final.model_fields_set else self.name

    def prompt_levels(self) -> tuple[Prompt, ...]:
        """Return the prompts in order, one for each combination where a prompt has features; plain text is one."""
        prompts = self.prompts or (Prompt(name=NAME),)
        return tuple(one for prompt in prompts for one in prompt.combinations())

    def of_model(self, place: int) -> StudySpec:
        """Return the study of one of its models alone, by its place in ``models``; itself where it names none."""
        if not self.models:
            return self
        final = self.final.model_copy(update={"baseline": self.final.baseline and self.final.baseline.without(MODEL)})
        return self.model_copy(update={"model": self.models[place].alone, "models": (), "final": final})

    def tunings(self) -> tuple[Tuning, ...]:
        """Return the tunings in order, zero-shot (``none``) put first where the study leaves it out."""
        is_named = any(not tuning.trains for tuning in self.tuning)
        return self.tuning if is_named else (Tuning(kind="none"), *self.tuning)
