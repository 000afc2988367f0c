"""Which trials must be retried: interrupted and lost ones are queued again, and don't count towards the budget."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from lstm_tune.search.space import Space
from lstm_tune.search.trial_attributes import Attr
from lstm_tune.search.trials import Trial, read_trials
from lstm_tune.storage.database_kind import silent_trials
from lstm_tune.storage.kind import StaleTrials
from lstm_tune.storage.optuna_private import id_of_study, id_of_trial, storage_of
from lstm_tune.utils.process import is_alive, is_local
from lstm_tune.utils.text import counted

_RETRIES = 2  # of a configuration whose process was lost


def needs_retry(trials: Sequence[Trial], trial: Trial) -> bool:
    """Return whether a trial must be done again: the user interrupted it, or its process was lost, at most twice."""
    if trial.state != "FAIL":
        return False
    return trial.interrupted or (trial.lost is not None and _losses(trials, trial) <= _RETRIES)


def _losses(trials: Sequence[Trial], trial: Trial) -> int:
    """Return how often a trial's configuration was lost with its process."""
    losses = 0
    while True:
        losses += not trial.interrupted
        if trial.repeats is None:
            return losses
        trial = trials[trial.repeats]


def counted_trials(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that count towards the budget: all that ended, without those that are queued again.

    Args:
        trials: all of a study, in the order of their numbers.
    """
    return [t for t in trials if t.finished and not needs_retry(trials, t)]


def n_counted(study: optuna.Study) -> int:
    """Return how many trials of the budget are used up; see `counted_trials`."""
    return len(counted_trials(read_trials(study)))


# ---- what is done about it


def begin_trial(study: optuna.Study, run: str) -> FrozenTrial:
    """Begin a trial: one from the queue, what was lost first, or a new one.

    Args:
        study: of the trial.
        run: the process that coordinates it; see `this_run`.
    """
    storage = storage_of(study)
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    for trial in sorted(waiting, key=lambda t: (Trial.of(t).repeats is None, t.number)):
        with contextlib.suppress(UpdateFinishedTrialError):
            if storage.set_trial_state_values(id_of_trial(trial), state=TrialState.RUNNING):
                begun = id_of_trial(trial)
                break
    else:
        begun = storage.create_new_trial(id_of_study(study))
    storage.set_trial_user_attr(begun, Attr.RUN, run)
    return storage.get_trial(begun)


def fail_interrupted(study: optuna.Study, number: int) -> None:
    """Fail a trial that the user has interrupted; a resumed study tries it again."""
    _fail(study, number, {Attr.INTERRUPTED: True})


def give_back(study: optuna.Study, number: int) -> None:
    """Fail a trial that this process must leave, and queue it again at once, for another process."""
    fail_interrupted(study, number)
    trials = read_trials(study)
    if needs_retry(trials, trials[number]) and all(t.repeats != number for t in trials):
        _queue_again(study, trials[number])


def fail_own_interrupted(study: optuna.Study, run: str) -> None:
    """Fail the trials of a process that an interruption left running."""
    for trial in read_trials(study):
        if trial.state == "RUNNING" and trial.run == run:
            fail_interrupted(study, trial.number)


def fail_waiting(study: optuna.Study) -> None:
    """Fail the trials that still wait in the queue of a study that has ended; a resumed study tries them first."""
    for trial in read_trials(study):
        if trial.state == "WAITING":
            fail_interrupted(study, trial.number)


def fail_and_requeue(study: optuna.Study, number: int, cause: str) -> Literal["ended", "queued", "given up"]:
    """Fail a running trial whose process is gone, and queue its configuration again.

    Args:
        study: of the trial.
        number: of a trial that was RUNNING when it was last looked at.
        cause: in a few words.

    Returns:
        "ended": the process had ended the trial before; "given up": the configuration was lost three times.
    """
    _fail(study, number, lost_because(cause))
    trials = read_trials(study)
    trial = trials[number]
    if any(t.repeats == number for t in trials):
        return "queued"
    if needs_retry(trials, trial):
        _queue_again(study, trial)
        return "queued"
    return "given up" if trial.state == "FAIL" and trial.lost is not None else "ended"


def requeue_stale(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue the configuration of a trial that was failed because its heartbeats stopped, unless it was lost thrice."""
    trials = read_trials(study)
    if _losses(trials, trials[trial.number]) <= _RETRIES:
        _queue_again(study, trials[trial.number])


def recover_stale_trials(study: optuna.Study, dead: str | None, take_over: bool, info: Callable[[str], None]) -> None:
    """Fail the trials that an interruption left running; queue them, and those that it ended, again.

    Args:
        study: that nobody else coordinates.
        dead: a process of another machine that is known to be dead; None: there is none.
        take_over: whether the user says that the other machines are gone.
        info: told of running trials of other machines, which are left alone: whether they are still at work is unknown.
    """
    elsewhere, silent = [], silent_trials(storage_of(study), id_of_study(study))
    for trial in read_trials(study):
        if trial.state == "RUNNING" and not is_alive(trial.run):
            if trial.run is None or is_local(trial.run) or trial.run == dead:
                fail_and_requeue(study, trial.number, "its process ended")
            elif take_over:
                fail_and_requeue(study, trial.number, "its machine is gone")
            elif trial.number in silent:
                fail_and_requeue(study, trial.number, "its worker sends no heartbeats")
            else:
                elsewhere.append(trial)
    if elsewhere:
        hosts = ", ".join(sorted({str(trial.run).partition("/")[0] for trial in elsewhere}))
        are = "is" if len(elsewhere) == 1 else "are"
        info(
            f"{counted(len(elsewhere), 'trial')} of another machine ({hosts}) may still run, and {are} left alone; "
            f"if that machine is gone, pass take_over=True"
        )
    trials = read_trials(study)
    queued = {t.repeats for t in trials}
    for trial in trials:
        unused = trial.run is None and not trial.queued_params  # a ticket that nobody took is as good as a new one
        if needs_retry(trials, trial) and trial.number not in queued and not unused:
            _queue_again(study, trial)


def lost_because(cause: str) -> dict[str, str]:
    """Return the user attributes of a trial whose process was lost."""
    return {Attr.LOST: cause, Attr.TRACEBACK: cause}


def _fail(study: optuna.Study, number: int, attributes: Mapping[str, Any]) -> None:
    """Fail a trial, unless its process has ended it: whoever ends a trial first has ended it."""
    storage = storage_of(study)
    trial_id = storage.get_trial_id_from_study_id_trial_number(id_of_study(study), number)
    with contextlib.suppress(UpdateFinishedTrialError):  # which all others meet
        for key, value in attributes.items():  # before its end, so that a resumed study, too, tries it again
            storage.set_trial_user_attr(trial_id, key, value)
        storage.set_trial_state_values(trial_id, state=TrialState.FAIL)


def _queue_again(study: optuna.Study, trial: Trial) -> None:
    """Queue a trial's configuration; one from the queue may have ended before it took up all that was queued."""
    params = {**(trial.queued_params or {}), **trial.params}
    study.enqueue_trial(params, user_attrs={Attr.REPEATS: trial.number})


def enqueue_known(study: optuna.Study, space: Space, n_trials: int | None = None) -> None:
    """Queue the plain LSTM and the preset's best-known ones, so that no study ends behind them.

    Args:
        study: that may hold some of them already.
        space: that admits them.
        n_trials: of the whole study: more are not queued, so that none waits at its end; None: as many as time allows.
    """
    for params in space.enqueued()[:n_trials]:
        study.enqueue_trial(params, skip_if_exists=True)


# What a database does with a running trial whose worker no longer sends heartbeats.
STALE_TRIALS = StaleTrials(attributes=lost_because("its worker sends no heartbeats"), requeue=requeue_stale)
