"""What passes between a study's driver and its workers, beside jobs, events and replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.core.example import Example
from harness.core.progress import Step
from harness.study.load_study import StudyFile
from harness.training.model_facts import ModelFacts

__all__ = ["Beat", "Footprint", "Free", "Loaded", "Opened", "Raised", "Ready", "Said", "Setup", "Unlike"]


class Setup(NamedTuple):
    """To a worker that has just begun: what it works on."""

    file: StudyFile
    home: str | Path | None
    """The workspace."""
    rows: str
    """Digest of the training and validation rows that the driver read."""
    opens_test: bool
    """Whether the test split was opened for that, to see which rows it shares; it is not kept."""
    share: int
    """How many workers divide the memory of its device, itself among them."""
    asks_facts: bool
    """Whether it is to say what the records of the study say of the model."""
    asks_memory: bool
    """Whether it is to measure what a worker takes, before all else."""


class Opened(NamedTuple):
    """To a worker: the test split, when the searches are over."""

    examples: Sequence[Example]


class Unlike(NamedTuple):
    """From a worker: it cannot read the study that the driver checked, or reads another one."""

    why: str


class Footprint(NamedTuple):
    """From a worker: what one takes at its peak, in bytes of the memory where its model is."""

    own: int
    """What each worker has for itself."""
    shared: int
    """What all have in common: files that are mapped into memory, the base's weights among them."""
    free: int
    """What there was for them all before the first began."""


class Loaded(NamedTuple):
    """From a worker: a model is loaded, and the one before it is gone."""

    model: str
    """What it is called where several are compared, else empty."""
    manner: tuple[object, ...]
    """See `harness.runner.executors.in_process.InProcess.manner`."""


class Ready(NamedTuple):
    """From a worker: it can do jobs."""

    facts: ModelFacts | None
    """If they were asked for."""


class Beat(NamedTuple):
    """From a worker, every half second: it lives, and how far its job is, if that has changed."""

    job: str = ""
    step: Step | None = None


class Said(NamedTuple):
    """From a worker: what a person should read."""

    text: str


class Free(NamedTuple):
    """From a worker: its job is over."""

    recordings: Mapping[str, int]
    """Bytes of those that it has made or found so far, by key."""


class Raised(NamedTuple):
    """From a worker, its last word: what a job, or the loading of the model, raised that ends the study."""

    text: str
    is_of_user: bool
    """Whether the user must change something."""
    is_known: bool
    """Whether the text says all; else the worker's log has the traceback."""
