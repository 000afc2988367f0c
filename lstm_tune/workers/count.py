"""How many processes do the trials of a study."""

from __future__ import annotations

from lstm_tune.errors import UsageError

MOST_WORKERS = 64


_TRIALS_EACH = 4  # at least: the search learns little from trials that run at the same time


def pick_workers(workers: int | str, *, cores: int, device: str, n_trials: int | None) -> int:
    """Return how many processes do the study's trials.

    "auto" is one for each core, so that none waits for a trial's other folds, but at most one for four trials, so that
    each trial learns from earlier ones. On an accelerator it is one, which keeps the accelerator busy.

    Args:
        workers: a number, or "auto".
        cores: that this process may use.
        device: "cpu", "cuda", or "auto" if it is not known yet.
        n_trials: of the study; None: as many as time allows.

    Raises:
        UsageError: neither "auto" nor a number up to `MOST_WORKERS`; 0: other processes do the trials.
    """
    if workers == "auto":
        most = cores if n_trials is None else min(cores, n_trials // _TRIALS_EACH)
        return 1 if device == "cuda" else max(1, min(most, MOST_WORKERS))
    if not isinstance(workers, int) or not 0 <= workers <= MOST_WORKERS:
        raise UsageError(f"workers must be auto or from 0 to {MOST_WORKERS}, but is {workers}")
    return workers
