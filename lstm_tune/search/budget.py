"""Time: how much there is, how much the retrain will want of it, and when a trial must stop."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from optuna.trial import FrozenTrial

_RESERVE_UNKNOWN = 0.25  # of the time left, kept for the retrain while no trial has shown what it costs
_RESERVE_MOST = 0.5  # of all time: beyond that fewer seeds are retrained
_TRIAL_SHARE = 0.34  # of the time left, at most for one trial: one slow configuration must not eat the study
_RESERVE_LEAST = 0.1  # of all time: a machine that is busy with other work makes the retrain longer than the trials
_SCORING = 0.05  # of all time, kept for scoring the test windows and writing the files
_MARGIN = 1.5
_OVERHEAD = 1.0  # seconds for scoring and writing files


@dataclass(slots=True)
class Budget:
    """A time limit for study and retrain together, and a clock for what they took.

    Attributes:
        timeout: seconds, from now; None: no limit.
        seeds: times that each trial of the ensemble is retrained.
        threads: that share the folds of a trial, and the models of the retrain.
        growth: windows in an epoch of the retrain over those that a thread trains on in an epoch of a trial.
    """

    timeout: float | None
    seeds: int = 1
    threads: int = 1
    growth: float = 1.0
    seconds: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @property
    def end(self) -> float:
        """When all must be over, on the clock of `time.monotonic`."""
        return math.inf if self.timeout is None else self.began + self.timeout

    def left(self) -> float | None:
        """Return the seconds that are left, None without a limit."""
        return None if self.timeout is None else max(0.0, self.end - time.monotonic())

    @property
    def retrain_end(self) -> float:
        """When the retrain must be over, so that there is time to score it and to write the files."""
        return math.inf if self.timeout is None else self.end - max(_OVERHEAD, _SCORING * self.timeout)

    def study_end(self, members: Sequence[FrozenTrial]) -> float:
        """Return when trials must be over, so that these trials can be retrained in time; none yet: a guess."""
        if self.timeout is None:
            return math.inf
        if not members:
            return time.monotonic() + (self.end - time.monotonic()) * (1 - _RESERVE_UNKNOWN)
        needed = self.retrain_seconds(members) * _MARGIN + _OVERHEAD + _SCORING * self.timeout
        return self.end - min(max(needed, _RESERVE_LEAST * self.timeout), _RESERVE_MOST * self.timeout)

    def trial_end(self, members: Sequence[FrozenTrial]) -> float:
        """Return when a trial that begins now must stop with what it has."""
        now = time.monotonic()
        end = self.study_end(members)
        return end if math.isinf(end) else now + max(0.0, end - now) * _TRIAL_SHARE

    def retrain_seconds(self, members: Sequence[FrozenTrial]) -> float:
        """Return the seconds that retraining completed trials' configurations will take, from what the trials took."""
        setup = math.fsum(t.user_attrs["setup_seconds"] for t in members)
        # A trial's folds ran side by side, the newest and largest setting the pace; so do the models of the retrain.
        each = [t.user_attrs["seconds"] * t.user_attrs["best_epoch"] / max(1, t.user_attrs["epochs"]) for t in members]
        jobs = each * self.seeds
        slowest = [max(jobs[i : i + self.threads]) for i in range(0, len(jobs), self.threads)]
        return setup + self.growth * math.fsum(slowest)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the seconds spent inside to `seconds[name]`."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began
