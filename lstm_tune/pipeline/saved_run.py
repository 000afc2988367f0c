"""What is done with a finished run: load its model, train it again, explain its steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_tune.errors import LstmTuneError, RunError
from lstm_tune.pipeline.out_of_date import read_result, watch
from lstm_tune.report.run_folder import RESULT, SCHEMA
from lstm_tune.training.parallel import single_threaded
from lstm_tune.training.saved_model import ForecastModel
from lstm_tune.utils import arguments
from lstm_tune.utils.atomic_files import read_json, refuse_damage

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from lstm_tune.pipeline.refit_run import Refit
    from lstm_tune.report.result import Result

# What needs Optuna and the report is imported where it is needed: a forecast needs neither.


def load(folder: str | Path) -> ForecastModel:
    """Load the model of a run folder (or of its `model` folder); it says when it seems to be out of date.

    Raises:
        RunError: the folder holds no model, or a damaged one.
    """
    folder = _folder(folder)
    model = ForecastModel.load(folder / "model" if (folder / "model").is_dir() else folder)
    watch(model, read_result(folder), folder)
    return model


def load_result(folder: str | Path, *, data: Any = None, storage: str | Path | BaseStorage | None = None) -> Result:
    """Open the result of an earlier session from its run folder; nothing is trained again.

    What needs more than the folder is read when it is asked for: figures of forecasts and `to_frame()` need the data of
    the run, `study` and `trials` the study's storage. A result that is opened cannot be saved: copy its folder.

    Args:
        folder: that `tune` wrote.
        data: of the run, if they are no longer at the path that it was given, for instance a frame.
        storage: of the study, if the folder does not hold it and `result.json` does not name it with its password; a
            URL, a journal file, a run folder that holds it, or an Optuna storage.

    Raises:
        UsageError: the storage is of another type.
        RunError: the folder holds no result, or one that is damaged or of an earlier version.
    """
    from lstm_tune.report.plain import from_plain
    from lstm_tune.report.result import RUN_FILE, Result
    from lstm_tune.report.result_json import ResultRecord
    from lstm_tune.report.result_parts import SavedParts

    folder, storage = _folder(folder), arguments.storage("storage", storage)
    path = folder / RESULT
    record = read_json(path, SCHEMA)
    if "refit" in record:
        raise RunError(f"{str(folder)!r} was written by refit, and no row is left to test its model on; open its run")
    with refuse_damage(path):
        summary = from_plain(ResultRecord, record)
        _ = summary.test.levels
    model, run_file = load(folder), folder / RUN_FILE
    with refuse_damage(run_file, OSError):
        repeats = run_file.read_text(encoding="utf-8") if run_file.is_file() else None
    return Result(
        model=model,
        summary=summary,
        parts=SavedParts(folder, model, record, data, storage),
        run_file=repeats,
        folders=[folder],
    )


@single_threaded()
def explain(
    run: str | Path,
    *,
    data: Any = None,
    seeds: int = 3,
    timeout: float | str | None = None,
    advice: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Train what lies between the plain LSTM and the tuned one of a run, one change at a time.

    See `explain_run`, which explains each argument, what is returned and what is raised.
    """
    from lstm_tune.ablation.explain import explain_run

    folder = _folder(run)
    seeds, timeout = arguments.whole("seeds", seeds, 1), arguments.seconds_or_none("timeout", timeout)
    waterfall = explain_run(folder, data=data, seeds=seeds, timeout=timeout, advice=advice, say=say)
    _write_report(folder, say)
    return waterfall


@single_threaded()
def inputs(
    run: str | Path,
    *,
    data: Any = None,
    timeout: float | str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Measure what each input of a run's model is worth, on validation rows; see `explain_inputs`."""
    from lstm_tune.pipeline.inputs import explain_inputs

    folder = _folder(run)
    found = explain_inputs(folder, data=data, timeout=arguments.seconds_or_none("timeout", timeout), say=say)
    _write_report(folder, say)
    return found


def refit(
    run: str | Path,
    data: Any,
    out: str | Path | None = None,
    **options: Any,
) -> tuple[Path, Refit]:
    """Train the model of a run again on all rows of newer data, in a run folder of its own; see `refit_run`."""
    from lstm_tune.pipeline.refit_run import refit_run

    folder = _folder(run)
    return refit_run(folder, load(folder), data, arguments.path_or_none("out", out), **options)


def _write_report(folder: Path, say: Callable[[str], None]) -> None:
    from lstm_tune.report.page import write_report

    try:
        write_report(folder)
    except (LstmTuneError, OSError) as error:
        say(f"the report was not written again: {error}")


def _folder(run: str | Path) -> Path:
    folder = arguments.path("the run", run)
    if not folder.is_dir():
        raise RunError(f"{str(folder)!r} is no folder; give the run folder that tune wrote")
    return folder
