"""Run a study whose workers and supervisor are killed or frozen at random until it has ended.

    python benchmarks/robustness/faults.py [--trials 200] [--workers 2] [--seconds-between 1] [--postgres]

The promise: the trials asked for are the trials that end. None is lost, counted twice or left running. The study is run
by the command itself, on a real series, with trials of about a second. When its supervisor was killed it is resumed at
once, while its former workers may still be alive. The last line is JSON; the exit status is 1 if the promise was
broken. It needs Linux, because processes are found in /proc.
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules that the benchmarks share

import optuna
from common import machine, show_machine, wide_console
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from lstm_tune.report.environment import versions
from lstm_tune.search.trial_queue import n_counted
from lstm_tune.storage.open import open_storage
from lstm_tune.utils.signals import stop_on_signals

SPACE = """
lookback = { low = 4, high = 24 }
hidden_units = { low = 2, high = 8 }
learning_rate = { low = 1e-3, high = 1e-1, log = true }
batch_size = [16, 32]
epochs = 4
patience = 4
"""
SILENCE = 5.0  # seconds without a sign of life until a worker counts as frozen; a user's study waits longer
SETTINGS = f"supervisor.SILENCE = {SILENCE}; supervisor._STILLBORN = 20"  # this script kills workers that are starting
LAUNCH = f"from lstm_tune.workers import supervisor; {SETTINGS}; from lstm_tune.cli.app import main; main()"
WORKER_FAULTS = (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGSTOP)
RESTARTS = 0.08  # share of the faults with --postgres: the server is restarted, or crashes
FROZEN = 0.1  # share of the faults; each costs SILENCE seconds of a worker

Fault = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Siege:
    """A study and its faults."""

    folder: Path  # holds the run folder and the space
    trials: int
    workers: int
    storage: str | None = None  # None: the journal in the run folder
    seconds_between: float = 1.0  # mean time from one fault to the next, on an idle machine
    supervisor_share: float = 0.05  # share of the faults
    others: Mapping[str, Fault] = field(default_factory=dict)  # further faults by name
    others_share: float = 0.0  # and their share

    @property
    def run_folder(self) -> Path:
        """Return the run folder."""
        return self.folder / "run"

    def command(self, *, resume: bool) -> list[str]:
        """Return the command that starts the study, or resumes it."""
        options = ["--trials", str(self.trials), "--workers", str(self.workers), "--retrain-seeds", "1", "--quiet"]
        options += ["--folds", "1"]
        options += ["--space", str(self.folder / "space.toml"), "--out", str(self.run_folder)]
        options += ["--storage", self.storage] if self.storage else []
        return [sys.executable, "-c", LAUNCH, "tune", "example:sunspots", *options, *(["--resume"] if resume else [])]

    def begun(self) -> bool:
        """Return whether there is a study to resume."""
        try:
            return bool(self.study().user_attrs)
        except Exception:
            return False

    def study(self) -> optuna.Study:
        """Open the study again."""
        storage = self.storage or str(self.run_folder / "study.journal")
        if "://" not in storage and not Path(storage).exists():
            raise FileNotFoundError(storage)
        return optuna.load_study(study_name=None, storage=open_storage(storage))

    def ended(self) -> list[FrozenTrial]:
        """Return the finished trials; none if the study does not exist yet or cannot be reached."""
        try:
            return [t for t in self.study().get_trials(deepcopy=False) if t.state.is_finished()]
        except Exception:
            return []


@dataclass(kw_only=True)
class Tally:
    """The faults so far, and the trials that had ended before them."""

    faults: Counter[str] = field(default_factory=Counter)
    seen: dict[int, tuple[TrialState, float | None]] = field(
        default_factory=dict
    )  # finished trials at the time of a fault
    resumed: int = 0
    stopped: list[int] = field(default_factory=list)  # frozen workers
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


def children() -> dict[int, list[int]]:
    """Return the children of each process."""
    found: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except OSError:  # the process has just ended
                continue
            state, parent = stat.rpartition(")")[2].split()[:2]
            if state != "Z":
                found.setdefault(int(parent), []).append(int(folder.name))
    return found


def is_stopped(pid: int) -> bool:
    """Return whether a process is frozen by SIGSTOP."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def workers_of(supervisor: int) -> list[int]:
    """Return the worker processes: the grandchildren of the supervisor."""
    tree = children()
    return [worker for server in tree.get(supervisor, []) for worker in tree.get(server, [])]


