"""The records that findings on a study are drawn from: scores, seeds, and the search. Read only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lstm_tune.search.trials import Trial


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Scaled MSEs of the model and of each baseline, {name: mse}, on validation, test and fitted rows."""

    val: float  # of the winning trial
    test: float  # of the model
    fit: float  # of the model, on rows that it was trained on; NaN: not measured
    val_baselines: Mapping[str, float]
    test_baselines: Mapping[str, float]
    fit_baselines: Mapping[str, float]
    unexplained: float = math.nan  # part of `test` that neither bias nor a wrong spread makes; NaN: all of it
    noise: float = math.nan  # an estimate of the MSE that no forecast from the past values can be below
    independent: float = math.inf  # validation windows that do not overlap
    skill_ci95: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # of 1 - mse / baseline, on test rows
    # Of the prediction intervals of each level in percent: share of the test values within, and its 95% interval.
    coverage: Mapping[float, tuple[float, float, float]] = field(default_factory=dict)

    @property
    def noisy_test(self) -> float:
        """The part of the test MSE that overfitting can make; a changed level or spread is no sign of it."""
        return self.test if math.isnan(self.unexplained) else min(self.test, self.unexplained)

    @property
    def best_baseline(self) -> str | None:
        """The baseline with the least test MSE; None if no MSE is finite."""
        finite = {name: mse for name, mse in self.test_baselines.items() if math.isfinite(mse)}
        return min(finite, key=lambda name: finite[name]) if finite else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Retrain:
    """The scores of the retrained models: how much the seed matters."""

    seeds: tuple[float, ...]  # scaled test MSE of each seed alone
    weights: tuple[float, ...]  # of the trained members of a seed's model

    @property
    def noise(self) -> float:
        """The seed's relative standard deviation of one trial's MSE; NaN of a single seed.

        A seed alone is the mean of its members, of weight w each, whose errors by the seed are taken as independent, so
        a single member varies 1 / sqrt(sum w²) times as much. With two or three seeds the number is a rough estimate.
        """
        if len(self.seeds) < 2 or not np.mean(self.seeds) > 0:
            return math.nan
        relative = float(np.std(self.seeds, ddof=1) / np.mean(self.seeds))
        return relative / math.sqrt(sum(w * w for w in self.weights) or 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """A study that has ended, and its results."""

    trials: Sequence[Trial]  # all that have ended, in the order of their numbers
    scores: Scores  # of the model and the baselines
    retrain: Retrain
    edges: Sequence[tuple[str, str, float]]  # (parameter, "low" or "high", bound) of the winner's values on a bound
    searched: Sequence[str]  # parameters that the space leaves open
    levelled_off: bool  # whether the study ended by itself since its last trials gained nothing
