"""The study: created or taken up again, carried out, and when it ends."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from lstm_tune.errors import LstmTuneError, StudyError
from lstm_tune.search.identity import StudyIdentity, first_command, kept_settings
from lstm_tune.search.space import Space
from lstm_tune.search.trial_attributes import Attr
from lstm_tune.search.trial_queue import begin_trial, counted_trials, recover_stale_trials
from lstm_tune.search.trials import Trial, read_trials
from lstm_tune.storage.optuna_private import StudyWithBegin, id_of_trial
from lstm_tune.utils.process import is_alive, this_run

_FAILURES_IN_A_ROW = 10
_GAIN = 0.01  # of the best value: what counts as one

OptunaCallback = Callable[[optuna.Study, FrozenTrial], None]


class OwnStudy(StudyWithBegin):
    """A study that marks the trials that it begins with the process that has them."""

    def begin(self) -> int:
        """Begin a trial of this process."""
        return id_of_trial(begin_trial(self, this_run()))


class SharedStudy(StudyWithBegin):
    """A study whose trials are begun elsewhere, and which remembers `stop`: no one loop of `optimize` could end."""

    stopped = False
    given: int | None = None  # the id of the trial that is next

    def stop(self) -> None:
        """Let no further trial begin; those that run go on."""
        self.stopped = True

    def begin(self) -> int:
        """Take the trial that was given."""
        trial, self.given = self.given, None
        assert trial is not None
        return trial


def kept_precision(storage: BaseStorage, name: str) -> str | None:
    """Return the precision of a study that exists; None: there is none, or it is not ours."""
    if name not in optuna.get_all_study_names(storage):
        return None
    kept = kept_settings(optuna.load_study(study_name=name, storage=storage))
    return None if kept is None else str(kept["precision"])


def create_study(
    storage: BaseStorage,
    name: str,
    identity: StudyIdentity,
    *,
    sampler: BaseSampler,
    pruner: BasePruner,
    resume: bool,
    alone: bool,
) -> optuna.Study:
    """Create the study, or take it up again.

    Args:
        storage: that holds it.
        name: of the study.
        identity: what makes two studies the same (data, split, space, seed); kept with the study and compared.
        sampler: of parameters.
        pruner: of trials.
        resume: whether the study may exist already.
        alone: whether the storage may hold no other study: it is a run folder's journal.

    Raises:
        StudyError: the study exists and `resume` was not asked for, or its settings differ.
    """
    exists = name in optuna.get_all_study_names(storage)
    if exists and not resume:
        raise StudyError(f"study {name!r} exists already; pass --resume to continue it, or another --study or --out")
    others = [other for other in optuna.get_all_study_names(storage) if other != name]
    if alone and others:
        raise StudyError(
            f"the run folder holds study {others[0]!r}, made with other settings than {name!r}; "
            f"{first_command(optuna.load_study(study_name=others[0], storage=storage))}, or use another --out"
        )
    optuna.create_study(storage=storage, study_name=name, direction="minimize", load_if_exists=True)
    study = OwnStudy(name, storage, sampler, pruner)
    if not exists:
        identity.keep(study)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(["validation score (scaled MSE)"])
    else:
        identity.check(study)
        if is_alive(owner := study.user_attrs.get(Attr.RUN)):
            process = str(owner).split("/")[1]
            raise StudyError(f"study {name!r} is at work in process {process}; wait until it has ended, or stop it")
        recover_stale_trials(study)
    study.set_user_attr(Attr.RUN, this_run())
    return study


def optimize(
    study: optuna.Study,
    objective: Callable[[optuna.Trial], float],
    *,
    n_trials: int | None,
    callbacks: Sequence[OptunaCallback],
    on_lost: Callable[[int], None],
) -> None:
    """Do what `study.optimize` does, and outlive what it does not: a trial that is taken away, a storage that fails.

    A trial is taken away where another process has failed it, for want of heartbeats or as a left-over. Nothing of it
    is stored then, it does not count, and the next one begins.

    Args:
        study: to go on with.
        objective: of a trial.
        n_trials: to be ended; None: until the study is stopped.
        callbacks: called after every trial.
        on_lost: called with the number of a trial that was taken away.

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
    """Return the error of ours behind an error: Optuna fails an assertion where a trial's end cannot be stored."""
    while error is not None and not isinstance(error, LstmTuneError):
        error = error.__cause__ or error.__context__
    return error


def enqueue_known(study: optuna.Study, space: Space, n_trials: int | None = None) -> None:
    """Queue the plain LSTM and the preset's best-known ones, so that no study ends behind them.

    Args:
        study: that may hold some of them already.
        space: that admits them.
        n_trials: of the whole study: more are not queued, so that none waits at its end; None: as many as time allows.
    """
    for params in space.enqueued()[:n_trials]:
        study.enqueue_trial(params, skip_if_exists=True)


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
            f"what was finished is kept: put this right and repeat the command with --resume"
        )


def gained_nothing(trials: Sequence[Trial], patience: int) -> bool:
    """Return whether none of the last `patience` trials took 1% off the best value, and none waits in the queue.

    Args:
        trials: all of a study, in the order of their numbers.
        patience: trials without a gain.
    """
    if any(t.state == "WAITING" for t in trials):
        return False
    best, last_gain, ended = math.inf, 0, 0
    for trial in counted_trials(trials):
        ended += 1
        if trial.state == "COMPLETE" and trial.value is not None and trial.value < (1 - _GAIN) * best:
            best, last_gain = trial.value, ended
    return ended - last_gain >= patience
