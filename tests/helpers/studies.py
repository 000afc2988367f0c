"""Small studies of a wave, in this process or by the command in a process group of its own."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import optuna
import torch
from series import daily, wave

import lstm_tune
from lstm_tune.config import Config
from lstm_tune.search.identity import StudyIdentity
from lstm_tune.search.progress import Silent
from lstm_tune.search.pruners import make_pruner
from lstm_tune.search.samplers import make_sampler
from lstm_tune.search.space import space_from_mapping
from lstm_tune.search.study import create_study
from lstm_tune.search.trials import Outcome, Trial
from lstm_tune.storage.open import open_storage
from lstm_tune.training.fitting import EpochStats

SPACE = space_from_mapping(
    {
        "lookback": {"low": 2, "high": 60},
        "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
        "skip": ["none", "last"],
    }
)


# ---- without training


def study_of(sampler: Any = "random", pruner: Any = "none", seed: int = 0, **options: Any) -> optuna.Study:
    """A study in memory, created as `tune` creates it."""
    given = {
        "name": "s",
        "settings": {"seed": 0},
        "resume": False,
        "alone": False,
        "storage": open_storage(None),
    } | options
    coordinator = create_study(
        given.pop("storage"),
        given.pop("name"),
        StudyIdentity(settings=given.pop("settings")),
        sampler=make_sampler(sampler, seed, SPACE),
        pruner=make_pruner(pruner, 30),
        **given,
    )
    coordinator.release()
    return coordinator.study


def value_of(trial: optuna.Trial) -> float:
    """A fast objective without training."""
    config = SPACE.suggest(trial)
    return (config.lookback - 20) ** 2 + config.learning_rate + (config.skip == "none")


def tried(study: optuna.Study) -> list[dict[str, Any]]:
    """The parameters of each trial."""
    return [t.params for t in study.trials]


class UnluckyPruner(optuna.pruners.BasePruner):
    """Fails every trial that asks it; it is here, because workers import it."""

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        raise ValueError("no luck")


def outcome(**given: Any) -> Outcome:
    """What a completed trial of a few epochs has reached."""
    usual: dict[str, Any] = {
        "value": 0.5,
        "config": Config(),
        "best_epoch": 3,
        "epochs": 4,
        "stopped": "epochs",
        "factors": (1.0,) * 4,
        "start": math.inf,
        "val_mse": (0.5,),
        "val_score": 0.5,
        "val_mse_scaled": 0.5,
        "fold_mse_scaled": (0.5,),
        "fold_errors": (),
        "samples": 1000,
        "seconds": 1.0,
        "setup_seconds": 0.1,
    }
    return Outcome(**(usual | given))


# ---- in this process


def tune(**options: Any) -> Any:
    """A study of a wave, of small random trials that are not pruned."""
    given = {"target": "y", "retrain_seeds": 1, "folds": 1, "sampler": "random", "pruner": "none"}
    return lstm_tune.tune(daily(wave(200)), **(given | options))


def stored(folder: Path) -> optuna.Study:
    """The study in a run folder, opened again."""
    return optuna.load_study(study_name=None, storage=open_storage(folder / "study.journal"))


def states(study: optuna.Study) -> dict[str, int]:
    """How many trials of the study are in each state."""
    return dict(Counter(t.state.name for t in study.get_trials(deepcopy=False)))


class Watching(Silent):
    """Records the progress calls, and calls `at_first_epoch` when a trial has ended its first epoch."""

    def __init__(self, at_first_epoch: Callable[[int], None] = lambda trial: None) -> None:
        self.notes: list[str] = []
        self.worker: dict[int, int] = {}  # of each trial, from 1
        self.epochs: list[int] = []
        self.ended: list[int] = []
        self.at_first_epoch = at_first_epoch

    def info(self, text: str) -> None:
        self.notes.append(text)

    def trial_started(self, trial: int, worker: int) -> None:
        assert trial not in self.worker
        self.worker[trial] = worker

    def epoch(self, trial: int, stats: EpochStats) -> None:
        self.epochs.append(trial)
        if stats.epoch == 0:
            self.at_first_epoch(trial)

    def trial(self, trial: Trial) -> None:
        self.ended.append(trial.number)


def write_into(tensor: torch.Tensor) -> None:
    """Change a tensor's first number: work for a child, which must be able to import it."""
    tensor[0, 0] = 7.0


# ---- by the command


def start_command(folder: Path, *options: str, epochs: int = 3, **popen: Any) -> subprocess.Popen[str]:
    """Start `lstm-tune tune` on a wave, with the run folder `folder/run`."""
    if not (folder / "data.csv").exists():
        daily(wave(200)).to_csv(folder / "data.csv", index=False)
        space = f"lookback = {{ low = 4, high = 40 }}\nepochs = {epochs}\npatience = {epochs}\nhidden_units = 4\n"
        (folder / "space.toml").write_text(space)
    command = [sys.executable, "-m", "lstm_tune", "tune", "data.csv", "--space", "space.toml", "--target", "y"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | popen
    return subprocess.Popen(
        [*command, "--folds", "1", "--retrain-seeds", "1", "--quiet", "--out", "run", *options],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
        start_new_session=True,  # Ctrl-C goes to all processes of the terminal
        **streams,
    )


def wait_for(process: subprocess.Popen[str], folder: Path, words: str, times: int) -> None:
    """Wait until the journal of the command contains `words` at least `times` times."""
    journal = folder / "run" / "study.journal"

    def there() -> bool:
        return journal.exists() and journal.read_text().count(words) >= times

    while not there():
        assert process.poll() is None, "the command ended too early"
        time.sleep(0.02)


def descendants(pid: int) -> list[int]:
    """The living descendants of a process."""
    children = list(_children(pid))
    return children + [pid for child in children for pid in descendants(child)]


def _children(pid: int) -> Iterable[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        if (stat := _stat(folder.name)) and stat[0] != "Z" and int(stat[1]) == pid:
            yield int(folder.name)


def is_alive(pid: int) -> bool:
    """Whether the process is alive."""
    stat = _stat(str(pid))
    return bool(stat) and stat[0] != "Z"


def _stat(pid: str) -> list[str]:
    """State and parent of a process; empty if it no longer exists."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return []
