"""Run a study over several machines whose parts are killed, frozen, terminated, removed and restarted at random.

    python benchmarks/robustness/hosts.py [--trials 100] [--trials-between 2] [--ray]

The promise: the trials asked for are the trials that end, each once, and the test rows are read once. Machines are
processes with other host names, by which the package tells them apart: a coordinator that does no trials, and a worker
command on each of two hosts, or, with --ray, two nodes of a Ray cluster. Whatever has ended is started again; a
coordinator resumes. At the end the same trials run in two workers of one machine without faults, to compare the time.
The last line is JSON; the exit status is 1 if the promise was broken. It needs Linux and PostgreSQL.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
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
from lstm_tune.search.trials import read_trials
from lstm_tune.storage.open import open_storage

SPACE = """
lookback = { low = 4, high = 24 }
hidden_units = { low = 2, high = 8 }
learning_rate = { low = 1e-3, high = 1e-1, log = true }
epochs = 4
patience = 4
"""
LAUNCH = """
import platform
platform.node = lambda: {host!r}
from lstm_tune.storage import heartbeats
heartbeats.STALE, heartbeats.BEAT = {stale}, 2
from lstm_tune.workers import supervisor
supervisor.SILENCE = 5.0
from lstm_tune.cli.app import main
main()
"""
# Shares. Without a heartbeat for 12 s a trial is lost, and a worker silent for 5 s is frozen; users wait longer.
HOST_FAULTS = {
    "worker process killed": 0.25,
    "worker command killed": 0.2,
    "worker command terminated": 0.2,
    "worker process frozen": 0.1,
    "host frozen": 0.05,
    "coordinator killed": 0.1,
    "server restarted": 0.1,
}
# The workers are started by Ray, so these waits are the usual ones: a heartbeat every 15 s, frozen after 60 s.
RAY_FAULTS = {
    "worker process killed": 0.25,
    "task killed": 0.2,
    "task terminated": 0.15,
    "worker process frozen": 0.05,
    "task frozen": 0.05,
    "node removed": 0.15,
    "coordinator killed": 0.05,
    "server restarted": 0.1,
}
NAME_OF_HOST = """
import os, platform
if "NAME_OF_HOST" in os.environ:
    platform.node = lambda: os.environ["NAME_OF_HOST"]
