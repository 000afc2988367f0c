"""Numbers of forecasts as text: all digits that float32 holds, and no exponent, which some spreadsheets misread."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

_DIGITS = 15  # significant digits that float64 always holds
_NOISE = 2  # units in the last place of the largest number that a sum of decimal numbers may be off
_EXACT_POWER = 22  # up to it a power of ten is exact in float64


def widen(deviations: ArrayLike, origin: ArrayLike = 0.0) -> NDArray[np.float64]:
    """Add float32 deviations to a float64 origin, digit by digit.

    The float32 0.1 becomes 0.1, and not 0.10000000149: the shortest decimal number that names it. A small
    variation on a large level loses nothing that float64 can hold.

    Args:
        deviations: float32 of any shape.
        origin: what was subtracted before the values became float32; broadcast to the same shape.
    """
    small = np.asarray(deviations, dtype=np.float32)
    names = pa.array(small.reshape(-1)).cast(pa.string())
    shortest = names.cast(pa.float64()).to_numpy(zero_copy_only=False).reshape(small.shape)
    if not np.any(origin):
        return np.asarray(shortest)
    base = np.asarray(origin, dtype=np.float64)
    total = shortest + base
    return _tidied(total, np.maximum(np.abs(total), np.maximum(np.abs(shortest), np.abs(base))))


def _tidied(x: NDArray[np.float64], largest: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to 15 significant digits if that only removes the noise of an addition: 0.30000000000000004 becomes 0.3.

    Args:
        x: the sums.
        largest: of each sum and what was added, without a sign.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        places = _DIGITS - 1 - np.floor(np.log10(largest))
        power = 10.0 ** np.abs(places)
        rounded = np.where(places >= 0, np.round(x * power) / power, np.round(x / power) * power)
        noise = np.abs(rounded - x) <= _NOISE * np.spacing(largest)
    return np.where(noise & (np.abs(places) <= _EXACT_POWER), rounded, x)


def decimal_texts(values: ArrayLike) -> list[str | None]:
    """Return numbers (n,) as text: as few digits as name the float64, without an exponent; None for a missing value."""
    numbers = np.asarray(values, dtype=np.float64)
    texts: list[str | None] = pa.array(numbers, from_pandas=True).cast(pa.string()).to_pylist()
    for i, text in enumerate(texts):
        if text is not None and "e" in text:
            texts[i] = np.format_float_positional(numbers[i], trim="-")
    return texts
