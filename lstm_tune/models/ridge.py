"""Linear forecasts in closed form: the ridge baseline and the model's linear skip.

The regression is of the targets on the rows before them, both minus a location (the window's last value, say). Only
the moments X'X (L, L) and X'Y (L, H) are kept, so that no matrix of size rows x lookback is ever made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

_ALPHAS = tuple(10.0**k for k in range(-5, 3))  # relative to the mean eigenvalue of X'X
_SHORTEST = 3  # rows of lookback
_TIE = 1.03  # a longer lookback is kept where a shorter one's error is not clearly less
_BLOCKS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Moments:
    """Sums over some windows: n, Σx (L,), Σy (H,), Σxx' (L, L), Σxy' (L, H), Σy² (H,); float64."""

    n: float
    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor
    yy: Tensor

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            n=self.n + other.n,
            x=self.x + other.x,
            y=self.y + other.y,
            xx=self.xx + other.xx,
            xy=self.xy + other.xy,
            yy=self.yy + other.yy,
        )

    def __sub__(self, other: Moments) -> Moments:
        return Moments(
            n=self.n - other.n,
            x=self.x - other.x,
            y=self.y - other.y,
            xx=self.xx - other.xx,
            xy=self.xy - other.xy,
            yy=self.yy - other.yy,
        )

    def newest(self, k: int) -> Moments:
        """Return the moments of the same windows cut to their newest k rows."""
        return Moments(n=self.n, x=self.x[-k:], y=self.y, xx=self.xx[-k:, -k:], xy=self.xy[-k:], yy=self.yy)


def moments(x: Tensor, y: Tensor) -> Moments:
    """Return the moments of windows x (B, L) with targets y (B, H)."""
    x, y = x.double(), y.double()
    return Moments(n=float(len(x)), x=x.sum(0), y=y.sum(0), xx=x.T @ x, xy=x.T @ y, yy=(y * y).sum(0))


def fit_ridge(blocks: Iterable[Moments]) -> tuple[Tensor, Tensor]:
    """Fit a ridge regression with intercept; how far it looks back and how strongly it shrinks, by cross-validation.

    Args:
        blocks: moments of consecutive stretches of windows. Each stretch is left out once; the lookback (L, L/2, L/4,
            …, at least 3) and the strength (a power of ten times the mean eigenvalue) with the least squared error on
            what was left out win; of lookbacks within 3% of the least the longest.

    Returns:
        weight (H, L), zero on rows that the chosen lookback does not reach, and bias (H,), float32; both zero where
        the blocks hold no window.
    """
    every = list(blocks)
    total = every[0]
    for b in every[1:]:
        total = total + b
    length = len(total.x)
    kept = [b for b in every if b.n > 0]
    if not kept:
        return torch.zeros(len(total.y), length), torch.zeros(len(total.y))
    lengths = [length]
    while len(kept) > 1 and lengths[-1] // 2 >= _SHORTEST:
        lengths.append(lengths[-1] // 2)
    tried = []  # (error, lookback, strength): the best strength of each lookback
    for k in lengths:
        whole = total.newest(k)
        errors = torch.zeros(len(_ALPHAS), dtype=torch.float64)
        for left_out in (b.newest(k) for b in kept) if len(kept) > 1 else ():
            for i, (weight, bias) in enumerate(_solve(whole - left_out, _ALPHAS)):
                errors[i] += _squared_error(left_out, weight, bias)
        least = int(errors.argmin())
        tried.append((float(errors[least]), k, _ALPHAS[least]))
    limit = _TIE * max(0.0, min(error for error, _, _ in tried))  # one of a perfect fit may be rounded below 0
    _, k, alpha = next(t for t in tried if t[0] <= limit)
    ((weight, bias),) = _solve(total.newest(k), (alpha,))
    padded = torch.nn.functional.pad(weight.T.float(), (length - k, 0))
    return padded.contiguous(), bias.float()


def _solve(m: Moments, alphas: tuple[float, ...]) -> list[tuple[Tensor, Tensor]]:
    """Return [(weight (L, H), bias (H,))], one for each strength, from one eigendecomposition."""
    mean_x, mean_y = m.x / m.n, m.y / m.n
    gram = m.xx - m.n * torch.outer(mean_x, mean_x)
    cross = m.xy - m.n * torch.outer(mean_x, mean_y)
    values, vectors = torch.linalg.eigh(gram)
    values = values.clamp_min(0)
    unit = float(values.mean()) or 1.0
    projected = vectors.T @ cross
    solutions = []
    for alpha in alphas:
        weight = vectors @ (projected / (values + alpha * unit)[:, None])
        solutions.append((weight, mean_y - mean_x @ weight))
    return solutions


def _squared_error(m: Moments, weight: Tensor, bias: Tensor) -> Tensor:
    """Return Σ (y - xW - b)² over the windows behind the moments, from the moments alone."""
    quadratic = (weight * (m.xx @ weight)).sum(0) + 2 * bias * (m.x @ weight) + m.n * bias**2
    cross = (weight * m.xy).sum(0) + bias * m.y
    return (m.yy - 2 * cross + quadratic).sum()


def block_sizes(n: int, blocks: int = _BLOCKS) -> list[int]:
    """Return the sizes of `blocks` consecutive, nearly equal stretches of n windows (fewer where n is small)."""
    blocks = max(1, min(blocks, n // 4))
    return [n // blocks + (i < n % blocks) for i in range(blocks)]
