"""The errors on rows that were fitted on, of the model and of the baselines: signs of under- and overfitting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lstm_tune.data.split import Ranges
from lstm_tune.data.windows import Windows
from lstm_tune.evaluation.noise_estimate import noise_of_windows
from lstm_tune.evaluation.score import Forecaster, TargetScale, score

_MOST_WINDOWS = 768  # bounds the cost


@dataclass(frozen=True, kw_only=True, slots=True)
class InSampleScores:
    """Scaled MSEs on rows that were fitted on, all over the same windows; NaN if there are none."""

    model: float
    baselines: Mapping[str, float]
    noise: float
    windows: int


def score_in_sample(
    network: Forecaster, baselines: Mapping[str, Forecaster], windows: Windows, rows: Ranges, scale: TargetScale
) -> InSampleScores:
    """Score the model and the baselines on evenly spaced windows of the rows that they were fitted on.

    Args:
        network: the model.
        baselines: {name: forecaster}.
        windows: of all series.
        rows: the rows that were fitted on.
        scale: of the train rows.
    """
    context = max(network.context, *(f.context for f in baselines.values()))
    every = windows.positions(rows, context, reach_back=False)
    if not len(every):
        return InSampleScores(model=math.nan, baselines={}, noise=math.nan, windows=0)
    positions = windows.sample(every, _MOST_WINDOWS)
    mses = {
        name: score(f, windows, positions, scale, each=False).mse_scaled
        for name, f in {"model": network, **baselines}.items()
    }
    model = mses.pop("model")
    return InSampleScores(
        model=model, baselines=mses, noise=noise_of_windows(windows, positions, context, scale), windows=len(positions)
    )
