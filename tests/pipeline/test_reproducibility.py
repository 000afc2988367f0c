"""Same again: the same seed gives the same result to the byte, and an interruption changes no trial that had ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from series import TINY, daily, wave

import lstm_tune
from lstm_tune.search.progress import Silent
from lstm_tune.search.trial_queue import n_counted
from lstm_tune.storage.open import open_storage
from lstm_tune.training import trainer as train
from lstm_tune.training.fitting import EpochStats
from lstm_tune.utils.signals import Stopped

SPACE: dict[str, Any] = TINY | {
    "lookback": {"low": 4, "high": 40},
    "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
    "epochs": 4,
    "dropout": 0.2,
}
TRIALS = 14  # more than the ten that TPE draws at random


def tune(folder: Path, **options: Any) -> Any:
    given: dict[str, Any] = {"target": "y", "space": SPACE, "n_trials": TRIALS, "folds": 1, "retrain_seeds": 1}
    return lstm_tune.tune(daily(wave(200)), out=folder / "run", **(given | options))


def stored(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name=None, storage=open_storage(folder / "run" / "study.journal"))


def fate(trial: FrozenTrial) -> tuple[Any, ...]:
    """What a trial was and how it ended: all but the time it took, and whose it was."""
    attrs = {
        name: value
        for name, value in trial.user_attrs.items()
        if name not in ("run", "repeats", "seconds", "setup_seconds", "history")
    }
    return trial.state, trial.params, trial.value, trial.intermediate_values, attrs


def untimed(result: dict[str, Any]) -> str:
    """The text of `result.json` without its timing, and without the folder that it lies in."""
    study = {name: value for name, value in result["study"].items() if name != "storage"}
    return json.dumps(result | {"timing": None, "study": study}, indent=2)


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("short_epochs")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, short_epochs: None) -> Path:
    folder: Path = tmp_path_factory.mktemp("whole")
    tune(folder)
    return folder


def test_same_seed_gives_the_same_result_to_the_byte(tmp_path: Path, whole: Path) -> None:
    tune(tmp_path)
    for name in ("forecast.csv", "model/weights.safetensors", "model/config.json"):
        assert (tmp_path / "run" / name).read_bytes() == (whole / "run" / name).read_bytes(), name
    results = [json.loads((folder / "run" / "result.json").read_text()) for folder in (tmp_path, whole)]
    assert untimed(results[0]) == untimed(results[1])
    assert results[0]["env"]["seed"] == 0
    assert {"torch", "optuna", "numpy", "python", "lstm-tune"} <= set(results[0]["env"]["versions"])


def test_number_of_cores_changes_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for cores in (1, 2):
        monkeypatch.setattr("lstm_tune.pipeline.prepare.available_cores", lambda cores=cores: cores)
        tune(tmp_path / str(cores), n_trials=3, folds=2, retrain_seeds=2)
        result = json.loads((tmp_path / str(cores) / "run" / "result.json").read_text())
        assert result["env"].pop("threads") == cores  # what the machine lent, and all that may differ
        results.append(untimed(result))
    assert results[0] == results[1]
    weights = [tmp_path / str(cores) / "run" / "model" / "weights.safetensors" for cores in (1, 2)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


class CtrlC(Silent):
    """Interrupts in the midst of a trial."""

    def __init__(self, *trials: int) -> None:
        self.trials = set(trials)

    def epoch(self, trial: int, stats: EpochStats) -> None:
        if stats.epoch == 2 and trial in self.trials:
            os.kill(os.getpid(), signal.SIGTERM)


def check_continued(folder: Path, whole: Path, interruptions: int) -> None:
    """The interrupted study went on as the uninterrupted one, but for trials that were begun twice."""
    study = stored(folder)
    again = {t.user_attrs["repeats"] for t in study.trials if "repeats" in t.user_attrs}
    assert len(again) == interruptions
    assert n_counted(study) == TRIALS
    assert [fate(t) for t in study.trials if t.number not in again] == [fate(t) for t in stored(whole).trials]
    results = [json.loads((f / "run" / "result.json").read_text()) for f in (folder, whole)]
    assert results[0]["test"] == results[1]["test"]
    assert results[0]["best"]["params"] == results[1]["best"]["params"]


@pytest.mark.processes
def test_interrupted_and_resumed_study_goes_on_as_the_uninterrupted_one(tmp_path: Path, whole: Path) -> None:
    for trial in (2, 12):
        with pytest.raises(Stopped):
            tune(tmp_path, progress=CtrlC(trial), resume=True)
        ended = [t for t in stored(tmp_path).trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        assert [fate(t) for t in ended] == [fate(t) for t in stored(whole).trials[: len(ended)]]
    tune(tmp_path, resume=True)
    check_continued(tmp_path, whole, 2)


HERE = Path(__file__).parent
PATHS = [str(HERE), str(HERE.parent / "helpers")]
SCRIPT = """
import os, signal, sys
sys.path[:0] = {paths!r}
from pathlib import Path
from lstm_tune.search.progress import Silent
from lstm_tune.training import trainer as train
from test_reproducibility import tune

train.MIN_SAMPLES_PER_EPOCH = {samples}  # as in the tests' own process

class Killed(Silent):
    def epoch(self, trial, stats):
        if stats.epoch == 2 and trial == 11:
            os.kill(os.getpid(), signal.SIGKILL)

tune(Path({folder!r}), progress=Killed())
"""


@pytest.mark.processes
def test_killed_and_resumed_study_goes_on_as_the_uninterrupted_one(tmp_path: Path, whole: Path) -> None:
    text = SCRIPT.format(paths=PATHS, folder=str(tmp_path), samples=train.MIN_SAMPLES_PER_EPOCH)
    killed = subprocess.run(
        [sys.executable, "-c", text], env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    tune(tmp_path, resume=True)
    check_continued(tmp_path, whole, 1)
