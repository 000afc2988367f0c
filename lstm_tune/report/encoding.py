"""Compact encodings of arrays and time stamps for the report."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_tune.data.even_times import Times


def pack(values: ArrayLike, dtype: str = "f4") -> dict[str, str]:
    """Return numbers (n,) as the page reads them: little-endian bytes in base64; a missing value is NaN.

    Args:
        values: the numbers.
        dtype: "f4", the float32 of the model's own units, or "i4".
    """
    array = np.ascontiguousarray(values, dtype=f"<{dtype}")
    return {"dtype": dtype, "bdata": base64.b64encode(array.tobytes()).decode("ascii")}


def unpack(packed: dict[str, str]) -> NDArray[Any]:
    """Return the numbers (n,) that `pack` was given."""
    return np.frombuffer(base64.b64decode(packed["bdata"]), dtype=f"<{packed['dtype']}")


def rounded_list(values: ArrayLike, digits: int = 6) -> list[float | None]:
    """Return numbers (n,) for JSON, rounded to significant digits; null for what is not finite."""
    return [float(f"{v:.{digits}g}") if np.isfinite(v) else None for v in np.asarray(values, dtype=np.float64).tolist()]


def encode_times(times: Times) -> dict[str, Any]:
    """Return times (n,) as runs of equal steps.

    Args:
        times: datetime64, or numbers: of rows, or of counted time.

    Returns:
        dated: whether the numbers are milliseconds since 1970, and not row numbers.
        start: the first number.
        steps: [step, count] for each run of equal steps.
    """
    dated = times.dtype.kind == "M"
    if times.dtype.kind == "f":  # rounded, so that even steps are equal in spite of the noise of float64
        numbers, steps = times, np.round(np.diff(times), 9)
    else:
        numbers = times.astype("datetime64[ms]").astype(np.int64) if dated else times.astype(np.int64)
        steps = np.diff(numbers)
    edges = np.flatnonzero(np.diff(steps)) + 1
    firsts = np.concatenate([[0], edges]) if len(steps) else np.array([], dtype=int)
    counts = np.diff(np.append(firsts, len(steps)))
    runs = [[steps[i].item(), int(n)] for i, n in zip(firsts.astype(int), counts, strict=True)]
    return {"dated": dated, "start": numbers[0].item() if len(numbers) else 0, "steps": runs}


def decode_times(encoded: dict[str, Any]) -> NDArray[Any]:
    """Return the numbers (n,) behind encoded times: milliseconds since 1970, or numbers of rows or counted time."""
    steps = [np.full(count, step) for step, count in encoded["steps"]]
    return np.cumsum(np.concatenate([[encoded["start"]], *steps]))


def envelope(values: NDArray[np.float64], most: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Thin a long line (n,) to about `most` points: the least and the greatest value of each stretch.

    Stretches are equally long. Their two points are placed at their start and their middle, since equal steps take
    little room.

    Returns:
        Rows and values; all of them if they are few. Missing values are left out of a stretch; if a stretch holds
        nothing else, its points are NaN.
    """
    n = len(values)
    if n <= most:
        return np.arange(n), values
    size = -(-n // max(1, most // 2))
    rows: list[int] = []
    line: list[float] = []
    for a in range(0, n, size):
        piece = values[a : a + size]
        both = (math.nan, math.nan)
        if not np.isnan(piece).all():
            low, high = int(np.nanargmin(piece)), int(np.nanargmax(piece))
            both = (piece[min(low, high)], piece[max(low, high)])
        rows += [a, min(a + size // 2, n - 1)] if len(piece) > 1 else [a]
        line += both[: len(piece)]
    return np.array(rows), np.array(line)


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Return at most `most` evenly spaced indices of `count`, the first and the last among them."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, max(1, most)).round().astype(np.int64))
