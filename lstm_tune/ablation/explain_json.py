"""`explain.json`: the steps so far, and each training by its key, so that none is done twice."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lstm_tune.ablation import steps as waterfall
from lstm_tune.ablation.finished_run import Subject
from lstm_tune.ablation.steps import Step
from lstm_tune.errors import LstmTuneError, RunError, UsageError
from lstm_tune.utils.atomic_files import read_json, write_json

SCHEMA = 1


class Book:
    """What stands in `explain.json`: the steps so far, and each training by its key."""

    def __init__(self, path: Path, subject: Subject, began: float) -> None:
        self.path = path
        self.subject = subject
        self.steps: list[Step] = []
        self.test: dict[str, Any] | None = None
        self.finished = False
        self.listed_from: str | None = None
        self._began = began
        self._before = 0.0  # seconds of earlier runs
        self.trainings: dict[str, dict[str, Any]] = {}
        if path.exists():
            self._take_up()

    def _take_up(self) -> None:
        try:
            kept = read_json(self.path, SCHEMA)
            trainings = kept["trainings"]
            known = all(_is_training(key, entry) for key, entry in trainings.items())
            if not known or not isinstance(kept["basis"], str):
                raise RunError("it holds something else than trainings")
            before = float(kept["seconds"])
        except (LstmTuneError, KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error).split(";")[0]
            reason = reason.removeprefix(f"{self.path} ")
            raise RunError(f"{self.path} cannot be taken up ({reason}); delete it to begin anew") from None
        if kept["basis"] == self.subject.basis:
            self.trainings, self._before = trainings, before

    def write(self) -> None:
        """Write the file, whole."""
        try:
            write_json(self.path, self.shown() | {"basis": self.subject.basis, "trainings": self.trainings})
        except OSError as error:
            raise UsageError(f"cannot write {str(self.path)!r}: {error.strerror}; make the folder writable") from None

    def shown(self) -> dict[str, Any]:
        """Return what a reader is shown."""
        subject = self.subject
        return {
            "schema": SCHEMA,
            "rule": waterfall.rule(subject.seeds, len(subject.task.folds), self.listed_from),
            "seeds": list(subject.seeds),
            "unit": waterfall.UNIT,
            "finished": self.finished,
            "seconds": round(self._before + time.monotonic() - self._began, 3),
            "steps": [step.to_dict() for step in self.steps],
            "test": self.test,
        }


def _is_training(key: str, entry: Mapping[str, Any]) -> bool:
    """Return whether an entry of the file is what its key says."""
    numbers = [entry["seconds"], *([] if entry["value"] is None else [entry["value"]])]
    if entry["value"] is not None and key.startswith("trial:"):
        numbers += [entry["best_epoch"], *entry["factors"]]
    if entry["value"] is not None and key.startswith("test:"):
        numbers += [entry["windows"], *entry["mse"]]
    return all(isinstance(n, (int, float)) and not isinstance(n, bool) and math.isfinite(n) for n in numbers)
