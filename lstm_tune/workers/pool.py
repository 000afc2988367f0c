"""A study that several processes share.

The study lives in the storage. The supervisor (`supervisor`, in this process) begins the trials and assigns them to the
workers (`worker`, a process each); `messages` defines what they send to each other.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any

from optuna.storages import BaseStorage

from lstm_tune.errors import StudyError, UsageError
from lstm_tune.search.progress import Progress
from lstm_tune.search.study import SharedStudy
from lstm_tune.storage.open import why_not_shareable
from lstm_tune.training.task import Task
from lstm_tune.workers import processes
from lstm_tune.workers.messages import Job
from lstm_tune.workers.sources import TrialSource
from lstm_tune.workers.supervisor import Supervisor


def check_shareable(storage: str | BaseStorage | None, sampler: Any, pruner: Any) -> None:
    """Refuse what several processes cannot share.

    Raises:
        UsageError: says what and what to use.
    """
    if (why := why_not_shareable(storage)) is not None:
        raise UsageError(f"{why}; pass the path of a journal file or a PostgreSQL URL, or use one worker")
    for name, value in (("storage", storage), ("sampler", sampler), ("pruner", pruner)):
        try:
            with processes.no_main():
                ForkingPickler.dumps(value)
        except Exception as error:
            reason = " ".join(str(error).split())
            raise UsageError(
                f"the {name} cannot be sent to other processes ({reason}); "
                f"define its class in a module that can be imported, or use one worker"
            ) from None


def share(task: Task) -> None:
    """Move the task's tensors on the CPU into memory that workers share without a copy.

    Raises:
        StudyError: there is not enough shared memory.
    """
    data = task.windows.data
    tensors = [data.values, data.observed, data.past, data.future]
    tensors += [positions for fold in task.folds for positions in (fold.report_windows, fold.epoch_windows)]
    try:
        for tensor in tensors:
            tensor.share_memory_()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise StudyError(
            f"the series do not fit into shared memory ({str(error).splitlines()[0]}); "
            f"make /dev/shm larger, or use workers=1"
        ) from None


def optimize(
    study: SharedStudy,
    job: Job,
    workers: int,
    *,
    source: TrialSource,
    progress: Progress,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Do the trials of a source in several processes.

    Args:
        study: that the job names.
        job: what each worker needs.
        workers: at most; each ends as soon as no trial is left for it. 0: others do the trials.
        source: of the trials.
        progress: told what happens.
        stop: whether the user wants to stop.

    Raises:
        StudyError: the workers cannot start or cannot go on.
        KeyboardInterrupt: the user wants to stop; the workers are stopped, and their trials left as the source says.
    """
    if workers:
        share(job.task)
    supervisor = Supervisor(study=study, job=job, source=source, progress=progress, stop=stop)
    try:
        source.look()
        for number in range(1, 1 + workers):
            supervisor.start(number)
        while supervisor.at_work:
            supervisor.listen()
    finally:
        supervisor.end()
