"""What a study reports while it runs; `lstm_tune.cli.progress` has the displays."""

from __future__ import annotations

from typing import Any, Protocol

from lstm_tune.errors import UsageError
from lstm_tune.search.trials import Trial
from lstm_tune.training.fitting import EpochStats
from lstm_tune.utils.notes import warn
from lstm_tune.utils.text import shortened


class Progress(Protocol):
    """What happens in a study, as it happens; each method does nothing unless it is overridden."""

    def info(self, text: str) -> None:
        """Show one sentence about the data or the search."""
        return

    def assumed(self, text: str) -> None:
        """Say what was repaired, left out or assumed in the data."""
        self.info(text)

    def begin(self, trials: int | None, done: int, seconds: float | None) -> None:
        """Begin a study of so many trials, of which some are done, within so many seconds."""
        return

    def trial_started(self, trial: int, worker: int) -> None:
        """A worker has begun a trial; a study of one worker says nothing here."""
        return

    def epoch(self, trial: int, stats: EpochStats) -> None:
        """A trial has ended an epoch."""
        return

    def trial(self, trial: Trial) -> None:
        """A trial has ended."""
        return

    def retrain(self, done: int, asked: int) -> None:
        """So many models of the retrain are done."""
        return

    def calibrate(self, done: int, asked: int) -> None:
        """So many validation blocks of the prediction intervals are done."""
        return

    def end(self) -> None:
        """Nothing more will come."""
        return


def checked_progress(progress: Any) -> Progress:
    """Return what is told of a study; None: an object that warns of what was assumed, and says nothing else.

    Raises:
        UsageError: a method is missing.
    """
    if progress is None:
        return Warnings()
    told = [name for name in vars(Progress) if not name.startswith("_")]
    missing = [name for name in told if not callable(getattr(progress, name, None))]
    if missing:
        raise UsageError(
            f"progress must be an object with the methods {', '.join(told)}, but {shortened(progress)} has no "
            f"{missing[0]}; leave progress out, or derive its class from lstm_tune.search.progress.Silent"
        )
    found: Progress = progress
    return found


class Silent(Progress):
    """Says nothing."""


class Warnings(Silent):
    """Says nothing but what was assumed, as warnings."""

    def assumed(self, text: str) -> None:
        """Warn."""
        warn([text])
