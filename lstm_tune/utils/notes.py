"""Sentences on what was repaired or assumed, as warnings of the caller's line."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

import lstm_tune
from lstm_tune.errors import LstmTuneWarning

_OURS = str(Path(lstm_tune.__file__).parent), contextlib.__file__  # the latter calls what a context manager decorates


def warn(notes: Iterable[str]) -> None:
    """Warn of each note, once for every line of code outside the package that caused it."""
    level = _level_outside()
    for note in notes:
        warnings.warn(note, LstmTuneWarning, stacklevel=level + 1)


def _level_outside() -> int:
    """Return how many calls lie between `warn` and the code that called the package."""
    frame, level = sys._getframe(1), 0
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame, level = frame.f_back, level + 1
    return level
