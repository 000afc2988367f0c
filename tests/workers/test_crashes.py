"""Workers and supervisors that die or freeze: the budget is met exactly, nothing is lost, doubled or left behind."""

from __future__ import annotations

import contextlib
import ctypes
import json
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import studies
from optuna.trial import TrialState
from series import TINY
from studies import Watching, descendants, is_alive, start_command, states, stored, wait_for

from lstm_tune.search.progress import Silent
from lstm_tune.search.trial_queue import n_counted
from lstm_tune.workers import supervisor
from lstm_tune.workers.sources import Budget

pytestmark = [pytest.mark.slow, pytest.mark.processes]

LONG: dict[str, Any] = TINY | {"epochs": 60, "patience": 60, "lookback": {"low": 4, "high": 40}}
NO_PIPES: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}  # workers hold them open
tune = partial(studies.tune, space=LONG, workers=2, n_trials=4)


def check_exact(study: optuna.Study, asked: int) -> None:
    """The trials asked for have ended; what was lost was done again once; nothing runs or waits to be done again."""
    trials = study.get_trials(deepcopy=False)
    again = [t.user_attrs["repeats"] for t in trials if "repeats" in t.user_attrs]
    assert n_counted(study) == asked
    assert len(again) == len(set(again))
    assert {trials[n].state for n in again} <= {TrialState.FAIL}
    assert not [t for t in trials if t.state is TrialState.RUNNING]
    assert not [t for t in trials if t.state is TrialState.WAITING and "repeats" in t.user_attrs]


def once(act: Callable[[int], None]) -> Watching:
    """Do something to the process that ends the first epoch of all: it is in the midst of a long trial."""
    struck: list[int] = []

    def strike(trial: int) -> None:
        if not struck:
            struck.append(trial)
            workers = sorted(multiprocessing.active_children(), key=lambda p: int(p.name.rpartition("-")[2]))
            act(workers[watching.worker[trial] - 1].pid or 0)

    watching = Watching(strike)
    return watching


# ---- workers


@pytest.mark.parametrize(
    "signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGINT], ids=lambda s: s.name
)
def test_worker_that_a_signal_ends_is_replaced_and_its_trial_done_again(tmp_path: Path, signum: signal.Signals) -> None:
    watching = once(lambda pid: os.kill(pid, signum))
    tune(out=tmp_path, progress=watching)
    study = stored(tmp_path)
    check_exact(study, 4)
    assert len(watching.ended) == 4
    assert sum("repeats" in t.user_attrs for t in study.trials) == 1


def test_frozen_worker_is_killed_and_its_trial_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "SILENCE", 4.0)
    monkeypatch.setattr(supervisor, "_START", 100)  # however long the imports take
    watching = once(lambda pid: os.kill(pid, signal.SIGSTOP))
    tune(out=tmp_path, progress=watching)
    check_exact(stored(tmp_path), 4)
    assert [note for note in watching.notes if "no sign of life" in note and note.endswith("it is tried again")]


def supervisor_at(monkeypatch: pytest.MonkeyPatch, longest_silence: float, clock: Callable[[], float]) -> Any:
    monkeypatch.setattr(supervisor, "time", SimpleNamespace(monotonic=clock))
    nothing: Any = None
    source = Budget(study=nothing, run="", left=0, deadline=lambda: 0.0, callbacks=())
    given: dict[str, Any] = {"study": None, "job": None, "source": source}
    return supervisor.Supervisor(**given, progress=Silent(), longest_silence=longest_silence, last_check=0.0)


@pytest.mark.parametrize(
    ("longest_silence", "ready", "limit"), [(0, True, 60), (5, True, 60), (30, True, 300), (0, False, 300)]
)
def test_patience_grows_with_the_longest_silence_and_at_the_start(
    monkeypatch: pytest.MonkeyPatch, longest_silence: float, ready: bool, limit: float
) -> None:
    boss = supervisor_at(monkeypatch, longest_silence, lambda: 0.0)
    worker = supervisor._Worker(number=1, process=None, link=None, ready=ready)  # type: ignore[arg-type]
    assert boss._patience(worker) == limit


def test_suspended_supervisor_takes_nobody_for_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([7200.0, 7200.0, 7201.0, 7201.0])
    boss = supervisor_at(monkeypatch, 0, lambda: next(times))
    monkeypatch.setattr(supervisor, "wait", lambda links, timeout: [])
    worker = supervisor._Worker(number=1, process=None, link="link", ready=True, trial=7)  # type: ignore[arg-type]
    boss.workers["link"] = worker
    boss.listen()
    boss.listen()
    assert (worker.silent, worker.frozen) == (31.0, False)


# ---- supervisors


@pytest.fixture
def left_over() -> Iterator[list[int]]:
    """Processes to end after the test, whatever happens."""
    pids: list[int] = []
    yield pids
    for pid in filter(is_alive, pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_for_the_end_of(pids: Sequence[int]) -> None:
    limit = time.monotonic() + 120
    while any(map(is_alive, pids)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not [pid for pid in pids if is_alive(pid)]


in_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="finds processes in /proc")


@in_proc
def test_supervisor_killed_and_resumed_at_once_ends_with_the_same_budget(tmp_path: Path, left_over: list[int]) -> None:
    options = ("--trials", "12", "--workers", "2")
    process = start_command(tmp_path, *options, epochs=10, **NO_PIPES)
    wait_for(process, tmp_path, '"best_epoch"', 4)
    left_over += descendants(process.pid)
    process.kill()
    process.wait()
    before = {t.number: (t.state, t.value) for t in stored(tmp_path / "run").trials if t.state.is_finished()}
    resumed = start_command(tmp_path, *options, "--resume")  # its workers may still live
    assert resumed.communicate()[1] == ""
    assert resumed.returncode == 0
    study = stored(tmp_path / "run")
    check_exact(study, 12)
    assert {n: (study.trials[n].state, study.trials[n].value) for n in before} == before
    assert json.loads((tmp_path / "run" / "result.json").read_text())["study"]["states"]["RUNNING"] == 0
    wait_for_the_end_of(left_over)


@in_proc
@pytest.mark.parametrize("server", [False, True], ids=["workers", "workers-and-server"])
def test_frozen_workers_whose_supervisor_was_killed_end_and_drop_their_trials(
    tmp_path: Path, left_over: list[int], server: bool
) -> None:
    process = start_command(tmp_path, "--trials", "4", "--workers", "2", epochs=100_000, **NO_PIPES)
    wait_for(process, tmp_path, '"step":0,', 2)  # each has a trial
    left_over += descendants(process.pid)
    parents = [pid for pid in left_over if descendants(pid)]
    workers = [pid for parent in parents for pid in descendants(parent)]
    assert (len(parents), len(workers)) == (1, 2)
    for pid in [*workers, *(parents if server else [])]:
        os.kill(pid, signal.SIGSTOP)
    process.kill()
    process.wait()
    wait_for_the_end_of(left_over)
    assert states(stored(tmp_path / "run"))["FAIL"] == 2


def test_native_crash_ends_a_process_by_a_signal() -> None:
    """What the kill tests stand for: a bad address in native code is SIGSEGV, which no handler of Python's sees."""
    process = multiprocessing.get_context("spawn").Process(target=ctypes.string_at, args=(0,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGSEGV
