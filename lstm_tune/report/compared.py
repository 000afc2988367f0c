"""Parts of `result.json` that compare the saved model with other forecasts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lstm_tune.evaluation.score import Number, Score, TargetScale, per_target
from lstm_tune.evaluation.significance import Comparison
from lstm_tune.evaluation.test_score import TestScore, per_step
from lstm_tune.training.task import Task


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainMeanSummary:
    """The test MSE of always forecasting the mean of the train rows, and the saved model's skill over it."""

    test_mse: Number
    test_mse_scaled: float
    test_score: float
    skill: float | None  # None: it makes no error

    @classmethod
    def of(cls, score: Score, test: TestScore, task: Task, targets: tuple[str, ...]) -> TrainMeanSummary:
        """Put the score of the mean together."""
        return cls(
            test_mse=per_target(score.mse, targets),
            test_mse_scaled=score.mse_scaled,
            test_score=task.value_of(score),
            skill=skill(test, {"": score})[""],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenSummary:
    """The test MSE of another model's forecasts, and the saved model's skill over it on the windows that it covers."""

    test_mse: Number
    test_mse_scaled: float
    per_step_mse: list[float]
    windows: int
    complete: bool  # whether these are all test windows
    skill: float  # 1 - the saved model's MSE over this one's
    skill_ci95: tuple[float, float] | None  # None: too few windows for an interval

    @classmethod
    def of(
        cls, score: Score, comparison: Comparison, *, targets: tuple[str, ...], scale: TargetScale, of: int
    ) -> GivenSummary:
        """Put a score and a comparison together; `of`: test windows that there are."""
        return cls(
            test_mse=per_target(score.mse, targets),
            test_mse_scaled=score.mse_scaled,
            per_step_mse=per_step(score, scale.sd),
            windows=score.windows,
            complete=score.windows == of,
            skill=1 - comparison.ratio,
            skill_ci95=skill_interval({"": comparison})[""],
        )


def skill(test: TestScore, baselines: Mapping[str, Score]) -> dict[str, float | None]:
    """Return 1 - MSE over each baseline's MSE; None against a baseline without an error."""
    return {
        name: 1 - test.mse_scaled / score.mse_scaled if 0 < score.mse_scaled < math.inf else None
        for name, score in baselines.items()
    }


def skill_interval(against: Mapping[str, Comparison]) -> dict[str, tuple[float, float] | None]:
    """Return the 95% interval of the skill against each baseline; None if too few windows tell none."""
    return {name: (1 - c.high, 1 - c.low) if math.isfinite(c.low) else None for name, c in against.items()}
