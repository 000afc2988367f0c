"""Where the error lies: by step, by series, by change of the configuration (the waterfall of `explain`), by input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lstm_tune.evaluation.baseline_labels import table_label
from lstm_tune.evaluation.model_labels import MODEL
from lstm_tune.report.encoding import rounded_list
from lstm_tune.report.plot import Figure, bars, dots, figure, label, line, ranking, unique
from lstm_tune.utils.text import number

_DASHES = ("dot", "dash", "dashdot", "longdash", "longdashdot")  # of the baselines; @baseline0 to 4 are their colours

_ENDS = ("p99_low", "p99_high")
_FLAT = 2.5  # times the larger of the LSTM and the best baseline: what is higher is hidden until it is asked for


def error_per_step(
    steps: Sequence[float], baselines: Mapping[str, Sequence[float]], unit: str, period: float | None
) -> Figure:
    """Draw the MSE of each step ahead, with those of the baselines.

    Args:
        steps: (H,) of the saved model.
        baselines: (H,) of each.
        unit: of the MSE.
        period: rows in a season, as `table_label` takes it.
    """
    x = list(range(1, len(steps) + 1))
    traces = [line(x, rounded_list(steps), MODEL, "@forecast", width=3.5)]
    least = min((max(values) for values in baselines.values()), default=0.0)
    visible = _FLAT * max(max(steps), least)  # what is far above would press the lines together that are compared
    for i, (name, values) in enumerate(baselines.items()):  # on top, so that both are seen if they are equal
        style = i % len(_DASHES)
        name, role = table_label(name, period), f"@baseline{style}"
        trace = line(x, rounded_list(values), name, role, width=1.6, dash=_DASHES[style])
        if max(values) > visible:
            trace |= {"visible": "legendonly", "name": f"{name}, up to {number(max(values))}: click to show"}
        traces.append(trace)
    return figure(traces, x={"title": "steps ahead"}, y={"title": f"test MSE ({unit})", "rangemode": "tozero"})


def error_by_series(hardest: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the series that are hardest to forecast.

    Args:
        hardest: series with `name`, `windows`, `mse` and `ratio` (MSE over the variance of the scored values).
    """
    names = unique([label(str(one["name"]), 24) for one in hardest])
    hover = "%{y}: %{x:.3f}<br>test MSE %{customdata[0]} over %{customdata[1]} windows"
    trace = bars(names, rounded_list([one["ratio"] for one in hardest]), "@forecast", hover=hover)
    trace["customdata"] = [[number(one["mse"]), one["windows"]] for one in hardest]
    return ranking([trace], "MSE / variance", len(hardest))


def waterfall(explained: Mapping[str, Any]) -> Figure:
    """Draw what each change took off the validation MSE; dots are the seeds, whiskers one standard deviation.

    Args:
        explained: what `explain.json` holds.
    """
    steps = explained["steps"]
    names: list[str] = []
    rows: list[tuple[str, float, float, str]] = []  # name, from, to, role
    before = 0.0
    for i, step in enumerate(steps):
        value, delta = step["val_mse_scaled"], step.get("delta")
        after = before if value is None else float(value)  # None: training diverged
        role = "@muted" if i == 0 or step.get("within_noise") else "@better" if after < before else "@worse"
        text = _step_text(value, delta, bool(step.get("within_noise")))
        names.append(f"{label(str(step['name']), 28)}<br><b>{text}</b>")
        rows.append((names[-1], 0.0 if i == 0 else before, after, role))
        before = after
    rows.append((f"all changes together<br><b>{number(before)}</b>", 0.0, before, "@forecast"))
    changes = bars(
        [row[0] for row in rows],
        rounded_list([to - start for _, start, to, _ in rows]),
        [row[3] for row in rows],
        hover="%{y}",
    )
    changes |= {"base": rounded_list([start for _, start, _, _ in rows]), "name": "change"}
    values = [(v, name) for name, step in zip(names, steps, strict=True) for v in step["values"] if v is not None]
    seeds = dots(
        rounded_list([v for v, _ in values]),
        [name for _, name in values],
        "seeds",
        "@ink",
        size=4,
        opacity=0.75,
        hover="one seed: %{x:.4g}",
    )
    known = [(step, name) for name, step in zip(names, steps, strict=True) if step["val_mse_scaled"] is not None]
    means = rounded_list([step["val_mse_scaled"] for step, _ in known])
    whiskers = dots(
        means, [name for _, name in known], "mean ± sd", "@ink", size=9, symbol="line-ns-open", hover="mean %{x:.4g}"
    )
    spread = rounded_list([step.get("sd") or 0.0 for step, _ in known])
    whiskers["error_x"] = {"type": "data", "array": spread, "color": "@ink", "thickness": 1.2}
    return ranking([changes, whiskers, seeds], "validation score (scaled MSE)", len(rows), row_height=44)


def inputs(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw by how many percent the MSE grows without each input, with 99% intervals.

    Args:
        rows: `inputs` of `inputs.json`.
    """
    names = unique([label(str(row["input"]), 28) for row in rows])
    shares = [100 * row["importance"] for row in rows]
    colours = ["@forecast" if row["kind"] != "lookback" else "@muted" for row in rows]
    trace = bars(names, rounded_list(shares, 4), colours, hover="%{y}: %{x:+.3g}%")
    ends = [[100 * (row[key] if row[key] is not None else row["importance"]) for row in rows] for key in _ENDS]
    trace["error_x"] = {
        "type": "data",
        "symmetric": False,
        "arrayminus": rounded_list([max(0.0, x - low) for x, low in zip(shares, ends[0], strict=True)], 4),
        "array": rounded_list([max(0.0, high - x) for x, high in zip(shares, ends[1], strict=True)], 4),
        "color": "@ink",
        "thickness": 1.2,
    }
    return ranking([trace], "how much higher the MSE is without it (%)", len(rows))


def _step_text(value: float | None, delta: float | None, noise: bool) -> str:
    if value is None:
        return "diverged"
    if delta is None:
        return number(value)
    return "within noise" if noise else f"{delta:+.3g}"
