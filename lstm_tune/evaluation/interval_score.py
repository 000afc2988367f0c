"""What prediction intervals score, and how far they reach around the forecasts of given windows.

Letters: n windows, H horizon, C target columns, S series.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lstm_tune.data.windows import Positions, Windows
from lstm_tune.evaluation.conformal import Intervals, forecasts_by_chunk, level_name, placed
from lstm_tune.evaluation.recent_change import RecentChange
from lstm_tune.evaluation.score import Forecaster
from lstm_tune.evaluation.significance import TimeBlocks, share_interval


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Bands:
    """Intervals of some levels around the forecasts of windows.

    Attributes:
        intervals: how far the forecasts are off.
        levels: in percent, ascending.
        scales: (C, S), of rows before the windows, see `scales_of`.
        change: of the series.
    """

    intervals: Intervals
    levels: tuple[float, ...]
    scales: Tensor
    change: RecentChange

    def half_widths(self) -> Tensor:
        """Return half the width (levels, C, H) of each level, to be multiplied by `units`."""
        return torch.stack([self.intervals.half_width(level) for level in self.levels]).double()

    def units(self, windows: Windows, positions: Tensor) -> Tensor:
        """Return what the widths are multiplied by (n,) at windows (n,)."""
        return self.intervals.units(placed(windows, positions, self.scales, self.change))


@dataclass(frozen=True, kw_only=True, slots=True)
class IntervalScore:
    """What the intervals of one level score; width and Winkler score in the target's own units, or scaled ones.

    Attributes:
        coverage: share of the observed targets that lie within; with several targets the mean over them.
        coverage_ci95: its interval; NaN: too few windows.
        width: mean distance from the lower to the upper end.
        winkler: mean width plus 2 / (1 - level) times the distance of what lies outside (Winkler 1972).
    """

    coverage: float
    coverage_ci95: tuple[float, float]
    width: float
    winkler: float


def score_intervals(
    forecaster: Forecaster,
    bands: Bands,
    windows: Windows,
    positions: Positions,
    *,
    sd: Sequence[float],
    blocks: TimeBlocks,
) -> dict[str, IntervalScore]:
    """Score the intervals around forecasts, {level: score}.

    Args:
        forecaster: makes the forecasts.
        bands: around them.
        windows: of the series.
        positions: the windows (n,).
        sd: (C,) what width and Winkler score are divided by if there are several targets.
        blocks: of these windows.
    """
    half, unit = bands.half_widths(), torch.tensor(sd if len(sd) > 1 else [1.0], dtype=torch.float64)
    sums: list[list[Tensor]] = []
    counts = []
    for some, forecast, target in forecasts_by_chunk(forecaster, windows, positions):
        seen, channel = target.isfinite(), torch.div(some.cpu(), windows.rows, rounding_mode="floor")
        growth = bands.units(windows, some)[:, None]
        error = torch.where(seen, (forecast - target).abs(), 0.0)
        counts.append(seen.sum(1).double())
        of_levels = []
        for i, level in enumerate(bands.levels):
            reach = half[i][channel] * growth
            outside = (error - reach).clamp_min(0)
            width = 2 * reach / unit[channel, None]
            winkler = width + 2 / (1 - level / 100) * outside / unit[channel, None]
            parts = ((error <= reach).double(), width, winkler)
            of_levels.append(torch.stack([torch.where(seen, part, 0.0).sum(1) for part in parts]))
        sums.append(of_levels)
    count = torch.cat(counts).numpy()
    found = {}
    for i, level in enumerate(bands.levels):
        three = [torch.cat([s[i][k] for s in sums]).numpy() for k in range(3)]  # inside, width, Winkler score
        total = blocks.sums(count).sum(0)
        means = [float((blocks.sums(x).sum(0)[total > 0] / total[total > 0]).mean()) for x in three]
        found[level_name(level)] = IntervalScore(
            coverage=means[0],
            coverage_ci95=share_interval(three[0], count, blocks),
            width=means[1],
            winkler=means[2],
        )
    return found
