"""Workers and supervisors that die or freeze: the budget is met exactly, nothing is lost, doubled or left behind."""

from __future__ import annotations

import contextlib
import ctypes
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from support import TINY, daily, task_of, wave

import lstm_tune
from lstm_tune import objective, supervisor
from lstm_tune.errors import StudyError
from lstm_tune.processes import is_alive, this_run
from lstm_tune.progress import Silent
from lstm_tune.requeue import RUN, begin_trial, drop_own, fail_lost, spent
from lstm_tune.storage import open_storage
from lstm_tune.study import OwnStudy, create_study
from lstm_tune.train import EpochStats

LONG: dict[str, Any] = TINY | {"epochs": 60, "patience": 60, "lookback": {"low": 4, "high": 40}}


def tune(**options: Any) -> Any:
    given = {"target": "y", "space": LONG, "workers": 2, "n_trials": 4, "retrain_seeds": 1, "folds": 1}
    return lstm_tune.tune(daily(wave(200)), **(given | {"sampler": "random", "pruner": "none"} | options))


def stored(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name=None, storage=open_storage(folder / "study.journal"))


def check_exact(study: optuna.Study, asked: int) -> None:
    """The trials asked for have ended; what was lost was done again once; nothing runs or waits to be done again."""
    trials = study.get_trials(deepcopy=False)
    again = [t.user_attrs["repeats"] for t in trials if "repeats" in t.user_attrs]
    assert spent(study) == asked
    assert len(again) == len(set(again))
    assert {trials[n].state for n in again} <= {TrialState.FAIL}
    assert not [t for t in trials if t.state is TrialState.RUNNING]
    assert not [t for t in trials if t.state is TrialState.WAITING and "repeats" in t.user_attrs]


def fresh_study(storage: Any = None, **options: Any) -> OwnStudy:
    settings = {"sampler": optuna.samplers.RandomSampler(seed=0), "pruner": optuna.pruners.NopPruner()}
    return create_study(
        storage or open_storage(None), "s", {"seed": 0}, **(settings | {"resume": True, "alone": False} | options)
    )


class Once(Silent):
    """Does something to the worker that reports the first epoch of any trial: it is in the midst of a long trial."""

    def __init__(self, act: Callable[[int], None]) -> None:
        self.act: Callable[[int], None] | None = act
        self.notes: list[str] = []
        self.ended: list[int] = []
        self.worker: dict[int, int] = {}  # of a trial, from 1

    def begun(self, trial: int, worker: int) -> None:
        self.worker[trial] = worker

    def note(self, text: str) -> None:
        self.notes.append(text)

    def epoch(self, trial: int, stats: EpochStats) -> None:
        act, self.act = self.act, None
        if act is not None:
            crew = sorted(multiprocessing.active_children(), key=lambda p: int(p.name.rpartition("-")[2]))
            act(crew[self.worker[trial] - 1].pid or 0)

    def trial(self, trial: FrozenTrial) -> None:
        self.ended.append(trial.number)


# ---- workers


@pytest.mark.parametrize(
    "signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGINT], ids=lambda s: s.name
)
def test_worker_that_a_signal_ends_is_replaced_and_its_trial_done_again(tmp_path: Path, signum: signal.Signals) -> None:
    once = Once(lambda pid: os.kill(pid, signum))
    tune(out=tmp_path, progress=once)
    study = stored(tmp_path)
    check_exact(study, 4)
    assert len(once.ended) == 4
    assert sum("repeats" in t.user_attrs for t in study.trials) == 1


def test_frozen_worker_is_killed_and_its_trial_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "SILENCE", 4.0)
    once = Once(lambda pid: os.kill(pid, signal.SIGSTOP))
    tune(out=tmp_path, progress=once)
    check_exact(stored(tmp_path), 4)
    assert [note for note in once.notes if "no sign of life" in note and note.endswith("it is tried again")]


