"""Reference rows scored and stored, once for the data at hand; see `harness.study.reference_rows`."""

from __future__ import annotations

import math

from harness.core.example import Prediction, Split, digest, fingerprint
from harness.runner.finals.final_runs import log_predictions
from harness.runner.run_parts import Session
from harness.study.reference_rows import REFERENCES
from harness.tracking.schema import SCORED

__all__ = ["score_references"]

SPLITS: tuple[Split, ...] = ("validation", "test")


def score_references(test_digest: str, session: Session) -> None:
    """Score the task's reference rows that are missing; retire those that other data or metrics gave.

    Called when the test split is open; without final seeds it never is, and there are no reference rows.

    Args:
        test_digest: The test split's fingerprint.
        session: The study.
    """
    wanted = _digests(test_digest, session) if session.checked.study.final.seeds else {}
    there = set()
    for run in session.ledger.references():
        name = run.params.get("reference", "")
        same = run.tags.get("reference_digest") == wanted.get(name) and run.status == "FINISHED"
        if same and name not in there:
            there.add(name)
        else:
            session.ledger.retire(run)
    for name, identity in wanted.items():
        if name not in there:
            session.progress.say(f"scoring reference row {name}")
            _score(name, {"reference_digest": identity, "test_digest": test_digest}, session)


def _digests(test_digest: str, session: Session) -> dict[str, str]:
    """Return, by name, the content hash of all that a reference row's scores depend on."""
    data = {split: fingerprint(examples) for split, examples in session.checked.examples.items()}
    metrics = [metric.signature() for metric in session.trainer.metrics]
    facts = {"data": data, "test": test_digest, "metrics": metrics}
    return {name: digest({"reference": name, **facts}) for name in session.checked.task.references}


def _score(name: str, tags: dict[str, str], session: Session) -> None:
    trainer = session.trainer
    sizes = {f"data.{split}": len(trainer.examples(split)) for split in ("train", *SPLITS)}
    params = {"task": session.checked.task.name, "reference": name, **sizes}
    run = session.ledger.start_reference(name, params=params, tags=tags | {SCORED: "yes"})
    values: dict[str, float] = {}
    for split in SPLITS:
        examples = trainer.examples(split)
        texts = REFERENCES[name](trainer.examples("train"), [example.fields["source"] for example in examples])
        answers = [Prediction(e.id, text, math.nan, 0) for e, text in zip(examples, texts, strict=True)]
        for metric in trainer.metrics:
            pairs = zip(answers, examples, strict=True)
            values[f"{split}/{metric.name}"] = metric.reduce([metric.statistics(*pair) for pair in pairs])
        log_predictions(split, answers, run, session)
    session.ledger.end(run, metrics=values)
