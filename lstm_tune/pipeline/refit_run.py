"""`refit`: the model of a run, trained again on all rows of newer data, in a run folder of its own."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstm_tune.data.summary import PartSummary, all_rows
from lstm_tune.errors import LstmTuneError, RunError, UsageError
from lstm_tune.report.page import DETAILS, INPUTS, write_report
from lstm_tune.report.plain import to_plain
from lstm_tune.report.result import TRIALS
from lstm_tune.report.run_folder import JOURNAL, RESULT, SCHEMA
from lstm_tune.training.saved_model import ForecastModel
from lstm_tune.utils.atomic_files import atomic_write, make_folder, read_json, write_json

_COPIED = (TRIALS, "forecast.csv", DETAILS, "explain.json", INPUTS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Refit:
    """A refit, as `result.json` records it under `refit`."""

    run: str  # whose configurations, epochs and weights these are; its test score is that of the other keys
    path: str  # of the data
    rows: PartSummary
    networks: int
    seconds: float


def refit_run(
    folder: Path,
    model: ForecastModel,
    data: Any,
    out: Path | None,
    *,
    device: str = "auto",
    on_model: Callable[[int, int], None] = lambda done, asked: None,
    **reading: Any,
) -> tuple[Path, Refit]:
    """Train the model of a run again on all rows of the data, and write a run folder for it.

    The new folder holds what the run's holds, but for the study; `result.json` keeps the scores of the run, since no
    row is left to test the new model on, and says under `refit` what it was trained on.

    Args:
        folder: of the run.
        model: of the run.
        data: a frame, path, array, …
        out: the new run folder; None: the run's name with `-refit`, beside it.
        device: "auto", "cpu" or "cuda".
        on_model: called with (networks done, networks asked).
        reading: `time`, `id`, `decimal`, `thousands`, see `ForecastModel.read`.

    Returns:
        The new folder, and what was done.

    Raises:
        DataError: the data cannot be used, or have too few rows.
        UsageError: the new folder holds a run already, or cannot be written to.
        RunError: the model cannot be trained again, or the disk is full.
    """
    began = time.monotonic()
    model.known_recipe()
    out = _beside(folder) if out is None else out
    taken = [name for name in (RESULT, JOURNAL, "model") if (out / name).exists()]
    if taken:
        raise UsageError(f"the folder {str(out)!r} holds a run already ({taken[0]}); choose another out=")
    series = model.read(data, **reading)
    new = model.refit(series, device=device, on_model=on_model)
    record = Refit(
        run=str(folder),
        path=series.path,
        rows=all_rows(series),
        networks=len(new.network.members),
        seconds=round(time.monotonic() - began, 3),
    )
    make_folder(out)
    try:
        for name in _COPIED:
            if (folder / name).is_file():
                with atomic_write(out / name) as beside:
                    shutil.copyfile(folder / name, beside)
        new.save(out / "model")
        if (folder / RESULT).is_file():
            write_json(out / RESULT, read_json(folder / RESULT, SCHEMA) | {"refit": to_plain(record)})
    except OSError as error:
        raise RunError(
            f"the folder {str(out)!r} could not be written ({error.strerror or error}); choose another out="
        ) from None
    with contextlib.suppress(LstmTuneError, OSError):  # an earlier version wrote no records to draw from
        write_report(out)
    return out, record


def _beside(folder: Path) -> Path:
    """Return the first of RUN-refit, RUN-refit-2, … that is not there."""
    name = folder.resolve().name
    found = folder.resolve().parent / f"{name}-refit"
    number = 1
    while found.exists():
        number += 1
        found = folder.resolve().parent / f"{name}-refit-{number}"
    return Path(found)
