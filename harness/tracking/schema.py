"""The schema of the store: the names of what runs carry. Nothing else in the harness spells one of them out.

What runs say with these names is read and written by `run_records` and `study_record`. Three kinds of names live with
what they name: costs in `core.cost_names`, versions and machine in `core.provenance`, keys of a study in `study.spec`.
"""

from __future__ import annotations

import re
from typing import Final, Literal

__all__ = [
    "FACTORS",
    "HIDDEN",
    "RUN_FORMAT",
    "Artifacts",
    "Metrics",
    "Outcome",
    "PageTags",
    "Params",
    "Phase",
    "PromptTags",
    "Status",
    "Tags",
    "VersionTags",
    "prompt_name",
    "score_name",
]

Phase = Literal["cell", "search", "final", "reference", "summary", "interrupted", "superseded"]
"""What kind of run it is."""

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

Outcome = Literal["complete", "pruned", "diverged"]
"""How a trial ended; of final runs, only those that diverged say so."""

RUN_FORMAT: Final = 2
"""The newest version of runs, their tags, params, metrics and tables of predictions; in 1 no tag was `HIDDEN`."""

HIDDEN: Final = "mlflow.harness."
"""What the names of tags begin with in the store that its pages do not show."""

TAG_LIMIT = 250 - len(HIDDEN)
"""MLflow's longest name of a tag, in characters, without that."""


class Tags:
    """Tags of runs, in the order in which a study writes them."""

    PHASE: Final = "phase"
    """Every run has it; see `Phase`."""
    PARENT: Final = "mlflow.parentRunId"
    """The id of the run above, by which MLflow's pages nest runs."""
    FORMAT: Final = "format"
    """The version of what a run says and of its files; see `harness.core.format_versions`."""
    STUDY: Final = "study"
    EDITION: Final = "edition"
    """What a look at test could have moved a user to change; see `harness.study.cell_digests.edition`."""
    MODEL_DIGEST: Final = "model_digest"
    ARCHITECTURE_DIGEST: Final = "architecture_digest"
    TOKENIZER_DIGEST: Final = "tokenizer_digest"
    """All of the tokenizer; its vocabulary alone is part of `CELL_DIGEST`."""
    GENERATION_DIGEST: Final = "generation_digest"
    """The checkpoint's own generation settings that hold."""
    MODEL_COMMIT: Final = "model_commit"
    CELL: Final = "cell"
    """The cell's id."""
    CELL_DIGEST: Final = "cell_digest"
    """All that a cell's results depend on; see `harness.study.cell_digests.cell_digests`."""
    SEARCH: Final = "search"
    """What names a cell's search in Optuna; its first parent's, which its heirs carry on."""
    PROMPT_URI: Final = "prompt_uri"
    """The version in the Prompt Registry, ``prompts:/name/3``."""

    RESTORED: Final = "restored"
    """Of a trial: from where, if another store had to say what its run had said."""
    TRIAL: Final = "trial"
    """The place of a trial in its search, from 0."""
    OPTUNA_TRIAL: Final = "optuna_trial"
    """Optuna's number of it."""
    WARM_START: Final = "warm_start"
    """The id of the cell that the learning rate was taken from."""
    PRUNED_AFTER: Final = "pruned_after_epoch"
    STOPPED_AFTER: Final = "stopped_after_epoch"
    OUTCOME: Final = "outcome"
    ERROR: Final = "error"
    TRUNK: Final = "trunk"
    """How the frozen part was computed: replayed or live, and why."""
    BEST_TRIAL: Final = "best_trial"
    """Of a cell: the winner's `TRIAL`; ``none`` where no trial completed."""
    TRIALS: Final = "trials"
    """Of a cell: how many trials the winner is the best of, from the first on; the store may hold more."""
    ADDED_TRIALS: Final = "added_trials"
    WIDENED: Final = "widened_to"
    """Of a cell: how many of these were drawn beyond its range, and the ends that it has now; see `runner.search`."""
    VERDICT: Final = "verdict"
    """Of a cell: what is claimed of it."""
    TEST_DIGEST: Final = "test_digest"
    """The test rows; ``none`` while test is closed."""
    GENERALITY_DIGEST: Final = "generality_digest"
    """The texts and tasks that forgetting is measured on."""
    SCORED: Final = "test_scored"
    """``yes`` of a run that is about to score test; of one that has its scores from another, that one's id."""
    WEIGHTS_DIGEST: Final = "weights_digest"
    STORED: Final = "stored"
    """How a final run's model is stored: ``full`` or ``delta``."""
    REFERENCE: Final = "reference"
    REFERENCE_DIGEST: Final = "reference_digest"
    """All that a reference row's scores depend on."""
    BEST_MODEL: Final = "best_model"
    BEST_RUN: Final = "best_run"
    BEST_CELL: Final = "best_cell"
    BEST_SEED: Final = "best_seed"
    BEST_REASON: Final = "best_reason"
    KEPT_RUNS: Final = "kept_runs"
    """Of the summary, as the five before: the ids of the runs whose models are kept."""
    ORDER: Final = "order"
    SKIPPED: Final = "skip"
    MORE: Final = "more_trials"
    """Of the summary: what the study was told since it was written; see `harness.tracking.orders`."""

    NOTE: Final = "mlflow.note.content"
    """What the pages show as the description of a run, or of the study; Markdown."""
    NOTE_DIGEST: Final = "note_digest"
    """By which a description is known as ours."""
    COLOR: Final = "mlflow.runColor"
    PROMPTS: Final = "mlflow.linkedPrompts"
    TABLES: Final = "mlflow.loggedArtifacts"
    """What the pages know a run's prompts by, and tables among its artifacts."""
    SOURCE: Final = "mlflow.source.name"
    SOURCE_COMMIT: Final = "mlflow.source.git.commit"
    SOURCE_CHANGED: Final = "mlflow.source.git.dirty"
    """The study file, the commit of its repository, and whether files differ from that: what the pages say of a run."""
    RECORD: Final = "harness.record"
    """By which a run is found whose start a server did not answer."""

    @staticmethod
    def data_digest(split: str) -> str:
        """Return the tag that holds the digest of a split's rows."""
        return Tags.TEST_DIGEST if split == "test" else f"data_digest.{split}"

    @staticmethod
    def file_digest(file: str) -> str:
        """Return the tag that holds a written file's digest; what MLflow allows in no tag's name is an underscore."""
        return re.sub(r"[^\w./ :-]", "_", f"digest.{file}")[:TAG_LIMIT]


