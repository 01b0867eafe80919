"""Early stopping: which epoch of a run counts, and when another one is no longer worth its time."""

from __future__ import annotations

import math

from harness.study.spec import Training
from harness.tracking.schema import Metrics, Tags
from harness.tracking.step_names import BEST_STEP, STOPPED_AFTER_STEP

__all__ = ["EarlyStopping"]


class EarlyStopping:
    """Follows the objective of one run on validation, score by score: one an epoch, or every so many steps.

    With ``patience`` a run is over once that many scores in a row brought nothing better than the best one before (for
    such rules see Prechelt 1998, "Early Stopping - But When?"). The learning rate's schedule still runs over the whole
    length. With ``keep: best`` the best one counts; else the last. Among equals that of the lowest loss is best, since
    a metric that is 0 on every row cannot tell them apart, and of equal losses the earliest.
    """

    def __init__(self, rule: Training, *, maximize: bool) -> None:
        self._rule = rule
        self._sign = 1.0 if maximize else -1.0
        self._last = math.nan
        self._best = (math.nan, math.nan)
        self._waited, self._is_over = 0, False
        self.at = 0
        """Where the last score stands on the curve: its epoch, or its optimizer step where the study counts those."""
        self.best_at = 0
        """Where the best one does."""

    @property
    def watches(self) -> bool:
        """Whether the objective is needed at every score, and not at the last one alone."""
        return self._rule.patience is not None or self._rule.keep == "best"

    def see(self, at: int, value: float, loss: float = math.inf, *, is_last: bool) -> bool:
        """Take in an objective and a loss; return whether it is the best so far.

        Args:
            at: Where it stands on the curve, above 0.
            value: The objective; nan where nothing depends on it.
            loss: On validation, in nats a token.
            is_last: Whether the run has no further steps.
        """
        self.at, self._last, self._is_over = at, value, is_last
        merit = (self._sign * value, -loss)
        better = not self.best_at or merit > self._best
        self._waited = 0 if better else self._waited + 1
        if better:
            self.best_at, self._best = at, merit
        return better

    @property
    def ended(self) -> bool:
        """Whether nothing is trained behind the score just seen."""
        return self._is_over or (self._rule.patience is not None and self._waited >= self._rule.patience)

    @property
    def goes_back(self) -> bool:
        """Whether an earlier score than the last one counts."""
        return self._rule.keep == "best" and self.best_at < self.at

    @property
    def step(self) -> int:
        """Where scores of the weights that count are logged: one past the last, where a run goes back.

        There they are the run's latest, which is what the UI and the report show, and spoil no epoch's own.
        """
        return self.at + self.goes_back

    @property
    def value(self) -> float:
        """The objective that counts."""
        return self._sign * self._best[0] if self._rule.keep == "best" else self._last

    def metrics(self) -> dict[str, float]:
        """Return what a run says of its scores, where they were compared."""
        name = BEST_STEP if self._rule.counts_steps else Metrics.BEST_EPOCH
        return {name: float(self.best_at)} if self.watches else {}

    def tags(self) -> dict[str, str]:
        """Return what a run that was stopped early says."""
        name = STOPPED_AFTER_STEP if self._rule.counts_steps else Tags.STOPPED_AFTER
        return {name: str(self.at)} if self.ended and not self._is_over else {}
