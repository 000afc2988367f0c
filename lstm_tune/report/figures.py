"""The figures of the report: pure functions from records to what plotly.js draws.

A figure is a dict of `data`, `layout` and `height` in pixels. A colour that begins with "@" is a role ("@forecast"), of
which the page knows the shades by day and by night. Text that plotly draws is escaped: it reads tags.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_tune.evaluation.baseline_labels import table_label
from lstm_tune.report.encoding import encode_times, evenly, pack, plain
from lstm_tune.report.forecast_csv import SeriesForecast
from lstm_tune.utils.text import number

Figure = dict[str, Any]
Trial = Mapping[str, Any]

SCORE = "validation score (scaled MSE)"
_DASHES = ("dot", "dash", "dashdot", "longdash", "longdashdot")  # of the baselines, in their order
_PARALLEL = 120  # trials that are drawn
_DOTS = 250
_NEAR_LEVEL = 4.0  # of two values: from this ratio on their axis is logarithmic
_SHADES = ("best fifth", "second", "middle", "fourth", "worst fifth")


def cut(text: str, most: int = 40) -> str:
    """Return a name that is not longer than `most` characters: its middle is left out, for names differ at the end."""
    tail = most // 3
    return text if len(text) <= most else f"{text[: most - tail - 1]}…{text[-tail:]}"


def label(text: str, most: int = 40) -> str:
    """Return a name as plotly may draw it."""
    return html.escape(cut(text, most), quote=False)


def error_per_step(
    steps: Sequence[float], baselines: Mapping[str, Sequence[float]], unit: str, period: float | None
) -> Figure:
    """Draw the MSE of each step ahead, beside the baselines'.

    Args:
        steps: (H,) of the tuned LSTM.
        baselines: (H,) of each.
        unit: of the MSE.
        period: rows in a season, as `table_label` takes it.
    """
    x = list(range(1, len(steps) + 1))
    traces = [_line(x, plain(steps), "tuned LSTM", "@forecast", width=3.5)]
    for i, (name, values) in enumerate(baselines.items()):  # on top: of two equal lines both are seen
        style = i % len(_DASHES)
        traces.append(
            _line(x, plain(values), table_label(name, period), f"@baseline{style}", width=1.6, dash=_DASHES[style])
        )
    return _figure(traces, x={"title": "steps ahead"}, y={"title": f"test MSE ({unit})", "rangemode": "tozero"})


def error_by_series(forecasts: Sequence[SeriesForecast], most: int = 24) -> Figure:
    """Draw the series that are hardest to forecast: MSE over the variance of their own test rows."""
    known = [(f.mse / f.mse_of_mean, f) for f in forecasts if f.mse_of_mean > 0 and math.isfinite(f.mse)]
    worst = sorted(known, key=lambda pair: -pair[0])[:most]
    names = _unique([label(f.name, 24) for _, f in worst])
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "x": plain([ratio for ratio, _ in worst]),
        "customdata": [[number(f.mse), f.windows] for _, f in worst],
        "hovertemplate": "%{y}: %{x:.3f}<br>test MSE %{customdata[0]} over %{customdata[1]} windows<extra></extra>",
        "marker": {"color": "@forecast"},
    }
    return _figure(
        [bars],
        x={"title": "MSE / variance", "rangemode": "tozero"},
        y={"autorange": "reversed", "type": "category"},
        height=90 + 24 * len(worst),
    )


def waterfall(explained: Mapping[str, Any]) -> Figure:
    """Draw what each change took off the validation MSE; dots are the seeds, whiskers one standard deviation."""
    steps = explained["steps"]
    names: list[str] = []
    rows: list[tuple[str, float, float, str]] = []  # name, from, to, role
    before = 0.0
    for i, step in enumerate(steps):
        value, delta = float(step["val_mse_scaled"]), step.get("delta")
        role = "@muted" if i == 0 or step.get("within_noise") else "@better" if value < before else "@worse"
        told = number(value) if delta is None else f"{delta:+.3g}" + (" (noise)" if step.get("within_noise") else "")
        names.append(f"{label(str(step['name']), 28)}<br><b>{told}</b>")
        rows.append((names[-1], 0.0 if i == 0 else before, value, role))
        before = value
    rows.append((f"all changes together<br><b>{number(before)}</b>", 0.0, before, "@forecast"))
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": [row[0] for row in rows],
        "x": plain([to - start for _, start, to, _ in rows]),
        "base": plain([start for _, start, _, _ in rows]),
        "marker": {"color": [row[3] for row in rows]},
        "hovertemplate": "%{y}<extra></extra>",
        "name": "change",
    }
    dots = {
        "type": "scatter",
        "mode": "markers",
        "y": [name for name, step in zip(names, steps, strict=True) for _ in step["values"]],
        "x": plain([v for step in steps for v in step["values"]]),
        "marker": {"color": "@ink", "size": 4, "opacity": 0.75},
        "name": "seeds",
        "hovertemplate": "one seed: %{x:.4g}<extra></extra>",
    }
    whiskers = {
        "type": "scatter",
        "mode": "markers",
        "y": names,
        "x": plain([step["val_mse_scaled"] for step in steps]),
        "error_x": {
            "type": "data",
            "array": plain([step.get("sd") or 0.0 for step in steps]),
            "color": "@ink",
            "thickness": 1.2,
        },
        "marker": {"color": "@ink", "symbol": "line-ns-open", "size": 9},
        "name": "mean ± sd",
        "hovertemplate": "mean %{x:.4g}<extra></extra>",
    }
    return _figure(
        [bars, whiskers, dots],
        x={"title": "validation MSE, scaled", "rangemode": "tozero"},
        y={"autorange": "reversed", "type": "category"},
        height=90 + 44 * len(rows),
        legend=False,
    )


def learning_curves(curves: Mapping[str, Any]) -> Figure:
    """Draw the best trial's validation score and training loss over its epochs, the other trials' scores behind."""
    best, *others = curves["kept"]
    traces: list[dict[str, Any]] = []
    for states, name, colour in (
        (("PRUNED",), "pruned trials", "@pruned"),
        (("COMPLETE", "FAIL"), "other trials", "@other"),
    ):
        chosen = [c for c in others if c["state"] in states]
        if chosen:
            xs, ys, texts = _joined((c["epochs"], c["val"], [f"trial {c['trial']}"] * len(c["epochs"])) for c in chosen)
            traces.append(
                _line(xs, ys, name, colour, width=1)
                | {"text": texts, "hovertemplate": "%{text}, epoch %{x}: %{y:.4g}<extra></extra>"}
            )
    traces.append(
        _line(best["epochs"], best["val"], f"best trial ({best['trial']}), validation", "@forecast", width=3)
        | {"hovertemplate": "epoch %{x}: %{y:.4g}<extra></extra>"}
    )
    at = best.get("best_epoch")
    if at in best["epochs"]:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [at],
                "y": [best["val"][best["epochs"].index(at)]],
                "name": f"kept: epoch {at}",
                "marker": {"color": "@forecast", "size": 12, "symbol": "star", "line": {"color": "@ink", "width": 1}},
                "hovertemplate": "weights of epoch %{x} were kept<extra></extra>",
            }
        )
    x = {"title": "epoch", "rangemode": "tozero"}
    y = _score_axis([v for c in curves["kept"] for v in c["val"]], "validation score")
    if not any(v is not None for v in best.get("train", [])):
        return _figure(traces, x=x, y=y)
    traces.append(
        _line(best["epochs"], best["train"], "best trial, training loss", "@train", width=2)
        | {"xaxis": "x", "yaxis": "y2", "hovertemplate": "epoch %{x}: training loss %{y:.4g}<extra></extra>"}
    )
    figure = _figure(traces, x=x | {"anchor": "y2"}, y=y | {"domain": [0.42, 1]}, height=460)
    figure["layout"]["yaxis2"] = {"title": {"text": "training loss"}, "domain": [0, 0.32], "automargin": True}
    return figure


def history(trials: Sequence[Trial]) -> Figure:
    """Draw every trial's score in the order of the trials, and the best so far."""
    done = [t for t in trials if t["state"] == "COMPLETE" and t["value"] is not None]
    lines = _line(
        [t["number"] for t in done],
        plain(np.minimum.accumulate([t["value"] for t in done]) if done else [], 5),
        "best so far",
        "@forecast",
        width=2,
    )
    lines["line"]["shape"] = "hv"
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": [t["number"] for t in done],
        "y": plain([t["value"] for t in done], 5),
        "name": "completed trial",
        "marker": {"color": "@other", "size": 6},
        "hovertemplate": "trial %{x}: %{y:.4g}<extra></extra>",
    }
    lost = [t["number"] for t in trials if t["state"] != "COMPLETE"]
    top = max((t["value"] for t in done), default=1.0)
    traces = [dots, lines]
    if lost:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": lost,
                "y": [float(f"{top:.5g}")] * len(lost),
                "name": "pruned or failed (no score)",
                "marker": {"color": "@muted", "size": 7, "symbol": "x-thin-open"},
                "hovertemplate": "trial %{x} ended early<extra></extra>",
            }
        )
    return _figure(
        traces, x={"title": "trial", "rangemode": "tozero"}, y=_score_axis([t["value"] for t in done], SCORE)
    )


