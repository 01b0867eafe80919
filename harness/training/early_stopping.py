"""Early stopping: which epoch of a run counts, and when another one is no longer worth its time."""

from __future__ import annotations

import math

from harness.study.spec import Training
from harness.tracking.schema import Metrics, Tags

__all__ = ["EarlyStopping"]


class EarlyStopping:
    """Follows the objective of one run on validation, epoch by epoch.

    With ``patience`` a run is over once that many epochs in a row brought nothing better than the best one before (for
    such rules see Prechelt 1998, "Early Stopping - But When?"). The learning rate's schedule still runs over all
    ``epochs``. With ``keep: best`` the best epoch counts; else the last. Among equals that of the lowest loss is best,
    since a metric that is 0 on every row cannot tell them apart, and of equal losses the earliest.
    """

    def __init__(self, rule: Training, *, maximize: bool) -> None:
        self._rule = rule
        self._sign = 1.0 if maximize else -1.0
        self._last = math.nan
        self._best = (math.nan, math.nan)
        self.epoch = 0
        """The last one seen."""
        self.best_epoch = 0
        """The best one, counted from 1."""

    @property
    def watches(self) -> bool:
        """Whether the objective is needed after every epoch, and not after the last one alone."""
        return self._rule.patience is not None or self._rule.keep == "best"

    def see(self, epoch: int, value: float, loss: float = math.inf) -> bool:
        """Take in an epoch's objective and loss; return whether it is the best so far.

        Args:
            epoch: Counted from 1.
            value: The objective; nan where nothing depends on it.
            loss: On validation, in nats a token.
        """
        self.epoch, self._last = epoch, value
        merit = (self._sign * value, -loss)
        better = not self.best_epoch or merit > self._best
        if better:
            self.best_epoch, self._best = epoch, merit
        return better

    @property
    def ended(self) -> bool:
        """Whether the epoch just seen was the run's last."""
        waited, patience = self.epoch - self.best_epoch, self._rule.patience
        return self.epoch == self._rule.epochs or (patience is not None and waited >= patience)

    @property
    def goes_back(self) -> bool:
        """Whether an earlier epoch than the last one counts."""
        return self._rule.keep == "best" and self.best_epoch < self.epoch

    @property
    def step(self) -> int:
        """Where scores of the epoch that counts are logged: one past the last, where a run goes back.

        There they are the run's latest, which is what the UI and the report show, and spoil no epoch's own.
        """
        return self.epoch + self.goes_back

    @property
    def value(self) -> float:
        """The objective of the epoch that counts."""
        return self._sign * self._best[0] if self._rule.keep == "best" else self._last

    def metrics(self) -> dict[str, float]:
        """Return what a run says of its epochs, where they were compared."""
        return {Metrics.BEST_EPOCH: float(self.best_epoch)} if self.watches else {}

    def tags(self) -> dict[str, str]:
        """Return what a run that was stopped early says."""
        return {Tags.STOPPED_AFTER: str(self.epoch)} if self.ended and self.epoch < self._rule.epochs else {}