def awaited_workers(process: subprocess.Popen[bytes], until: float) -> list[int]:
    """Wait for the supervisor's workers; return none if it ends, or time runs out, first."""
    while process.poll() is None and time.monotonic() < until:
        if workers := workers_of(process.pid):
            return workers
        time.sleep(0.01)
    return []


def strike(
    siege: Siege, process: subprocess.Popen[bytes], rng: random.Random, tally: Tally, workers: Sequence[int]
) -> None:
    """Cause one fault."""
    draw = rng.random()
    if draw < siege.supervisor_share:
        for trial in siege.ended():
            tally.seen[trial.number] = (trial.state, trial.value)
        process.kill()
        tally.faults["supervisor SIGKILL"] += 1
    elif siege.others and draw < siege.supervisor_share + siege.others_share:
        name = rng.choice(list(siege.others))
        siege.others[name]()
        tally.faults[name] += 1
    else:
        kind = signal.SIGSTOP if rng.random() < FROZEN else rng.choice(WORKER_FAULTS[:-1])
        try:
            os.kill(chosen := rng.choice(workers), kind)
        except ProcessLookupError:
            return
        if kind == signal.SIGSTOP:
            tally.stopped.append(chosen)
        tally.faults[f"worker {kind.name}"] += 1


def slowdown() -> float:
    """Return how many seconds pass while this process has a core for one.

    On a busy machine faults come as much later. Else workers would die before they can end a trial, and a study whose
    trials all fail stops by itself.
    """
    began, used = time.monotonic(), time.process_time()
    while time.process_time() - used < 0.2:
        pass
    return max(1.0, (time.monotonic() - began) / (time.process_time() - used))


def besiege(siege: Siege, seed: int, limit: float) -> Tally:
    """Run the study with faults until its end; resume it whenever its supervisor was killed."""
    rng, tally = random.Random(seed), Tally()
    siege.folder.mkdir(parents=True, exist_ok=True)
    (siege.folder / "space.toml").write_text(SPACE)
    began = time.monotonic()
    until = began + limit
    while True:
        with open(siege.folder / "errors.txt", "w") as errors:  # a pipe would stay open in frozen workers
            process = subprocess.Popen(siege.command(resume=siege.begun()), stderr=errors, start_new_session=True)
        try:
            attack(siege, process, rng, tally, until)
        except BaseException:
            process.kill()
            raise
        message = (siege.folder / "errors.txt").read_text().strip()
        if process.returncode != -signal.SIGKILL or tally.problems:
            break
        tally.resumed += 1
    tally.seconds = time.monotonic() - began
    tally.problems += [f"process {pid} is still frozen" for pid in tally.stopped if is_stopped(pid)]
    if process.returncode and not tally.problems:
        tally.problems.append(f"exit status {process.returncode}: {message[-300:]}")
    return tally


def attack(siege: Siege, process: subprocess.Popen[bytes], rng: random.Random, tally: Tally, until: float) -> None:
    """Cause faults until the process ends."""
    pause = siege.seconds_between * slowdown()
    while process.poll() is None:
        try:
            process.wait(rng.expovariate(1 / pause))
        except subprocess.TimeoutExpired:
            # A fault that is due while the study starts waits for the workers, so that short studies have faults.
            if workers := awaited_workers(process, until):
                strike(siege, process, rng, tally, workers)
        if time.monotonic() > until:
            process.kill()
            tally.problems.append("not ended within the limit")


