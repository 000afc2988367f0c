"""From the trials of a study to its result: the last steps of `tune`, and of `finish` for a study of one's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from lstm_tune.dashboard.notes import write_notes
from lstm_tune.errors import LstmTuneError, StudyError
from lstm_tune.pipeline.findings import Found, diagnose_study, try_advice
from lstm_tune.pipeline.holdout import TestResult, score_test_rows
from lstm_tune.pipeline.intervals import calibrate_intervals
from lstm_tune.pipeline.options import TuneOptions
from lstm_tune.pipeline.out_of_date import watch
from lstm_tune.pipeline.prepare import Dataset, OpenStudy
from lstm_tune.pipeline.retrain_step import retrain_best
from lstm_tune.pipeline.run_context import RunContext
from lstm_tune.pipeline.search_step import SearchOutcome
from lstm_tune.pipeline.summary import build_result
from lstm_tune.report.result import TRIALS, Result, write_trials
from lstm_tune.search.progress import Progress
from lstm_tune.search.space import Space
from lstm_tune.training.retrain import Retrained
from lstm_tune.training.task import Task
from lstm_tune.utils.signals import Stopped


def conclude(
    outcome: SearchOutcome,
    dataset: Dataset,
    task: Task,
    opened: OpenStudy,
    context: RunContext,
) -> Result:
    """Retrain the best trials, read the test rows once, and write the run folder.

    Args:
        outcome: the trials.
        dataset: all rows.
        task: that the trials shared.
        opened: the study.
        context: run folder, seed, number of retrains; the deadline.

    Raises:
        Stopped: there is no model, since the user stopped the study.
        StudyError: the model could not be finished; the trials are kept.
    """
    options, clock, stop, progress = context.options, context.clock, context.stop, context.progress
    with keep_trials(outcome, options):
        with clock.step("retrain"):
            retrained = retrain_best(outcome, task, opened, context)
        if retrained is None:
            raise Stopped(None, stop.exit_status)
        if retrained.interrupted and not stop.requested:
            stop.request()  # a signal handler that is not ours raised it
        with clock.step("intervals"):
            calibrated = calibrate_intervals(retrained, task, opened, context)
        opened.coordinator.verify()  # one process alone reads the test rows
        opened.coordinator.record_test_reading()
        with clock.step("test"):
            tested = score_test_rows(
                retrained, dataset, task, calibrated, options.levels, threads=opened.resources.threads
            )
            found = explain_score(dataset, task, opened.space, outcome, retrained, tested, context)
        with clock.step("advice"):
            tried = try_advice(found.findings, outcome, task, opened, context)
            found = replace(found, findings=tried)
        result = build_result(context, dataset, task, opened, outcome, retrained, tested, found)
        for note in tested.notes:
            progress.assumed(note)
        if options.folder is not None:
            result.write(options.folder, progress.info)
    watch(result.model, result.to_dict(), options.folder)  # after the report, whose forecasts the test rows are part of
    if opened.shown_storage is not None:
        annotate_dashboard(result, opened.space, progress)
    return result


@contextlib.contextmanager
def keep_trials(outcome: SearchOutcome, options: TuneOptions) -> Iterator[None]:
    """If the `with` fails, write trials.csv, and say in one line that the trials are kept.

    Raises:
        StudyError: an error that nobody foresaw; it is the cause.
    """
    try:
        yield
    except BaseException as error:
        if options.folder is not None:
            with contextlib.suppress(OSError):
                write_trials(outcome.trials, options.folder / TRIALS)
        if isinstance(error, LstmTuneError) or not isinstance(error, Exception):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise StudyError(
            f"the trials are kept, but the model could not be finished ({reason}); "
            f"repeat tune with resume=True and other data, or another space= or retrain_seeds="
        ) from error


def explain_score(
    dataset: Dataset,
    task: Task,
    space: Space,
    outcome: SearchOutcome,
    retrained: Retrained,
    tested: TestResult,
    context: RunContext,
) -> Found:
    """Return the findings. A failure is reported, not raised: a result is worth more than its explanation."""
    try:
        return diagnose_study(dataset, task, space, context.options, outcome, retrained, tested, context.clock)
    except Exception as error:
        context.progress.info(
            f"no findings could be worked out ({type(error).__name__}: {error}); all else is there. "
            f"Please report it as a bug"
        )
        return Found()


def annotate_dashboard(result: Result, space: Space, progress: Progress) -> None:
    """Write the dashboard notes. A failure is reported, not raised."""
    try:
        write_notes(result, (space.plain, *space.enqueued()))
    except Exception as error:
        progress.info(f"the notes for the dashboard could not be written: {type(error).__name__}: {error}")