"""


class Machines(ABC):
    """The coordinator on host a, and what does the trials elsewhere."""

    faults: dict[str, float]
    stale = 12  # seconds without a heartbeat

    def __init__(self, folder: Path, server: postgres.Server, trials: int, seed: int) -> None:
        self.folder, self.server, self.trials = folder, server, trials
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.coordinators = 0
        self.started: list[subprocess.Popen[bytes]] = []
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPTUNA_STORAGE": server.url}
        self.storage = open_storage(server.url)
        (folder / "space.toml").write_text(SPACE)

    def start(self, host: str, *words: str) -> subprocess.Popen[bytes]:
        """Start a command on a host."""
        log = open(self.folder / f"{host}.txt", "ab")  # noqa: SIM115  # the child keeps it
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH.format(host=host, stale=self.stale), *words],
            cwd=self.folder,
            env=self.environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def tune(self, out: str, *options: str) -> subprocess.Popen[bytes]:
        """Start a study, or resume it."""
        usual = ["--space", "space.toml", "--folds", "1", "--retrain-seeds", "1", "--try-advice", "0"]
        usual += ["--trials", str(self.trials), "--out", out]
        return self.start("a", "tune", "example:sunspots", *usual, *options)

    def coordinate(self) -> None:
        """Begin the study, or resume it."""
        self.coordinators += 1
        self.coordinator = self.tune("run", "--study", "hosts", *self.workers(), *["--resume"][: self.coordinators - 1])

    @abstractmethod
    def workers(self) -> tuple[str, ...]:
        """Return the options of the coordinator that say who does the trials."""

    def study(self) -> optuna.Study | None:
        """Return the study, if it exists."""
        there = "hosts" in optuna.get_all_study_names(self.storage)
        return optuna.load_study(study_name="hosts", storage=self.storage) if there else None

    def ended(self) -> int:
        """Return how many trials have ended that count."""
        study = self.study()
        return 0 if study is None else n_counted(study)

    def at_work_now(self) -> list[str]:
        """Return the hosts that trials run on; wait for one. []: no trial is left, or none began within 20 s."""
        end = time.monotonic() + 20
        while time.monotonic() < end and not self.care():
            study = self.study()
            if self.ended() >= self.trials:
                break  # what is killed now would repeat the retrain and the test
            trials = () if study is None else read_trials(study)
            if found := [str(t.run).partition("/")[0] for t in trials if t.state == "RUNNING"]:
                return found
            time.sleep(0.05)
        return []

    def fault(self, name: str, host: str) -> bool:
        """Cause one fault, on a host if that matters; return whether there was something to hit."""
        if name == "coordinator killed":
            self.coordinator.kill()
        elif name == "server restarted":
            self.server.restart(self.random.choice(["fast", "immediate"]))
        else:
            return self.hit(name, host)
        return True

    @abstractmethod
    def hit(self, name: str, host: str) -> bool:
        """Cause a fault among the workers; return whether there was something to hit."""

    def signal_all(self, pid: int, signum: int) -> None:
        """Send a signal to a process and all below it."""
        for each in (pid, *descendants(pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signum)

    def hit_worker(self, pid: int, signum: int) -> bool:
        """Send a signal to the process that does the trials of a command or a task."""
        below = [each for each in descendants(pid) if not descendants(each)]
        if below:
            os.kill(below[-1], signum)
        return bool(below)

    def care(self) -> bool:
        """Start again what has ended; return whether the study has ended."""
        status = self.coordinator.poll()
        if status not in (None, 0, -signal.SIGKILL):
            raise RuntimeError((self.folder / "a.txt").read_text()[-2000:])
        if status:
            self.coordinate()
        return status == 0

    def end(self) -> None:
        """End what is left."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Hosts(Machines):
    """A worker command on each of the hosts b and c."""

    faults = HOST_FAULTS

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.coordinate()
        self.at_work = {host: self._work(host) for host in ("b", "c")}

    def workers(self) -> tuple[str, ...]:
        """Return the options of the coordinator."""
        return "--workers", "0"

    def _work(self, host: str) -> subprocess.Popen[bytes]:
        return self.start(host, "worker", "hosts", "example:sunspots", "--workers", "1")

    def hit(self, name: str, host: str) -> bool:
        """Cause a fault; return whether there was something to hit."""
        worker = self.at_work[host]
        match name:
            case "worker process killed":
                return self.hit_worker(worker.pid, signal.SIGKILL)
            case "worker process frozen":
                return self.hit_worker(worker.pid, signal.SIGSTOP)
            case "worker command killed":
                worker.kill()
            case "worker command terminated":
                worker.terminate()
            case "host frozen":  # for ever: its trial is missed, and its results would be refused
                self.signal_all(worker.pid, signal.SIGSTOP)
                self.at_work[host] = self._work(host)
        return True

    def care(self) -> bool:
        """Start again what has ended; return whether the study has ended."""
        ended = super().care()
        for host, worker in self.at_work.items():
            if not ended and worker.poll() is not None:
                self.at_work[host] = self._work(host)
        return ended


