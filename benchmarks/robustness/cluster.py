"""Run a study by very many workers on one PostgreSQL server, with trials that sleep.

    python benchmarks/robustness/cluster.py [--workers 200] [--trials 2000] [--seconds 3] [--sampler random]

Each worker is a thread with a database connection of its own; all else is as in a study: tickets, parameters,
attributes, reports, heartbeats. One of a hundred trials is abandoned by its worker, which takes the next ticket, and
the coordinator must take it back. The last line is JSON; the exit status is 1 if a trial was lost or done twice.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules that the benchmarks share
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "helpers"))

import optuna
import postgres
from common import machine, show_machine, wide_console
from fake_training import FakeTask, fake_training
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
from lstm_tune.search.trial_queue import fail_and_requeue, n_counted
from lstm_tune.search.trials import read_trials
from lstm_tune.storage.buffered import inside
from lstm_tune.storage.open import open_storage
from lstm_tune.storage.optuna_private import id_of_trial

ABANDONED = 0.01  # share of the trials


class Worker(threading.Thread):
    """Takes tickets until none is left."""

    def __init__(self, url: str, number: int, sampler: str, counted: Counter[str]) -> None:
        super().__init__(daemon=True)
        self.run_name = f"host{number // 8}/{number}/1"
        space = load_space("default")
        storage = open_storage(url)
        event.listen(inside(storage)._rdb.engine, "before_cursor_execute", lambda *_: counted.update(["statements"]))  # type: ignore[attr-defined]
        self.study = SharedStudy("cluster", storage, make_sampler(sampler, number, space), make_pruner("none", 30))
        self.objective = TaskObjective(FakeTask(LIMITS), space, seed=number, ask_every=1.0)  # type: ignore[arg-type]
        self.waits: list[float] = []
        self.abandoned: list[int] = []
        self.done = 0
        self.random = random.Random(number)
        self.over = threading.Event()

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
                self.abandoned.append(trial.number)
                continue
            self.study.given = id_of_trial(trial)
            optimize(self.study, self.objective, n_trials=1, callbacks=(), on_lost=lambda number: None)
            self.done += 1


def work(url: str, args: argparse.Namespace) -> dict[str, Any]:
    """Run the study, and count."""
    storage = open_storage(url)
    study = optuna.create_study(storage=storage, study_name="cluster")
    began = time.monotonic()
    make_tickets(study, args.trials)
    made = time.monotonic() - began
    statements: Counter[str] = Counter()
    workers = [Worker(url, number, args.sampler, statements) for number in range(args.workers)]
    set_gate(study, Gate(open=True))
    began = time.monotonic()
    for worker in workers:
        worker.start()
    returned: set[int] = set()
    while n_counted(study) < args.trials:
        for worker in workers:
            for number in set(worker.abandoned) - returned:
                returned.add(number)
                fail_and_requeue(study, number, "its worker is gone")
        time.sleep(1.0)
    seconds = time.monotonic() - began
    set_gate(study, Gate(open=False))
    for worker in workers:
        worker.over.set()
    for worker in workers:
        worker.join(30)
    trials = read_trials(study)
    repeats = Counter(t.repeats for t in trials if t.repeats is not None)
    waits = sorted(wait for worker in workers for wait in worker.waits)
    ended = sum(t.state in ("COMPLETE", "PRUNED") for t in trials)
    return {
        "workers": args.workers,
        "asked": args.trials,
        "ended": ended,
        "abandoned": len(returned),
        "lost": args.trials - ended,
        "doubled": sum(worker.done for worker in workers) - ended + sum(n - 1 for n in repeats.values()),
        "seconds": round(seconds, 1),
        "trials_per_second": round(ended / seconds, 1),
        "statements_per_second": round(statements["statements"] / seconds),
        "statements_per_trial": round(statements["statements"] / max(1, ended), 1),
        "median_wait_ms": round(1000 * statistics.median(waits), 1),
        "wait_95_percent_ms": round(1000 * waits[int(0.95 * len(waits))], 1),
        "ms_to_make_a_ticket": round(1000 * made / args.trials, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Very many workers on one server.")
    parser.add_argument("--workers", type=int, default=200, metavar="N")
    parser.add_argument("--trials", type=int, default=2000, metavar="N")
    parser.add_argument("--seconds", type=float, default=3.0, help="that a trial sleeps")
    parser.add_argument("--sampler", default="random")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with postgres.Server() as server, fake_training(seconds=args.seconds, epochs=30):
        server.sql(f"alter system set max_connections = {3 * args.workers + 50}")
        server.restart()
        found = work(server.url, args)
    console = wide_console()
    console.print(found)
    hardware, software = machine(), versions()
    show_machine(console, hardware, software)
    print(json.dumps({"machine": hardware, "versions": software, **found}))
    sys.exit(1 if found["lost"] or found["doubled"] else 0)


if __name__ == "__main__":
    main()
