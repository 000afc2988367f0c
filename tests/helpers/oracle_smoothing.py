"""Exponential smoothing in NumPy, from the equations of the book and the rules that the package states for its search.

ETS(A, N|A|Ad, N|A) of Hyndman et al. (2008), in the form of error correction. A forecast is found window by window: the
states of least squares first, then the rows, one after the other. Letters: n rows, K candidates, m season, H horizon.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_ROUNDS, _WIDTH = 7, 96  # of the random search
_RECENT, _LEAST = 4000, 8  # values that are fitted to, at most; that a series must have


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """A model: parameters, season and weight; phi is 0 without a trend, 1 with one that is not damped."""

    alpha: float
    beta: float
    gamma: float
    phi: float
    season: int
    weight: float


def run(y: Array, parameters: Array, free: Array, season: int, trend: bool) -> tuple[Array, Array]:
    """Run K candidates over values (n, K) or (n, 1); return errors (n, K) and the last states (1 + trend + m, K).

    Args:
        y: values, NaN where missing.
        parameters: alpha, beta, gamma, phi: (4, K).
        free: level, trend if there is one, and m - 1 of the seasonal states: (F, K).
        season: m; 1: none.
        trend: whether there is one.
    """
    alpha, beta, gamma, phi = parameters
    level = free[0]
    slope = free[1] if trend else np.zeros_like(level)
    tail = free[1 + trend :]
    ring = [*tail, -tail.sum(axis=0)]
    errors = []
    for values in y:
        before = level + phi * slope
        error = values - before - ring[0]
        taken = np.where(np.isnan(error), 0.0, error)
        level, slope = before + alpha * taken, phi * slope + beta * taken
        ring = [*ring[1:], ring[0] + gamma * taken]
        errors.append(error)
    return np.array(errors), np.array([level, slope, *ring])


def ahead(states: Array, phi: Array, horizon: int) -> Array:
    """Return forecasts (H, K) from the states after the last row."""
    level, slope, *ring = states
    rows, growth = [], np.zeros_like(slope)
    for h in range(1, horizon + 1):
        growth = growth + phi**h
        rows.append(level + growth * slope + ring[(h - 1) % len(ring)])
    return np.array(rows)


def _best_states(y: Array, parameters: Array, season: int, trend: bool) -> Array:
    """Return the states (F, 1) of least squared errors over values (n,), given parameters (4, 1)."""
    free = season + trend
    there = np.isfinite(y)
    alone = run(y[:, None], parameters, np.zeros((free, 1)), season, trend)[0][there]
    hollow = np.where(there, 0.0, np.nan)[:, None]
    unit = run(hollow, np.repeat(parameters, free, axis=1), np.eye(free), season, trend)[0][there]
    return np.linalg.lstsq(unit, -alone, rcond=None)[0]


def _first_states(y: Array, season: int, trend: bool) -> Array:
    """Return states (F, 1): a line with a season through the first rows."""
    head = y[: max(3 * season if season > 1 else 0, 10)]
    t = np.arange(len(head))
    columns = [np.ones(len(head))] + ([t + 1.0] if trend else [])
    columns += [(t % season == j).astype(float) - (t % season == season - 1) for j in range(season - 1)]
    there = np.isfinite(head)
    return np.linalg.lstsq(np.array(columns).T[there], head[there, None], rcond=None)[0]


def _in_units(points: Array, season: int, kind: str) -> Array:
    """Map points (K, D) of the unit cube to parameters (4, K)."""
    rest = list(points.T)
    alpha, zero = rest.pop(0), np.zeros(len(points))
    beta = alpha * rest.pop(0) ** 2 if kind != "none" else zero
    phi = {"none": zero, "additive": zero + 1}.get(kind)
    if phi is None:
        phi = 0.8 + 0.18 * rest.pop(0)
    gamma = (1 - alpha) * rest.pop(0) ** 1.5 if season > 1 else zero
    return np.array([alpha, beta, gamma, phi])


def fit(series: Sequence[Array], period: int | None) -> list[Fitted]:
    """Fit all kinds of models to series on one scale, and weigh them by their AICc."""
    series = [y for y in series if np.isfinite(y).sum() >= _LEAST]
    series = [y[-(_RECENT // len(series)) :] for y in series]
    long = period and period <= 400 and all(len(y) >= 2 * period + 3 for y in series)
    kinds = list(itertools.product(sorted({1, period if long else 1}), ("none", "additive", "damped")))
    sizes = [1 + (kind != "none") + (kind == "damped") + (m > 1) for m, kind in kinds]
    centers = [np.full(size, 0.5) for size in sizes]
    rng = np.random.default_rng(0)

    def squares(points: Array, states: list[Array], m: int, kind: str) -> Array:
        parameters, total = _in_units(points, m, kind), np.zeros(len(points))
        for y, state in zip(series, states, strict=True):
            errors = run(y[:, None], parameters, np.repeat(state, len(points), 1), m, kind != "none")[0]
            total += np.nansum(errors**2, axis=0)
        return total

    def polished(center: Array, m: int, kind: str) -> list[Array]:
        return [_best_states(y, _in_units(center[None], m, kind), m, kind != "none") for y in series]

    states = [[_first_states(y, m, kind != "none") for y in series] for m, kind in kinds]
    for turn in range(_ROUNDS):
        if turn == 3:
            states = [polished(c, *k) for c, k in zip(centers, kinds, strict=True)]
        for i, (m, kind) in enumerate(kinds):
            move = 2 * 0.6**turn * (rng.random((_WIDTH, sizes[i])) - 0.5)
            move[0] = 0
            for j in range(1, _WIDTH, 2):  # along one axis alone
                move[j, np.arange(sizes[i]) != j // 2 % sizes[i]] = 0
            cloud = np.clip(centers[i] + move, 1e-4, 1 - 1e-4)
            centers[i] = cloud[squares(cloud, states[i], m, kind).argmin()]
    n, criteria = sum(int(np.isfinite(y).sum()) for y in series), []
    for center, (m, kind), size in zip(centers, kinds, sizes, strict=True):
        k = size + 1 + len(series) * (m + (kind != "none"))
        sse = squares(center[None], polished(center, m, kind), m, kind)[0]
        criteria.append(n * np.log(sse / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1) if n - k > 1 else np.inf)
    share = np.exp((min(criteria) - np.array(criteria)) / 2)
    share[share < 0.02 * share.max()] = 0
    return [
        Fitted(**dict(zip(("alpha", "beta", "gamma", "phi"), _in_units(c[None], m, kind)[:, 0], strict=True)),
               season=m, weight=float(w))
        for c, (m, kind), w in zip(centers, kinds, share / share.sum(), strict=True)
        if w
    ]  # fmt: skip


def forecast(models: Sequence[Fitted], history: Array, horizon: int) -> Array:
    """Return the mean forecast (B, H) of the rows that follow each history (B, X)."""
    total, rows = np.zeros((len(history), horizon)), history.shape[1]
    for model in models:
        trend = model.phi > 0 and rows >= 3
        m = model.season if rows >= model.season + 2 else 1
        one = np.array([[model.alpha], [model.beta * trend], [model.gamma * (m > 1)], [model.phi * trend]])
        free, each = m + trend, np.repeat(one, len(history), axis=1)
        alone, _ = run(history.T, each, np.zeros((free, len(history))), m, trend)
        unit, _ = run(np.zeros((rows, 1)), np.repeat(one, free, axis=1), np.eye(free), m, trend)
        states = np.linalg.lstsq(unit, -alone, rcond=None)[0]  # the errors are linear in the states
        _, last = run(history.T, each, states, m, trend)
        total += model.weight * ahead(last, each[3], horizon).T
    return total
