"""`worker`: a process that takes part in a study which another process coordinates, on this machine or another one."""

from __future__ import annotations

import math
import time
from typing import Any

import optuna
from optuna.storages import BaseStorage

from lstm_tune.data.readers import check_there
from lstm_tune.errors import StudyError, UsageError
from lstm_tune.pipeline.options import TuneOptions
from lstm_tune.pipeline.prepare import load_dataset, make_task
from lstm_tune.search.coordinator import is_coordinated_here
from lstm_tune.search.identity import data_in_words, kept_settings, worker_options
from lstm_tune.search.progress import Progress, checked_progress
from lstm_tune.search.pruners import make_pruner
from lstm_tune.search.samplers import make_sampler
from lstm_tune.search.space import Space
from lstm_tune.search.study import SharedStudy
from lstm_tune.search.tickets import read_gate
from lstm_tune.storage.database_kind import is_database, seconds_between_questions
from lstm_tune.storage.kind import Opening
from lstm_tune.storage.open import check_storage, open_storage, why_not_shareable
from lstm_tune.storage.optuna_private import id_of_study
from lstm_tune.storage.urls import check_file_there, or_of_environment
from lstm_tune.training.device import pick_device
from lstm_tune.training.parallel import single_threaded
from lstm_tune.training.precision import has_bf16
from lstm_tune.training.task import Task
from lstm_tune.utils import arguments
from lstm_tune.utils.process import available_cores, this_run
from lstm_tune.utils.signals import StopRequest, stop_on_signals
from lstm_tune.workers import processes
from lstm_tune.workers.count import pick_workers
from lstm_tune.workers.messages import Job
from lstm_tune.workers.pool import optimize
from lstm_tune.workers.sources import Tickets

_WAIT = 120.0  # seconds that a worker waits for a study that has yet to be begun
_LOOK = 1.0  # seconds between looks for it


def worker(
    study_name: str,
    data: Any,
    *,
    storage: str | BaseStorage | None = None,
    workers: int | str = "auto",
    timeout: float | str | None = None,
    progress: Progress | bool | None = None,
) -> int:
    """Take part in a study that another process coordinates (`tune` with `workers=0`, or several, on a database).

    All options come from the study. Trials are taken until none is left; the test rows are never read.

    Args:
        study_name: of a study that is begun, or will be within two minutes, or `timeout`.
        data: the same data as the study's; they are compared.
        storage: URL of the study's database, or Optuna's gRPC proxy before it, or, on the same machine, the path of
            its journal, which must be there; None: what the environment variable OPTUNA_STORAGE names.
        workers: processes, or "auto": one per core of this machine.
        timeout: seconds, or a time such as "10m", after which no further trial is taken; None: no limit.
        progress: told what happens; True: one line that is rewritten; None: that line in a notebook, else nothing.

    Returns:
        How many trials were taken.

    Raises:
        DataError: the data cannot be used.
        UsageError: an argument is wrong.
        StudyError: there is no such study, its data are others, or workers cannot take part in it.
        KeyboardInterrupt: Ctrl-C, or SIGTERM; running trials have been given back.
    """
    seconds = arguments.seconds_or_none("timeout", timeout)
    with stop_on_signals() as stop:
        return run(study_name, data, storage, workers, seconds, stop, checked_progress(progress))


