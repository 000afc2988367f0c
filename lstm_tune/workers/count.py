"""How many processes do the trials of a study."""

from __future__ import annotations

import operator
from typing import Any

from lstm_tune.utils import arguments

MOST_WORKERS = 64  # of a machine
MOST_TASKS = 1000  # of a Ray cluster
_TRIALS_EACH = 4  # at least: the search learns little from trials that run at the same time


def checked_workers(name: str, value: Any, most: int = MOST_WORKERS) -> int | str:
    """Return a number of workers, or "auto".

    Raises:
        UsageError: it is neither "auto" nor a number up to `most`; 0: other processes do the trials.
    """
    if isinstance(value, str) and value == "auto":
        return value
    if hasattr(value, "__index__") and not isinstance(value, bool) and 0 <= operator.index(value) <= most:
        return operator.index(value)
    raise arguments.refuse(name, f"auto or from 0 to {most}", value)


def pick_workers(workers: int | str, *, cores: int, device: str, n_trials: int | None, most: int = MOST_WORKERS) -> int:
    """Return how many processes do the study's trials.

    "auto" is one for each core, so that none waits for a trial's other folds, but at most one for four trials, so that
    each trial learns from earlier ones. On an accelerator it is one, which keeps the accelerator busy.

    Args:
        workers: a number, or "auto".
        cores: that this process may use.
        device: "cpu", "cuda", or "auto" if it is not known yet.
        n_trials: of the study; None: as many as time allows.
        most: that are accepted.

    Raises:
        UsageError: neither "auto" nor a number up to `most`; 0: other processes do the trials.
    """
    number = checked_workers("workers", workers, most)
    if isinstance(number, int):
        return number
    useful = cores if n_trials is None else min(cores, n_trials // _TRIALS_EACH)
    return 1 if device == "cuda" else max(1, min(useful, most))
