"""What as many trials again would bring: to the best value, and on new rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstm_tune.search.trials import Trial
from lstm_tune.utils.text import rounded

_LEAST = 8  # trials; with fewer the gain of more trials cannot be estimated
_LEAST_COMPLETED = 4
_KEPT_ON_NEW_ROWS = 0.25  # of a gain in the best value, on a log scale; see benchmarks/LOG.md


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """What as many trials again would bring."""

    trials: int
    completed: int
    value_gain: float  # share of the best value; NaN: too few trials to tell
    since_best: int
    last_third: float  # share of the best value that the last third of the trials took off

    @property
    def gain(self) -> float:
        """Share of the error on new rows; NaN: too few trials to tell.

        It is less than that of the best value, which is the least of many and so small by chance, too, and the saved
        model is a mean that one better trial changes little.
        """
        return 1 - math.pow(1 - self.value_gain, _KEPT_ON_NEW_ROWS)

    @property
    def evidence(self) -> dict[str, float | None]:
        """The numbers, for a finding."""
        return {
            "trials": self.trials,
            "expected_gain": rounded(self.gain, 3),
            "expected_gain_of_best_value": rounded(self.value_gain, 3),
            "for_trials": self.trials,
            "trials_since_best": self.since_best,
            "gain_of_last_third": rounded(self.last_third, 3),
        }


def outlook_of(trials: Sequence[Trial]) -> Outlook | None:
    """Return what as many trials again would bring; None if no trial has a value.

    Args:
        trials: all that have ended, in the order of their numbers. Those that repeat another one do not count, nor do
            those that the time limit ended before their first epoch.
    """
    ended = [t for t in trials if t.state in ("COMPLETE", "PRUNED") and t.same_as is None and not t.cut_untrained]
    return expect([t.value if t.trained and t.value is not None else math.inf for t in ended])


def expect(values: Sequence[float]) -> Outlook | None:
    """Return what as many trials again would bring, given the values of trials; inf: it has none. None: no one has.

    The gain, on the logarithm of the value: the mean, over all orders in which the trials could have come, of what the
    second half of them took off the best value of the first half is known exactly from the ranks, and so is that of the
    second quarter. The next doubling is taken to bring as much less than the last one as the last one brought less than
    the one before, as it is if the values near the best follow a power law. Half of what the last third of the trials
    really took off counts if it is more: then the sampler is still learning. Pruned trials count as the worst completed
    one.
    """
    finite = [v for v in values if 0 < v < math.inf]
    if not finite:
        return None
    n = len(values)
    if n < _LEAST or len(finite) < _LEAST_COMPLETED:
        return Outlook(trials=n, completed=len(finite), value_gain=math.nan, since_best=0, last_third=math.nan)
    worst = max(finite)
    logs = np.log([v if 0 < v < math.inf else worst for v in values])
    quarter, half = _expected_best(logs, max(1, n // 4)), _expected_best(logs, max(2, n // 2))
    last, before = half - float(logs.min()), quarter - half
    doubling = last * min(1.0, last / before) if before > 0 else last
    lately = float(logs[: -max(1, n // 3)].min() - logs.min())
    return Outlook(
        trials=n,
        completed=len(finite),
        value_gain=1 - math.exp(-max(doubling, lately / 2)),
        since_best=n - 1 - int(logs.argmin()),
        last_third=1 - math.exp(-lately),
    )


def _expected_best(logs: np.ndarray, k: int) -> float:
    """Return the mean of the least of k values drawn without replacement: an exact sum over the ranks."""
    n = len(logs)
    chance, total = k / n, 0.0  # that the least of all is drawn; then that the next is, and none below it
    for i, value in enumerate(np.sort(logs)):
        total += chance * float(value)
        if n - i - 1 <= 0:
            break
        chance *= (n - i - k) / (n - i - 1)
        if chance <= 0:
            break
    return total
