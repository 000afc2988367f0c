"""Run a study over two hosts whose workers, coordinator and database server are killed, frozen and restarted at random.

    python benchmarks/robustness/hosts.py [--trials 100] [--seconds-between 2]

The promise: the trials asked for are the trials that end, each once, and the test rows are read once. Hosts are
processes with other host names, by which the package tells machines apart. The coordinator does no trials; when it was
killed it is resumed at once. A worker that has ended is started again as long as the coordinator lives. The last line
is JSON; the exit status is 1 if the promise was broken. It needs Linux and PostgreSQL.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules that the benchmarks share
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "helpers"))

import optuna
import postgres
from common import machine, show_machine, wide_console
from studies import descendants

from lstm_tune.report.environment import versions
from lstm_tune.search.coordinator import test_readings
from lstm_tune.search.trial_queue import n_counted
from lstm_tune.storage.open import open_storage

SPACE = """
lookback = { low = 4, high = 24 }
hidden_units = { low = 2, high = 8 }
learning_rate = { low = 1e-3, high = 1e-1, log = true }
epochs = 4
patience = 4
"""
# Without a heartbeat for 12 s a trial is lost, and a worker silent for 5 s is frozen; a user's study waits longer.
LAUNCH = """
import platform
platform.node = lambda: {host!r}
from lstm_tune.storage import database, database_opening
database.STALE = database_opening.STALE = 12
database_opening.BEAT = 2
from lstm_tune.workers import supervisor
supervisor.SILENCE = 5.0
from lstm_tune.cli.app import main
main()
"""
FAULTS = {  # shares
    "worker process killed": 0.25,
    "worker command killed": 0.2,
    "worker command terminated": 0.2,
    "worker process frozen": 0.1,
    "whole host frozen": 0.05,
    "coordinator killed": 0.1,
    "server restarted": 0.1,
}


class Hosts:
    """The coordinator on host a, and a worker command on each of the hosts b and c."""

    def __init__(self, folder: Path, server: postgres.Server, trials: int, seed: int) -> None:
        self.folder, self.server, self.trials = folder, server, trials
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.coordinators = 0
        (folder / "space.toml").write_text(SPACE)
        self.coordinator = self._coordinate()
        self.workers = {host: self._work(host) for host in ("b", "c")}

    def _start(self, host: str, *words: str) -> subprocess.Popen[bytes]:
        log = open(self.folder / f"{host}.txt", "ab")  # noqa: SIM115  # the child keeps it
        return subprocess.Popen(
            [sys.executable, "-c", LAUNCH.format(host=host), *words],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPTUNA_STORAGE": self.server.url},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def _coordinate(self) -> subprocess.Popen[bytes]:
        self.coordinators += 1
        options = ["--space", "space.toml", "--folds", "1", "--retrain-seeds", "1", "--out", "run", "--study", "hosts"]
        options += ["--trials", str(self.trials), "--workers", "0"]
        resumed = ["--resume"] if self.coordinators > 1 else []
        return self._start("a", "tune", "example:sunspots", *options, *resumed)

    def _work(self, host: str) -> subprocess.Popen[bytes]:
        return self._start(host, "worker", "hosts", "example:sunspots", "--workers", "1")

    def study(self) -> optuna.Study | None:
        """Return the study, if it exists."""
        storage = open_storage(self.server.url)
        return optuna.load_study(study_name="hosts", storage=storage) if optuna.get_all_study_names(storage) else None

    def fault(self) -> None:
        """Cause one fault."""
        name = self.random.choices(list(FAULTS), list(FAULTS.values()))[0]
        host = self.random.choice(list(self.workers))
        worker = self.workers[host]
        below = [pid for pid in descendants(worker.pid) if not descendants(pid)]
        match name:
            case "worker process killed" | "worker process frozen":
                if not below:
                    return
                os.kill(below[-1], signal.SIGKILL if name.endswith("killed") else signal.SIGSTOP)
            case "worker command killed":
                worker.kill()
            case "worker command terminated":
                worker.terminate()
            case "whole host frozen":  # for ever: its trial is missed, and its results would be refused
                for pid in (worker.pid, *descendants(worker.pid)):
                    os.kill(pid, signal.SIGSTOP)
                self.workers[host] = self._work(host)
                self.frozen = getattr(self, "frozen", [])
                self.frozen.append(worker)
            case "coordinator killed":
                self.coordinator.kill()
            case "server restarted":
                self.server.restart(self.random.choice(["fast", "immediate"]))
        self.done[name] += 1

    def care(self) -> bool:
        """Start again what has ended; return whether the study has ended."""
        status = self.coordinator.poll()
        if status == 0:
            return True
        if status is not None:
            if status != -signal.SIGKILL:
                raise RuntimeError((self.folder / "a.txt").read_text()[-2000:])
            self.coordinator = self._coordinate()
        for host, worker in self.workers.items():
            if worker.poll() is not None:
                self.workers[host] = self._work(host)
        return False

    def end(self) -> None:
        """End what is left."""
        for worker in [*self.workers.values(), *getattr(self, "frozen", []), self.coordinator]:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


def judge(study: optuna.Study, trials: int) -> dict[str, Any]:
    """Return what the study holds, and whether that is what was promised."""
    repeats = [t.user_attrs["repeats"] for t in study.trials if "repeats" in t.user_attrs]
    found = {
        "asked": trials,
        "counted": n_counted(study),
        "states": dict(Counter(t.state.name for t in study.trials)),
        "repeated": len(repeats),
        "repeated_twice": len(repeats) - len(set(repeats)),
        "test_rows_read": len(test_readings(study)),
    }
    kept = found["states"].get("COMPLETE", 0) + found["states"].get("PRUNED", 0)
    given_up = found["counted"] - kept  # lost three times
    found |= {"ended": kept, "given_up": given_up, "left_running": found["states"].get("RUNNING", 0)}
    found["kept"] = (
        found["counted"] == trials
        and not found["repeated_twice"]
        and not found["left_running"]
        and found["test_rows_read"] == 1
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="A study over two hosts, with faults.")
    parser.add_argument("--trials", type=int, default=100, metavar="N")
    parser.add_argument("--seconds-between", type=float, default=2.0, metavar="S")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, postgres.Server() as server:
        hosts = Hosts(Path(folder), server, args.trials, args.seed)
        try:
            while not hosts.care():
                time.sleep(hosts.random.expovariate(1 / args.seconds_between))
                hosts.fault()
            seconds = time.monotonic() - began
            study = hosts.study()
            assert study is not None
            found = judge(study, args.trials) | {"coordinators": hosts.coordinators, "seconds": round(seconds)}
        finally:
            hosts.end()
    console = wide_console()
    console.print(f"{sum(hosts.done.values())} faults: {dict(hosts.done)}")
    console.print(found)
    hardware, software = machine(), versions()
    show_machine(console, hardware, software)
    print(json.dumps({"machine": hardware, "versions": software, "faults": dict(hosts.done), **found}))
    sys.exit(0 if found["kept"] else 1)


if __name__ == "__main__":
    main()
