"""Forecasts beyond the horizon: each block of them is history for the next one."""

from __future__ import annotations

import torch
from torch import Tensor

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.windows import Batch, continued_rows
from lstm_tune.models.forecaster import MeanForecaster


@torch.inference_mode()
def forecast_recursively(
    network: MeanForecaster, series: SeriesSet, future: Tensor, rows: int, horizon: int, period: int
) -> Tensor:
    """Forecast as many rows as are asked for after the last row of a single series, a horizon at a time.

    Args:
        network: the model, of C channels.
        series: the history, a single series of N rows.
        future: (rows, F) covariates of the rows to forecast.
        rows: to forecast.
        horizon: H, rows that the network forecasts at once.
        period: rows in a season; 1: there is none.

    Returns:
        (C, rows) in working units.
    """
    network.eval()
    context = network.context
    # The last block may reach beyond the rows asked for; what is known of those changes no forecast before them.
    beyond = future[-1:].expand(horizon, -1)
    known, past = torch.cat([series.future, future, beyond]), series.past
    values, begin = series.values, torch.zeros(1, dtype=torch.int64)
    for _ in range(0, rows, horizon):
        n = values.shape[1]
        seen = continued_rows(begin, torch.tensor([n]), context, period)
        ahead = torch.arange(n, n + horizon)[None]
        blocks = []
        for channel in range(series.n_channels):
            chosen = torch.tensor([channel])
            batch = Batch(
                history=values[channel][seen],
                target=torch.zeros(1, horizon),
                observed=None,
                past=past[seen],
                future=known[torch.cat([seen, ahead], dim=1)],
                channel=chosen,
                group=chosen,
            )
            blocks.append(network(batch))
        values = torch.cat([values, torch.cat(blocks)], dim=1)
    return values[:, series.n_rows : series.n_rows + rows]