class PageTags:
    """What MLflow's pages read beside tags of runs: in tags of a study as a whole, of data and of stored models."""

    VIEW: Final = "mlflow.sharedViewState."
    """What the tags of a study's ready-made views begin with."""
    KIND: Final = "mlflow.experimentKind"
    LEAD: Final = "mlflow.experiment.primaryMetric.name"
    STUDY: Final = "harness.study"
    """Of an experiment: the name of the study whose it is."""
    LEASE: Final = "harness.lease"
    """Of a study: the process that runs it; see `harness.tracking.mlflow.study_lease`."""
    SPLIT: Final = "mlflow.data.context"
    """Of the data that a run read."""
    VERSIONS: Final = "mlflow.modelVersions"
    """Of a stored model: from which the pages lead to its versions."""
    FILES: Final = HIDDEN + "files"
    """Of a stored model: digests of the files that describe and serve it; the pages hide what is called so."""


class PromptTags:
    """Tags of a version in the Prompt Registry, and of a prompt."""

    TASK: Final = "task"
    STUDY: Final = "study"
    FORM: Final = "form"
    """Of a prompt that is not text: its form in `harness.data.prompt_forms`, whose other keys are tags as well."""
    KEEP: Final = "keep"
    """Which end of the text stays that is shortened."""
    EXPERIMENTS: Final = "_mlflow_experiment_ids"
    """Of the prompt: by which an experiment's own page lists it."""


class VersionTags:
    """Tags of a version of a registered model, beside `Tags.data_digest`."""

    METRIC: Final = "metric"
    """What versions are compared by."""
    SIGNATURE: Final = "signature"
    DIFFERENCE: Final = "difference"
    """To the champion of the time, as the next four."""
    LOW: Final = "low"
    HIGH: Final = "high"
    P: Final = "p"
    AGAINST: Final = "against"
    DECISION: Final = "decision"
    """Which alias it is to have."""
    SETTLED: Final = "settled"
    """It has it; the version is not looked at again."""


