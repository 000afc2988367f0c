"""Workers as tasks of a Ray cluster. Ray finds the nodes and starts the processes; the trials are Optuna's tickets.

Each task runs the worker loop of `pool` with one worker process. Ray is imported here alone, and only for `--ray`.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lstm_tune
from lstm_tune.errors import LstmTuneError, StudyError, UsageError
from lstm_tune.search.progress import Progress, Silent
from lstm_tune.search.study import SharedStudy
from lstm_tune.storage.kind import Opening
from lstm_tune.storage.open import open_storage
from lstm_tune.storage.urls import is_url
from lstm_tune.training.precision import has_bf16
from lstm_tune.utils.process import available_cores, this_run
from lstm_tune.utils.text import counted
from lstm_tune.workers.count import MOST_TASKS, pick_workers
from lstm_tune.workers.messages import Job
from lstm_tune.workers.pool import optimize
from lstm_tune.workers.ray_address import LOCAL, check_reachable
from lstm_tune.workers.sources import Tickets
from lstm_tune.workers.worker import interrupt_once

_PAUSE = 5.0  # seconds before a task is started in place of one that has ended
_MOST_FAILURES = 3  # of a task in a row, while no trial of the study ended: its place is given up
_PATIENCE = 10.0  # seconds in which cancelled tasks give their trials back


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RayCluster:
    """A Ray cluster that this process is connected to.

    Attributes:
        ray: the package.
        address: as the user wrote it.
    """

    ray: Any
    address: str

    def pick_workers(self, workers: int | str, *, device: str, n_trials: int | None) -> int:
        """Return how many tasks do the study's trials; "auto": as many as the cluster has CPUs, or GPUs for them.

        Raises:
            UsageError: neither "auto" nor a number up to `MOST_TASKS`.
        """
        room = self._room(self.gpus_each(device))
        number = pick_workers(workers, cores=room, device="cpu", n_trials=n_trials, most=MOST_TASKS)
        return number if n_trials is None else min(number, n_trials)

    def gpus_each(self, device: str) -> int:
        """Return how many GPUs a task takes: one, if there are any or "cuda" asks for them."""
        return int(device == "cuda" or (device == "auto" and self._has("GPU") > 0))

    def in_words(self, workers: int, device: str) -> str:
        """Return what the tasks take, and what there is."""
        gpus = self.gpus_each(device)
        cpus_there, gpus_there = (int(self._has(name)) for name in ("CPU", "GPU"))
        takes = f"{counted(workers, 'task')} of 1 CPU{' and 1 GPU' if gpus else ''}"
        has = counted(cpus_there, "CPU") + (f" and {counted(gpus_there, 'GPU')}" if gpus else "")
        waits = "; tasks that find no room wait for it" if workers > self._room(gpus) else ""
        return f"Ray ({self.address}): {takes}, in a cluster of {has}{waits}"

    def _room(self, gpus_each: int) -> int:
        return int(self._has("GPU" if gpus_each else "CPU"))

    def _has(self, resource: str) -> float:
        return float(self.ray.cluster_resources().get(resource, 0))


@contextlib.contextmanager
def connected(address: str | None, storage: object) -> Iterator[RayCluster | None]:
    """Connect to a Ray cluster inside the `with`; without an address there is none.

    A connection of the caller's own is used as it is, and stays.

    Args:
        address: "local": a cluster on this machine alone, for the time of the `with`; "auto": the one that runs on this
            machine, or that RAY_ADDRESS names; "ray://HOST:PORT": of a Ray client server.
        storage: of the study.

    Raises:
        UsageError: Ray is not installed, or nodes cannot reach the storage.
        StudyError: the cluster cannot be reached.
    """
    if address is None:
        yield None
        return
    check_reachable(address, storage)
    try:
        import ray
    except ImportError as error:
        raise UsageError(f'ray needs the package Ray ({error}); run: pip install "lstm-tune[ray]"') from None
    if ray.is_initialized():
        yield RayCluster(ray=ray, address=address)
        return
    _connect(ray, address)
    try:
        yield RayCluster(ray=ray, address=address)
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    """Connect quietly, and leave the handlers of signals as they are."""
    local: dict[str, Any] = {}
    if address == LOCAL:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        local = {"num_cpus": available_cores(), "include_dashboard": False}
    main = threading.current_thread() is threading.main_thread()
    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **local)
        # What Ray says of lost workers would appear on stdout, amid JSON; there is no public name for this.
        ray._private.worker._worker_logs_enabled = False
    except Exception as error:
        remedies = {"auto": "begin one with: ray start --head", LOCAL: "look at the logs in /tmp/ray"}
        remedy = remedies.get(
            address, "check host and port, the versions of Ray and Python there, and its token (RAY_AUTH_MODE)"
        )
        raise StudyError(f"no Ray cluster answers at {address!r} ({_line(error)}); {remedy}") from None
    finally:
        for signum, handler in handlers.items():
            if main and signal.getsignal(signum) is not handler:
                signal.signal(signum, handler)


@dataclass(kw_only=True, slots=True, eq=False)
class _Place:
    """A task, and those that were started in its place.

    Attributes:
        start: when the next one begins, on the clock of `time.monotonic`.
        failures: in a row.
        ended: trials of the study that had ended at the latest failure.
    """

    start: float = 0.0
    failures: int = 0
    ended: int = -1


@dataclass(kw_only=True, slots=True, eq=False)
class RayTasks:
    """The tasks of a study; inside a `with` they run, at its end they are cancelled and give their trials back.

    Attributes:
        cluster: that they run on.
        job: what each needs; Ray's object store holds it once.
        number: of tasks.
        device: that the user asked for.
        progress: told what happens.
    """

    cluster: RayCluster
    job: Job
    number: int
    device: str
    progress: Progress
    _begin: Callable[[], Any] = field(init=False)
    _running: dict[Any, _Place] = field(default_factory=dict)
    _waiting: list[_Place] = field(default_factory=list)
    _said: set[str] = field(default_factory=set)

    def __enter__(self) -> RayTasks:
        ray, storage = self.cluster.ray, self.job.storage
        if isinstance(storage, str) and not is_url(storage):
            storage = str(Path(storage).resolve())  # tasks have another working directory
        gpus = self.cluster.gpus_each(self.device)
        # A password may be in the environment alone; libpq's variables begin so.
        environment = {name: value for name, value in os.environ.items() if name.startswith("PG")}
        parcel = [ray.put(replace(self.job, storage=storage, task=self.job.task.on("cpu"), threads=1))]
        # A lost task is not repeated by Ray: another one takes tickets in its place. A process serves one task.
        remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0, max_calls=1)(_work)
        arguments = parcel, lstm_tune.__version__, environment, "cuda" if gpus else "cpu"
        self._begin = lambda: remote.remote(*arguments)
        self.progress.info(self.cluster.in_words(self.number, self.device))
        self._waiting = [_Place() for _ in range(self.number)]
        return self

    def look(self, is_open: bool, ended: int) -> None:
        """Start tasks in place of those that have ended.

        Args:
            is_open: whether tickets may still be taken.
            ended: trials of the study that have ended.

        Raises:
            StudyError: no task can work, or the cluster is gone.
        """
        try:
            done, _ = self.cluster.ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
            for task in done:
                self._leave(task, ended)
            now = time.monotonic()
            for place in [p for p in self._waiting if is_open and p.start <= now]:
                self._waiting.remove(place)
                self._running[self._begin()] = place
        except StudyError:
            raise
        except Exception as error:
            raise StudyError(
                f"the Ray cluster does not answer any more ({_line(error)}); resume=True goes on"
            ) from None

    def _leave(self, task: Any, ended: int) -> None:
        place = self._running.pop(task)
        if (cause := self._cause(task)) is not None:
            place.failures = 1 if ended > place.ended else place.failures + 1
            place.ended = ended
            if cause not in self._said:
                self._said.add(cause)
                self.progress.info(f"Ray: {cause}; another task takes its place")
            if place.failures == _MOST_FAILURES:
                if not self._running and not self._waiting:
                    raise StudyError(
                        f"no Ray task could work ({cause}); tune with resume=True goes on once that is mended"
                    )
                return
        place.start = time.monotonic() + _PAUSE
        self._waiting.append(place)

    def _cause(self, task: Any) -> str | None:
        """Return why a task has failed; None: it has not."""
        errors = self.cluster.ray.exceptions
        try:
            answer: str | None = self.cluster.ray.get(task)
            return answer
        except errors.OutOfMemoryError:
            return "a task was ended, because its node had no memory left"
        except (errors.NodeDiedError, errors.WorkerCrashedError, errors.LocalRayletDiedError):
            return "a task was lost with its process or its node"
        except Exception as error:
            return f"a task failed: {_line(getattr(error, 'cause', None) or error)}"

    def __exit__(self, *_: object) -> None:
        ray, tasks = self.cluster.ray, list(self._running)
        self._running.clear()
        with contextlib.suppress(Exception):  # the cluster may be gone
            for task in tasks:
                ray.cancel(task)
            _, left = ray.wait(tasks, num_returns=len(tasks), timeout=_PATIENCE)
            for task in left:
                ray.cancel(task, force=True)


def _work(parcel: list[Any], version: str, environment: Mapping[str, str], device: str) -> str | None:
    """Take tickets until none is left; runs on a node.

    Args:
        parcel: [reference to the job], so that the version is compared before it is unpacked.
        version: of the package, that the study runs with.
        environment: variables that the storage may need.
        device: "cpu", or "cuda", if Ray has given this task a GPU.

    Returns:
        Why the task could not go on; None: no ticket is left.
    """
    import ray
    import torch

    node = platform.node()
    if version != (found := lstm_tune.__version__):
        return f"node {node} has lstm-tune {found}, and the study {version}; install the same everywhere"
    signal.signal(signal.SIGINT, interrupt_once)  # by which Ray cancels
    os.environ.update(environment)
    device = device if torch.cuda.is_available() else "cpu"
    try:
        job: Job = ray.get(parcel[0])
        if job.precision == "bf16" and not has_bf16(device):
            return f'node {node} lacks bf16, which the study trains in; use other nodes, or precision="fp32"'
        job = replace(job, task=job.task.on(device), run=this_run())
        storage = open_storage(job.storage, Opening(create=False))
        study = SharedStudy(job.study, storage, job.sampler, job.pruner)
        tickets = Tickets(study=study, run=job.run, end=float("inf"), info=lambda text: None)
        optimize(study, job, 1, source=tickets, progress=Silent())
    except LstmTuneError as error:
        return f"node {node}: {error}"
    return None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
