"""The two figures of the dashboard: the last test forecasts, and the learning curves of the best trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from lstm_tune.data.time_labels import TimeStyle
from lstm_tune.evaluation.score import Forecaster, forecast_all
from lstm_tune.report.encoding import rounded_list
from lstm_tune.report.plot import Figure, Trace, figure, label, line
from lstm_tune.report.result import Result
from lstm_tune.search.trials import Trial
from lstm_tune.utils.escaping import printable

_ROWS = 240  # of the forecast figure, at least two horizons
_POINTS = 120  # of a learning curve
_COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd")
_GREY = "#888888"
_DIGITS = 7


def forecast_figure(result: Result) -> Figure:
    """Draw the last test rows of the first target and series, with forecasts side by side over them."""
    windows, data = result.windows, result.windows.data
    horizon, positions = windows.horizon, result.test_positions
    channel, row = divmod(int(positions[:1]), windows.rows)
    series = int(np.searchsorted(data.offsets, row, side="right")) - 1
    own = positions.below(channel * windows.rows + data.offsets[series + 1])
    count = min(max(2, _ROWS // horizon), -(-own // horizon))
    chosen = positions[torch.arange(own - 1 - (count - 1) * horizon, own, horizon)].cpu()
    first, last = int(chosen[0]) % windows.rows, int(chosen[-1]) % windows.rows + horizon
    actual = np.where(data.observed[channel, first:last].numpy(), data.values[channel, first:last].numpy(), np.nan)
    labels = TimeStyle.of(data.times, data.zone).labels(data.times[first:last]).tolist()
    origin = data.origin[channel]

    def trace(values: np.ndarray, name: str, colour: str) -> Trace:
        raised = [None if v is None else v + origin for v in rounded_list(values, _DIGITS)]
        return line(labels, raised, name, colour, width=1.5)

    traces = [trace(actual, "actual", _GREY)]
    rows = (chosen.numpy()[:, None] % windows.rows + np.arange(horizon)).reshape(-1)
    for (name, network), colour in zip(_forecasters(result), _COLOURS, strict=False):
        placed = np.full(last - first, np.nan)
        placed[rows - first] = forecast_all(network, windows, chosen).double().numpy().reshape(-1)
        hidden = {} if name == "forecast" else {"visible": "legendonly"}
        traces.append(trace(placed, name, colour) | hidden)
    target = label(printable(data.targets[channel], 60), 60)
    name = label(printable(data.series[series], 60), 60)
    title = f"{target}{f', {name}' if name else ''}: the last test rows, forecast {horizon} at a time"
    return _titled(figure(traces, x={}, y={"title": target}, height=420), title)


def _forecasters(result: Result) -> list[tuple[str, Forecaster]]:
    """Return the saved model and, if it is a mean, the best trial alone."""
    network, best = result.model.network, result.summary.best
    found: list[tuple[str, Forecaster]] = [("forecast", network)]
    if len(result.summary.ensemble) > 1:
        members: list[Any] = list(network.members)
        alone = [m for m in members if m.config.params() == result.best_params and m.is_untrained == (not best.epochs)]
        found += [(f"trial {best.trial} alone", m) for m in alone[-1:]]
    return found


def curves_figure(trials: Sequence[Trial]) -> Figure:
    """Draw the validation score and the training loss of trials, the best first, epoch by epoch."""
    traces = []
    for trial, colour in zip(trials, _COLOURS, strict=False):
        history = trial.history[:: -(-len(trial.history) // _POINTS) or 1]
        epochs = [row.epoch for row in history]
        group = {"legendgroup": str(trial.number)}
        name = f"trial {trial.number}"
        score = rounded_list(np.array([row.val for row in history], dtype=np.float64), 5)
        loss = rounded_list(np.array([row.loss for row in history], dtype=np.float64), 5)
        traces.append(line(epochs, score, name, colour, width=1.5) | group)
        training = line(epochs, loss, f"{name}, training", colour, width=1.5, dash="dot")
        traces.append(training | group | {"showlegend": False})
    drawn = figure(traces, x={}, y={"type": "log"}, height=420)
    return _titled(drawn, "Best trials by epoch: validation score, and dotted the training loss")


def _titled(drawn: Figure, title: str) -> Figure:
    """Return a figure as the dashboard shows it: with a title, and the legend below."""
    layout = drawn["layout"] | {
        "title": {"text": title, "font": {"size": 15}},
        "legend": {"orientation": "h", "y": -0.15},
        "margin": {"l": 60, "r": 20, "t": 50, "b": 40},
        "height": drawn["height"],
    }
    return {"data": drawn["data"], "layout": layout}
