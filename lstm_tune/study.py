"""The study: who samples, who prunes, and how it goes on after an interruption."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from lstm_tune.config import Config
from lstm_tune.ensemble import Candidate
from lstm_tune.errors import StudyError, UsageError
from lstm_tune.space import Space

SAMPLERS = ("tpe", "random", "gp", "cmaes", "grid")
PRUNERS = ("median", "none", "halving", "hyperband", "wilcoxon")
SCHEMA = 1
_SETTINGS = "lstm_tune"
_BEFORE = {"precision": "fp32"}  # settings of studies that were begun before these were settings
_FAILURES_IN_A_ROW = 10
_REPEATS = 2  # times that a configuration is tried again after its process died
_GAIN = 0.01  # of the best value: what counts as one

OptunaCallback = Callable[[optuna.Study, FrozenTrial], None]


class PerTrialSampler(BaseSampler):
    """A sampler whose random numbers depend on the seed and the trial's number alone.

    A fresh sampler is made for each trial; all that Optuna's samplers learn from stands in the study. So a study that
    was interrupted and resumed suggests what the uninterrupted one would have.

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
        self._sampler = self._make(seed=(self._seed * 1_000_003 + trial.number) % 2**32)
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
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        sampler=sampler,
        pruner=pruner,
        direction="minimize",
        load_if_exists=True,
    )
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
        _take_up(study)
    return study


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _take_up(study: optuna.Study) -> None:
    """Fail the trials that an interruption left running, and queue them, and those it ended, again."""
    again = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        again.append(trial)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.FAIL,)):
        if trial.user_attrs.get("interrupted"):
            again.append(trial)
    queued = {
        t.user_attrs.get("repeats") for t in study.get_trials(deepcopy=False) if t.user_attrs.get("repeats") is not None
    }
    for trial in again:
        if trial.number not in queued:
            _queue_again(study, trial)


def fail_lost(study: optuna.Study, trial: FrozenTrial, cause: str) -> bool:
    """Fail a running trial whose process is gone, and queue its configuration again.

    Args:
        study: of the trial.
        trial: that is RUNNING in the storage.
        cause: in a few words.

    Returns:
        Whether it is in the queue: a configuration that was lost three times is given up.
    """
    study._storage.set_trial_user_attr(trial._trial_id, "traceback", cause)
    study.tell(trial.number, state=TrialState.FAIL)
    trials = study.get_trials(deepcopy=False)
    losses, before = 1, trial.user_attrs.get("repeats")
    while before is not None:
        losses, before = losses + 1, trials[before].user_attrs.get("repeats")
    if losses > _REPEATS:
        return False
    _queue_again(study, trial)
    return True


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
    return [
        t for t in trials if t.state.is_finished() and t.number not in repeated and not t.user_attrs.get("interrupted")
    ]


def enqueue_known(study: optuna.Study, space: Space) -> None:
    """Queue the article's configuration and the preset's best-known ones, so that no study ends behind them."""
    for params in space.enqueued():
        study.enqueue_trial(params, skip_if_exists=True)


def stop_after_failures(study: optuna.Study, trial: FrozenTrial) -> None:
    """End the study when the last ten trials all failed; a callback for `study.optimize`.

    Raises:
        StudyError: with the cause.
    """
    ended = [t for t in study.get_trials(deepcopy=False) if t.state.is_finished()]
    last = ended[-_FAILURES_IN_A_ROW:]
    if len(last) == _FAILURES_IN_A_ROW and all(t.state is TrialState.FAIL for t in last):
        cause = str(trial.user_attrs.get("traceback", "unknown")).strip().splitlines()[-1]
        raise StudyError(
            f"{_FAILURES_IN_A_ROW} trials in a row failed, so the study was stopped; the last one: {cause}"
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
    return [
        Candidate(
            number=t.number,
            value=t.value,
            epochs=t.user_attrs["best_epoch"],
            config=Config.from_params(t.user_attrs["config"]),
        )
        for t in completed(study)
        if t.value is not None
    ]