class Params:
    """Params of runs, by the names that the MLflow UI shows."""

    TASK: Final = "task"
    MODEL: Final = "model"
    PROMPT: Final = "prompt"
    TUNING: Final = "tuning"
    TRAINABLE: Final = "trainable_parameters"
    PARAMETERS: Final = "parameters"
    DTYPE: Final = "model.dtype"
    LANGUAGES: Final = "model."
    """Before ``source_language``, ``target_language`` and ``adapter``, where a study names them."""
    SAMPLER: Final = "search.sampler"
    METRIC: Final = "search.metric"
    LEARNING_RATE: Final = "learning_rate"
    SEED: Final = "seed"
    STORE: Final = "store"
    """Of a stored model: `Tags.STORED` of the run."""
    REFERENCE: Final = "reference"
    DATA: Final = "data."
    """Before the name of a split: how many examples it has."""
    TRAINING: Final = "training."
    """Before a key of the study's training section."""


FACTORS: Final = (Params.PROMPT, Params.TUNING)
"""The axes of a study that says nothing of others; each is a param."""


class Metrics:
    """Metrics of runs that are no scores; a score is named by `score_name`, a cost in `harness.core.cost_names`."""

    OBJECTIVE: Final = "objective"
    """What a trial is judged by."""
    TRAIN_LOSS: Final = "train/loss"
    TRAIN_GAP: Final = "train/gap"
    TRAIN_CRITERION: Final = "train/criterion"
    """Validation loss minus train loss; what training minimizes, where that is no plain cross entropy."""
    VALIDATION_LOSS: Final = "validation/loss"
    BEST_EPOCH: Final = "best_epoch"
    LOG_RATE: Final = "log10_learning_rate"
    """For charts, whose axes the pages draw linear."""
    TRAINABLE: Final = "trainable_parameters"
    """As a metric it sorts as a number."""
    RECORDINGS: Final = "recordings_mib"
    """Of the summary: how much is recorded of the frozen parts."""
    VALIDATION: Final = "validation/"
    TEST: Final = "test/"
    GENERALITY: Final = "generality/"
    """Before the name of what is measured of forgetting."""
    PERPLEXITY: Final = "generality/perplexity"
    BEFORE: Final = "_before"
    """Behind it: of the pretrained model."""
    SPREAD: Final = "_sd"
    """Behind a cell's mean over final runs: their standard deviation."""


def score_name(split: str, metric: str) -> str:
    """Return the metric that holds a score on a split.

    >>> score_name("validation", "chrf")
    'validation/chrf'
    """
    return f"{split}/{metric}"


def prompt_name(task: str, prompt: str) -> str:
    """Return the name of a prompt in the Prompt Registry, whose names are those of registered models as well.

    >>> prompt_name("my task", "cue")
    'my-task.cue'
    """
    return re.sub(r"[^A-Za-z0-9_.-]", "-", f"{task}.{prompt}")


class Artifacts:
    """Files of runs."""

    FACTS: Final = "study.json"
    STUDY: Final = "study.yaml"
    LOSS: Final = "loss.py"
    REPORT: Final = "report"
    """Of the summary: a `StudyRecord`, the texts of the study file and of a loss of one's own, its report's folder."""
    PAGE: Final = "report/report.html"
    FIGURES: Final = "report/figures"
    PROMPT: Final = "prompt.jinja"
    """Of a cell: its prompt's text."""

    @staticmethod
    def task(file: str) -> str:
        """Return where the summary holds the task's file."""
        return f"task/{file}"

    @staticmethod
    def rows(split: str) -> str:
        """Return where the summary holds the rows of a split that came from memory."""
        return f"rows/{split}.jsonl"

    @staticmethod
    def predictions(split: str) -> str:
        """Return where a final run or reference row holds its predictions; see `harness.tracking.prediction_table`."""
        return f"predictions/{split}.json"
