"""What a study reports while it runs; `lstm_tune.cli.progress` has the displays."""

from __future__ import annotations

from typing import Protocol

from lstm_tune.search.trials import Trial
from lstm_tune.training.fitting import EpochStats
from lstm_tune.utils.notes import warn


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

    def end(self) -> None:
        """Nothing more will come."""
        return


class Silent(Progress):
    """Says nothing."""


class Warnings(Silent):
    """Says nothing but what was assumed, as warnings."""

    def assumed(self, text: str) -> None:
        """Warn."""
        warn([text])
