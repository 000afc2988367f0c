"""The weights of mean forecasts, in NumPy, from the rules that the package states; errors come from the oracle."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Key = tuple[int, int]  # trial, epochs

_FITTED = ("linear", "ets")  # skips that are fitted


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """A completed trial."""

    number: int
    value: float
    epochs: int  # the best one
    start: float  # value of its untrained forecast; inf: it has none
    params: Mapping[str, Any]

    @property
    def kind(self) -> tuple[Any, ...]:
        """How the series was prepared."""
        return tuple(self.params[name] for name in ("transform", "difference", "window_norm", "skip"))


def error_products(blocks: Sequence[Array], units: Sequence[float]) -> Array:
    """Return the mean products (K, K) of errors (K, N) of each block, in its unit."""
    return np.mean([np.einsum("in,jn->ij", e, e) / e.shape[1] / unit for e, unit in zip(blocks, units, strict=True)], 0)


def stacked(products: Array, prior: Array, independent: float) -> Array:
    """Return the weights w >= 0 with sum 1 that minimise w'Pw + 12 / n · least diagonal · |w - prior|²."""
    least = products.diagonal().min()
    if not least > 0:
        return prior
    pull = 0.3 * 40 / independent
    form = products / least + pull * np.eye(len(prior))
    step, weights = 1 / np.linalg.eigvalsh(form)[-1], prior
    momentum, before = weights, weights
    for turn in range(20_000):
        before, weights = weights, _onto_simplex(momentum - step * (form @ momentum - pull * prior))
        momentum = weights + turn / (turn + 3) * (weights - before)
        if turn > 50 and np.abs(weights - before).max() < 1e-14:
            break
    return weights


def _onto_simplex(x: Array) -> Array:
    """Return the nearest point that is not negative and adds up to 1."""
    largest = np.sort(x)[::-1]
    excess = (np.cumsum(largest) - 1) / np.arange(1, len(x) + 1)
    return np.maximum(x - excess[np.flatnonzero(largest > excess)[-1]], 0)


def by_value(tried: Sequence[Tried], independent: float, blocks: int, *, alone: bool) -> dict[Key, float]:
    """Return the weights that values, and what is known beforehand, give."""
    first = {t.value: t for t in reversed(tried)}
    ranked = sorted(first.values(), key=lambda t: t.value)
    best = ranked[0]
    if alone:
        return {(best.number, best.epochs): 1.0}
    near = [
        t for t in ranked
        if t is best or (t.value <= 2 * best.value and (t.epochs or t.params["skip"] in _FITTED))
    ]  # fmt: skip
    rank = [sum(other.kind == t.kind for other in near[:i]) for i, t in enumerate(near)]
    firsts, seconds = ([t for t, r in zip(near, rank, strict=True) if r == place] for place in (0, 1))
    trust = 1 + 8 / independent
    weights: dict[Key, float] = {}
    for t in (firsts + seconds)[:10]:
        level = t.params["window_norm"] == "none" and t.params["difference"] == "none"
        prior = 1 / trust if level else trust if t.params["skip"] in _FITTED else 1.0
        weights[t.number, t.epochs] = prior * (best.value / t.value) ** 2
    anchor = min(tried, key=lambda t: (t.start, t.number))
    share = 0.0
    if 0 < anchor.start < math.inf:
        n, gain = independent * blocks, max(0.0, 1 - best.value / anchor.start)
        share = n**2 / (n**2 + 150**2) / (1 + n * gain**2)
    weights = {key: (1 - share) * w / sum(weights.values()) for key, w in weights.items()}
    if share:
        same = [number for number, epochs in weights if not epochs and _of(tried, number).value == anchor.start]
        _add(weights, ((same or [anchor.number])[0], 0), share)
    smoothed = [t for t in tried if t.params["skip"] == "ets" and 0 < t.start < math.inf]
    if smoothed:
        begun = min(smoothed, key=lambda t: (t.start, t.number))
        share = 0.35 * min(1.0, best.value / begun.start) ** 2
        weights = {key: (1 - share) * w for key, w in weights.items()}
        _add(weights, (begun.number, 0), share)
    return weights


def by_errors(
    tried: Sequence[Tried],
    known: int,
    errors: Callable[[Tried, int], Sequence[Array]],
    units: Sequence[float],
    independent: float,
    horizon: int,
) -> dict[Key, float]:
    """Return the weights of the saved model: half of them are those of the known configurations alone.

    Args:
        tried: the completed trials that can be retrained, by number.
        known: configurations that were tried first.
        errors: returns a trial's sampled errors on each fold, after so many epochs.
        units: what counts as 1 on each fold.
        independent: validation windows that do not overlap.
        horizon: rows of a window; for least squares a window counts as 24 rows at least.
    """
    windows = independent * horizon / max(horizon, 24) * len(units)

    def of(some: Sequence[Tried]) -> dict[Key, float]:
        prior = by_value(some, independent, len(units), alone=False)
        found = [errors(_of(some, number), epochs) for number, epochs in prior]
        blocks = [np.array([e[block] for e in found]) for block in range(len(units))]
        weights = stacked(error_products(blocks, units), np.array(list(prior.values())), windows)
        weights[weights < 0.002] = 0
        return {key: float(w) for key, w in zip(prior, weights / weights.sum(), strict=True) if w}

    weights, first = of(tried), [t for t in tried if t.number < known]
    if 0 < len(first) < len(tried):
        own, weights = weights, {}
        for half in (of(first), own):
            for key, w in half.items():
                _add(weights, key, w / 2)
    return weights


def _of(tried: Sequence[Tried], number: int) -> Tried:
    return next(t for t in tried if t.number == number)


def _add(weights: dict[Key, float], key: Key, weight: float) -> None:
    weights[key] = weights.get(key, 0.0) + weight
