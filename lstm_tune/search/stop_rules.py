"""When a study ends before its budget is used up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial

from lstm_tune.errors import StudyError
from lstm_tune.search.tickets import is_free
from lstm_tune.search.trial_queue import counted_trials
from lstm_tune.search.trials import Trial, read_trials

_FAILURES_IN_A_ROW = 10
CUT_IN_A_ROW = 3
REPEATED_IN_A_ROW = 30  # a repeated trial costs no training, so a few more than needed do no harm
_GAIN = 0.01  # of the best value: less is none


def stop_after_failures(study: optuna.Study, trial: FrozenTrial) -> None:
    """End the study when the last ten trials all failed; a callback for `study.optimize`.

    Raises:
        StudyError: with the cause.
    """
    last = counted_trials(read_trials(study))[-_FAILURES_IN_A_ROW:]
    if len(last) == _FAILURES_IN_A_ROW and all(t.state == "FAIL" for t in last):
        cause = Trial.of(trial).failure or "unknown"
        raise StudyError(
            f"{_FAILURES_IN_A_ROW} trials in a row failed, so the study was stopped; the last one: {cause}; "
            f"what was finished is kept: put this right and repeat tune with resume=True"
        )


def cut_in_a_row(trials: Sequence[Trial], before: int) -> bool:
    """Return whether the time limit ended each of the last three trials before its first epoch.

    Args:
        trials: all of a study, in the order of their numbers.
        before: trials that counted before this call, which may have had another time limit.
    """
    last = counted_trials(trials)[before:][-CUT_IN_A_ROW:]
    return len(last) == CUT_IN_A_ROW and all(t.cut_untrained for t in last)


def repeated_in_a_row(trials: Sequence[Trial]) -> bool:
    """Return whether each of the last thirty trials repeats an earlier one: the space holds no more configurations.

    Args:
        trials: all of a study, in the order of their numbers.
    """
    last = counted_trials(trials)[-REPEATED_IN_A_ROW:]
    return len(last) == REPEATED_IN_A_ROW and all(t.same_as is not None for t in last)


def gained_nothing(trials: Sequence[Trial], patience: int) -> bool:
    """Return whether none of the last `patience` trials took 1% off the best value, and none waits in the queue.

    Args:
        trials: all of a study, in the order of their numbers.
        patience: trials without a gain.
    """
    if any(t.state == "WAITING" and not is_free(t) for t in trials):
        return False
    best, last_gain, ended = math.inf, 0, 0
    for trial in counted_trials(trials):
        ended += 1
        if trial.state == "COMPLETE" and trial.value is not None and trial.value < (1 - _GAIN) * best:
            best, last_gain = trial.value, ended
    return ended - last_gain >= patience
