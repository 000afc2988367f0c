"""Which trials make the final model, and with what weights: from validation rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lstm_tune.evaluation.error_sample import Floats, each_window_alike
from lstm_tune.models.pretrained import FURTHEST
from lstm_tune.search.trials import Trial, candidates, completed
from lstm_tune.training.ensemble import BEFOREHAND, FITTED_SKIPS, Part, add_pretrained, weigh
from lstm_tune.training.stacking import best_pull, error_products, stacked_weights
from lstm_tune.training.task import Task, untrained_models

_WINDOW_ROWS = 24  # that a window counts as at least: a series errs alike over a stretch, whatever the horizon
_LEAST_WEIGHT = 0.002  # of a member: below that it is not worth the time of its retrain

Errors = Sequence[Floats]  # of a forecast, on a sample of every fold


def retrainable(trials: Sequence[Trial], task: Task) -> list[Trial]:
    """Return the completed trials, the best first, that can be fitted on validation rows, too; all, if none can."""
    every = completed(trials)
    return [trial for trial in every if task.can_retrain(trial.completed().config)] or every


def choose(trials: Sequence[Trial], task: Task, retrain_seeds: int, known: int) -> list[tuple[Trial, Part]]:
    """Choose the completed trials whose mean forecast is the model, or the best one alone, by their values.

    Args:
        trials: one reading of the study's.
        task: that they share.
        retrain_seeds: 1: the best trial alone.
        known: configurations that the study tried first.

    Returns:
        Each chosen trial with its part of the mean, the heaviest first; none if no trial was completed.
    """
    every = retrainable(trials, task)
    if not every:
        return []
    if retrain_seeds == 1:
        best = every[0]
        return [(best, Part(number=best.number, epochs=best.completed().best_epoch, weight=1.0))]
    found = {trial.number: trial for trial in every}
    given = candidates(every, degree=1 if task.metric == "mse" else 2)  # the rules are those of squared errors
    parts = weigh(given, known=known, independent=task.independent_windows, blocks=len(task.folds))
    return [(found[part.number], part) for part in parts]


def choose_members(trials: Sequence[Trial], task: Task, retrain_seeds: int, known: int) -> list[tuple[Trial, Part]]:
    """Choose as `choose` does, then let the errors on the validation blocks move the weights; see `stacking`.

    The LSTM trained beforehand becomes a further member if the horizon is one that it was trained on, and if some trial
    corrects a forecast that was fitted: else the space asks for LSTMs alone.
    """
    chosen = choose(trials, task, retrain_seeds, known)
    if retrain_seeds == 1 or len(chosen) < 2:
        return chosen
    errors = [_errors(trial, part, task) for trial, part in chosen]
    if len({tuple(len(block) for block in e) for e in errors}) != 1 or len(errors[0]) != len(task.folds):
        return chosen  # an older version recorded trials without errors
    parts = [part for _, part in chosen]
    fitted = any(trial.completed().config.skip in FITTED_SKIPS for trial, _ in chosen)
    if fitted and task.shape.horizon <= FURTHEST:
        blocks = _products([*errors, task.sampled_errors(untrained_models(task, BEFOREHAND))], task)
        *values, own = np.mean(blocks, axis=0).diagonal().tolist()
        parts = add_pretrained(parts, min(values) / own if own else 1.0)
    else:
        blocks = _products(errors, task)
    found = {trial.number: trial for trial, _ in chosen}
    return [(found[part.number], part) for part in _stacked(parts, blocks, task)]


def _errors(trial: Trial, part: Part, task: Task) -> Errors:
    """Return the errors of a part on a sample of every fold; (): the trial was recorded without."""
    outcome = trial.completed()
    if part.epochs == outcome.best_epoch:
        return outcome.fold_errors
    return task.sampled_errors(untrained_models(task, outcome.config))


def _products(errors: Sequence[Errors], task: Task) -> list[Floats]:
    """Return, for each fold, the mean products of the members' errors, (K, K)."""
    blocks = [np.stack([e[b] for e in errors]) for b in range(len(task.folds))]
    units = [fold.reference_mse for fold in task.folds]
    if task.windows.data.n_series > 1:
        blocks, units = [each_window_alike(block, task.shape.horizon) for block in blocks], [1.0] * len(blocks)
    return error_products(blocks, units)


def _stacked(parts: Sequence[Part], blocks: Sequence[Floats], task: Task) -> list[Part]:
    """Return the parts with the weights that least squares gives them."""
    prior = np.array([part.weight for part in parts])
    horizon = task.shape.horizon
    windows = len(blocks) * task.independent_windows * horizon / max(horizon, _WINDOW_ROWS)
    pull = best_pull(blocks, prior, windows)
    weights = stacked_weights(np.mean(blocks, axis=0), prior, windows, pull)
    weights = np.where(weights >= _LEAST_WEIGHT, weights, 0.0)
    weights /= weights.sum()
    kept = [replace(p, weight=float(w)) for p, w in zip(parts, weights, strict=True) if w]
    return sorted(kept, key=lambda p: -p.weight)
