"""The time budget: deadlines for trials, retrain and test."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lstm_tune.search.trials import Outcome

_RESERVE_UNKNOWN = 0.25  # of the time left, kept for the retrain while no trial has shown what it costs
_RESERVE_MOST = 0.5  # of all time: if the retrain needs more, it trains fewer seeds
_TRIAL_SHARE = 0.34  # of the time left, at most for one trial: one slow configuration must not eat the study
_RESERVE_LEAST = 0.1  # of all time: on a machine that is busy with other work the retrain is slower than the trials
_SCORING = 0.05  # of all time, kept for scoring the test windows and writing the files
_MARGIN = 1.5
_OVERHEAD = 1.0  # seconds for scoring and writing files
_LATE = 0.2  # of all time: if as much is over before the study begins, the machine is busy with other work


@dataclass(frozen=True, slots=True)
class Clock:
    """One deadline for study, retrain and test together, and the seconds that each step took.

    Attributes:
        timeout: seconds, from `began`; None: no limit.
        began: on the clock of `time.monotonic`.
        advice: share of all time that is kept for trying what the findings advise.
        before: seconds of the run before `began`: if imports alone take longer than the limit, a second is left.
        seconds: what each step took so far, by its name.
    """

    timeout: float | None
    began: float = field(default_factory=time.monotonic)
    advice: float = 0.0
    before: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def end(self) -> float:
        """When all must be over, on the clock of `time.monotonic`."""
        return math.inf if self.timeout is None else self.began + self.timeout

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning of the run."""
        return time.monotonic() - self.began + self.before

    @property
    def is_late(self) -> bool:
        """Whether so much time is over, before the study begins, that what can be left out should be."""
        return self.timeout is not None and self.elapsed > _LATE * self.timeout

    def least_timeout(self) -> float | None:
        """Return the limit of which advice takes a multiple: at least what was over before the study; None: no limit.

        On a busy machine that is longer than a short limit, and a multiple of the limit alone would leave no time.
        """
        before = sum(self.seconds.get(step, 0.0) for step in ("start", "data", "setup"))
        return None if self.timeout is None else max(self.timeout, before)

    def left(self) -> float | None:
        """Return the seconds that are left, None without a limit."""
        return None if self.timeout is None else max(0.0, self.end - time.monotonic())

    @property
    def _findings(self) -> float:
        """When the findings must be there, so that there is time to try what they advise."""
        return math.inf if self.timeout is None else self.end - self.advice * self.timeout

    @property
    def retrain_end(self) -> float:
        """When the retrain must be over, so that there is time to score it and to write the files."""
        return math.inf if self.timeout is None else self._findings - max(_OVERHEAD, _SCORING * self.timeout)

    def advice_end(self) -> float:
        """Return when trying what the findings advise must be over, if it begins now."""
        if self.timeout is None:
            return math.inf
        return min(time.monotonic() + self.advice * self.timeout, self.end - _OVERHEAD)

    def study_end(self, retrain: float | None) -> float:
        """Return when trials must be over, so that there is time for the retrain.

        Args:
            retrain: seconds that it will take (`RetrainCost.seconds`); None: no trial has shown it yet.
        """
        if self.timeout is None:
            return math.inf
        if retrain is None:
            return time.monotonic() + (self._findings - time.monotonic()) * (1 - _RESERVE_UNKNOWN)
        needed = retrain * _MARGIN + _OVERHEAD + _SCORING * self.timeout
        return self._findings - min(max(needed, _RESERVE_LEAST * self.timeout), _RESERVE_MOST * self.timeout)

    def trial_end(self, retrain: float | None) -> float:
        """Return when a trial that begins now must stop with what it has; see `study_end`."""
        now = time.monotonic()
        end = self.study_end(retrain)
        return end if math.isinf(end) else now + max(0.0, end - now) * _TRIAL_SHARE

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the seconds spent inside the `with` to `seconds[name]`."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrainCost:
    """How the time of a trial becomes that of its retrain.

    Attributes:
        seeds: times that each trial of the ensemble is retrained.
        threads: that share the models of the retrain.
        growth: training windows in an epoch of the retrain over those of a trial's epoch that one thread trains on.
    """

    seeds: int = 1
    threads: int = 1
    growth: float = 1.0

    def seconds(self, members: Sequence[Outcome]) -> float | None:
        """Return the seconds that retraining these completed trials will take; None if there are none."""
        if not members:
            return None
        setup = math.fsum(m.setup_seconds for m in members)
        # A trial's folds ran side by side, the newest and largest setting the pace; so do the models of the retrain.
        each = [m.seconds * m.best_epoch / max(1, m.epochs) for m in members]
        jobs = each * self.seeds
        slowest = [max(jobs[i : i + self.threads]) for i in range(0, len(jobs), self.threads)]
        return setup + self.growth * math.fsum(slowest)
