"""Several workers on one study: the budget, what dies, what is shared, and what is refused."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
import studies
import torch
from optuna.trial import TrialState
from rich.console import Console
from series import TINY, task_of, wave
from studies import Watching, start_command, states, stored, wait_for, write_into

from lstm_tune.cli.options import parse_workers
from lstm_tune.cli.progress import LiveProgress
from lstm_tune.errors import StudyError, UsageError
from lstm_tune.pipeline import options as pipeline_options
from lstm_tune.pipeline import prepare
from lstm_tune.search.samplers import SAMPLERS, make_sampler
from lstm_tune.search.space import space_from_mapping
from lstm_tune.search.trial_queue import n_counted
from lstm_tune.search.trials import Trial
from lstm_tune.storage.open import open_storage, temporary_journal
from lstm_tune.training.fitting import EpochStats
from lstm_tune.workers import processes
from lstm_tune.workers.pool import check_shareable, share

pytestmark = [pytest.mark.slow, pytest.mark.processes]

SPACE: dict[str, Any] = TINY | {"epochs": 1, "lookback": {"low": 4, "high": 40}, "learning_rate": [1e-3, 1e-2]}
LONG = SPACE | {"epochs": 30, "patience": 30}
ENDLESS = SPACE | {"epochs": 100_000, "patience": 100_000}
tune = partial(studies.tune, space=SPACE, workers=2, n_trials=5, horizon=2)


def left_in_shared_memory() -> list[str]:
    return [name for name in os.listdir("/dev/shm") if f"_{os.getpid()}_" in name] if os.path.isdir("/dev/shm") else []


def kill_workers() -> None:
    for child in multiprocessing.active_children():
        os.kill(child.pid or 0, signal.SIGKILL)


# ---- the budget


def test_every_trial_of_the_budget_is_run_and_reported_once(tmp_path: Path) -> None:
    called: list[tuple[int, int, str]] = []
    watching = Watching()
    result = tune(
        n_trials=7,
        out=tmp_path,
        progress=watching,
        callbacks=[lambda study, trial: called.append((os.getpid(), trial.number, trial.state.name))],
    )
    assert states(result.study) == states(stored(tmp_path)) == {"COMPLETE": 7}
    assert sorted(called) == [(os.getpid(), number, "COMPLETE") for number in range(7)]
    assert sorted(watching.ended) == sorted(watching.worker) == list(range(7))
    assert set(watching.worker.values()) <= {1, 2}
    assert set(watching.epochs) == {t.number for t in result.study.trials if "same_as_trial" not in t.user_attrs}
    assert len({str(t.params) for t in result.study.trials}) > 3
    assert (result.record["env"]["workers"], result.record["study"]["n_trials"]) == (2, 7)
    assert not multiprocessing.active_children()
    assert not left_in_shared_memory()
    assert not list(tmp_path.glob("*.lock"))


def test_resumed_study_counts_what_was_done_before(tmp_path: Path) -> None:
    tune(n_trials=3, out=tmp_path, workers=1)
    result = tune(n_trials=6, out=tmp_path, resume=True)
    assert states(result.study) == {"COMPLETE": 6}
    assert tune(n_trials=6, out=tmp_path, resume=True).record["study"]["n_trials"] == 6


def test_callback_can_stop_the_study() -> None:
    result = tune(n_trials=40, callbacks=[lambda study, trial: study.stop()])
    assert set(states(result.study)) <= {"COMPLETE", "FAIL"}
    assert result.record["study"]["n_trials"] <= 3


def test_study_without_limits_stops_when_trials_no_longer_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_options, "DEFAULT_PATIENCE", 3)
    watching = Watching()
    result = tune(n_trials=None, space=TINY | {"epochs": 1}, progress=watching)
    assert 4 <= result.record["study"]["n_trials"] <= 5
    assert any("took less than 1%" in note for note in watching.notes)


def test_without_time_one_model_is_still_retrained() -> None:
    result = tune(n_trials=None, timeout=0.01, space=TINY | {"skip": "last"})
    assert 1 <= result.record["study"]["n_trials"] <= 2
    assert result.record["retrain"]["rows"] == "train+val"


def test_grid_ends_with_the_grid() -> None:
    grid = TINY | {"epochs": 1, "lookback": [4, 8], "learning_rate": [1e-3, 1e-2]}
    result = tune(n_trials=60, space=grid, sampler="grid")
    assert len({str(t.params) for t in result.study.trials}) >= 4
    assert result.record["study"]["n_trials"] < 12


# ---- what dies


def test_killed_workers_are_replaced_and_their_trials_done_again(tmp_path: Path) -> None:
    killed: list[int] = []

    def once(trial: int) -> None:
        if not killed:
            killed.append(trial)
            kill_workers()

    watching = Watching(once)
    result = tune(n_trials=5, space=LONG, out=tmp_path, progress=watching)
    study = stored(tmp_path)
    failed = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    assert failed  # whoever was between two trials had the next one
    again = {t.user_attrs["repeats"]: t for t in study.trials if "repeats" in t.user_attrs}
    assert set(again) == {t.number for t in failed}
    assert all(again[t.number].params.items() >= t.params.items() for t in failed)
    assert states(study) == {"COMPLETE": 5, "FAIL": len(failed)}
    assert n_counted(study) == len(watching.ended) == 5
    assert any("SIGKILL; it is tried again" in note for note in watching.notes)
    assert result.record["study"]["states"]["RUNNING"] == 0
    assert not left_in_shared_memory()


def test_trials_that_kill_three_workers_each_are_given_up(tmp_path: Path) -> None:
    watching = Watching(lambda trial: kill_workers())
    with pytest.raises(StudyError, match="no trial was completed"):
        tune(n_trials=2, space=ENDLESS, out=tmp_path, progress=watching)
    assert states(stored(tmp_path)) == {"FAIL": 6}
    assert len(watching.ended) == 2
    assert watching.notes[-1].endswith("given up")


def test_interruption_leaves_no_running_trial_and_resuming_does_the_rest(tmp_path: Path) -> None:
    def interrupt(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(n_trials=6, space=LONG, out=tmp_path, callbacks=[interrupt])
    assert not multiprocessing.active_children()
    assert "RUNNING" not in states(stored(tmp_path))
    result = tune(n_trials=6, space=LONG, out=tmp_path, resume=True)
    assert n_counted(result.study) == 6
    assert set(states(result.study)) <= {"COMPLETE", "FAIL"}


def test_ctrl_c_ends_the_command_with_one_line_and_130(tmp_path: Path) -> None:
    process = start_command(tmp_path, "--trials", "8", "--workers", "2", epochs=100_000)
    wait_for(process, tmp_path, '"step":0,', 2)  # each worker has a trial
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out) == (130, ""), err
    assert err.count("\n") == 1
    assert err.rstrip().endswith("--resume")
    study = stored(tmp_path / "run")
    assert set(states(study)) <= {"FAIL", "WAITING"}
    assert states(study)["FAIL"] == 2


# ---- what is shared, and what is not


def test_series_are_shared_and_not_copied() -> None:
    task = task_of(wave())
    share(task)
    values = task.windows.data.values
    assert values.is_shared()
    child = processes.start(write_into, values)
    child.join()
    assert child.exitcode == 0
    assert values[0, 0] == 7.0
    assert task.windows.gather(torch.tensor([0]), 0).target[0, 0] == 7.0
    assert not left_in_shared_memory()


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import lstm_tune
from series import TINY, daily, wave
print("begins")
space = TINY | {{"epochs": 1, "lookback": [4, 8, 12]}}
result = lstm_tune.tune(daily(wave()), target="y", space=space, n_trials=3, folds=1, retrain_seeds=1, workers=2)
print(result.record["study"]["states"]["COMPLETE"])
"""


