"""The study: who samples, who prunes, and how it goes on after an interruption."""

from __future__ import annotations

import contextlib
import json
import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from lstm_tune.config import Config
from lstm_tune.ensemble import Candidate
from lstm_tune.errors import LstmTuneError, StudyError, UsageError
from lstm_tune.processes import is_alive, this_run
from lstm_tune.space import Space

SAMPLERS = ("tpe", "random", "gp", "cmaes", "grid")
PRUNERS = ("median", "none", "halving", "hyperband", "wilcoxon")
SCHEMA = 1
_SETTINGS = "lstm_tune"
_BEFORE = {"precision": "fp32"}  # settings of studies that were begun before these were settings
_FAILURES_IN_A_ROW = 10
_REPEATS = 2  # times that a configuration is tried again after its process died
RUN = "run"  # the user attribute that says which process has a trial, or the study
_GAIN = 0.01  # of the best value: what counts as one

OptunaCallback = Callable[[optuna.Study, FrozenTrial], None]


class OwnStudy(optuna.Study):
    """An ordinary study, which marks the trials that it begins with the process that has them."""

    def _pop_waiting_trial_id(self) -> int:
        return begin_trial(self, this_run())._trial_id


class PerTrialSampler(BaseSampler):
    """A sampler whose random numbers depend on the seed and the trial's number alone.

    A fresh sampler is made for each trial; all that Optuna's samplers learn from stands in the study. Trials that were
    done again do not count in the number. So a study that was interrupted and resumed suggests what the uninterrupted
    one would have.

    Several workers, each with such a sampler, draw different numbers, too.

    Args:
        make: makes a sampler of a seed.
        seed: of the study.
    """

    def __init__(self, make: Callable[..., BaseSampler], seed: int) -> None:
        self._make = make
        self._seed = seed
        self._sampler = make(seed=seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Make the trial's own sampler."""
        before = study.get_trials(deepcopy=False)[: trial.number]
        number = trial.number - sum(_is_owed(before, t) for t in before)
        self._sampler = self._make(seed=(self._seed * 1_000_003 + number) % 2**32)
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Delegate to the trial's sampler."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Delegate to the trial's sampler."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Delegate to the trial's sampler."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Delegate to the trial's sampler."""
        self._sampler.after_trial(study, trial, state, values)


def make_sampler(sampler: str | BaseSampler, seed: int, space: Space) -> BaseSampler:
    """Return the sampler of a name (`SAMPLERS`), or the given one.

    Raises:
        UsageError: an unknown name.
    """
    if isinstance(sampler, BaseSampler):
        return sampler
    match sampler:
        case "tpe":
            return PerTrialSampler(optuna.samplers.TPESampler, seed)
        case "random":
            return PerTrialSampler(optuna.samplers.RandomSampler, seed)
        case "gp":
            return PerTrialSampler(optuna.samplers.GPSampler, seed)
        case "cmaes":
            return PerTrialSampler(partial(optuna.samplers.CmaEsSampler, warn_independent_sampling=False), seed)
        case "grid":
            return optuna.samplers.GridSampler(space.grid(), seed=seed)
    raise UsageError(f"sampler must be one of {', '.join(SAMPLERS)}, but is {sampler!r}")


def make_pruner(pruner: str | BasePruner, epochs: int, startup_trials: int = 5) -> BasePruner:
    """Return the pruner of a name (`PRUNERS`), or the given one.

    Args:
        pruner: a name or an Optuna pruner.
        epochs: the most that a trial of the space may train; what halving and hyperband count in.
        startup_trials: completed trials before the median pruner begins.

    Raises:
        UsageError: an unknown name.
    """
    if isinstance(pruner, BasePruner):
        return pruner
    match pruner:
        case "median":
            return optuna.pruners.MedianPruner(n_startup_trials=startup_trials, n_warmup_steps=max(1, epochs // 10))
        case "none":
            return optuna.pruners.NopPruner()
        case "halving":
            return optuna.pruners.SuccessiveHalvingPruner(min_resource=max(1, epochs // 10))
        case "hyperband":
            return optuna.pruners.HyperbandPruner(min_resource=max(1, epochs // 10), max_resource=epochs)
        case "wilcoxon":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return optuna.pruners.WilcoxonPruner(n_startup_steps=2)
    raise UsageError(f"pruner must be one of {', '.join(PRUNERS)}, but is {pruner!r}")


def kept_precision(storage: BaseStorage, name: str) -> str | None:
    """Return the precision of a study that exists; None: there is none, or it is not ours."""
    if name not in optuna.get_all_study_names(storage):
        return None
    kept = optuna.load_study(study_name=name, storage=storage).user_attrs.get(_SETTINGS)
    return None if kept is None else str((_BEFORE | kept)["precision"])


def create_study(
    storage: BaseStorage,
    name: str,
    settings: dict[str, Any],
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
        settings: what makes two studies the same (data, split, space, seed); kept with the study and compared.
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
            f"repeat the first command with --resume, or use another --out"
        )
    optuna.create_study(storage=storage, study_name=name, direction="minimize", load_if_exists=True)
    study = OwnStudy(name, storage, sampler, pruner)
    plain = json.loads(json.dumps(settings))
    if not exists:
        study.set_user_attr(_SETTINGS, plain)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(["validation score (scaled MSE)"])
    else:
        kept = study.user_attrs.get(_SETTINGS)
        if kept is None:
            raise StudyError(f"study {name!r} was not made by lstm_tune; use another --study")
        kept = _BEFORE | kept
        for key, value in plain.items():
            if kept.get(key) != value:
                raise StudyError(
                    f"study {name!r} was made with another {key} ({_short(kept.get(key))}, now {_short(value)}); "
                    f"repeat the first command with --resume, or use another --study or --out"
                )
        if is_alive(owner := study.user_attrs.get(RUN)):
            process = str(owner).split("/")[1]
            raise StudyError(f"study {name!r} is at work in process {process}; wait until it has ended, or stop it")
        _take_up(study)
    study.set_user_attr(RUN, this_run())
    return study


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _take_up(study: optuna.Study) -> None:
    """Fail the trials that an interruption left running, and queue them, and those it ended, again."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not is_alive(trial.user_attrs.get(RUN)):
            fail_lost(study, trial, "its process ended")
    trials = study.get_trials(deepcopy=False)
    queued = {t.user_attrs.get("repeats") for t in trials}
    for trial in trials:
        if _is_owed(trials, trial) and trial.number not in queued:
            _queue_again(study, trial)


def begin_trial(study: optuna.Study, run: str) -> FrozenTrial:
    """Begin a trial for somebody: one from the queue, what was lost first, or a new one.

    Args:
        study: of the trial.
        run: whose trial it is; see `this_run`.
    """
    storage = study._storage
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    for trial in sorted(waiting, key=lambda t: ("repeats" not in t.user_attrs, t.number)):
        with contextlib.suppress(UpdateFinishedTrialError):
            if storage.set_trial_state_values(trial._trial_id, state=TrialState.RUNNING):
                trial_id = trial._trial_id
                break
    else:
        trial_id = storage.create_new_trial(study._study_id)
    storage.set_trial_user_attr(trial_id, RUN, run)
    return storage.get_trial(trial_id)


def fail_lost(study: optuna.Study, trial: FrozenTrial, cause: str) -> Literal["ended", "queued", "given up"]:
    """Fail a running trial whose process is gone, and queue its configuration again.

    Args:
        study: of the trial.
        trial: that was RUNNING in the storage when it was last looked at.
        cause: in a few words.

    Returns:
        "ended": the process had ended the trial before; "given up": the configuration was lost three times.
    """
    storage = study._storage
    # Whoever ends a trial first has ended it; all others are refused.
    with contextlib.suppress(UpdateFinishedTrialError):
        storage.set_trial_user_attr(trial._trial_id, "lost", cause)  # so that a resumed study, too, tries it again
        storage.set_trial_user_attr(trial._trial_id, "traceback", cause)
        storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
    trials = study.get_trials(deepcopy=False)
    trial = trials[trial.number]
    if was_requeued(study, trial.number):
        return "queued"
    if _is_owed(trials, trial):
        _queue_again(study, trial)
        return "queued"
    return "given up" if trial.state is TrialState.FAIL and "lost" in trial.user_attrs else "ended"


def drop(study: optuna.Study, trial: FrozenTrial) -> None:
    """Fail a trial that the user has interrupted; a resumed study tries it again."""
    with contextlib.suppress(UpdateFinishedTrialError):
        study._storage.set_trial_user_attr(trial._trial_id, "interrupted", True)
        study._storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)


def drop_own(study: optuna.Study, run: str) -> None:
    """Fail what an interruption left running of a run's trials."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get(RUN) == run:
            drop(study, trial)


def _is_owed(trials: Sequence[FrozenTrial], trial: FrozenTrial) -> bool:
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


def requeue(study: optuna.Study, trial: FrozenTrial) -> bool:
    """Queue the configuration of a trial that was lost, and return whether: not where it was lost three times."""
    if _losses(study.get_trials(deepcopy=False), trial) > _REPEATS:
        return False
    _queue_again(study, trial)
    return True


def requeue_stale(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue the configuration of a trial that was failed for want of heartbeats."""
    requeue(study, trial)


def was_requeued(study: optuna.Study, number: int) -> bool:
    """Return whether a trial's configuration was queued again."""
    return any(t.user_attrs.get("repeats") == number for t in study.get_trials(deepcopy=False))


def optimize(
    study: optuna.Study,
    objective: Callable[[optuna.Trial], float],
    *,
    n_trials: int | None,
    callbacks: Sequence[OptunaCallback],
    on_taken: Callable[[int], None],
) -> None:
    """Do what `study.optimize` does, and outlive what it does not: a trial that is taken away, a storage that fails.

    A trial is taken away where another process has failed it, for want of heartbeats or as a left-over. Nothing of it
    is stored then, it does not count, and the next one begins.

    Args:
        study: to go on with.
        objective: of a trial.
        n_trials: to be ended; None: until the study is stopped.
        callbacks: called after every trial.
        on_taken: called with the number of a trial that was taken away.

    Raises:
        StudyError: the storage fails; the cause, not what Optuna makes of it.
    """
    begun, ended, last_ended = -1, 0, -1

    def begin(trial: optuna.Trial) -> float:
        nonlocal begun
        begun = trial.number
        return objective(trial)

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
            on_taken(begun)
            last_ended = begun
        else:
            return


def _own_error(error: BaseException | None) -> LstmTuneError | None:
    """Return the error of ours behind an error: Optuna fails an assertion where a trial's end cannot be stored."""
    while error is not None and not isinstance(error, LstmTuneError):
        error = error.__cause__ or error.__context__
    return error


def _queue_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue a trial's configuration; one from the queue may have ended before it took up all that was queued."""
    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    study.enqueue_trial(params, user_attrs={"repeats": trial.number})


def spent(study: optuna.Study) -> int:
    """Return how many trials of the budget are used up: all that ended, but for those that were queued again."""
    return len(_used_up(study))


def _used_up(study: optuna.Study) -> list[FrozenTrial]:
    trials = study.get_trials(deepcopy=False)
    repeated = {t.user_attrs.get("repeats") for t in trials}
    return [t for t in trials if t.state.is_finished() and t.number not in repeated and not _is_owed(trials, t)]


def enqueue_known(study: optuna.Study, space: Space) -> None:
    """Queue the article's configuration and the preset's best-known ones, so that no study ends behind them."""
    for params in space.enqueued():
        study.enqueue_trial(params, skip_if_exists=True)


def stop_after_failures(study: optuna.Study, trial: FrozenTrial) -> None:
    """End the study when the last ten trials all failed; a callback for `study.optimize`.

    Raises:
        StudyError: with the cause.
    """
    last = _used_up(study)[-_FAILURES_IN_A_ROW:]
    if len(last) == _FAILURES_IN_A_ROW and all(t.state is TrialState.FAIL for t in last):
        cause = str(trial.user_attrs.get("traceback", "unknown")).strip().splitlines()[-1]
        raise StudyError(
            f"{_FAILURES_IN_A_ROW} trials in a row failed, so the study was stopped; the last one: {cause}; "
            f"what was finished is kept: put this right and repeat the command with --resume"
        )


def gained_nothing(study: optuna.Study, patience: int) -> bool:
    """Return whether none of the last `patience` trials took 1% off the best value, and none waits in the queue."""
    if study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        return False
    best, last_gain, ended = math.inf, 0, 0
    for trial in _used_up(study):
        ended += 1
        if trial.state is TrialState.COMPLETE and trial.value is not None and trial.value < (1 - _GAIN) * best:
            best, last_gain = trial.value, ended
    return ended - last_gain >= patience


def completed(study: optuna.Study) -> list[FrozenTrial]:
    """Return the completed trials, the best first; equal values in the order of their numbers."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(trials, key=lambda t: (t.value if t.value is not None else float("inf"), t.number))


def candidates(study: optuna.Study) -> list[Candidate]:
    """Return what an ensemble is chosen from: the completed trials."""
    return [_candidate(trial, trial.value) for trial in completed(study) if trial.value is not None]


def _candidate(trial: FrozenTrial, value: float) -> Candidate:
    attrs = trial.user_attrs
    config = Config.from_params(attrs["config"])
    # Of studies that were begun before it was recorded the start is not known.
    start = attrs.get("start", math.inf) if config.corrects else math.inf
    return Candidate(number=trial.number, value=value, epochs=attrs["best_epoch"], config=config, start=start)
