"""Ridge regression in closed form: for the baseline, the model's linear skip and the estimate of predictability.

The regression is of the targets on the rows before them, both minus a location (such as the window's last value). Only
the moments X'X (L, L) and X'Y (L, H) are kept, so that no matrix of size rows x lookback is ever made. Letters: B
windows in a batch, L lookback, H horizon.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lstm_tune.data.windows import Batch, Windows

_ALPHAS = tuple(10.0**k for k in range(-5, 3))  # relative to the mean eigenvalue of X'X
_SHORTEST = 3  # rows of lookback
_TIE = 1.03  # a longer lookback is kept if a shorter one's error is not clearly less
_BLOCKS = 5
_CHUNK = 4096
MAX_WINDOWS = 100_000  # to fit on: evenly spaced windows suffice, and bound the time


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
    # Summed on the device of the windows, solved on the CPU: the matrices are small, and float64 is slow elsewhere.
    return Moments(
        n=float(len(x)),
        x=x.sum(0).cpu(),
        y=y.sum(0).cpu(),
        xx=(x.T @ x).cpu(),
        xy=(x.T @ y).cpu(),
        yy=(y * y).sum(0).cpu(),
    )


def stretch_moments(
    windows: Windows, positions: Tensor, context: int, regression: Callable[[Batch], tuple[Tensor, Tensor]]
) -> list[Moments]:
    """Return the moments of consecutive, nearly equal stretches of windows, those that hold any, for `fit_ridge`.

    Args:
        windows: where the batches come from; a window with a target that was filled in is left out.
        positions: of the windows (n,), in the order of time.
        context: rows before the first target.
        regression: maps a batch to what is regressed on, (B, L), and the targets, (B, H).
    """
    blocks = []
    for stretch in torch.split(positions, block_sizes(len(positions))):
        total: Moments | None = None
        for batch in map(_complete, windows.batches(stretch, context, _CHUNK)):
            if len(batch.target):
                part = moments(*regression(batch))
                total = part if total is None else total + part
        if total is not None:
            blocks.append(total)
    return blocks


def _complete(batch: Batch) -> Batch:
    """Return the windows of which every target was observed."""
    if batch.observed is None:
        return batch
    keep = batch.observed.all(dim=1)
    if bool(keep.all()):
        return batch
    return replace(
        batch,
        history=batch.history[keep],
        target=batch.target[keep],
        observed=None,
        past=batch.past[keep],
        future=batch.future[keep],
        channel=batch.channel[keep],
        group=batch.group[keep],
    )


def fit_ridge(blocks: Sequence[Moments]) -> tuple[Tensor, Tensor] | None:
    """Fit a ridge regression with intercept; how far it looks back and how strongly it shrinks, by cross-validation.

    Args:
        blocks: moments of consecutive stretches of windows. Each stretch is left out once; the lookback (L, L/2, L/4,
            …, at least 3) and the strength (a power of ten times the mean eigenvalue) with the least squared error on
            what was left out win; of lookbacks within 3% of the least the longest.

    Returns:
        weight (H, L), zero on rows that the chosen lookback does not reach, and bias (H,), float32; None if there is
        no block, since no window could be fitted to.
    """
    if not blocks:
        return None
    total = blocks[0]
    for b in blocks[1:]:
        total = total + b
    length = len(total.x)
    lookbacks = [length]
    while len(blocks) > 1 and lookbacks[-1] // 2 >= _SHORTEST:
        lookbacks.append(lookbacks[-1] // 2)
    folds = [(b, b) for b in blocks] if len(blocks) > 1 else []
    tried = cross_validate(total, folds, lookbacks)
    limit = _TIE * max(0.0, min(error for error, _, _ in tried))  # one of a perfect fit may be rounded below 0
    _, k, alpha = next(t for t in tried if t[0] <= limit)
    ((weight, bias),) = _solve(total.newest(k), (alpha,))
    padded = torch.nn.functional.pad(weight.T.float(), (length - k, 0))
    return padded.contiguous(), bias.float()


def cross_validate(
    total: Moments, folds: Sequence[tuple[Moments, Moments]], lookbacks: Sequence[int]
) -> list[tuple[float, int, float]]:
    """Return (squared error, lookback, strength) for each lookback, with the strength that errs least.

    Args:
        total: moments of all windows.
        folds: for each, the moments of the windows to score, and of those that are left out of the fit: the same, or
            more if neighbours of the scored windows share targets with them.
        lookbacks: newest rows of a window that the regression sees.
    """
    tried = []
    for k in lookbacks:
        errors = torch.zeros(len(_ALPHAS), dtype=torch.float64)
        for scored, left_out in folds:
            held = scored.newest(k)
            rest = total.newest(k) - (held if left_out is scored else left_out.newest(k))
            for i, (weight, bias) in enumerate(_solve(rest, _ALPHAS)):
                errors[i] += _squared_error(held, weight, bias)
        least = int(errors.argmin())
        tried.append((float(errors[least]), k, _ALPHAS[least]))
    return tried


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


def block_sizes(n: int) -> list[int]:
    """Return the sizes of consecutive, nearly equal stretches of n windows, fewer if n is small."""
    blocks = max(1, min(_BLOCKS, n // 4))
    return [n // blocks + (i < n % blocks) for i in range(blocks)]