class RayNodes(Machines):
    """Two nodes of a Ray cluster, b and c, with a CPU each; its head has none."""

    faults = RAY_FAULTS
    stale = 40

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        from ray.cluster_utils import Cluster

        (self.folder / "sitecustomize.py").write_text(NAME_OF_HOST)
        path = os.pathsep.join([str(self.folder), *filter(None, [os.environ.get("PYTHONPATH")])])
        os.environ |= {"PYTHONPATH": path, "RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
        head = {"num_cpus": 0, "include_dashboard": False}
        self.cluster = _patiently(lambda: Cluster(initialize_head=True, head_node_args=head))
        self.nodes = {host: self._add(host) for host in ("b", "c")}
        self.environment |= {"RAY_ADDRESS": self.cluster.address}
        self.coordinate()

    def _add(self, host: str) -> Any:
        variables = {"NAME_OF_HOST": host, "OMP_NUM_THREADS": "1"}
        return _patiently(lambda: self.cluster.add_node(num_cpus=1, env_vars=variables))

    def workers(self) -> tuple[str, ...]:
        """Return the options of the coordinator."""
        return "--workers", "2", "--ray", "auto"

    def hit(self, name: str, host: str) -> bool:
        """Cause a fault; return whether there was something to hit."""
        if name == "node removed":
            self.cluster.remove_node(self.nodes[host], allow_graceful=False)
            self.nodes[host] = self._add(host)
            return True
        (raylet,) = self.nodes[host].all_processes["raylet"]
        tasks = [pid for pid in descendants(raylet.process.pid) if _title(pid).startswith("ray::_work")]
        if not tasks:
            return False
        match name:
            case "worker process killed":
                return self.hit_worker(tasks[0], signal.SIGKILL)
            case "worker process frozen":
                return self.hit_worker(tasks[0], signal.SIGSTOP)
            case "task killed":
                os.kill(tasks[0], signal.SIGKILL)
            case "task terminated":
                os.kill(tasks[0], signal.SIGTERM)
            case "task frozen":  # for ever: its trial is missed; Ray ends it with the study
                self.signal_all(tasks[0], signal.SIGSTOP)
        return True

    def end(self) -> None:
        """End what is left."""
        super().end()
        self.cluster.shutdown()


def _patiently(start: Callable[[], Any]) -> Any:
    """Start a part of Ray, which gives up after 30 s: on a busy machine this may be too early."""
    for attempt in range(3):
        try:
            return start()
        except Exception:
            if attempt == 2:
                raise
    return None


def _title(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def judge(study: optuna.Study, trials: int) -> dict[str, Any]:
    """Return what the study holds, and whether that is what was promised."""
    repeats = [t.user_attrs["repeats"] for t in study.trials if "repeats" in t.user_attrs]
    found = {
        "asked": trials,
        "counted": n_counted(study),
        "states": dict(Counter(t.state.name for t in study.trials)),
        "repeated": len(repeats),
        "repeated_twice": len(repeats) - len(set(repeats)),
        "test_rows_read_by": test_readings(study),
    }
    kept = found["states"].get("COMPLETE", 0) + found["states"].get("PRUNED", 0)
    given_up = found["counted"] - kept  # lost three times
    found |= {"ended": kept, "given_up": given_up, "left_running": found["states"].get("RUNNING", 0)}
    found["kept"] = (
        found["counted"] == trials
        and not found["repeated_twice"]
        and not found["left_running"]
        and len(found["test_rows_read_by"]) == 1
    )
    return found


def run(machines: Machines, faults: dict[str, float], trials_between: float) -> dict[str, Any]:
    """Run the study with faults, and the same trials without; return what came of it."""
    began = time.monotonic()
    due = machines.random.expovariate(1 / trials_between)  # trials that have ended before the next fault
    while not machines.care():
        time.sleep(0.1)
        if machines.ended() < due:
            continue
        name = machines.random.choices(list(faults), list(faults.values()))[0]
        hosts = machines.at_work_now()
        if hosts and machines.fault(name, machines.random.choice(hosts)):
            machines.done[name] += 1
            due = machines.ended() + machines.random.expovariate(1 / trials_between)
    seconds = time.monotonic() - began
    study = machines.study()
    assert study is not None
    found = judge(study, machines.trials) | {"coordinators": machines.coordinators, "seconds": round(seconds)}
    began = time.monotonic()
    machines.environment.pop("OPTUNA_STORAGE")
    if machines.tune("alone", "--workers", "2").wait():
        raise RuntimeError((machines.folder / "a.txt").read_text()[-2000:])
    return found | {"seconds_on_one_machine_without_faults": round(time.monotonic() - began)}


def main() -> None:
    parser = argparse.ArgumentParser(description="A study over several machines, with faults.")
    parser.add_argument("--trials", type=int, default=100, metavar="N")
    parser.add_argument("--trials-between", type=float, default=2.0, metavar="N", help="that end between two faults")
    parser.add_argument("--ray", action="store_true", help="two nodes of a Ray cluster, not two hosts")
    parser.add_argument("--faults", metavar="NAMES", help="comma-separated; all, if not given")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    kind = RayNodes if args.ray else Hosts
    names = args.faults.split(",") if args.faults else list(kind.faults)
    if unknown := set(names) - set(kind.faults):
        parser.error(f"no such fault: {', '.join(unknown)}; there are {', '.join(kind.faults)}")
    with tempfile.TemporaryDirectory() as folder, postgres.Server() as server:
        machines = kind(Path(folder), server, args.trials, args.seed)
        try:
            found = run(machines, {name: kind.faults[name] for name in names}, args.trials_between)
        finally:
            machines.end()
    console = wide_console()
    console.print(f"{sum(machines.done.values())} faults: {dict(machines.done)}")
    console.print(found)
    hardware, software = machine(), versions()
    show_machine(console, hardware, software)
    print(json.dumps({"machine": hardware, "versions": software, "faults": dict(machines.done), **found}))
    sys.exit(0 if found["kept"] else 1)


if __name__ == "__main__":
    main()
