"""The two figures of the dashboard: the last test forecasts, and the learning curves of the best trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lstm_tune.evaluation.score import Forecaster
from lstm_tune.report import last_rows
from lstm_tune.report.encoding import rounded_list
from lstm_tune.report.palette import painted
from lstm_tune.report.plot import Figure, figure, line
from lstm_tune.report.result import Result
from lstm_tune.search.trials import Trial

_POINTS = 120  # of a learning curve
_COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd")


def forecast_figure(result: Result) -> Figure:
    """Draw the last test rows of the first target and series, with forecasts side by side over them."""
    rows = last_rows.last_rows(result.windows, result.test_positions, _forecasters(result))
    return _titled(last_rows.forecast_figure(rows), last_rows.title_of(rows))


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
    return {"data": painted(drawn["data"]), "layout": layout}
