"""Explain a run: train what lies between the plain LSTM and the tuned one, one change at a time.

Every training is that of a trial: the same task, folds, windows and precision, so the values compare with the study's.
Test rows are read when all steps are chosen, for the first one alone; the score of the last is the run's own.
Each training is written to `explain.json` as soon as it is done, and none is done twice.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from lstm_tune.ablation.explain_json import Book
from lstm_tune.ablation.finished_run import read_run
from lstm_tune.ablation.path import Walk
from lstm_tune.ablation.trainings import OutOfTime, Say, Trainings
from lstm_tune.errors import StudyError, UsageError

FILE = "explain.json"
LEAST_SEEDS = 3
_SAVED = "the saved model, as it was tested at the end of tune"


def explain_run(
    folder: Path,
    *,
    data: Any = None,
    seeds: int = LEAST_SEEDS,
    timeout: float | None = None,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Train the steps from the plain LSTM to the tuned one, and write `explain.json` into the run folder.

    Args:
        folder: that `tune` wrote.
        data: the data of the run, where they are no longer at the path that it was given.
        seeds: trainings of each step, from the run's seed on.
        timeout: seconds; None: no limit. What is done by then is kept, and taken up again the next time.
        say: told what is being trained.

    Returns:
        What `explain.json` holds, but for the trainings themselves.

    Raises:
        UsageError: too few seeds, a wrong time limit, or other data than those of the run.
        RunError: the folder holds no run, or a file in it is damaged.
        StudyError: not even the first step could be trained.
    """
    began = time.monotonic()
    if seeds < LEAST_SEEDS:
        raise UsageError(f"seeds must be at least {LEAST_SEEDS}, for a step to have a spread, but is {seeds}")
    if timeout is not None and not (timeout > 0 and math.isfinite(timeout)):
        raise UsageError(f"timeout must be above 0 seconds, but is {timeout:g}")
    subject = read_run(folder, data, seeds)
    book = Book(folder / FILE, subject, began)
    trainings = Trainings(subject, book, math.inf if timeout is None else began + timeout, say)
    walk = Walk(subject, trainings, book)
    try:
        walk.ends()
        walk.path()
        walk.mean()
        book.test = {"start": trainings.tested(subject.start), "end": {**subject.test, "says": _SAVED}}
        book.finished = True
    except OutOfTime:
        if not book.steps:
            raise StudyError(
                f"time was up before the first step was trained with {seeds} seeds; what was trained is kept: "
                f"the same command with a longer --timeout goes on from there"
            ) from None
    book.write()
    return book.shown()
