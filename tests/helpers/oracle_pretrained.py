"""The LSTM trained beforehand, in NumPy, window by window from the definitions of what it sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import erf, expit

Array = np.ndarray[Any, Any]

_RATES = (0.5, 0.2, 0.05)


def forecast(state: Mapping[str, Array], windows: Array, period: int, horizon: int) -> Array:
    """Return the forecast (B, H) of the rows after windows (B, T)."""
    return np.array([_forecast(state, window - window[0], period, horizon) + window[0] for window in windows])


def _forecast(state: Mapping[str, Array], x: Array, period: int, horizon: int) -> Array:
    m = period if len(x) >= period + 2 else 1
    seen = [_look(x[: t + 1], m) for t in range(len(x))]
    h = c = np.zeros(state["lstm.weight_hh_l0"].shape[1])
    for row in seen:
        gates = state["lstm.weight_ih_l0"] @ row["inputs"] + state["lstm.weight_hh_l0"] @ h
        i, f, g, o = np.split(gates + state["lstm.bias_ih_l0"] + state["lstm.bias_hh_l0"], 4)
        c = expit(f) * c + expit(i) * np.tanh(g)
        h = expit(o) * np.tanh(c)
    found = [_step(state, x, m, seen, h, step) for step in range(1, horizon + 1)]
    return np.array(found)


def _look(x: Array, m: int) -> dict[str, Any]:
    """Describe a window by all of its rows."""
    n, changes = len(x), np.diff(x)
    lagged = x[m:] - x[:-m] if m > 1 and n > m else np.zeros(0)
    own = max(1e-12, float(np.mean(np.abs(changes))) if n > 1 else 0.0)
    scale = own
    if m > 1 and n >= m + 3:
        scale = min(own, max(float(np.mean(np.abs(lagged))), 1e-3 * own))
    season = float(np.mean(x[-(m if m > 1 else 4) :]))
    levels = [_smoothed(x, rate) for rate in _RATES]
    seasonal = [_smoothed(lagged, rate) for rate in _RATES]
    slope, recent = _smoothed(changes, 0.2), _smoothed(np.abs(changes), 0.2)
    first = changes[-1] if n > 1 else 0.0
    last_season = lagged[-1] if len(lagged) else 0.0
    parts = np.array([first, last_season, season - x[-1], levels[1] - x[-1], seasonal[1], slope])
    inputs = [
        *np.arcsinh(parts / scale),
        np.log(own / scale),
        np.clip(np.log(max(recent, 1e-12) / own), -5, 5),
        float(len(lagged) > 0),
        np.log(n) / 5,
        np.log(m) / 4,
        float(m > 1),
    ]
    return {
        "scale": scale, "season": season, "levels": levels, "changes": seasonal, "slope": slope,
        "mean": float(x.mean()), "inputs": np.array(inputs),
    }  # fmt: skip


def _smoothed(values: Array, rate: float) -> float:
    """Return the mean of values of which each older one counts less by the same factor."""
    if not len(values):
        return 0.0
    weights = (1 - rate) ** np.arange(len(values))[::-1]
    return float(weights @ values / weights.sum())


def _step(state: Mapping[str, Array], x: Array, m: int, seen: list[dict[str, Any]], h: Array, step: int) -> float:
    last, end, now = len(x) - 1, seen[-1], x[-1]
    places = [last + (step - 1) % m + 1 - k * m for k in (1, 2, 3)]
    there = [m > 1 and place >= 0 for place in places]
    past = [x[place] if has else now for place, has in zip(places, there, strict=True)]
    base = past[0]
    ago = [seen[last - k * m]["season"] if m > 1 and last - k * m >= m - 1 else None for k in (1, 2)]
    reach = min(step, 48)
    terms = np.array(
        [
            now - base,
            end["season"] - base,
            end["season"] - ago[0] if ago[0] is not None else 0.0,
            ago[0] - ago[1] if ago[0] is not None and ago[1] is not None else 0.0,
            past[1] - base if there[1] else 0.0,
            past[2] - past[1] if there[2] else 0.0,
            *end["changes"],
            *(level - now for level in end["levels"]),
            end["mean"] - now,
            x[max(last - 1, 0)] - now,
            x[max(last - 2, 0)] - now,
            end["slope"] * reach,
            now / max(last, 1) * reach,
        ]
    )
    of_step = [np.log(reach) / 3, np.log1p(reach / m) if m > 1 else 0.0, *map(float, there)]
    known = np.concatenate([np.arcsinh(terms / end["scale"]), of_step])
    mixed = state["state.weight"] @ h + state["state.bias"] + state["step.weight"] @ known
    hidden = 0.5 * mixed * (1 + erf(mixed / np.sqrt(2)))
    found = state["output.weight"] @ hidden + state["output.bias"]
    return float(base + found[:-1] @ terms + found[-1] * end["scale"])