def supervisor_at(monkeypatch: pytest.MonkeyPatch, longest: float, clock: Callable[[], float]) -> Any:
    monkeypatch.setattr(supervisor, "time", SimpleNamespace(monotonic=clock))
    given: dict[str, Any] = {"study": None, "job": None, "deadline": lambda: 0.0}
    return supervisor.Supervisor(**given, left=0, callbacks=(), tell=Silent(), longest=longest, looked=0.0)


@pytest.mark.parametrize(
    ("longest", "ready", "limit"), [(0, True, 60), (5, True, 60), (30, True, 300), (0, False, 300)]
)
def test_patience_grows_with_the_longest_silence_and_at_the_start(
    monkeypatch: pytest.MonkeyPatch, longest: float, ready: bool, limit: float
) -> None:
    boss = supervisor_at(monkeypatch, longest, lambda: 0.0)
    worker = supervisor._Worker(number=1, process=None, link=None, ready=ready)  # type: ignore[arg-type]
    assert boss._patience(worker) == limit


def test_suspended_supervisor_takes_nobody_for_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([7200.0, 7200.0, 7201.0, 7201.0])
    boss = supervisor_at(monkeypatch, 0, lambda: next(times))
    monkeypatch.setattr(supervisor, "wait", lambda links, timeout: [])
    worker = supervisor._Worker(number=1, process=None, link="link", ready=True)  # type: ignore[arg-type]
    boss.crew["link"] = worker
    boss.listen()
    boss.listen()
    assert (worker.silent, worker.frozen) == (31.0, False)


# ---- supervisors


SPACE = (
    "lookback = { low = 4, high = 40 }\nlearning_rate = { low = 1e-3, high = 1e-1 }\nhidden_units = 4\nepochs = 10\n"
)


