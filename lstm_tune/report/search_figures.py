"""The figures of the search: learning curves, trial by trial, importances, and one parameter against the score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_tune.report.encoding import evenly, rounded_list
from lstm_tune.report.plot import (
    Figure,
    Trace,
    bars,
    dots,
    figure,
    joined,
    label,
    line,
    log_ticks,
    ranking,
    score_axis,
)
from lstm_tune.utils.text import number

SCORE = "validation score (scaled MSE)"
PARALLEL = 120  # completed trials that are drawn as lines
PRUNED = 40  # pruned trials that are drawn as lines
DOTS = 250  # completed trials that are drawn as dots
_SHADES = ("best fifth", "second", "middle", "fourth", "worst fifth")

Bounds = Mapping[str, Any]  # of a parameter: `choices`, or `low`, `high` and `log`


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnTrial:
    """A trial as the figures show it."""

    number: int
    state: str  # "COMPLETE", "PRUNED" or "FAIL"
    value: float | None  # the score; None: it has none
    params: Mapping[str, Any]  # empty: only the score is drawn

    @property
    def completed(self) -> bool:
        """Whether it has a score to compare."""
        return self.state == "COMPLETE" and self.value is not None


def learning_curves(curves: Mapping[str, Any]) -> Figure:
    """Draw the best trial's validation score and training loss over its epochs, with the other trials' scores behind.

    Args:
        curves: as in `report.json`; the first one kept is the best trial's.
    """
    best, *others = curves["kept"]
    traces: list[Trace] = []
    for states, name, colour in (
        (("PRUNED",), "pruned trials", "@pruned"),
        (("COMPLETE", "FAIL"), "other trials", "@other"),
    ):
        chosen = [c for c in others if c["state"] in states]
        if chosen:
            xs, ys, texts = joined((c["epochs"], c["val"], [f"trial {c['trial']}"] * len(c["epochs"])) for c in chosen)
            hover = "%{text}, epoch %{x}: %{y:.4g}"
            traces.append(line(xs, ys, name, colour, width=1, hover=hover) | {"text": texts})
    name = f"best trial ({best['trial']}), validation"
    traces.append(line(best["epochs"], best["val"], name, "@forecast", width=3, hover="epoch %{x}: %{y:.4g}"))
    kept = best.get("best_epoch")
    if kept in best["epochs"]:
        y = best["val"][best["epochs"].index(kept)]
        edge, hover = {"color": "@ink", "width": 1}, "weights of epoch %{x} were kept"
        star = dots([kept], [y], f"kept: epoch {kept}", "@forecast", size=12, symbol="star", line=edge, hover=hover)
        traces.append(star)
    x = {"title": "epoch", "rangemode": "tozero"}
    y_axis = score_axis([v for c in curves["kept"] for v in c["val"]], "validation score")
    if not any(v is not None for v in best.get("train", [])):
        return figure(traces, x=x, y=y_axis)
    hover = "epoch %{x}: training loss %{y:.4g}"
    loss = line(best["epochs"], best["train"], "best trial, training loss", "@train", width=2, hover=hover)
    traces.append(loss | {"xaxis": "x", "yaxis": "y2"})
    drawn = figure(traces, x=x | {"anchor": "y2"}, y=y_axis | {"domain": [0.42, 1]}, height=460)
    drawn["layout"]["yaxis2"] = {"title": {"text": "training loss"}, "domain": [0, 0.32], "automargin": True}
    return drawn


def history(trials: Sequence[DrawnTrial]) -> Figure:
    """Draw every trial's score in the order of the trials, and the best score so far."""
    done = [(t.number, t.value) for t in trials if t.completed and t.value is not None]
    numbers, values = [n for n, _ in done], [v for _, v in done]
    best = line(
        numbers, rounded_list(np.minimum.accumulate(values) if done else [], 5), "best so far", "@forecast", width=2
    )
    best["line"]["shape"] = "hv"
    hover = "trial %{x}: %{y:.4g}"
    traces = [dots(numbers, rounded_list(values, 5), "completed trial", "@other", size=6, hover=hover), best]
    ended_early = [t.number for t in trials if t.state != "COMPLETE"]
    if ended_early:
        y = rounded_list([max(values, default=1.0)] * len(ended_early), 5)
        name, hover = "pruned or failed (no score)", "trial %{x} ended early"
        traces.append(dots(ended_early, y, name, "@muted", size=7, symbol="x-thin-open", hover=hover))
    return figure(traces, x={"title": "trial", "rangemode": "tozero"}, y=score_axis(values, SCORE))