def importances(found: Mapping[str, Any]) -> Figure:
    """Draw each parameter's share in how much the validation score varies."""
    shares = sorted(found["shares"].items(), key=lambda item: -item[1])
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": [name for name, _ in shares],
        "x": plain([100 * share for _, share in shares], 4),
        "text": [f"{share:.0%}" for _, share in shares],
        "textposition": "auto",
        "marker": {"color": "@forecast"},
        "hovertemplate": "%{y}: %{x:.1f}%<extra></extra>",
    }
    return _figure(
        [bars],
        x={"title": "share (%)", "rangemode": "tozero"},
        y={"autorange": "reversed", "type": "category"},
        height=90 + 24 * len(shares),
    )


def parallel(trials: Sequence[Trial], parameters: Mapping[str, Mapping[str, Any]], best: int) -> Figure:
    """Draw each trial as a line through its parameters, one parameter to a row, the better the darker.

    Args:
        trials: with `value`, `state` and `params`.
        parameters: what each searched one could be, in the order of the rows.
        best: number of the best trial.
    """
    done = sorted((t for t in trials if t["state"] == "COMPLETE" and t["value"] is not None), key=lambda t: t["value"])
    shown = [done[i] for i in evenly(len(done), _PARALLEL)]
    values = [t["value"] for t in done]
    low, high = min(values), max(values)
    rows = ["score", *parameters]
    y = list(range(len(rows)))

    def line(trial: Trial) -> list[float | None]:
        spots = [_position(trial["params"].get(name), bounds) for name, bounds in parameters.items()]
        score = None if trial["value"] is None else _between(trial["value"], low, high, log=low > 0)
        return plain([math.nan if spot is None else spot for spot in [score, *spots]], 4)

    def text(trial: Trial) -> list[str]:
        score = "" if trial["value"] is None else f", score {number(trial['value'])}"
        told = [f"{n}: {_told(trial['params'].get(n))}" for n in parameters]
        return [f"trial {trial['number']}{score}", *(label(f"trial {trial['number']}, {t}", 80) for t in told)]

    def trace(chosen: Sequence[Trial], name: str, colour: str, width: float) -> dict[str, Any]:
        x, spots, told = _joined((line(t), y, text(t)) for t in chosen)
        return _line(x, spots, name, colour, width=width) | {"text": told, "hovertemplate": "%{text}<extra></extra>"}

    traces = []
    pruned = [t for t in trials if t["state"] == "PRUNED" and t["params"]]
    if pruned:
        few = [pruned[i] for i in evenly(len(pruned), 40)]
        traces.append(trace(few, "pruned", "@pruned", 1) | {"visible": "legendonly"})
    winner = [t for t in shown if t["number"] == best] or [t for t in done if t["number"] == best]
    others = [t for t in shown if t["number"] != best]
    for shade in range(len(_SHADES) - 1, -1, -1):
        group = [t for i, t in enumerate(others) if i * len(_SHADES) // len(others) == shade]
        if group:
            traces.append(trace(group, _SHADES[shade], f"@shade{shade}", 1.2))
    traces.append(trace(winner, f"best trial ({best})", "@worse", 3.5))
    marks = [_mark(0, number(low), 0), _mark(0, number(high), 1)]
    for row, bounds in enumerate(parameters.values(), start=1):
        if "choices" in bounds:
            names = [_told(c) for c in bounds["choices"]]
            at = np.linspace(0, 1, len(names)) if len(names) > 1 else np.array([0.5])
            marks += [_mark(row, name, float(spot)) for name, spot in zip(names, at, strict=True)]
        else:
            marks += [_mark(row, number(bounds["low"]), 0), _mark(row, number(bounds["high"]), 1)]
    figure = _figure(
        traces,
        x={"range": [-0.06, 1.06], "showticklabels": False, "zeroline": False, "showgrid": False},
        y={
            "tickvals": y,
            "ticktext": rows,
            "range": [len(rows) - 0.4, -0.6],
            "zeroline": False,
        },
        height=120 + 46 * len(rows),
    )
    figure["layout"]["annotations"] = marks
    figure["layout"]["hovermode"] = "closest"
    return figure


def slices(trials: Sequence[Trial], parameters: Mapping[str, Mapping[str, Any]], best: int) -> list[tuple[str, Figure]]:
    """Draw, for each parameter, its value in every completed trial against the trial's score."""
    done = sorted((t for t in trials if t["state"] == "COMPLETE" and t["value"] is not None), key=lambda t: t["value"])
    done = [done[i] for i in evenly(len(done), _DOTS)]
    axis = _score_axis([t["value"] for t in done], "score")
    figures = []
    for name, bounds in parameters.items():
        known = [t for t in done if t["params"].get(name) is not None]
        winner = next((i for i, t in enumerate(known) if t["number"] == best), None)
        if not known:
            continue
        x: dict[str, Any] = {"title": name}
        if "choices" in bounds:
            x |= {"type": "category", "categoryorder": "array", "categoryarray": [_told(c) for c in bounds["choices"]]}
            values: list[Any] = [_told(t["params"][name]) for t in known]
        else:
            values = [t["params"][name] for t in known]
            if bounds.get("log"):
                x |= {"type": "log"} | _log_ticks(min(values), max(values), most=5)
        dots: dict[str, Any] = {
            "type": "scatter",
            "mode": "markers",
            "x": values,
            "y": plain([t["value"] for t in known], 4),
            "customdata": [t["number"] for t in known],
            "marker": {"color": "@forecast", "size": 6, "opacity": 0.8},
            "hovertemplate": "trial %{customdata}: %{x}, score %{y:.4g}<extra></extra>",
        }
        traces = [dots]
        if winner is not None:
            star = {key: [dots[key][winner]] for key in ("x", "y", "customdata")}
            traces.append(dots | star | {"marker": {"color": "@worse", "size": 12, "symbol": "star"}})
        figures.append((name, _figure(traces, x=x, y=axis, height=240, legend=False)))
    return figures


def forecast_view(forecasts: Sequence[SeriesForecast], horizon: int, period: int | None) -> dict[str, Any]:
    """Return the kept test windows of all series, and the statistics of their residuals, for the page to draw.

    Of each series: `actual` (T,) at `times` (T,); window k begins at `starts[k]` of these, and its forecast is
    `forecast[k * H : (k + 1) * H]`. Rows are missing before those that `breaks` names. Series of the same times share
    an entry of `axes`.
    """
    axes: list[dict[str, Any]] = []
    series = []
    for f in forecasts:
        labels, first = np.unique(np.array(f.times).reshape(-1), return_index=True)
        if labels[0].lstrip("-").isdigit():
            order = np.argsort(labels.astype(np.int64))
            labels, first = labels[order], first[order]
        place = {name: i for i, name in enumerate(labels.tolist())}
        series.append(
            {
                "name": cut(f.name),
                "short": cut(f.name, 22),
                "axis": _share(axes, encode_times(labels)),
                "windows": f.windows,
                "mse": number(f.mse),
                "bias": number(f.bias),
                "actual": pack(f.actual.reshape(-1)[first]),
                "breaks": [
                    place[times[0]] for times, gap in zip(f.times[1:], np.diff(f.index), strict=True) if gap > horizon
                ],
                "starts": pack([place[times[0]] for times in f.times], "i4"),
                "forecast": pack(f.forecast.reshape(-1)),
                "correlation": autocorrelation(f.first_residual, _lags(f.windows, period, len(forecasts))),
                "bins": distribution(f.actual - f.forecast),
            }
        )
    return {"horizon": horizon, "period": period, "axes": axes, "series": series}


def data_view(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Return the drawn series with the borders of their parts, for the page to draw."""
    axes: list[dict[str, Any]] = []
    lines = [
        {
            "name": cut(str(line["name"])),
            "short": cut(str(line["name"]), 22),
            "axis": _share(axes, line["times"]),
            "values": pack([math.nan if v is None else v for v in line["values"]]),
            "parts": line["parts"],
        }
        for line in drawn["lines"]
    ]
    return {"axes": axes, "series": lines}


def autocorrelation(residuals: NDArray[np.float64], lags: int) -> dict[str, Any] | None:
    """Return the autocorrelation of residuals (W,) at 1 to `lags`, and how far white noise strays from 0.

    Missing values are left out of the sums. None: there is nothing to correlate.
    """
    seen = ~np.isnan(residuals)
    count = int(seen.sum())
    if count < 8 or lags < 1:
        return None
    centred = np.where(seen, residuals - residuals[seen].mean(), 0.0)
    power = float(centred @ centred)
    if power <= 0:
        return None
    return {
        "values": plain([float(centred[:-k] @ centred[k:]) / power for k in range(1, lags + 1)], 4),
        "band": float(f"{1.96 / math.sqrt(count):.4g}"),
    }


def distribution(residuals: NDArray[np.float64]) -> dict[str, Any] | None:
    """Return a histogram of residuals (any shape), with their mean and standard deviation."""
    seen = residuals[~np.isnan(residuals)]
    if len(seen) < 2 or float(np.ptp(seen)) <= 1e-9 * float(np.abs(seen).max()):
        return None  # all alike but for rounding
    counts, edges = np.histogram(seen, bins=int(min(60, max(8, math.sqrt(len(seen))))))
    return {
        "counts": counts.tolist(),
        "low": float(f"{edges[0]:.7g}"),
        "high": float(f"{edges[-1]:.7g}"),
        "mean": float(f"{seen.mean():.6g}"),
        "sd": float(f"{seen.std():.6g}"),
    }


def _lags(windows: int, period: int | None, series: int) -> int:
    wanted = max(24, 2 * period + 2 if period else 0)
    return min(wanted, windows // 3, 400 if series <= 20 else 60)


def _share(axes: list[dict[str, Any]], axis: dict[str, Any]) -> int:
    if axis not in axes:
        axes.append(axis)
    return axes.index(axis)


def _figure(
    traces: list[dict[str, Any]], *, x: dict[str, Any], y: dict[str, Any], height: int = 340, legend: bool = True
) -> Figure:
    layout = {"xaxis": _axis(x), "yaxis": _axis(y), "showlegend": legend and len(traces) > 1}
    return {"data": traces, "layout": layout, "height": height}


def _axis(options: dict[str, Any]) -> dict[str, Any]:
    title = {"title": {"text": options["title"]}} if "title" in options else {}
    return options | {"automargin": True} | title


def _line(
    x: Sequence[Any], y: Sequence[Any], name: str, colour: str, *, width: float, dash: str = "solid"
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines" if len(x) > 1 else "lines+markers",
        "x": list(x),
        "y": list(y),
        "name": name,
        "line": {"color": colour, "width": width, "dash": dash},
    }


def _joined(
    lines: Iterable[tuple[Sequence[Any], Sequence[Any], Sequence[str]]],
) -> tuple[list[Any], list[Any], list[str | None]]:
    """Put many lines into one trace, with a gap between them."""
    xs: list[Any] = []
    ys: list[Any] = []
    texts: list[str | None] = []
    for x, y, text in lines:
        xs += [*x, None]
        ys += [*y, None]
        texts += [*text, None]
    return xs, ys, texts


def _score_axis(values: Iterable[float | None], title: str) -> dict[str, Any]:
    """Return the axis of a score: logarithmic where the scores are far apart."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    if not known or min(known) <= 0 or max(known) <= _NEAR_LEVEL * min(known):
        return {"title": title}
    return {"title": title, "type": "log"} | _log_ticks(min(known), max(known))


def _log_ticks(low: float, high: float, most: int = 7) -> dict[str, Any]:
    """Return ticks of a logarithmic axis with their full text: plotly writes 2 and 5 for .02 and .05."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [d * 10.0**p for p in decades for d in digits if low * 0.9 <= d * 10.0**p <= high * 1.1]
        if len(ticks) <= most:
            break
    return {"tickvals": ticks, "ticktext": [f"{tick:.6g}" for tick in ticks]} if len(ticks) > 1 else {}


def _position(value: Any, bounds: Mapping[str, Any]) -> float | None:
    """Return where a value lies within its bounds, from 0 to 1; None: it has none."""
    if value is None:
        return None
    if "choices" in bounds:
        names = [_told(c) for c in bounds["choices"]]
        return None if _told(value) not in names else names.index(_told(value)) / max(1, len(names) - 1)
    if isinstance(value, str):
        return None
    return _between(value, bounds["low"], bounds["high"], log=bool(bounds.get("log")))


def _between(value: float, low: float, high: float, *, log: bool) -> float:
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return 0.5 if high <= low else min(1.0, max(0.0, (value - low) / (high - low)))


def _told(value: Any) -> str:
    """Return a parameter's value as text: 32 and 32.0 are one."""
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


def _unique(names: Sequence[str]) -> list[str]:
    """Number names that come more than once: plotly would stack their bars."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return result
