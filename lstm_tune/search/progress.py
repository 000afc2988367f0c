"""What a study reports while it runs; `lstm_tune.cli.progress` has the displays."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol

import optuna

from lstm_tune.errors import UsageError
from lstm_tune.search.trials import Trial
from lstm_tune.training.fitting import EpochStats
from lstm_tune.utils.notes import warn
from lstm_tune.utils.text import shortened

_PAUSE = 0.2  # seconds between two epochs that are shown


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
    """Return what is told of a study.

    Args:
        progress: an object with the methods of `Progress`; True: a line that is rewritten; False: nothing but warnings
            of what was assumed; None: the line in a notebook, else the warnings.

    Raises:
        UsageError: a method is missing.
    """
    if progress is None or isinstance(progress, bool):
        return LineProgress() if progress or (progress is None and runs_in_notebook()) else Warnings()
    methods = [name for name in vars(Progress) if not name.startswith("_")]
    missing = [name for name in methods if not callable(getattr(progress, name, None))]
    if missing:
        raise UsageError(
            f"progress must be an object with the methods {', '.join(methods)}, but {shortened(progress)} has no "
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


class LineProgress(Warnings):
    """One line on stdout that is rewritten, as notebooks and terminals show it; the rest are warnings.

    Meanwhile Optuna does not log each trial, which would break the line.
    """

    def __init__(self) -> None:
        self._tally = Tally()
        self._verbosity = optuna.logging.get_verbosity()
        self._now = ""  # what is being done
        self._written = 0  # characters of the line
        self._next = 0.0  # the time from which on an epoch rewrites it

    def begin(self, trials: int | None, done: int, seconds: float | None) -> None:
        """Begin the line."""
        self._verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(max(self._verbosity, optuna.logging.WARNING))
        self._tally.begin(trials, done, seconds)
        self._write()

    def epoch(self, trial: int, stats: EpochStats) -> None:
        """Show the epoch, a few times a second at most."""
        self._now = f"trial {trial}, epoch {stats.epoch}"
        if time.monotonic() >= self._next:
            self._write()

    def trial(self, trial: Trial) -> None:
        """Count the trial."""
        self._tally.add(trial)
        self._now = ""
        self._write()

    def retrain(self, done: int, asked: int) -> None:
        """Show the count."""
        self._now = f"retraining: {done} of {asked}"
        self._write(left="")

    def calibrate(self, done: int, asked: int) -> None:
        """Show the count."""
        self._now = f"calibrating intervals: {done} of {asked}"
        self._write(left="")

    def end(self) -> None:
        """End the line with what was done."""
        if self._written:
            optuna.logging.set_verbosity(self._verbosity)
            self._now = clock(time.monotonic() - self._tally.began)
            self._write(left="", end="\n")
            self._written = 0

    def _write(self, left: str | None = None, end: str = "") -> None:
        left = self._tally.time_left() if left is None else left
        parts = (self._tally.counts(), self._now, left)
        line = "  ".join(filter(None, parts))
        print(f"\r{line:<{self._written}}", end=end, flush=True)
        self._written, self._next = len(line), time.monotonic() + _PAUSE


def runs_in_notebook() -> bool:
    """Return whether a kernel of Jupyter runs this process; IPython is not imported for it."""
    ask = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    return hasattr(ask(), "kernel")


class Tally:
    """What every display counts."""

    def __init__(self) -> None:
        self.trials: int | None = None
        self.done = 0
        self.done_before = 0
        self.pruned = 0
        self.failed = 0
        self.best: tuple[float, int] | None = None
        self.began = time.monotonic()
        self.seconds: float | None = None

    def begin(self, trials: int | None, done: int, seconds: float | None) -> None:
        """Begin a study; see `Progress.begin`."""
        self.trials, self.done, self.seconds = trials, done, seconds
        self.done_before = done
        self.began = time.monotonic()

    def add(self, trial: Trial) -> bool:
        """Count a trial; return whether it is the best so far."""
        self.done += 1
        self.pruned += trial.state == "PRUNED"
        self.failed += trial.state == "FAIL"
        better = trial.value is not None and (self.best is None or trial.value < self.best[0])
        if trial.value is not None and better and trial.state == "COMPLETE":
            self.best = (trial.value, trial.number)
            return True
        return False

    def of(self) -> str:
        """Return '/20' for a study of 20 trials, or ''."""
        return f"/{self.trials}" if self.trials is not None else ""

    def time_left(self) -> str:
        """Return 'time left 3:20' by the budget or the pace so far, or ''."""
        spent = time.monotonic() - self.began
        left = [self.seconds - spent] if self.seconds is not None else []
        lately = self.done - self.done_before
        if self.trials and lately:
            left.append(spent / lately * (self.trials - self.done))
        return f"time left {clock(min(left))}" if left else ""

    def counts(self) -> str:
        """Return what has been done: '12/20 trials  3 pruned  best 0.1234 (trial 5)'."""
        parts = [f"{self.done}{self.of()} trials", f"{self.pruned} pruned"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"best {self.best[0]:.4g} (trial {self.best[1]})"] if self.best else []
        return "  ".join(parts)


def clock(seconds: float) -> str:
    """Return a time as a clock shows it: 3:20, or 1:03:20."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
