"""Samplers by their names; their suggestions depend on the seed and the number of the trial alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from lstm_tune.errors import UsageError
from lstm_tune.search.space import Space
from lstm_tune.search.trial_queue import needs_retry
from lstm_tune.search.trials import read_trials

SAMPLERS = ("tpe", "random", "gp", "cmaes", "grid")


class PerTrialSampler(BaseSampler):
    """A sampler whose random numbers depend on the seed and the trial's number alone.

    A fresh sampler is made for each trial; all that Optuna's samplers learn from is in the study. Trials that were
    done again do not count in the number. So a study that was interrupted and resumed suggests what the uninterrupted
    one would have.

    Several workers, each with such a sampler, draw different numbers, too.

    Args:
        make: makes a sampler from a seed.
        seed: of the study.
    """

    def __init__(self, make: Callable[..., BaseSampler], seed: int) -> None:
        self._make = make
        self._seed = seed
        self._sampler = make(seed=seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Make the trial's own sampler."""
        before = read_trials(study, before=trial.number)
        number = trial.number - sum(needs_retry(before, t) for t in before)
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
    """Return the sampler of this name (`SAMPLERS`), or the given sampler.

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
