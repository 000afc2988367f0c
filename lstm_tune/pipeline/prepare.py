"""The first steps of `tune`: the data, and the study that is begun or resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage

from lstm_tune.data.adapted_split import load_and_split
from lstm_tune.data.load import load_series
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Split
from lstm_tune.data.split_rule import SplitRule
from lstm_tune.data.summary import all_rows
from lstm_tune.data.windows import Windows
from lstm_tune.errors import StudyError
from lstm_tune.evaluation.given_forecasts import GivenForecasts, read_given
from lstm_tune.pipeline.first import best_configurations
from lstm_tune.pipeline.options import InMemory, TuneOptions, show_storage
from lstm_tune.pipeline.resources import Resources
from lstm_tune.pipeline.run_context import RunContext
from lstm_tune.report.run_folder import JOURNAL, SCHEMA, claim_folder, remove_on_failure, run_name
from lstm_tune.search.coordinator import Coordinator, release_on_failure
from lstm_tune.search.draws import draw
from lstm_tune.search.identity import OWN_ERRORS, StudyIdentity, keep_worker_options
from lstm_tune.search.objective import resolve_space
from lstm_tune.search.progress import Progress
from lstm_tune.search.pruners import make_pruner
from lstm_tune.search.samplers import make_sampler
from lstm_tune.search.space import Space
from lstm_tune.search.study import create_study, kept_precision
from lstm_tune.search.trial_queue import STALE_TRIALS, n_counted
from lstm_tune.storage.kind import Opening
from lstm_tune.storage.open import open_storage, temporary_journal
from lstm_tune.training.calibration import check_windows
from lstm_tune.training.precision import has_bf16, pick_precision
from lstm_tune.training.task import Task, build_task
from lstm_tune.utils import arguments
from lstm_tune.utils.escaping import shell
from lstm_tune.utils.text import counted

_DRAWN = 64  # random configurations that represent a space when bf16 is judged


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Dataset:
    """All rows, test rows included, and how they are cut; trials are given a `Task`, which holds no test row."""

    series: SeriesSet
    split: Split
    rule: SplitRule  # that the split was made by
    windows: Windows  # of all rows, on the device
    source: str | None  # path or example:NAME; None: the data live in a Python process alone
    given: GivenForecasts | None = None  # of other models, on test windows


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OpenStudy:
    """A study that is ready to run.

    Attributes:
        coordinator: of the study, which is new or resumed.
        storage: by which workers find it; None: it is in the memory of this process.
        shown_storage: the same for a person to read; None: nothing of the study is left when this process ends.
        space: cut to what the data allow.
        precision: "fp32" or "bf16": what its trials train in.
        settings: what makes two studies the same, as it is kept with the study.
        resources: what it may use of this machine.
        trials_before: trials that counted when it was opened.
    """

    coordinator: Coordinator
    storage: str | BaseStorage | None
    shown_storage: str | None
    space: Space
    precision: str
    settings: Mapping[str, Any]
    resources: Resources
    trials_before: int

    @property
    def study(self) -> optuna.Study:
        """The study itself."""
        return self.coordinator.study


def load_dataset(data: Any, options: TuneOptions, device: str) -> Dataset:
    """Load the data, and cut them into train, validation and test rows.

    Args:
        data: DataFrame, Series, array, path, or "example:NAME".
        options: which columns, which horizon, which split.
        device: that holds the windows of all rows.

    Raises:
        DataError: the data cannot be used.
        UsageError: a column is not there, or the split is impossible.
    """
    reading = {name: getattr(options, name) for name in arguments.READING}
    cut = load_and_split(lambda rule: load_series(data, **reading, split=rule), options.rule, options.horizon)
    windows = Windows(cut.series, options.horizon, device)
    given = None
    if options.against is not None:
        source = options.against.frame if isinstance(options.against, InMemory) else options.against
        given = read_given(source, windows, windows.positions(cut.split.test, 0, reach_back=True))
    return Dataset(
        series=cut.series,
        split=cut.split,
        rule=cut.rule,
        windows=windows,
        source=str(data) if isinstance(data, str | Path) else None,
        given=given,
    )


def make_task(dataset: Dataset, options: TuneOptions, device: str, progress: Progress) -> tuple[Task, Space]:
    """Return what all trials share, without any test row, and the space, cut to what the data allow.

    Args:
        dataset: all rows.
        options: horizon, folds, space.
        device: that holds the windows of the trials.
        progress: told what was repaired, left out or cut.

    Raises:
        DataError: too few rows.
        SpaceError: the space is wrong.
        RunError: the run of `first` is damaged.
    """
    full = resolve_space(options.space)
    if options.first is not None:
        found = best_configurations(Path(options.first))
        full = full.with_first(found)
        progress.info(f"first: {counted(len(found), 'configuration')} of {options.first} will be tried early")
    task = build_task(
        dataset.series,
        dataset.split,
        options.horizon,
        folds=options.folds,
        device=device,
        epoch_samples=full.epoch_samples,
        seasons=arguments.wholes("season", options.season, 2),
        metric=options.metric,
    )
    check_windows(options.levels, task.windows, [fold.segment for fold in task.folds], task.shape.period)
    space, cut = full.cut(task.limits)
    for note in (*dataset.series.notes, *dataset.split.notes, *task.notes):
        progress.assumed(note)
    for note in cut:
        progress.info(note)
    return task, space


def open_study(
    context: RunContext,
    dataset: Dataset,
    task: Task,
    space: Space,
    resources: Resources,
    server: BaseStorage | None = None,
) -> OpenStudy:
    """Create the study, or take up the one that the run folder or the storage holds.

    If it cannot be opened, the run folder that was made for it is removed again.

    Args:
        context: storage, sampler, pruner, run folder; an outage of the storage is not waited for after a stop.
        dataset: all rows.
        task: what the trials share.
        space: cut to what the data allow.
        resources: device, threads and workers.
        server: the storage, if it is on a server and so is open already.

    Raises:
        StudyError: the study exists and is not to be resumed, has other settings, or its storage cannot be opened.
        UsageError: the sampler or the pruner is unknown, or the run folder cannot be written to.
    """
    options, stop, progress = context.options, context.stop, context.progress
    if options.pruner == "wilcoxon" and len(task.folds) == 1:
        progress.info("pruner: wilcoxon compares folds, and there is one alone: nothing will be pruned; pass folds=3")
    series, folder = dataset.series, options.folder
    with remove_on_failure(folder):
        if folder is not None:
            claim_folder(folder, options.resume)
        own = options.storage is None and folder is not None  # a journal that holds no other study
        kept = str((folder / JOURNAL).resolve()) if own and folder is not None else options.storage
        storage = temporary_journal() if kept is None and resources.several else kept
        opened = server or open_storage(
            storage, Opening(stale=STALE_TRIALS, info=progress.info, stop=lambda: stop.requested)
        )
        name = options.study_name or run_name(series.path, series.targets, options.horizon)
        precision = _precision(options.precision, opened, name, task, space, late=context.clock.is_late)
        settings = _settings(options, dataset, space, precision)
        identity = StudyIdentity(
            settings=settings | (OWN_ERRORS if series.n_series > 1 else {}),
            before={"data": series.fingerprint(times=False)},
            data=_in_words(series),
            command=_first_command(options, dataset, resources, precision),
        )
        coordinator = create_study(
            opened,
            name,
            identity,
            sampler=make_sampler(options.sampler, options.seed, space),
            # The median pruner lets known configurations run to their end: one that begins slowly may add to the mean.
            pruner=make_pruner(options.pruner, space.most_epochs(), max(5, len(space.enqueued()))),
            resume=options.resume,
            alone=own,
            take_over=options.take_over,
            info=progress.info,
            stop=lambda: stop.requested,
        )
        with release_on_failure(coordinator):
            keep_worker_options(coordinator.study, options.for_workers())
    return OpenStudy(
        coordinator=coordinator,
        storage=storage,
        shown_storage=show_storage(kept),
        space=space,
        precision=precision,
        settings=settings,
        resources=resources,
        trials_before=n_counted(coordinator.study),
    )


def _settings(options: TuneOptions, dataset: Dataset, space: Space, precision: str) -> dict[str, Any]:
    """Return what a study must keep if it is resumed."""
    return options.settings(
        schema=SCHEMA,
        data=dataset.series.fingerprint(),
        target=dataset.series.targets,
        split=dataset.split,
        rule=dataset.rule,
        space=space,
        precision=precision,
    )


def _in_words(series: SeriesSet) -> str:
    """Return the size of the data and the time that they span."""
    every = all_rows(series)
    many = f" of {series.n_series:,} series" if series.n_series > 1 else ""
    return f"{counted(every.rows, 'row')}{many}, {every.start} to {every.end}"


def _first_command(options: TuneOptions, dataset: Dataset, resources: Resources, precision: str) -> str | None:
    """Return the command that begins this study; None: a command line cannot say it."""
    command = options.command(dataset.source, workers=resources.workers, precision=precision)
    if command is None or options.folder is None:
        return command
    return f"{command} --out {shell(str(options.folder))}"


def _precision(asked: str, storage: BaseStorage, name: str, task: Task, space: Space, *, late: bool) -> str:
    """Return "fp32" or "bf16": what was asked for, what a resumed study began with, or what is measured to pay.

    If it is late, nothing is measured: on a busy machine that takes as long as a trial.
    """
    if asked != "auto":
        return asked
    precision = kept_precision(storage, name) or ("fp32" if late else pick_precision(task, draw(space, _DRAWN)))
    if precision == "bf16" and not has_bf16(task.windows.device.type):
        raise StudyError(f"study {name!r} trains in bf16, which this machine lacks; resume it where it was begun")
    return precision
