"""The loop that does the trials of a study in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial

from lstm_tune.errors import LstmTuneError
from lstm_tune.search.study import OptunaCallback


def optimize(
    study: optuna.Study,
    objective: Callable[[optuna.Trial], float],
    *,
    n_trials: int | None,
    callbacks: Sequence[OptunaCallback],
    on_lost: Callable[[int], None],
) -> None:
    """Do what `study.optimize` does, and survive what ends that: a lost trial, a storage that fails.

    A trial is lost if another process has failed it, because its heartbeats stopped or as a left-over. Nothing more is
    stored of it, it does not count, and the next one begins.

    Args:
        study: to continue.
        objective: of a trial.
        n_trials: that must end; None: until the study is stopped.
        callbacks: called after every trial.
        on_lost: called with the number of a lost trial.

    Raises:
        StudyError: the storage fails; the cause, not what Optuna makes of it.
    """
    begun, ended, last_ended = -1, 0, -1

    def begin(trial: optuna.Trial) -> float:
        nonlocal begun
        begun = trial.number
        try:
            return objective(trial)
        except UpdateFinishedTrialError:  # Optuna would log a traceback, and another one when it stores the trial
            raise optuna.TrialPruned("another process has ended this trial") from None

    def count(study: optuna.Study, trial: FrozenTrial) -> None:
        nonlocal ended, last_ended
        ended, last_ended = ended + 1, trial.number

    while n_trials is None or ended < n_trials:
        left = None if n_trials is None else n_trials - ended
        try:
            study.optimize(begin, n_trials=left, callbacks=[count, *callbacks], catch=(Exception,))
        except Exception as error:
            if (cause := _own_error(error)) is not None:
                raise cause from None
            if begun == last_ended or not study.get_trials(deepcopy=False)[begun].state.is_finished():
                raise
            on_lost(begun)
            last_ended = begun
        else:
            return


def _own_error(error: BaseException | None) -> LstmTuneError | None:
    """Return our own error behind an error: Optuna fails an assertion if the end of a trial cannot be stored."""
    while error is not None and not isinstance(error, LstmTuneError):
        error = error.__cause__ or error.__context__
    return error
