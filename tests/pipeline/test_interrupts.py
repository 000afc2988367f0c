"""Ctrl-C and SIGTERM: what is kept, what is written, and how the command ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import studies
from optuna.trial import TrialState
from series import TINY
from studies import start_command, stored, wait_for

from lstm_tune.search.progress import Silent
from lstm_tune.search.trial_queue import n_counted
from lstm_tune.storage.buffered import inside
from lstm_tune.storage.database import Database, Outage
from lstm_tune.storage.kind import Opening
from lstm_tune.storage.open import open_storage
from lstm_tune.training.fitting import EpochStats
from lstm_tune.utils import signals as interrupts
from lstm_tune.utils.signals import Stopped, exit_on_ctrl_c, stop_on_signals

pytestmark = [pytest.mark.slow, pytest.mark.processes]

FILES = {"result.json", "report.json", "report.html", "trials.csv", "forecast.csv", "model", "study.journal"}
SPACE: dict[str, Any] = TINY | {"lookback": {"low": 4, "high": 40}}
tune = partial(studies.tune, space=SPACE, n_trials=6, retrain_seeds=3)


def ctrl_c(signum: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), signum)


# ---- the signals


def test_signal_interrupts_at_once_until_work_cooperates() -> None:
    with stop_on_signals() as stop:
        with pytest.raises(KeyboardInterrupt):
            ctrl_c()
        stop.cooperate()
        ctrl_c()
        ctrl_c()
        assert (stop.count, stop.requested, stop.urgent, stop.exit_status) == (3, True, True, 130)


def test_first_ctrl_c_is_a_request_and_the_second_is_urgent() -> None:
    with stop_on_signals() as stop:
        stop.cooperate()
        assert (stop.requested, stop.urgent) == (False, False)
        ctrl_c()
        assert (stop.requested, stop.urgent) == (True, False)
        ctrl_c()
        assert (stop.requested, stop.urgent) == (True, True)


def test_fourth_signal_interrupts_what_does_not_look_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 31.0, 31.0])
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: next(now))
    with stop_on_signals() as stop:
        stop.cooperate()
        for _ in range(3):
            ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            ctrl_c()


def test_ctrl_c_that_is_pressed_often_within_seconds_interrupts_nothing() -> None:
    with stop_on_signals() as stop:
        stop.cooperate()
        for _ in range(20):
            ctrl_c()
    assert stop.count == 20


def test_termination_is_an_urgent_request() -> None:
    with stop_on_signals() as stop:
        stop.cooperate()
        ctrl_c(signal.SIGTERM)
    assert (stop.urgent, stop.exit_status) == (True, 143)


def test_handlers_are_put_back_and_those_of_others_left_alone() -> None:
    def own(*args: Any) -> None:
        """Do nothing."""

    usual = signal.getsignal(signal.SIGINT)
    before = signal.signal(signal.SIGTERM, own)
    try:
        with stop_on_signals():
            assert signal.getsignal(signal.SIGTERM) is own
            assert signal.getsignal(signal.SIGINT) is not usual
        assert signal.getsignal(signal.SIGINT) is usual
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_no_handler_changes() -> None:
    found = []

    def work() -> None:
        with stop_on_signals() as stop:
            found.append((stop.requested, signal.getsignal(signal.SIGINT)))

    usual = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, usual)]


def test_ctrl_c_ends_the_wait_for_a_database_that_is_away(tmp_path: Path) -> None:
    with stop_on_signals() as stop:
        stop.cooperate()
        storage = open_storage(f"sqlite:///{tmp_path}/a.db", Opening(stop=lambda: stop.requested))
        database = inside(storage)
        assert isinstance(database, Database)

        def away() -> None:
            raise Outage("the server is being restarted")

        threading.Timer(0.3, ctrl_c).start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            database.outages.retry(away)
    assert time.monotonic() - began < 5


# ---- from Python


class At(Silent):
    """Sends a signal at the nth of an event."""

    def __init__(self, event: str, *at: int, signum: int = signal.SIGINT) -> None:
        self.event, self.at, self.signum, self.count = event, at, signum, 0
        self.notes: list[str] = []

    def hit(self, event: str) -> None:
        if event == self.event:
            self.count += 1
            if self.count in self.at:
                ctrl_c(self.signum)

    def info(self, text: str) -> None:
        self.notes.append(text)

    def epoch(self, trial: int, stats: EpochStats) -> None:
        self.hit("epoch")

    def retrain(self, done: int, asked: int) -> None:
        self.hit("retrain")


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_keeps_the_trials_retrains_the_best_and_writes_everything(tmp_path: Path, workers: int) -> None:
    at = At("epoch", 8)
    with pytest.raises(KeyboardInterrupt) as caught:
        tune(out=tmp_path, progress=at, workers=workers, retrain_seeds=2)
    assert isinstance(caught.value, Stopped)
    result = json.loads((tmp_path / "result.json").read_text())
    assert {p.name for p in tmp_path.iterdir()} == FILES
    assert result["study"]["interrupted"] is True
    assert result["study"]["states"]["RUNNING"] == 0
    assert result["study"]["states"]["COMPLETE"] < 6
    assert (result["retrain"]["rows"], len(result["retrain"]["seeds"])) == ("train+val", 2)
    assert caught.value.result.test.mse == result["test"]["mse"]
    assert "the best so far is retrained" in at.notes[-1]
    resumed = tune(out=tmp_path, resume=True, workers=workers)
    assert n_counted(resumed.study) == 6
    assert resumed.record["study"]["interrupted"] is False


def test_ctrl_c_in_the_retrain_skips_the_rest_of_it(tmp_path: Path) -> None:
    with pytest.raises(Stopped) as caught:
        tune(out=tmp_path, n_trials=2, progress=At("retrain", 1))
    assert caught.value.result.record["retrain"]["rows"] == "train"
    assert {p.name for p in tmp_path.iterdir()} == FILES


@pytest.mark.parametrize("workers", [1, 2])
def test_termination_skips_the_retrain(tmp_path: Path, workers: int) -> None:
    at = At("epoch", 8, signum=signal.SIGTERM)
    with pytest.raises(Stopped) as caught:
        tune(out=tmp_path, progress=at, workers=workers)
    assert caught.value.exit_status == 143
    if workers == 1:  # the weights of the best trial are at hand
        assert caught.value.result.record["retrain"]["rows"] == "train"
        assert {p.name for p in tmp_path.iterdir()} == FILES
    else:
        assert caught.value.result is None
        assert {p.name for p in tmp_path.iterdir()} == {"study.journal", "trials.csv"}
    assert not stored(tmp_path).get_trials(states=(TrialState.RUNNING,))


def test_second_ctrl_c_skips_the_retrain_and_the_resumed_study_does_it(tmp_path: Path) -> None:
    class Twice(At):
        def retrain(self, done: int, asked: int) -> None:
            ctrl_c()

    with pytest.raises(Stopped) as caught:
        tune(out=tmp_path, progress=Twice("epoch", 8), workers=2)
    assert caught.value.result is None  # the weights were in a worker
    assert {p.name for p in tmp_path.iterdir()} == {"study.journal", "trials.csv"}
    resumed = tune(out=tmp_path, resume=True, workers=2)
    assert (n_counted(resumed.study), resumed.record["retrain"]["rows"]) == (6, "train+val")


def test_ctrl_c_without_a_folder_still_hands_over_the_result() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        tune(progress=At("epoch", 8))
    assert caught.value.result.test.mse > 0


def test_ctrl_c_before_any_trial_is_complete_leaves_no_result(tmp_path: Path) -> None:
    with pytest.raises(Stopped) as caught:
        tune(out=tmp_path, progress=At("epoch", 1))
    assert caught.value.result is None
    study = stored(tmp_path)
    assert [t.state for t in study.trials if t.state is not TrialState.WAITING] == [TrialState.FAIL]
    assert n_counted(study) == 0


# ---- the command


@pytest.mark.parametrize(
    ("signum", "everyone", "status"), [(signal.SIGINT, True, 130), (signal.SIGTERM, False, 143)], ids=["ctrl-c", "term"]
)
def test_command_that_is_stopped_writes_its_results_and_says_how_to_go_on(
    tmp_path: Path, signum: int, everyone: bool, status: int
) -> None:
    process = start_command(tmp_path, "--trials", "500", "--workers", "2" if everyone else "1")
    wait_for(process, tmp_path, '"best_epoch"', 4)
    (os.killpg if everyone else os.kill)(process.pid, signum)
    out, err = process.communicate()
    assert (process.returncode, out) == (status, ""), err
    assert err.count("\n") == 1
    assert err.rstrip().endswith("--resume")
    assert {p.name for p in (tmp_path / "run").iterdir()} == FILES
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["study"]["interrupted"] is True
    assert result["study"]["states"]["RUNNING"] == 0
    assert result["retrain"]["rows"] == ("train+val" if everyone else "train")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_that_is_held_down_ends_the_command_in_order(tmp_path: Path, workers: str) -> None:
    process = start_command(tmp_path, "--trials", "500", "--workers", workers)
    wait_for(process, tmp_path, '"best_epoch"', 4)
    while process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.03)
    out, err = process.communicate()
    assert (process.returncode, out) == (130, ""), err
    assert err.count("\n") == 1
    assert err.rstrip().endswith("--resume")
    assert {p.name for p in (tmp_path / "run").iterdir()} >= {"study.journal", "trials.csv"}
    assert not stored(tmp_path / "run").get_trials(states=(TrialState.RUNNING,))
    if workers == "1":  # the weights of the best trial are at hand
        assert {p.name for p in (tmp_path / "run").iterdir()} == FILES


@pytest.mark.parametrize("module", ["typer", "optuna", "torch._C", "lstm_tune.pipeline.search_step"])
def test_ctrl_c_while_the_package_is_imported_leaves_no_traceback(tmp_path: Path, module: str) -> None:
    code = """
import os, signal, sys
from importlib.abc import MetaPathFinder
module = sys.argv.pop()
class Strike(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == module:
            os.killpg(0, signal.SIGINT)
sys.meta_path.insert(0, Strike())
sys.argv += ["tune", "example:nile", "--trials", "8", "--workers", "2"]
from lstm_tune.__main__ import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, module], cwd=tmp_path, capture_output=True, text=True, start_new_session=True
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_ctrl_c_that_a_library_swallows_ends_the_process_while_nothing_has_begun() -> None:
    code = """
import os, signal
from lstm_tune.utils.signals import exit_on_ctrl_c
with exit_on_ctrl_c():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        pass
print("went on")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted before the study started\n")


def test_ctrl_c_is_as_usual_again_once_something_can_begin() -> None:
    before = signal.getsignal(signal.SIGINT)
    with exit_on_ctrl_c():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before
