"""`explain --inputs`: what each input of a run's model is worth, measured on validation rows that it was not fitted on.

The saved networks have seen the validation rows, so they are trained once more on the rows before each block, as for
prediction intervals. Test rows are not read.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from lstm_tune.ablation.finished_run import read_run
from lstm_tune.ablation.trainings import Say
from lstm_tune.diagnosis.check import run_checks
from lstm_tune.diagnosis.input_checks import CHECKS
from lstm_tune.errors import UsageError
from lstm_tune.evaluation.input_importance import ScoredRows, importance_frame, input_importance
from lstm_tune.report.page import INPUTS
from lstm_tune.report.plain import to_plain
from lstm_tune.training.calibration import refit_before
from lstm_tune.training.saved_model import ForecastModel
from lstm_tune.utils.atomic_files import write_json
from lstm_tune.utils.process import available_cores

SCHEMA = 1


def explain_inputs(
    folder: Path, *, data: Any = None, timeout: float | None = None, say: Say = lambda text: None
) -> dict[str, Any]:
    """Measure what each input is worth, and write `inputs.json` into the run folder.

    Args:
        folder: that `tune` wrote.
        data: the data of the run, if they are no longer at the path that it was given.
        timeout: seconds; None: no limit. No further block is begun after it.
        say: told what is being trained.

    Returns:
        What `inputs.json` holds: `inputs`, a row for each with its `kind` and the fields of `Importance`; `blocks`,
        the validation blocks measured, `of` how many; `findings`.

    Raises:
        UsageError: a wrong time limit, or other data than those of the run.
        RunError: the folder holds no run, or a file in it is damaged.
    """
    began = time.monotonic()
    if timeout is not None and not (timeout > 0 and math.isfinite(timeout)):
        raise UsageError(f"timeout must be above 0 seconds, but is {timeout:g}")
    task, model = read_run(folder, data, 1).task, ForecastModel.load(folder / "model")
    recipe, scored = model.known_recipe(), list[ScoredRows]()
    for i, fold in enumerate(task.folds, 1):
        if scored and timeout is not None and time.monotonic() - began >= timeout:
            break
        say(f"inputs: training on the rows before validation block {i} of {len(task.folds)}")
        segment, windows = fold.segment, task.windows
        network = refit_before(segment, model.network, recipe, model.shape, windows, available_cores())
        scored.append(ScoredRows(forecaster=network, windows=windows, rows=segment.score, scale=task.scale))
    say("inputs: replacing one after the other")
    found = input_importance(model.inputs, scored, model.shape.period)
    kinds = {f.input.name: f.input.kind for f in found}
    rows = importance_frame(found).reset_index().to_dict("records")
    record: dict[str, Any] = to_plain(
        {
            "schema": SCHEMA,
            "inputs": [{"input": row["input"], "kind": kinds[row["input"]], **row} for row in rows],
            "blocks": len(scored),
            "of": len(task.folds),
            "seconds": round(time.monotonic() - began, 3),
            "findings": [finding.to_dict() for finding in run_checks(CHECKS, found)],
        }
    )
    try:
        write_json(folder / INPUTS, record)
    except OSError as error:
        raise UsageError(f"cannot write {str(folder / INPUTS)!r}: {error.strerror}; make the folder writable") from None
    return record
