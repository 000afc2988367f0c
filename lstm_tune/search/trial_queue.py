"""Which trials a study owes: those that were interrupted or lost are done again, and do not count meanwhile.

What became of a trial stands in its user attributes: `run`, the process that has it; `interrupted`, where the user
stopped it; `lost`, with the cause, where its process died; `repeats`, in the trial that does another one again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from lstm_tune.storage.optuna_private import id_of_study, id_of_trial, storage_of
from lstm_tune.utils.process import is_alive

RUN = "run"  # the user attribute that says which process has a trial, or the study
_REPEATS = 2  # times that a configuration is tried again after its process died


def needs_retry(trials: Sequence[FrozenTrial], trial: FrozenTrial) -> bool:
    """Return whether a trial must be done again: it was interrupted, or lost with its process, at most twice."""
    if trial.state is not TrialState.FAIL:
        return False
    attrs = trial.user_attrs
    return bool(attrs.get("interrupted")) or ("lost" in attrs and _losses(trials, trial) <= _REPEATS)


def _losses(trials: Sequence[FrozenTrial], trial: FrozenTrial) -> int:
    """Return how often a trial's configuration was lost with its process."""
    losses = 0
    while True:
        losses += not trial.user_attrs.get("interrupted")
        before = trial.user_attrs.get("repeats")
        if before is None:
            return losses
        trial = trials[before]


def n_counted(study: optuna.Study) -> int:
    """Return how many trials of the budget are used up; see `counted_trials`."""
    return len(counted_trials(study.get_trials(deepcopy=False)))


def counted_trials(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count towards the budget: all that ended, but for those that were queued again.

    Args:
        trials: of a study, all of them, in the order of their numbers.
    """
    repeated = {t.user_attrs.get("repeats") for t in trials}
    return [t for t in trials if t.state.is_finished() and t.number not in repeated and not needs_retry(trials, t)]


# ---- what is done about it


def begin_trial(study: optuna.Study, run: str) -> FrozenTrial:
    """Begin a trial for somebody: one from the queue, what was lost first, or a new one.

    Args:
        study: of the trial.
        run: whose trial it is; see `this_run`.
    """
    storage = storage_of(study)
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    for trial in sorted(waiting, key=lambda t: ("repeats" not in t.user_attrs, t.number)):
        with contextlib.suppress(UpdateFinishedTrialError):
            if storage.set_trial_state_values(id_of_trial(trial), state=TrialState.RUNNING):
                begun = id_of_trial(trial)
                break
    else:
        begun = storage.create_new_trial(id_of_study(study))
    storage.set_trial_user_attr(begun, RUN, run)
    return storage.get_trial(begun)


def fail_interrupted(study: optuna.Study, trial: FrozenTrial) -> None:
    """Fail a trial that the user has interrupted; a resumed study tries it again."""
    _fail(study, trial, {"interrupted": True})


def fail_own_interrupted(study: optuna.Study, run: str) -> None:
    """Fail what an interruption left running of a run's trials."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get(RUN) == run:
            fail_interrupted(study, trial)


def fail_and_requeue(study: optuna.Study, trial: FrozenTrial, cause: str) -> Literal["ended", "queued", "given up"]:
    """Fail a running trial whose process is gone, and queue its configuration again.

    Args:
        study: of the trial.
        trial: that was RUNNING in the storage when it was last looked at.
        cause: in a few words.

    Returns:
        "ended": the process had ended the trial before; "given up": the configuration was lost three times.
    """
    _fail(study, trial, {"lost": cause, "traceback": cause})
    trials = study.get_trials(deepcopy=False)
    trial = trials[trial.number]
    if _was_requeued(study, trial.number):
        return "queued"
    if needs_retry(trials, trial):
        _queue_again(study, trial)
        return "queued"
    return "given up" if trial.state is TrialState.FAIL and "lost" in trial.user_attrs else "ended"


def requeue_stale(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue the configuration of a trial that was failed for want of heartbeats, unless it was lost three times."""
    if _losses(study.get_trials(deepcopy=False), trial) <= _REPEATS:
        _queue_again(study, trial)


def recover_stale_trials(study: optuna.Study) -> None:
    """Fail the trials that an interruption left running, and queue them, and those it ended, again."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not is_alive(trial.user_attrs.get(RUN)):
            fail_and_requeue(study, trial, "its process ended")
    trials = study.get_trials(deepcopy=False)
    queued = {t.user_attrs.get("repeats") for t in trials}
    for trial in trials:
        if needs_retry(trials, trial) and trial.number not in queued:
            _queue_again(study, trial)


def _fail(study: optuna.Study, trial: FrozenTrial, attributes: Mapping[str, Any]) -> None:
    """Fail a trial, unless its process has ended it: whoever ends a trial first has ended it."""
    storage = storage_of(study)
    with contextlib.suppress(UpdateFinishedTrialError):  # which all others meet
        for key, value in attributes.items():  # before its end, so that a resumed study, too, tries it again
            storage.set_trial_user_attr(id_of_trial(trial), key, value)
        storage.set_trial_state_values(id_of_trial(trial), state=TrialState.FAIL)


def _was_requeued(study: optuna.Study, number: int) -> bool:
    """Return whether a trial's configuration was queued again."""
    return any(t.user_attrs.get("repeats") == number for t in study.get_trials(deepcopy=False))


def _queue_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue a trial's configuration; one from the queue may have ended before it took up all that was queued."""
    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    study.enqueue_trial(params, user_attrs={"repeats": trial.number})
