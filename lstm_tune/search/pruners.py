"""Pruners by their names."""

from __future__ import annotations

import warnings

import optuna
from optuna.pruners import BasePruner

from lstm_tune.errors import UsageError

PRUNERS = ("median", "none", "halving", "hyperband", "wilcoxon")


def make_pruner(pruner: str | BasePruner, epochs: int, startup_trials: int = 5) -> BasePruner:
    """Return the pruner of this name (`PRUNERS`), or the given pruner.

    Args:
        pruner: a name or an Optuna pruner.
        epochs: the most that a trial of the space may train; the resource of halving and hyperband.
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