@single_threaded()
def run(
    study_name: str,
    data: Any,
    storage: str | BaseStorage | None,
    workers: int | str,
    seconds: float | None,
    stop: StopRequest,
    progress: Progress,
) -> int:
    """Do what `worker` promises; see there."""
    began = time.monotonic()
    check_there(data)
    if (storage := or_of_environment(storage)) is None:
        raise UsageError("storage is missing: pass the URL of the study's database, or set OPTUNA_STORAGE to it")
    check_storage(storage)
    if isinstance(storage, str):
        check_file_there(storage)
    if (why := why_not_shareable(storage)) is not None:
        raise UsageError(f"{why}, so that no worker can take part in a study there; use PostgreSQL, or a journal")
    device, cores = pick_device("auto"), available_cores()
    number = pick_workers(workers, cores=cores, device=device, n_trials=None)
    if number < 1:
        raise UsageError("workers must be auto or at least 1 in a worker, but is 0")
    processes.prepare()
    opened = open_storage(storage, Opening(info=progress.info, stop=lambda: stop.requested, create=False))
    study = _find(study_name, opened, began + (_WAIT if seconds is None else min(_WAIT, seconds)), progress)
    settings = kept_settings(study)
    assert settings is not None
    options = TuneOptions(**worker_options(study), space=Space.from_dict(settings["space"]))
    task, space = _task(data, study, options, device, progress)
    precision = str(settings["precision"])
    if precision == "bf16" and not has_bf16(device):
        raise StudyError(f"study {study_name!r} trains in bf16, which this machine lacks; use other machines")
    shared = SharedStudy(
        study_name,
        opened,
        make_sampler(options.sampler, options.seed, space),
        make_pruner(options.pruner, space.most_epochs(), max(5, len(space.enqueued()))),
    )
    job = Job(
        storage=storage,
        study=study_name,
        sampler=shared.sampler,
        pruner=shared.pruner,
        task=task,
        space=space,
        seed=options.seed,
        precision=precision,
        threads=max(1, (cores if device == "cpu" else 1) // number),
        ask_every=seconds_between_questions(opened),
        verbosity=optuna.logging.get_verbosity(),
        run=this_run(),
    )
    end = math.inf if seconds is None else began + seconds
    tickets = Tickets(study=shared, run=job.run, end=end, info=progress.info)
    stop.cooperate()  # from here on running trials are given back
    progress.info(f"takes part in study {study_name!r} with {number} worker{'s' if number > 1 else ''}")
    optimize(shared, job, number, source=tickets, progress=progress, stop=lambda: stop.requested)
    return tickets.taken


def _find(name: str, storage: BaseStorage, end: float, progress: Progress) -> optuna.Study:
    """Return the study, once it is ready for workers; `end`: on the monotonic clock, of the wait for it.

    One line tells that it is waited for, before the wait.

    Raises:
        StudyError: it does not become so.
        UsageError: it is on another machine, in a journal.
    """
    told = False
    while True:
        there = name in optuna.get_all_study_names(storage)
        if there:
            study = optuna.load_study(study_name=name, storage=storage)
            if read_gate(storage.get_study_system_attrs(id_of_study(study))) is not None:
                break
        if time.monotonic() > end:
            raise StudyError(
                f"study {name!r} takes no workers; begin it with: lstm-tune tune ... --study {name} --workers 0"
                if there
                else f"there is no study {name!r} in this storage; check the name, and begin it with workers=0"
            )
        if not told:
            what = (
                f"study {name!r} takes no workers yet" if there else f"there is no study {name!r} in this storage yet"
            )
            progress.info(f"{what}: waits at most {max(1, round(end - time.monotonic()))} s until it is begun")
            told = True
        time.sleep(min(_LOOK, max(0.0, end - time.monotonic()) + 0.01))
    if not is_database(storage) and not is_coordinated_here(study):
        raise UsageError(f"study {name!r} is in a journal of another machine; use PostgreSQL for several machines")
    return study


def _task(data: Any, study: optuna.Study, options: TuneOptions, device: str, progress: Progress) -> tuple[Task, Space]:
    """Return what the trials share, if the data are those of the study.

    Raises:
        StudyError: they are not.
    """
    dataset = load_dataset(data, options, device)
    settings = kept_settings(study)
    assert settings is not None
    if not dataset.series.has_fingerprint(settings["data"]):
        raise StudyError(
            f"the data are not those of study {study.study_name!r} ({data_in_words(study)}); give every worker the same"
        )
    return make_task(dataset, options, device, progress)
