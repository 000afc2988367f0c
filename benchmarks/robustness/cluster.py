"""Run a study by very many workers on one PostgreSQL server, with trials that sleep.

    python benchmarks/robustness/cluster.py [--workers 200] [--trials 2000] [--seconds 3] [--sampler random] [--grpc]

Each worker is a thread with database connections of its own, in one of a few processes; all else is as in a study:
tickets, parameters, attributes, reports, heartbeats. One of a hundred trials is abandoned by its worker, which takes
the next ticket, and the coordinator must take it back; so must it, if a trial's heartbeats come too late. With `--grpc`
the workers share Optuna's proxy before the same server. The last line is JSON; the exit status is 1 if a trial was
lost or done twice.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import signal
import socket
import statistics
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules that the benchmarks share
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "helpers"))

import optuna
import postgres
from common import machine, show_machine, wide_console
from fake_training import FakeTask, fake_training
from optuna.storages import BaseStorage, GrpcStorageProxy, run_grpc_proxy_server
from sqlalchemy import event
from storage_share import LIMITS

from lstm_tune.report.environment import versions
from lstm_tune.search.optimize import optimize
from lstm_tune.search.pruners import make_pruner
from lstm_tune.search.samplers import make_sampler
from lstm_tune.search.space import load_space
from lstm_tune.search.study import SharedStudy
from lstm_tune.search.task_objective import TaskObjective
from lstm_tune.search.tickets import Gate, make_tickets, set_gate, take_ticket
from lstm_tune.search.trial_queue import STALE_TRIALS, fail_and_requeue, n_counted
from lstm_tune.search.trials import read_trials
from lstm_tune.storage.buffered import inside
from lstm_tune.storage.database import Database
from lstm_tune.storage.kind import Opening
from lstm_tune.storage.open import open_storage
from lstm_tune.storage.optuna_private import id_of_trial

ABANDONED = 0.01  # share of the trials
PROCESSES = multiprocessing.get_context("fork")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What the workers do, and where.

    Attributes:
        url: of the server.
        port: of the proxy before it; None: there is none.
        sampler: by its name.
        seconds: that a trial sleeps.
    """

    url: str
    port: int | None
    sampler: str
    seconds: float

    def open(self) -> BaseStorage:
        """Open the storage as a worker does."""
        return open_storage(self.url) if self.port is None else GrpcStorageProxy(host="127.0.0.1", port=self.port)


class Missed(Exception):
    """A trial's heartbeats came too late, and another worker has it now."""


def missed(number: int) -> None:
    """Leave a trial."""
    raise Missed


class Worker(threading.Thread):
    """Takes tickets until none is left."""

    def __init__(self, plan: Plan, number: int, over: Any, abandoned: Any) -> None:
        super().__init__(daemon=True)
        self.run_name = f"host{number // 8}/{number}/1"
        space = load_space("default")
        storage = plan.open()
        self.statements = self.missed = 0
        if isinstance(database := inside(storage), Database):
            event.listen(database._rdb.engine, "before_cursor_execute", self._count)
        self.study = SharedStudy("cluster", storage, make_sampler(plan.sampler, number, space), make_pruner("none", 30))
        self.objective = TaskObjective(FakeTask(LIMITS), space, seed=number, ask_every=1.0)  # type: ignore[arg-type]
        self.waits: list[float] = []
        self.seconds: list[float] = []
        self.random = random.Random(number)
        self.over, self.abandoned = over, abandoned

    def _count(self, *args: Any) -> None:
        self.statements += 1

    def run(self) -> None:
        """Work."""
        while not self.over.is_set():
            began = time.monotonic()
            trial = take_ticket(self.study, self.run_name)
            if trial is None:
                self.over.wait(1.0)
                continue
            self.waits.append(time.monotonic() - began)
            if self.random.random() < ABANDONED:
                self.abandoned.put(trial.number)
                continue
            self.study.given = id_of_trial(trial)
            try:
                optimize(self.study, self.objective, n_trials=1, callbacks=(), on_lost=missed)
            except Missed:
                self.missed += 1
            else:
                self.seconds.append(time.monotonic() - began)


def run_workers(plan: Plan, numbers: range, ready: Any, over: Any, abandoned: Any, found: Any) -> None:
    """Run workers in this process, and tell what they saw."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with fake_training(seconds=plan.seconds, epochs=30):
        workers = [Worker(plan, number, over, abandoned) for number in numbers]
        ready.wait()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    waits = [wait for worker in workers for wait in worker.waits]
    seconds = [s for worker in workers for s in worker.seconds]
    found.put((waits, seconds, sum(worker.statements for worker in workers), sum(w.missed for w in workers)))


def serve(url: str, port: int) -> None:
    """Be the proxy."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    run_grpc_proxy_server(open_storage(url), host="127.0.0.1", port=port, thread_pool=ThreadPoolExecutor(32))