@pytest.mark.parametrize("how", ["file", "stdin"])
def test_script_without_a_main_guard_is_run_once(tmp_path: Path, how: str) -> None:
    text = SCRIPT.format(tests=str(Path(__file__).parents[1] / "helpers"))
    (tmp_path / "script.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "script.py" if how == "file" else "-"],
        input=None if how == "file" else text,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "begins\n3\n", done.stderr
    assert "Traceback" not in done.stderr


def test_temporary_journal_goes_with_its_storage() -> None:
    storage = temporary_journal()
    folder = Path(storage.inside._backend.path).parent  # type: ignore[attr-defined]
    assert [p.name for p in folder.iterdir()] == ["study.journal"]
    del storage
    gc.collect()
    assert not folder.exists()


# ---- what is chosen and refused


def test_seed_on_the_command_line_means_one_worker() -> None:
    assert parse_workers("auto", repeatable=True) == 1
    assert parse_workers("auto", repeatable=False) == "auto"
    assert parse_workers("3", repeatable=True) == 3


class Unsendable(optuna.samplers.RandomSampler):
    def __init__(self) -> None:
        super().__init__()
        self.hook = lambda: None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": -1}, "workers must be auto or from 0 to 64, but is -1"),
        ({"workers": -2}, "workers must be auto or from 0 to 64, but is -2"),
        ({"workers": 65}, "workers must be auto or from 0 to 64, but is 65"),
        ({"workers": "many"}, "workers must be auto or from 0 to 64, but is 'many'"),
        ({"storage": "sqlite:///a.db"}, "SQLite .* PostgreSQL URL"),
        ({"storage": optuna.storages.InMemoryStorage()}, "in memory .* journal file"),
        ({"sampler": Unsendable()}, "the sampler cannot be sent to other processes .* use one worker"),
    ],
    ids=lambda x: str(x).partition(" object at")[0],
)
def test_what_cannot_be_done_is_refused_in_one_line(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        tune(**options)
    assert "\n" not in str(caught.value)


def test_auto_takes_one_worker_where_several_cannot_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "available_cores", lambda: 2)
    watching = Watching()
    result = tune(workers="auto", n_trials=8, storage=optuna.storages.InMemoryStorage(), progress=watching)
    assert result.record["env"]["workers"] == 1
    assert [note for note in watching.notes if note.startswith("one worker alone: a storage in memory")]


