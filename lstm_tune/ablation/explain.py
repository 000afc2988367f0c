"""Explain a run: train what lies between the plain LSTM and the saved model, or what the findings advise.

Every training is that of a trial: the same task, folds, windows and precision, so the values compare with the study's.
Test rows are read when all steps are chosen, and for the first step only; the score of the last step is the run's own.
Each training is written to `explain.json` as soon as it is done, and none is done twice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lstm_tune.ablation.finished_run import FinishedRun, read_run
from lstm_tune.ablation.path import Waterfall, most_advised, most_trainings, try_advised, walk
from lstm_tune.ablation.steps import UNIT, Step, rule
from lstm_tune.ablation.trainings import OutOfTime, Say, Trainings
from lstm_tune.errors import LstmTuneError, RunError, StudyError, UsageError
from lstm_tune.utils.atomic_files import read_json, write_json

FILE = "explain.json"
SCHEMA = 1
LEAST_SEEDS = 3
_STEPS = ("rule", "steps", "test", "finished")  # keys of the file that a call without `advice` makes
_ADVICE = ("advice", "advice_finished")  # those that a call with it makes
_SAVED = "the saved model, as it was tested at the end of tune"


def explain_run(
    folder: Path,
    *,
    data: Any = None,
    seeds: int = LEAST_SEEDS,
    timeout: float | None = None,
    advice: bool = False,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Train the steps from the plain LSTM to the saved model, or what is advised; write `explain.json` into the folder.

    Args:
        folder: that `tune` wrote.
        data: the data of the run, if they are no longer at the path that it was given.
        seeds: trainings of each step, from the run's seed on.
        timeout: seconds; None: no limit. What is done by then is kept, and the next call continues from there.
        advice: whether the changes that the findings advise are tried, in place of the steps. The file keeps both.
        say: told what is being trained.

    Returns:
        What `explain.json` holds, without the trainings themselves.

    Raises:
        UsageError: too few seeds, a wrong time limit, or other data than those of the run.
        RunError: the folder holds no run, or a file in it is damaged.
        StudyError: not even the first step, or the first change, could be trained.
    """
    began = time.monotonic()
    if seeds < LEAST_SEEDS:
        raise UsageError(f"seeds must be at least {LEAST_SEEDS}, so that each step has a spread, but is {seeds}")
    if timeout is not None and not (timeout > 0 and math.isfinite(timeout)):
        raise UsageError(f"timeout must be above 0 seconds, but is {timeout:g}")
    run = read_run(folder, data, seeds)
    explanation = Explanation(folder / FILE, run, began, advice=advice)
    trainings = Trainings(
        run,
        explanation.trainings,
        explanation.write,
        deadline=math.inf if timeout is None else began + timeout,
        most=most_advised(run) if advice else most_trainings(run),
        say=say,
    )
    try:
        if advice:
            for step in try_advised(run, trainings):
                explanation.advised.append(step)
        else:
            walk(run, trainings, explanation.waterfall)
            explanation.test = {"start": trainings.tested(run.start), "end": {**run.test, "says": _SAVED}}
        explanation.finished = True
    except OutOfTime:
        if not (explanation.advised if advice else explanation.waterfall.steps):
            what = "change was tried" if advice else "step was trained"
            need = (2 if advice else 1) * seeds  # a change is compared with the best trial, trained as often
            more = math.ceil(max(timeout or 1.0, trainings.seconds_for(need)))
            raise StudyError(
                f"time was up before the first {what} with {seeds} seeds, which takes {need} trainings; what was "
                f"trained is kept, so repeat explain with a timeout= that is at least {more} s longer"
            ) from None
    explanation.write()
    return explanation.shown()


class Explanation:
    """The content of `explain.json`: the steps and the advice so far, and each training by its key.

    Args:
        path: of the file; what it holds of earlier calls is taken up.
        run: that is explained.
        began: when this call began, on the clock of `time.monotonic`.
        advice: whether this call tries what is advised; else it walks the steps. The other part stays as it was.

    Raises:
        RunError: the file is damaged.
    """

    def __init__(self, path: Path, run: FinishedRun, began: float, *, advice: bool) -> None:
        self.waterfall = Waterfall()
        self.test: dict[str, Any] | None = None
        self.advised: list[Step] = []
        self.finished = False
        self.trainings: dict[str, dict[str, Any]] = {}
        self._path = path
        self._run = run
        self._began = began
        self._advice = advice
        self._earlier = 0.0  # seconds of earlier calls
        self._other: dict[str, Any] = {}  # what an earlier call left of the part that this one does not make
        if path.exists():
            self._take_up()

    def _take_up(self) -> None:
        try:
            kept = read_json(self._path, SCHEMA)
            trainings = kept["trainings"]
            valid = all(_is_training(key, entry) for key, entry in trainings.items())
            if not valid or not isinstance(kept["basis"], str):
                raise RunError("it holds something other than trainings")
            earlier = float(kept["seconds"])
        except (LstmTuneError, KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error).split(";")[0]
            reason = reason.removeprefix(f"{self._path} ")
            raise RunError(f"{self._path} cannot be continued ({reason}); delete it to start again") from None
        if kept["basis"] == self._run.basis:
            self.trainings, self._earlier = trainings, earlier
            names = _STEPS if self._advice else _ADVICE
            self._other = {name: kept[name] for name in names if name in kept}

    def write(self) -> None:
        """Write the file, whole or not at all."""
        try:
            write_json(self._path, self.shown() | {"basis": self._run.basis, "trainings": self.trainings})
        except OSError as error:
            raise UsageError(f"cannot write {str(self._path)!r}: {error.strerror}; make the folder writable") from None

    def shown(self) -> dict[str, Any]:
        """Return what a reader is shown."""
        run, found = self._run, self.waterfall
        seconds = round(self._earlier + time.monotonic() - self._began, 3)
        record = {"schema": SCHEMA, "unit": UNIT, "seconds": seconds, "seeds": list(run.seeds)}
        if self._advice:
            steps: dict[str, Any] = {"rule": None, "steps": [], "test": None, "finished": False} | self._other
            advice = {"advice": [step.to_dict() for step in self.advised], "advice_finished": self.finished}
        else:
            steps = {
                "rule": rule(run.seeds, len(run.task.folds), found.listed_from),
                "steps": [step.to_dict() for step in found.steps],
                "test": self.test,
                "finished": self.finished,
            }
            advice = {"advice": None, "advice_finished": False} | self._other
        return {**record, **steps, **advice}


def _is_training(key: str, entry: Mapping[str, Any]) -> bool:
    """Return whether an entry of the file is what its key says."""
    numbers = [entry["seconds"], *([] if entry["value"] is None else [entry["value"]])]
    if entry["value"] is not None and key.startswith("trial:"):
        numbers += [entry["best_epoch"], *entry["factors"]]
    if entry["value"] is not None and key.startswith("test:"):
        numbers += [entry["windows"], *entry["mse"]]
    return all(isinstance(n, (int, float)) and not isinstance(n, bool) and math.isfinite(n) for n in numbers)