@contextmanager
def proxy(url: str, wanted: bool) -> Iterator[int | None]:
    """Run the proxy inside the `with`, if it is wanted, and yield its port."""
    if not wanted:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = PROCESSES.Process(target=serve, args=(url, port))
    process.start()
    try:
        yield port
    finally:
        process.kill()
        process.join()


def coordinate(
    study: optuna.Study, trials: int, server: postgres.Server, abandoned: Any, processes: Sequence[BaseProcess]
) -> tuple[int, int]:
    """Take lost trials back until enough have ended; return how many were abandoned, and the most connections."""
    returned = most = 0
    while n_counted(study) < trials:
        optuna.storages.fail_stale_trials(study)
        if any(process.exitcode for process in processes):
            raise RuntimeError("a process of workers has failed; its error is above")
        while not abandoned.empty():
            returned += 1
            fail_and_requeue(study, abandoned.get(), "its worker is gone")
        most = max(most, int(str(server.sql("select count(*) from pg_stat_activity where usename is not null")[0][0])))
        time.sleep(1.0)
    return returned, most


def work(server: postgres.Server, args: argparse.Namespace) -> dict[str, Any]:
    """Run the study, and count."""
    ready, over, abandoned, found = PROCESSES.Event(), PROCESSES.Event(), PROCESSES.Queue(), PROCESSES.Queue()
    with proxy(server.url, args.grpc) as port:
        plan = Plan(url=server.url, port=port, sampler=args.sampler, seconds=args.seconds)
        ranges = [range(first, args.workers, args.processes) for first in range(args.processes)]
        optuna.create_study(storage=(storage := open_storage(server.url)), study_name="cluster")
        inside(storage)._rdb.engine.dispose()  # type: ignore[attr-defined]  # no connection is shared with the children
        processes: list[BaseProcess] = [
            PROCESSES.Process(target=run_workers, args=(plan, numbers, ready, over, abandoned, found), daemon=True)
            for numbers in ranges
        ]
        for process in processes:
            process.start()
        opening = Opening(stale=STALE_TRIALS)
        study = optuna.load_study(study_name="cluster", storage=open_storage(server.url, opening))
        began = time.monotonic()
        make_tickets(study, args.trials)
        made = time.monotonic() - began
        set_gate(study, Gate(open=True))
        ready.set()
        began = time.monotonic()
        returned, connections = coordinate(study, args.trials, server, abandoned, processes)
        seconds = time.monotonic() - began
        set_gate(study, Gate(open=False))
        over.set()
        told = [found.get() for _ in processes]
        for process in processes:
            process.join()
    trials = read_trials(study)
    repeats = Counter(t.repeats for t in trials if t.repeats is not None)
    waits, took = (sorted(value for row in told for value in row[place]) for place in (0, 1))
    ended = sum(t.state in ("COMPLETE", "PRUNED") for t in trials)
    statements, late = (sum(row[place] for row in told) for place in (2, 3))
    return {
        "workers": args.workers,
        "processes": args.processes,
        "proxy": args.grpc,
        "asked": args.trials,
        "ended": ended,
        "abandoned": returned,
        "late_heartbeats": late,
        "lost": args.trials - ended,
        "doubled": len(took) - ended + sum(n - 1 for n in repeats.values()),
        "seconds": round(seconds, 1),
        "trials_per_second": round(ended / seconds, 1),
        "statements_per_second": round(statements / seconds),
        "statements_per_trial": round(statements / max(1, ended), 1),
        "median_wait_ms": round(1000 * statistics.median(waits), 1),
        "wait_95_percent_ms": round(1000 * waits[int(0.95 * len(waits))], 1),
        "median_seconds_of_a_trial": round(statistics.median(took), 2),
        "most_connections": connections,
        "processor_ms_of_workers_per_trial": round(1000 * cpu_of_children() / max(1, ended), 1),
        "seconds_to_make_the_tickets": round(made, 2),
    }


def cpu_of_children() -> float:
    """Return the processor seconds of the processes that have ended: workers, and the proxy."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description="Very many workers on one server.")
    parser.add_argument("--workers", type=int, default=200, metavar="N")
    parser.add_argument("--processes", type=int, default=2 * (os.cpu_count() or 1), metavar="N", help="of the workers")
    parser.add_argument("--trials", type=int, default=2000, metavar="N")
    parser.add_argument("--seconds", type=float, default=3.0, help="that a trial sleeps")
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--grpc", action="store_true", help="put Optuna's gRPC proxy before the server")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    with postgres.Server() as server:
        server.sql(f"alter system set max_connections = {3 * args.workers + 50}")
        server.restart()
        found = work(server, args)
    console = wide_console()
    console.print(found)
    hardware, software = machine(), versions()
    show_machine(console, hardware, software)
    print(json.dumps({"machine": hardware, "versions": software, **found}))
    sys.exit(1 if found["lost"] or found["doubled"] else 0)


if __name__ == "__main__":
    main()