def command(folder: Path, *options: str) -> list[str]:
    if not (folder / "data.csv").exists():
        daily(wave(200)).to_csv(folder / "data.csv", index=False)
        (folder / "space.toml").write_text(SPACE)
    given = ["data.csv", "--space", "space.toml", "--target", "y", "--folds", "1", "--retrain-seeds", "1", "--quiet"]
    return [sys.executable, "-m", "lstm_tune", "tune", *given, *options]


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command(folder, *options), cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def begun_by(pid: int) -> list[int]:
    """The living processes that descend from one."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found += [int(stat.parent.name), *begun_by(int(stat.parent.name))]
    return found


def lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def left_over() -> Iterator[list[int]]:
    """Processes to end after the test, whatever happens."""
    pids: list[int] = []
    yield pids
    for pid in filter(lives, pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="finds processes in /proc")
def test_supervisor_killed_and_resumed_at_once_ends_with_the_same_budget(tmp_path: Path, left_over: list[int]) -> None:
    options = ("--trials", "12", "--workers", "2", "--out", "run")
    process = start(tmp_path, *options)
    journal = tmp_path / "run" / "study.journal"
    while process.poll() is None and not (journal.exists() and journal.read_text().count('"best_epoch"') > 3):
        time.sleep(0.02)
    left_over += begun_by(process.pid)
    process.kill()
    process.communicate()
    before = {t.number: (t.state, t.value) for t in stored(tmp_path / "run").trials if t.state.is_finished()}
    resumed = start(tmp_path, *options, "--resume")  # its workers may still live
    assert resumed.communicate()[1] == ""
    assert resumed.returncode == 0
    study = stored(tmp_path / "run")
    check_exact(study, 12)
    assert {n: (study.trials[n].state, study.trials[n].value) for n in before} == before
    assert json.loads((tmp_path / "run" / "result.json").read_text())["study"]["states"]["RUNNING"] == 0
    limit = time.monotonic() + 20
    while any(map(lives, left_over)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not [pid for pid in left_over if lives(pid)]


# ---- whose trial it is


def test_trials_carry_the_process_that_has_them() -> None:
    study = fresh_study()
    study.optimize(lambda trial: 1.0, n_trials=1)
    assert study.trials[0].user_attrs[RUN] == this_run()


def test_names_of_processes_tell_the_living_from_the_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        host, _, _ = this_run().split("/")
        start = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19]
        name = f"{host}/{other.pid}/{start}"
        assert is_alive(name)
        assert not is_alive(f"{host}/{other.pid}/1{start}")  # the number was given to another
        assert not is_alive(f"elsewhere/{other.pid}/{start}")
        other.kill()
    assert not is_alive(name)
    assert not is_alive(this_run())  # this process is not another
    assert not is_alive(None)


def test_study_that_another_process_is_at_is_not_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage(None)
    study = fresh_study(storage)
    study.ask()
    monkeypatch.setattr("lstm_tune.study.is_alive", lambda run: True)
    with pytest.raises(StudyError, match=f"at work in process {os.getpid()}; wait until it has ended"):
        fresh_study(storage)
    assert study.trials[0].state is TrialState.RUNNING


def test_only_own_trials_are_dropped() -> None:
    study = fresh_study()
    mine, other = begin_trial(study, "here/1/1"), begin_trial(study, "there/2/2")
    drop_own(study, "here/1/1")
    states = [study.trials[t.number].state for t in (mine, other)]
    assert states == [TrialState.FAIL, TrialState.RUNNING]


def test_what_was_lost_is_begun_before_what_else_is_queued() -> None:
    study = fresh_study()
    for x in range(3):
        study.enqueue_trial({"x": x})
    first = study.ask()
    first.suggest_int("x", 0, 9)
    assert fail_lost(study, study.trials[first.number], "gone") == "queued"
    assert study.ask().suggest_int("x", 0, 9) == 0
    assert study.ask().suggest_int("x", 0, 9) == 1


def test_trial_that_has_ended_meanwhile_is_not_lost() -> None:
    study = fresh_study()
    trial = study.ask()
    seen = study.trials[0]
    study.tell(trial, 1.0)
    assert fail_lost(study, seen, "gone") == "ended"
    assert [t.state for t in study.trials] == [TrialState.COMPLETE]


def test_supervisor_killed_between_failing_a_trial_and_queueing_it_loses_nothing() -> None:
    storage = open_storage(None)
    study = fresh_study(storage)
    trial = study.ask()
    trial.set_user_attr("lost", "its worker ended with SIGKILL")
    study.tell(trial, state=TrialState.FAIL)
    assert spent(study) == 0
    for _ in range(2):
        study = fresh_study(storage)
    assert [t.state for t in study.trials] == [TrialState.FAIL, TrialState.WAITING]


def test_supervisor_that_dies_of_a_configuration_gives_it_up_at_the_third_time() -> None:
    storage = open_storage(None)
    for _ in range(3):
        fresh_study(storage).ask()
    study = fresh_study(storage)
    assert [t.state for t in study.trials] == [TrialState.FAIL] * 3
    assert spent(study) == 1


def test_interruptions_by_the_user_do_not_count_as_losses() -> None:
    storage = open_storage(None)
    for _ in range(5):
        fresh_study(storage).ask()
        drop_own(fresh := optuna.load_study(study_name="s", storage=storage), this_run())
    assert spent(fresh) == 0
    assert [t.state for t in fresh_study(storage).trials] == [TrialState.FAIL] * 5 + [TrialState.WAITING]


def test_trial_that_repeats_another_keeps_what_it_was_begun_for() -> None:
    study = fresh_study()
    solve = objective.Objective(task_of(wave()), TINY)
    for lost in (7, 3):
        study.enqueue_trial({}, user_attrs={"repeats": lost})
    study.optimize(solve, n_trials=2)
    assert study.trials[1].user_attrs["repeats"] == 3
    assert study.trials[1].user_attrs["same_as_trial"] == 0


def test_lost_trials_are_no_failures_in_a_row() -> None:
    from lstm_tune.study import stop_after_failures

    study = fresh_study()
    for _ in range(12):
        study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={"lost": "SIGKILL"}))
    study.optimize(lambda trial: 1.0, n_trials=1, callbacks=[stop_after_failures])
    assert study.trials[-1].state is TrialState.COMPLETE


def test_native_crash_ends_a_process_by_a_signal() -> None:
    """What the kill tests stand for: a bad address in native code is SIGSEGV, which no handler of Python's sees."""
    process = multiprocessing.get_context("spawn").Process(target=ctypes.string_at, args=(0,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGSEGV
