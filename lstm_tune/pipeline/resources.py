"""The first step of `tune`: what a study may use of this machine, or of a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass

from lstm_tune.errors import UsageError
from lstm_tune.pipeline.options import TuneOptions
from lstm_tune.search.progress import Progress
from lstm_tune.storage.open import check_storage
from lstm_tune.training.device import pick_device
from lstm_tune.training.precision import check_precision
from lstm_tune.utils.process import available_cores
from lstm_tune.utils.text import counted
from lstm_tune.workers import processes
from lstm_tune.workers.count import pick_workers
from lstm_tune.workers.pool import check_shareable
from lstm_tune.workers.ray_tasks import RayCluster


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What the study may use of this machine.

    Attributes:
        device: "cpu" or "cuda".
        threads: of this process; folds of a trial and models of the retrain share them.
        workers: processes that do the trials; 1: this one, if there is no cluster.
        cluster: Ray cluster whose tasks are the workers; None: the workers are of this machine.
    """

    device: str
    threads: int
    workers: int
    cluster: RayCluster | None = None

    @property
    def threads_each(self) -> int:
        """Threads of one worker."""
        return 1 if self.cluster is not None else max(1, self.threads // max(1, self.workers))

    @property
    def several(self) -> bool:
        """Whether other processes than this one do trials."""
        return self.workers != 1 or self.cluster is not None


def pick_resources(options: TuneOptions, cluster: RayCluster | None, progress: Progress) -> Resources:
    """Choose device, threads and workers.

    Raises:
        UsageError: what was asked for is not there, or several workers cannot share the study.
    """
    device = pick_device(options.device)
    check_precision(options.precision, device)
    check_storage(options.storage)
    cores = available_cores()
    trials = options.trials
    if cluster is not None:
        check_shareable(options.storage, options.sampler, options.pruner)
        workers = cluster.pick_workers(options.workers, device=options.device, n_trials=trials)
        return Resources(device=device, threads=cores if device == "cpu" else 1, workers=workers, cluster=cluster)
    workers = pick_workers(options.workers, cores=cores, device=device, n_trials=trials)
    if workers == 0:
        _check_reachable(options)
    elif workers > 1:
        workers = _shareable(workers, options, cores, progress)
    return Resources(
        device=device,
        threads=cores if device == "cpu" else 1,
        workers=workers if trials is None else min(workers, trials),
    )


def _check_reachable(options: TuneOptions) -> None:
    """Refuse a study without workers of its own that no other process could find or understand."""
    if options.storage is None and options.folder is None:
        raise UsageError("workers is 0, and the study is in memory, where no worker finds it; pass a storage, or out")
    if options.for_workers() is None:
        raise UsageError("workers is 0, and other processes know samplers and pruners by name alone; pass a name")
    check_shareable(options.storage, options.sampler, options.pruner)


def _shareable(workers: int, options: TuneOptions, cores: int, progress: Progress) -> int:
    """Return how many workers there will be: one, and the reason shown, if several cannot share the study."""
    try:
        check_shareable(options.storage, options.sampler, options.pruner)
    except UsageError as error:
        if options.workers != "auto":
            raise
        progress.info(f"one worker alone: {error}")
        return 1
    processes.prepare()
    if workers > cores:
        shared = counted(cores, "core")
        progress.info(f'workers: {workers} share {shared}, and more than cores gain nothing; pass workers="auto"')
    return workers
