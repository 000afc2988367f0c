"""How the test error is spread over many series: the score of each, and what all of them look like.

Letters: C channels, S series; an entry is a column of a series.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lstm_tune.data.series import SeriesSet
from lstm_tune.evaluation.metrics import Floats
from lstm_tune.evaluation.score import Score

SHOWN = 10  # of the worst series
AGAINST = "seasonal_naive"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SeriesScores:
    """The test scores of each entry (C · S,), those of a column one after the other.

    Attributes:
        series: names of the series.
        target: names of the columns.
        rows: of the series.
        mse: in the target's own units; NaN: nothing of the series was scored.
        scaled: the same over the variance by which `mse_scaled` divides.
        mase: see `evaluation.metrics`.
        skill: {baseline: 1 - MSE over its MSE}; NaN if it makes no error.
        first: {(series, target): code of its most severe finding}, of those that were looked at and have one.
    """

    series: tuple[str, ...]
    target: tuple[str, ...]
    rows: NDArray[np.int64]
    mse: Floats
    scaled: Floats
    mase: Floats
    skill: Mapping[str, Floats]
    first: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def of(cls, data: SeriesSet, sd: Floats, model: Score, baselines: Mapping[str, Score]) -> SeriesScores:
        """Put the scores of model and baselines side by side.

        Args:
            data: the series.
            sd: (C · S,) by which errors are divided.
            model: with metrics.
            baselines: with metrics.
        """
        mse = model.metrics["mse"].reshape(-1)
        skill = {}
        with np.errstate(invalid="ignore", divide="ignore"):
            for name, one in baselines.items():
                other = one.metrics["mse"].reshape(-1)
                skill[name] = np.where(other > 0, 1 - mse / other, np.nan)
            scaled = mse / np.square(sd)
        return cls(
            series=data.series * data.n_channels,
            target=tuple(name for name in data.targets for _ in data.series),
            rows=np.tile(np.diff(data.offsets), data.n_channels),
            mse=mse,
            scaled=scaled,
            mase=model.metrics["mase"].reshape(-1),
            skill=skill,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class WorstSeries:
    """A series that the model forecasts worse than the seasonal naive forecast does, or hardly better."""

    series: str
    target: str
    skill: float
    mse: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesSummary:
    """How the skill against the seasonal naive forecast is spread over the series.

    Attributes:
        scored: entries with a skill.
        better: of them, those with a smaller MSE than the seasonal naive forecast.
        median_skill: None: none has a skill.
        median_mase: None: none has a MASE.
        worst: those with the least skill, the worst first.
    """

    scored: int
    better: int
    median_skill: float | None
    median_mase: float | None
    worst: tuple[WorstSeries, ...]

    @classmethod
    def of(cls, scores: SeriesScores) -> SeriesSummary:
        """Summarise the scores of many series."""
        skill = scores.skill[AGAINST]
        known = np.flatnonzero(np.isfinite(skill))
        order = known[np.argsort(skill[known], kind="stable")]
        return cls(
            scored=len(known),
            better=int((skill[known] > 0).sum()),
            median_skill=_median(skill),
            median_mase=_median(scores.mase),
            worst=tuple(
                WorstSeries(
                    series=scores.series[i], target=scores.target[i], skill=float(skill[i]), mse=float(scores.mse[i])
                )
                for i in order[:SHOWN].tolist()
            ),
        )


def _median(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None
