"""The test split, opened once the searches are over, and handed to whoever scores it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.absent_value import NONE
from harness.core.errors import DataError
from harness.core.example import Example, Split, fingerprint
from harness.runner.executors.protocol import Executor
from harness.runner.resume.missing_runs import StudyRuns
from harness.runner.run_params import data_use
from harness.study.checked_study import Checked

__all__ = ["open_test"]


def open_test(checked: Checked, executor: Executor, runs: StudyRuns) -> tuple[dict[Split, Sequence[Example]], str]:
    """Return all splits that are scored, and the digest of test; it stays closed where there are no final runs.

    Raises:
        DataError: Its rows are others than when the study was checked.
    """
    examples: dict[Split, Sequence[Example]] = dict(checked.examples)
    if not checked.study.final.seeds:
        return examples, NONE
    test = checked.test_examples()
    examples["test"], digest = test, fingerprint(test)
    if digest != (checked.test_digest or digest):
        facts = f"its digest was {checked.test_digest} when the study was checked and is {digest}"
        raise DataError(f"test data in {checked.source.name} changed: {facts}; the same command goes on")
    executor.open_test(test)
    runs.data["test"] = data_use(checked, "test", test)
    return examples, digest