def test_sampler_defined_in_the_script_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    own = type("Own", (optuna.samplers.RandomSampler,), {"__module__": "__main__"})
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "Own", own, raising=False)
    with pytest.raises(UsageError, match="define its class in a module that can be imported"):
        check_shareable(None, own(), "none")
    assert sys.modules["__main__"] is main


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_named_sampler_can_be_sent(name: str) -> None:
    space = space_from_mapping({"lookback": [4, 8]})
    check_shareable("study.journal", make_sampler(name, 0, space), optuna.pruners.MedianPruner())


def test_command_line_refuses_workers_that_are_no_number(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="workers must be auto or a number of processes, but is 'two'"):
        parse_workers("two", repeatable=False)


def test_result_names_the_workers_and_storage_by_an_object(tmp_path: Path) -> None:
    result = tune(n_trials=2, storage=open_storage(tmp_path / "own.journal"))
    assert result.record["env"]["workers"] == 2
    assert result.record["study"]["storage"] == "JournalStorage"
    assert len(json.dumps(result.record)) > 0


# ---- the display


def test_display_has_a_line_for_each_running_trial() -> None:
    console = Console(width=100)
    live = LiveProgress(console)
    live.trial_started(4, 2)
    live.trial_started(3, 1)
    stats = {"samples": 0, "train_loss": 0.0, "learning_rate": 0.1, "seconds": 1.0}
    live.epoch(3, EpochStats(epoch=7, val=0.25, **stats))  # type: ignore[arg-type]
    with console.capture() as capture:
        console.print(live._render())
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert "worker 1, trial 3: epoch 7, validation score 0.25" in lines
    assert lines.index("worker 2, trial 4: begins") == lines.index(next(x for x in lines if "worker 1" in x)) + 1
    live.trial_started(5, 2)  # its trial 4 was lost
    live.trial(Trial(number=1, state="PRUNED"))
    with console.capture() as capture:
        console.print(live._render())
    assert "trial 4:" not in capture.get()
    assert "worker 2, trial 5: begins" in capture.get()


def test_study_that_no_longer_improves_says_so_once_however_many_trials_still_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline_options, "DEFAULT_PATIENCE", 3)
    tell = Watching()
    tune(n_trials=None, workers=3, space=TINY | {"epochs": 1, "learning_rate": [1e-3, 1e-2]}, progress=tell)
    assert sum("stopped after" in note for note in tell.notes) == 1


def test_result_names_the_workers_that_there_were_trials_for() -> None:
    assert tune(n_trials=1).record["env"]["workers"] == 1