def verdict(siege: Siege, tally: Tally) -> dict[str, Any]:
    """Compare the promise with the trials in the storage."""
    study = siege.study()
    trials = study.get_trials(deepcopy=False)
    states = Counter(t.state for t in trials)
    repeats = Counter(t.user_attrs["repeats"] for t in trials if "repeats" in t.user_attrs)
    changed = [n for n, was in tally.seen.items() if was != (trials[n].state, trials[n].value)]
    # A repeated trial must have failed, and is repeated once.
    twice = [n for n, times in repeats.items() if times > 1 or trials[n].state is not TrialState.FAIL]
    waiting = [t for t in trials if t.state is TrialState.WAITING and "repeats" in t.user_attrs]
    ended = n_counted(study)
    return {
        "asked": siege.trials,
        "ended": ended,
        "lost": max(0, siege.trials - ended) + len(changed),
        "doubled": max(0, ended - siege.trials) + len(twice),
        "stuck": states[TrialState.RUNNING] + len(waiting),
        "states": {s.name: states[s] for s in TrialState if states[s]},
        "tried_again": len(repeats),
        "faults": dict(sorted(tally.faults.items())),
        "resumed": tally.resumed,
        "seconds": round(tally.seconds, 1),
        "problems": tally.problems,
    }


def kept(report: Mapping[str, Any]) -> bool:
    """Return whether the promise was kept."""
    return report["ended"] == report["asked"] and not any(
        report[name] for name in ("lost", "doubled", "stuck", "problems")
    )


def show(reports: Mapping[str, Mapping[str, Any]]) -> None:
    """Print a table for people and a line for programs."""
    console = wide_console()
    table = Table("study", "asked", "ended", "lost", "doubled", "stuck", "tried again", "faults", "seconds")
    for name, report in reports.items():
        faults = ", ".join(f"{n} × {kind}" for kind, n in report["faults"].items())
        columns = ("asked", "ended", "lost", "doubled", "stuck", "tried_again")
        table.add_row(name, *(str(report[c]) for c in columns), faults, str(report["seconds"]))
    console.print(table)
    for name, report in reports.items():
        for problem in report["problems"]:
            console.print(f"{name}: {problem}")
    hardware, software = machine(), versions()
    show_machine(console, hardware, software)
    print(json.dumps({"machine": hardware, "versions": software, "kept": all(map(kept, reports.values())), **reports}))


def own_server() -> Any:
    """Return a PostgreSQL server in a temporary folder, not yet started: the one of the tests.

    Raises:
        SystemExit: no server can be started.
    """
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "helpers"))
    import postgres

    if missing := postgres.missing_requirement():
        raise SystemExit(f"--postgres: {missing}; on Debian: apt-get install postgresql")
    return postgres.Server()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="A study with many faults: the trials asked for are the trials that end."
    )
    parser.add_argument("--trials", type=int, default=200, metavar="N")
    parser.add_argument("--workers", type=int, default=2, metavar="N")
    parser.add_argument("--seconds-between", type=float, default=1.0, metavar="S", help="from a fault to the next")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--postgres", action="store_true", help="also in PostgreSQL, with restarts of the server")
    parser.add_argument(
        "--limit", type=float, default=3600.0, metavar="S", help="seconds after which it counts as failed"
    )
    args = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    reports = {}
    with stop_on_signals(), tempfile.TemporaryDirectory(prefix="lstm-tune-faults-") as folder:
        siege = Siege(
            folder=Path(folder), trials=args.trials, workers=args.workers, seconds_between=args.seconds_between
        )
        reports["journal"] = verdict(siege, besiege(siege, args.seed, args.limit))
        if args.postgres:
            with own_server() as server:
                siege = replace(
                    siege,
                    folder=Path(folder) / "postgres",
                    storage=server.url,
                    others={f"PostgreSQL restart, {m}": partial(server.restart, m) for m in ("fast", "immediate")},
                    others_share=RESTARTS,
                )
                reports["PostgreSQL"] = verdict(siege, besiege(siege, args.seed, args.limit))
    show(reports)
    return 0 if all(map(kept, reports.values())) else 1


if __name__ == "__main__":
    sys.exit(main())