def importances(found: Mapping[str, Any]) -> Figure:
    """Draw each parameter's share in how much the validation score varies.

    Args:
        found: as in `report.json`.
    """
    shares = sorted(found["shares"].items(), key=lambda item: -item[1])
    lengths = rounded_list([100 * share for _, share in shares], 4)
    trace = bars([name for name, _ in shares], lengths, "@forecast", hover="%{y}: %{x:.1f}%")
    trace |= {"text": [f"{share:.0%}" for _, share in shares], "textposition": "auto"}
    return ranking([trace], "share (%)", len(shares))


def parallel(trials: Sequence[DrawnTrial], parameters: Mapping[str, Bounds], best: int) -> Figure:
    """Draw each trial as a line through its parameters, one parameter to a row; the better the trial, the darker.

    Args:
        trials: to draw.
        parameters: the bounds of each searched parameter, in the order of the rows.
        best: number of the best trial.
    """
    done = _ranked(trials)
    values = [t.value for t in done if t.value is not None]
    low, high = min(values), max(values)
    rows = ["score", *parameters]

    def spots(trial: DrawnTrial) -> list[float | None]:
        score = math.nan if trial.value is None else _between(trial.value, low, high, log=low > 0)
        found = [_position(trial.params.get(name), bounds) for name, bounds in parameters.items()]
        return rounded_list([score, *(math.nan if spot is None else spot for spot in found)], 4)

    def texts(trial: DrawnTrial) -> list[str]:
        score = "" if trial.value is None else f", score {number(trial.value)}"
        lines = [f"{name}: {_text(trial.params.get(name))}" for name in parameters]
        return [f"trial {trial.number}{score}", *(label(f"trial {trial.number}, {one}", 80) for one in lines)]

    def trace(chosen: Sequence[DrawnTrial], name: str, colour: str, width: float) -> Trace:
        x, y, text = joined((spots(t), range(len(rows)), texts(t)) for t in chosen)
        return line(x, y, name, colour, width=width, hover="%{text}") | {"text": text}

    traces = []
    pruned = [t for t in trials if t.state == "PRUNED" and t.params]
    if pruned:
        few = [pruned[i] for i in evenly(len(pruned), PRUNED)]
        traces.append(trace(few, "pruned", "@pruned", 1) | {"visible": "legendonly"})
    others = [t for t in (done[i] for i in evenly(len(done), PARALLEL)) if t.number != best]
    for shade in range(len(_SHADES) - 1, -1, -1):
        group = [t for i, t in enumerate(others) if i * len(_SHADES) // len(others) == shade]
        if group:
            traces.append(trace(group, _SHADES[shade], f"@shade{shade}", 1.2))
    traces.append(trace([t for t in done if t.number == best], f"best trial ({best})", "@worse", 3.5))
    drawn = figure(
        traces,
        x={"range": [-0.06, 1.06], "showticklabels": False, "zeroline": False, "showgrid": False},
        y={
            "tickvals": list(range(len(rows))),
            "ticktext": rows,
            "range": [len(rows) - 0.4, -0.6],
            "zeroline": False,
        },
        height=120 + 46 * len(rows),
    )
    drawn["layout"] |= {"annotations": _scale_marks(parameters, low, high), "hovermode": "closest"}
    return drawn


def _scale_marks(parameters: Mapping[str, Bounds], low: float, high: float) -> list[dict[str, Any]]:
    """Return the texts below the rows of `parallel`: the bounds of the score and of each parameter."""
    marks = [_mark(0, number(low), 0), _mark(0, number(high), 1)]
    for row, bounds in enumerate(parameters.values(), start=1):
        if "choices" in bounds:
            names = [_text(c) for c in bounds["choices"]]
            at = np.linspace(0, 1, len(names)) if len(names) > 1 else np.array([0.5])
            marks += [_mark(row, name, float(spot)) for name, spot in zip(names, at, strict=True)]
        else:
            marks += [_mark(row, number(bounds["low"]), 0), _mark(row, number(bounds["high"]), 1)]
    return marks


def slices(trials: Sequence[DrawnTrial], parameters: Mapping[str, Bounds], best: int) -> dict[str, Figure]:
    """Draw, for each parameter, its value in every completed trial against the trial's score."""
    done = _ranked(trials)
    done = [done[i] for i in evenly(len(done), DOTS)]
    y_axis = score_axis([t.value for t in done], "score")
    figures = {}
    for name, bounds in parameters.items():
        known = [t for t in done if t.params.get(name) is not None]
        if not known:
            continue
        x_axis: dict[str, Any] = {"title": name}
        values: list[Any] = [t.params[name] for t in known]
        if "choices" in bounds:
            choices = [_text(c) for c in bounds["choices"]]
            x_axis |= {"type": "category", "categoryorder": "array", "categoryarray": choices}
            values = [_text(v) for v in values]
        elif bounds.get("log"):
            x_axis |= {"type": "log"} | log_ticks(min(values), max(values), most=5)
        hover = "trial %{customdata}: %{x}, score %{y:.4g}"
        scores = rounded_list([math.nan if t.value is None else t.value for t in known], 4)
        points = dots(values, scores, "trials", "@forecast", size=6, opacity=0.8, hover=hover)
        points["customdata"] = [t.number for t in known]
        traces = [points]
        winner = next((i for i, t in enumerate(known) if t.number == best), None)
        if winner is not None:
            star = {key: [points[key][winner]] for key in ("x", "y", "customdata")}
            traces.append(points | star | {"marker": {"color": "@worse", "size": 12, "symbol": "star"}})
        figures[name] = figure(traces, x=x_axis, y=y_axis, height=240, legend=False)
    return figures


def _ranked(trials: Sequence[DrawnTrial]) -> list[DrawnTrial]:
    """Return the completed trials whose parameters are known, the best first."""
    done = [t for t in trials if t.completed and t.params]
    return sorted(done, key=lambda t: (math.inf if t.value is None else t.value, t.number))


def _position(value: Any, bounds: Bounds) -> float | None:
    """Return where a value lies within its bounds, from 0 to 1; None: it has none."""
    if value is None:
        return None
    if "choices" in bounds:
        names = [_text(c) for c in bounds["choices"]]
        return None if _text(value) not in names else names.index(_text(value)) / max(1, len(names) - 1)
    if isinstance(value, str):
        return None
    return _between(value, bounds["low"], bounds["high"], log=bool(bounds.get("log")))


def _between(value: float, low: float, high: float, *, log: bool) -> float:
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return 0.5 if high <= low else min(1.0, max(0.0, (value - low) / (high - low)))


def _text(value: Any) -> str:
    """Return a parameter's value as text: 32 and 32.0 are the same."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:.5g}"


def _mark(row: int, text: str, at: float) -> dict[str, Any]:
    """Write a value below its row."""
    return {
        "x": at,
        "y": row,
        "text": label(text, 14),
        "showarrow": False,
        "yshift": -11,
        "font": {"size": 10, "color": "@soft"},
        "bgcolor": "@card",
        "borderpad": 0,
        "opacity": 0.9,
    }
