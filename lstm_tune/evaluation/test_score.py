"""A score as it is reported, in the target's own units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from lstm_tune.evaluation.interval_score import IntervalScore
from lstm_tune.evaluation.metrics import over_series
from lstm_tune.evaluation.score import Number, Score, per_target
from lstm_tune.evaluation.significance import Comparison


@dataclass(frozen=True, kw_only=True, slots=True)
class TestScore:
    """A score for people; with several targets `mse`, `rmse`, `mae` and `r2` map column to number."""

    __test__ = False  # no test of pytest's, whatever its name

    mse: Number
    rmse: Number
    mae: Number
    r2: Number
    mse_scaled: float
    per_step_mse: list[float]  # (H,); with several targets the mean of the scaled ones
    ci95: tuple[float, float]  # of mse; with several targets of mse_scaled
    windows: int
    metrics: dict[str, Number]  # each the mean over the series; see `evaluation.metrics`
    intervals: Mapping[str, Mapping[str, IntervalScore]] | None = (
        None  # {forecast: {level: its score}}; None: nobody asked
    )

    @property
    def levels(self) -> tuple[float, ...]:
        """Levels of the model's prediction intervals in percent, ascending; (): there are none."""
        return tuple(sorted(map(float, self.intervals["model"]))) if self.intervals else ()

    @classmethod
    def of(
        cls, score: Score, targets: tuple[str, ...], sd: tuple[float, ...], interval: tuple[float, float]
    ) -> TestScore:
        """Turn a `Score` into what is reported.

        Args:
            score: on some windows.
            targets: names of the columns.
            sd: standard deviations of the train rows.
            interval: of the scaled MSE.
        """
        unit = sd[0] ** 2 if len(targets) == 1 else 1.0
        if not math.isfinite(score.mse_scaled):
            interval = math.nan, math.nan
        return cls(
            mse=per_target(score.mse, targets),
            rmse=per_target(tuple(math.sqrt(m) for m in score.mse), targets),
            mae=per_target(score.mae, targets),
            r2=per_target(score.r2, targets),
            mse_scaled=score.mse_scaled,
            per_step_mse=per_step(score, sd),
            ci95=(interval[0] * unit, interval[1] * unit),
            windows=score.windows,
            metrics=reported_metrics(score, targets),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedScore(TestScore):
    """The score of a forecast beside that of the model, on the same windows."""

    __test__ = False

    skill: float | None  # 1 - the model's MSE over this one's; None: this is the model
    skill_ci95: tuple[float, float] | None  # NaN: too few windows to tell

    @classmethod
    def beside(cls, score: TestScore, comparison: Comparison | None) -> ComparedScore:
        """Put a score and the comparison of the model's errors with its errors together."""
        found = {field.name: getattr(score, field.name) for field in fields(score)}
        if comparison is None:
            return cls(**found, skill=None, skill_ci95=None)
        return cls(**found, skill=1 - comparison.ratio, skill_ci95=(1 - comparison.high, 1 - comparison.low))


def reported_metrics(score: Score, targets: tuple[str, ...]) -> dict[str, Number]:
    """Return {metric: mean over the series}, of each target."""
    return {name: per_target(values, targets) for name, values in over_series(score.metrics).items()}


def per_step(score: Score, sd: tuple[float, ...]) -> list[float]:
    """Return the MSE of each step, (H,): in raw units for one target, for several the mean of the scaled ones."""
    steps = np.array(score.per_step_mse)
    mse: list[float] = (steps[0] if len(sd) == 1 else (steps / np.array(sd)[:, None] ** 2).mean(0)).tolist()
    return mse
