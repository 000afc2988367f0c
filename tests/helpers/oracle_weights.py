"""The weights of mean forecasts, in NumPy, from the rules that the package states; errors come from the oracle."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Key = tuple[int, int, bool]  # trial, epochs, whether it is the LSTM trained beforehand

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
    """Return the mean products (B, K, K) of errors (K, N) of each block, in its unit."""
    return np.array([np.einsum("in,jn->ij", e, e) / e.shape[1] / unit for e, unit in zip(blocks, units, strict=True)])


def pull_on_blocks(products: Array, prior: Array, independent: float) -> float:
    """Return by which factor the penalty is multiplied: what errs least on blocks left out; 10 below 60 windows."""
    count = len(products)
    if independent < 60 or count < 2:
        return 10.0
    errors = {}
    for factor in (100.0, 10.0, 1.0, 0.1):
        found = [stacked((products.sum(0) - p) / (count - 1), prior, independent / math.sqrt(factor)) for p in products]
        errors[factor] = sum(float(w @ p @ w) for w, p in zip(found, products, strict=True))
    return min(errors, key=lambda factor: errors[factor])


def stacked(products: Array, prior: Array, independent: float) -> Array:
    """Return the weights w >= 0 with sum 1 that minimise w'Pw + 480 / n² · least diagonal · |w - prior|²."""
    least = products.diagonal().min()
    if not least > 0:
        return prior
    pull = 480 / independent**2
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


def by_value(tried: Sequence[Tried], known: int, independent: float, blocks: int) -> dict[Key, float]:
    """Return the weights that values, and what is known beforehand, give."""
    of_known, part = [t.value for t in tried if t.number < known], 1 / (1 + 10 / (independent * blocks))
    if of_known:  # of what the search found below them a part is believed
        tried = [
            t if t.number < known or t.value >= min(of_known)
            else replace(t, value=min(of_known) * (t.value / min(of_known)) ** part)
            for t in tried
        ]  # fmt: skip
    best = min(tried, key=lambda t: (t.value, t.number))
    trust = 1 + 2 / independent
    near = [
        t for t in tried
        if t is best or (t.value <= 2 * best.value and (t.epochs or t.params["skip"] in _FITTED))
    ]  # fmt: skip
    first = sorted((t for t in near if t.number < known), key=lambda t: (t.value, t.number))
    searched: list[Tried] = []
    for t in sorted((t for t in near if t.number >= known), key=lambda t: (t.value, t.number)):
        if all(t.value != other.value for other in (*first, *searched)):
            searched.append(t)
    rank = [sum(other.kind == t.kind for other in searched[:i]) for i, t in enumerate(searched)]
    in_turn = [t for place in (0, 1) for t, r in zip(searched, rank, strict=True) if r == place]
    members = [*first, *in_turn[: max(3, 10 - known)]]

    def weight(t: Tried, value: float) -> float:
        level = t.params["window_norm"] == "none" and t.params["difference"] == "none"
        prior = 1 / trust if level else trust if t.params["skip"] in _FITTED else 1.0
        return prior * (best.value / value) ** 2

    def untrained(t: Tried) -> Key:
        return next((m.number for m in members if m.start == t.start < math.inf), t.number), 0, False

    weights: dict[Key, float] = {}
    for t in members:
        _add(weights, (t.number, t.epochs, False) if t.epochs else untrained(t), weight(t, t.value))
    fitted = [[t for t in some if t.params["skip"] in _FITTED] for some in (first, members)]
    for t in fitted[0] or fitted[1]:
        if 0 < t.start <= 2 * best.value:
            _add(weights, untrained(t), weight(t, t.start))
    total = sum(weights.values())
    anchor = min(tried, key=lambda t: (t.start, t.number))
    share = 0.0
    if 0 < anchor.start < math.inf:
        n, gain = independent * blocks, max(0.0, 1 - best.value / anchor.start)
        share = n**2 / (n**2 + 150**2) / (1 + n * gain**2)
    weights = {key: (1 - share) * w / total for key, w in weights.items()}
    if share:
        _add(weights, untrained(anchor), share)
    return weights


def by_errors(
    tried: Sequence[Tried],
    known: int,
    errors: Callable[[Tried | None, int], Sequence[Array]],
    units: Sequence[float],
    independent: float,
    horizon: int,
    series: int,
) -> dict[Key, float]:
    """Return the weights of the saved model.

    Args:
        tried: the completed trials that can be retrained, by number.
        known: configurations that were tried first.
        errors: returns a trial's errors on each fold, after so many epochs; None: those of the LSTM trained beforehand.
        units: what counts as 1 on each fold.
        independent: validation windows that do not overlap.
        horizon: rows of a window; for least squares a window counts as 24 rows at least.
        series: of several, the errors of each window are brought to root mean square 1 over all forecasts.
    """
    windows = independent * horizon / max(horizon, 24) * len(units)

    prior = by_value(tried, known, independent, len(units))
    found = [errors(_of(tried, number), epochs) for number, epochs, _ in prior]
    if len(prior) == 1:
        return prior
    one_more = horizon <= 48 and any(_of(tried, number).params["skip"] in _FITTED for number, _, _ in prior)
    if one_more:
        found.append(errors(None, 0))
    blocks = [np.array([e[block] for e in found]) for block in range(len(units))]
    if series > 1:
        units = [1.0] * len(units)
        for block in blocks:
            for w in range(block.shape[1] // min(horizon, 6)):
                own = slice(w * min(horizon, 6), (w + 1) * min(horizon, 6))
                block[:, own] /= np.sqrt(np.mean(block[:, own] ** 2)) or 1.0
    products = error_products(blocks, units)
    mean = products.mean(0)
    if one_more:
        share = 0.35 * min(1.0, min(mean.diagonal()[:-1]) / mean[-1, -1]) ** 2
        heaviest = max(prior, key=lambda key: prior[key])
        prior = {key: (1 - share) * w for key, w in prior.items()} | {(heaviest[0], 0, True): share}
    given = np.array(list(prior.values()))
    weights = stacked(mean, given, windows / math.sqrt(pull_on_blocks(products, given, windows)))
    weights[weights < 0.002] = 0
    return {key: float(w) for key, w in zip(prior, weights / weights.sum(), strict=True) if w}


def _of(tried: Sequence[Tried], number: int) -> Tried:
    return next(t for t in tried if t.number == number)


def _add(weights: dict[Key, float], key: Key, weight: float) -> None:
    weights[key] = weights.get(key, 0.0) + weight
