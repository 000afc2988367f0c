"""What a storage costs a trial: several processes share one study, and each trial sleeps in place of training."""

from __future__ import annotations

import json
import multiprocessing
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from fake_training import FakeTask, fake_training
from optuna.storages import BaseStorage

from lstm_tune.search.optimize import optimize
from lstm_tune.search.pruners import make_pruner
from lstm_tune.search.samplers import make_sampler
from lstm_tune.search.space import load_space
from lstm_tune.search.study import OwnStudy
from lstm_tune.search.task_objective import TaskObjective
from lstm_tune.storage.open import open_storage
from lstm_tune.training.limits import Limits
from lstm_tune.utils.signals import stop_on_signals

LIMITS = Limits(max_lookback=400, positive=True, period=24, max_batch_size=10_000)


class Stopwatch:
    """Adds up the seconds that the main thread spends in the methods of a storage."""

    def __init__(self, storage: BaseStorage) -> None:
        self.seconds = 0.0
        self.cpu = 0.0  # seconds of the processor
        self.calls = 0
        self._depth = 0
        for name in [n for n in dir(storage) if n[0] != "_" and callable(getattr(storage, n))]:
            setattr(storage, name, self._timed(getattr(storage, name)))

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            if self._depth or threading.current_thread() is not threading.main_thread():
                return call(*args, **options)
            self._depth, began, cpu = 1, time.perf_counter(), time.thread_time()
            try:
                return call(*args, **options)
            finally:
                self._depth = 0
                self.calls += 1
                self.seconds += time.perf_counter() - began
                self.cpu += time.thread_time() - cpu

        return timed


def work(url: str, trials: int, seconds: float, ask_every: float, seed: int, into: Any) -> None:
    """Do trials of the study, and report what the storage took of them."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = load_space("default")
    storage = open_storage(url)
    study = OwnStudy("share", storage, make_sampler("tpe", seed, space), make_pruner("median", 30, 20))
    objective = TaskObjective(FakeTask(LIMITS), space, seed=seed, ask_every=ask_every)  # type: ignore[arg-type]
    watch = Stopwatch(storage)
    ended: list[float] = []
    with fake_training(seconds=seconds):
        began = time.perf_counter()
        optimize(
            study,
            objective,
            n_trials=trials,
            callbacks=[lambda study, trial: ended.append(time.perf_counter())],
            on_lost=lambda number: None,
        )
        total = time.perf_counter() - began
    into.put((total, watch.seconds, watch.calls, watch.cpu))


def share(url: str, *, workers: int, trials: int, seconds: float, ask_every: float) -> dict[str, float]:
    """Return how much of the workers' time the storage took, and how much a trial of it.

    Args:
        url: of the storage, or path of a journal.
        workers: processes.
        trials: of each worker.
        seconds: that a trial sleeps; the pruner ends some of them earlier.
        ask_every: seconds between two questions to the pruner.
    """
    optuna.create_study(storage=open_storage(url), study_name="share")
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [
        context.Process(target=work, args=(url, trials, seconds, ask_every, seed, results), daemon=True)
        for seed in range(workers)
    ]
    for process in processes:
        process.start()
    found = [results.get() for _ in processes]
    for process in processes:
        process.join()
    failed = [
        t for t in optuna.load_study(study_name="share", storage=open_storage(url)).trials if t.state.name == "FAIL"
    ]
    if failed:
        raise RuntimeError(failed[0].user_attrs.get("traceback"))
    return {
        "share": round(statistics.mean(used / total for total, used, _, _ in found), 4),
        "ms_per_trial": round(statistics.mean(1000 * used / trials for _, used, _, _ in found), 1),
        "processor_ms_per_trial": round(statistics.mean(1000 * cpu / trials for *_, cpu in found), 1),
        "calls_per_trial": round(statistics.mean(calls / trials for _, _, calls, _ in found), 1),
        "seconds_per_trial": round(statistics.mean(total / trials for total, _, _, _ in found), 3),
    }


@contextmanager
def opened(storage: str) -> Iterator[str]:
    """Yield the URL of "postgres" (a server of its own), the path of "journal" (a temporary file), or what it is."""
    if storage == "postgres":
        sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "helpers"))
        import postgres

        if (missing := postgres.missing_requirement()) is not None:
            raise SystemExit(missing)
        with postgres.Server() as server:
            yield server.url
    elif storage == "journal":
        with tempfile.TemporaryDirectory() as folder:
            yield str(Path(folder) / "study.journal")
    else:
        yield storage


def main(storage: str, *, workers: int, trials: int, seconds: float) -> None:
    """Measure and print."""
    with stop_on_signals(), opened(storage) as url:
        row = share(
            url,
            workers=workers,
            trials=trials,
            seconds=seconds,
            ask_every=0.0 if storage == "journal" else 1.0,
        )
    print(
        f"{storage}: {workers} workers, trials of {seconds} s: {100 * row['share']:.2f}% of the time is the storage's"
    )
    print(json.dumps({"storage": storage if "://" not in storage else "database", "workers": workers, **row}))
