"""`finish`: from a study of one's own to a model, its test score and its report."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.study import StudyDirection

from lstm_tune.data.windows import Windows
from lstm_tune.errors import StudyError, UsageError
from lstm_tune.pipeline.conclusion import conclude
from lstm_tune.pipeline.options import TuneOptions, show_storage
from lstm_tune.pipeline.prepare import Dataset, OpenStudy
from lstm_tune.pipeline.resources import Resources
from lstm_tune.pipeline.run_context import RunContext
from lstm_tune.pipeline.search_step import SearchOutcome
from lstm_tune.report.result import Result
from lstm_tune.report.run_folder import SCHEMA, claim_folder, remove_on_failure
from lstm_tune.search.budget import Clock
from lstm_tune.search.coordinator import Coordinator, coordinate
from lstm_tune.search.objective import Objective
from lstm_tune.search.progress import Progress, checked_progress
from lstm_tune.search.trials import completed, read_trials
from lstm_tune.storage.buffered import inside
from lstm_tune.storage.database import Database
from lstm_tune.storage.optuna_private import storage_of, without_cache
from lstm_tune.training.parallel import single_threaded
from lstm_tune.utils.process import available_cores
from lstm_tune.utils.signals import Stopped, stop_on_signals


def finish(
    study: optuna.Study,
    objective: Objective,
    *,
    retrain_seeds: int = 3,
    timeout: float | str | None = None,
    out: str | Path | None = None,
    progress: Progress | bool | None = None,
) -> Result:
    """Make a model of what a study of one's own found: retrain its best trials, and score them once on the test rows.

    Call it when the search is over: from then on the test score is known, and a choice that it influences is no longer
    an honest one.

    Args:
        study: that `objective` was optimized in.
        objective: with the data, test rows included, of which the trials have seen none.
        retrain_seeds: times that each trial of the ensemble is retrained; 1: the best trial alone.
        timeout: seconds for the retrain and the test, or a time such as "10m"; None: no limit.
        out: run folder to write; None: none, see `Result.save`.
        progress: told what happens; True: one line that is rewritten; None: that line in a notebook, else nothing.

    Returns:
        The result, as `lstm_tune.tune` returns it.

    Raises:
        UsageError: an argument is wrong, or the study minimizes something else.
        StudyError: no trial was completed, or another process is at work on the study.
        KeyboardInterrupt: Ctrl-C, or SIGTERM, ended it; see `lstm_tune.tune`.
    """
    options = TuneOptions(
        **objective.arguments,
        space=objective.space,
        seed=objective.trials.seed,
        precision=objective.trials.precision,
        timeout=timeout,
        retrain_seeds=retrain_seeds,
        out=out,
    )
    if study.directions != [StudyDirection.MINIMIZE]:
        raise UsageError("the study must minimize one value, the error; create it with direction='minimize'")
    assert not isinstance(options.timeout, str)
    told = checked_progress(progress)
    with stop_on_signals() as stop, coordinate(study, None) as coordinator:
        clock = Clock(options.timeout, advice=options.try_advice)
        return _finish(coordinator, objective, RunContext(options=options, clock=clock, stop=stop, progress=told))


@single_threaded()
def _finish(coordinator: Coordinator, objective: Objective, context: RunContext) -> Result:
    options, clock, stop = context.options, context.clock, context.stop
    trials = read_trials(coordinator.study)
    clock.seconds["study"] = 0.0  # which others have spent
    if not (ranked := completed(trials)):
        raise StudyError("no trial was completed: call study.optimize(objective, n_trials=...) first")
    outcome = SearchOutcome(
        trials=trials, best=ranked[0], weights=objective.best, interrupted=False, levelled_off=False
    )
    with clock.step("data"):
        dataset = _dataset(objective)
    opened = _opened(coordinator, objective, options)
    stop.cooperate()
    try:
        with remove_on_failure(options.folder):
            if options.folder is not None:
                claim_folder(options.folder, resume=False)
            result = conclude(outcome, dataset, objective.trials.task, opened, context)
    except KeyboardInterrupt as error:
        raise error if isinstance(error, Stopped) else Stopped(None, stop.exit_status) from None
    finally:
        context.progress.end()
    if stop.requested:
        raise Stopped(result, stop.exit_status)
    return result


def _dataset(objective: Objective) -> Dataset:
    task = objective.trials.task
    return Dataset(
        series=objective.series,
        split=objective.split,
        rule=objective.rule,
        windows=Windows(objective.series, task.shape.horizon, task.windows.device.type),
        source=None,
    )


def _opened(coordinator: Coordinator, objective: Objective, options: TuneOptions) -> OpenStudy:
    """Return the study as the last steps of `tune` expect it."""
    device, precision = objective.trials.task.windows.device.type, objective.trials.precision
    settings = options.settings(
        schema=SCHEMA,
        data=objective.series.fingerprint(),
        target=objective.series.targets,
        split=objective.split,
        rule=objective.rule,
        space=objective.space,
        precision=precision,
    )
    return OpenStudy(
        coordinator=coordinator,
        storage=None,
        shown_storage=_shown(without_cache(inside(storage_of(coordinator.study)))),
        space=objective.space,
        precision=precision,
        settings=settings,
        resources=Resources(device=device, threads=available_cores() if device == "cpu" else 1, workers=1),
        trials_before=0,
    )


def _shown(storage: BaseStorage) -> str | None:
    """Return where the study is kept, for a person to read; None: in memory."""
    if isinstance(storage, InMemoryStorage):
        return None
    return show_storage(storage.url if isinstance(storage, (RDBStorage, Database)) else storage)
