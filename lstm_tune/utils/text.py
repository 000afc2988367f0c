"""Numbers, counts and lists as people read them, the same on the screen, in the report and in every message."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence

_SMALLEST, _LARGEST = 1e-4, 1e9  # between them a number is written without an exponent


def number(value: float | None, digits: int = 5) -> str:
    """Return a number in at most `digits` significant digits, mostly without an exponent; of None and NaN a dash."""
    if value is None or math.isnan(value):
        return "–"
    if value != 0 and not _SMALLEST <= abs(value) < _LARGEST:
        return f"{value:.{min(digits, 4)}g}"
    text = f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
    return f"{float(text):,.10g}"


def justified_digits(value: float, interval: Sequence[float | None] | None) -> int:
    """Return how many significant digits of a value its interval justifies, 2 to 5; 5 if there is no interval."""
    if interval is None or None in interval or not value > 0:
        return 5
    low, high = (float(bound) for bound in interval if bound is not None)
    width = (high - low) / 2 / value
    if not width > 0:
        return 5
    return min(5, max(2, 2 + math.floor(-math.log10(width) + 0.5)))


def percent(share: float) -> str:
    """Return a share of 1 as a percentage: 12%, 1.2%, "under 0.1%", 0%."""
    if share == 0:
        return "0%"
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}" if share >= 0.001 else "under 0.1%"


def error_against(skill: float | None) -> str:
    """Return by how much an error is above that of another forecast: a skill of .12 is -12.0%; of None a dash."""
    return "–" if skill is None else signed_percent(-skill)


def signed_percent(share: float, digits: int = 1) -> str:
    """Return a change as a percentage with its sign; one that is rounded to 0 has none."""
    text = f"{share:+.{digits}%}"
    return text if text.strip("+-0.%") else text[1:]


def rounded(value: float, digits: int = 4) -> float | None:
    """Return a number rounded to significant digits, for a record; None if JSON has no word for the number."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def counted(n: int, noun: str) -> str:
    """Return a count with its noun: 1 trial, 20 trials, 1,200 trials."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def listed(items: Sequence[object], most: int = 20) -> str:
    """Return items separated by commas, each on one line: 'a, b, c and 4 more'."""
    shown = ", ".join(" ".join(str(item).split()) for item in items[:most])
    return shown + (f" and {len(items) - most:,} more" if len(items) > most else "")


def joined(parts: Sequence[str]) -> str:
    """Return parts of a sentence as one: 'a', 'a and b', 'a, b, and c'."""
    return " and ".join(parts) if len(parts) < 3 else f"{', '.join(parts[:-1])}, and {parts[-1]}"


def shortened(value: object) -> str:
    """Return a value as Python writes it, on one line of at most 60 characters."""
    try:
        text = " ".join(repr(value).split())
    except RecursionError:
        text = "a table in a table in a table …"
    return text if len(text) <= 60 else text[:57] + "..."


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return '; did you mean adam?' for a word that is nearly a known one, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1) if isinstance(word, str) else []
    return f"; did you mean {close[0]}?" if close else ""
