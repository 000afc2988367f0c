"""Several machines on one study: processes with other host names, by which the package tells them apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import postgres
import pytest
from series import daily, wave

import lstm_tune
from lstm_tune.errors import DataError, StudyError, UsageError
from lstm_tune.search.coordinator import test_readings as readings
from lstm_tune.search.progress import Progress
from lstm_tune.search.trial_queue import n_counted
from lstm_tune.storage.open import open_storage

pytestmark = [pytest.mark.processes]
SPACE = "lookback = {{ low = 4, high = 40 }}\nepochs = {0}\npatience = {0}\nhidden_units = 4\n"
LAUNCH = "import platform; platform.node = lambda: {host!r}; from lstm_tune.cli.app import main; main()"


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with postgres.Server() as running:
        yield running


def start(folder: Path, host: str, *words: str) -> subprocess.Popen[str]:
    """Start a command on a host."""
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCH.format(host=host), *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def coordinator(folder: Path, storage: str, *, trials: int, epochs: int = 2, workers: int = 0) -> subprocess.Popen[str]:
    daily(wave(200)).to_csv(folder / "data.csv", index=False)
    (folder / "space.toml").write_text(SPACE.format(epochs))
    options = ["--target", "y", "--space", "space.toml", "--folds", "1", "--retrain-seeds", "1", "--out", "run"]
    options += ["--study", "shared", "--storage", storage, "--trials", str(trials), "--workers", str(workers)]
    return start(folder, "a", "tune", "data.csv", *options)


def worker(folder: Path, host: str, storage: str, data: str = "data.csv") -> subprocess.Popen[str]:
    return start(folder, host, "worker", "shared", data, "--storage", storage, "--workers", "1")


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def shared(storage: str) -> optuna.Study:
    return optuna.load_study(study_name="shared", storage=open_storage(storage))


@pytest.mark.slow
@pytest.mark.postgres
def test_trials_asked_for_are_the_trials_that_end_over_two_machines(server: postgres.Server, tmp_path: Path) -> None:
    tune = coordinator(tmp_path, server.url, trials=8, workers=2)  # which takes part itself
    workers = [worker(tmp_path, host, server.url) for host in ("b", "c")]
    said = [process.communicate()[0] for process in (tune, *workers)]
    assert [process.returncode for process in (tune, *workers)] == [0, 0, 0], said
    study = shared(server.url)
    assert [t.state.name in ("COMPLETE", "PRUNED") for t in study.trials] == [True] * 8
    assert [run.partition("/")[0] for run in readings(study)] == ["a"]
    hosts = {t.user_attrs["run"].partition("/")[0] for t in study.trials}
    assert hosts - {"a"}, "nobody else has taken part"


@pytest.mark.slow
def test_worker_that_is_terminated_gives_its_trial_back_and_another_does_it(tmp_path: Path) -> None:
    storage = str(tmp_path / "shared.journal")
    tune = coordinator(tmp_path, storage, trials=3, epochs=400)
    first = worker(tmp_path, "a", storage)
    journal = Path(storage)
    until(lambda: journal.exists() and '"step":1,' in journal.read_text())
    first.send_signal(signal.SIGTERM)
    said = first.communicate()[0]
    assert first.returncode == 0, said
    assert "running trials were given back" in said
    study = shared(storage)
    interrupted = [t.number for t in study.trials if t.user_attrs.get("interrupted")]
    assert [t.user_attrs["repeats"] for t in study.trials if "repeats" in t.user_attrs] == interrupted
    second = worker(tmp_path, "a", storage)
    for process in (second, tune):
        said = process.communicate()[0]
        assert process.returncode == 0, said
    assert n_counted(shared(storage)) == 3
    assert len(shared(storage).trials) == 3 + len(interrupted)
    assert len(readings(shared(storage))) == 1


@pytest.mark.slow
def test_worker_refuses_other_data_and_journals_of_other_machines(tmp_path: Path) -> None:
    storage = str(tmp_path / "shared.journal")
    tune = coordinator(tmp_path, storage, trials=2)
    try:
        daily(wave(210)).to_csv(tmp_path / "other.csv", index=False)
        for host, data, words in (
            ("a", "other.csv", "the data are not those of study 'shared'"),
            ("b", "data.csv", "is in a journal of another machine"),
        ):
            refused = worker(tmp_path, host, storage, data)
            said = refused.communicate()[0]
            assert refused.returncode in (1, 2)
            assert words in said
            assert "Traceback" not in said
    finally:
        os.killpg(tune.pid, signal.SIGKILL)
        tune.communicate()


def test_study_without_workers_must_be_where_workers_find_it() -> None:
    with pytest.raises(UsageError, match="workers is 0, and the study is in memory"):
        lstm_tune.tune(daily(wave(200)), target="y", workers=0, n_trials=2)
    with pytest.raises(UsageError, match="processes know samplers and pruners by name alone"):
        lstm_tune.tune(
            daily(wave(200)), target="y", workers=0, storage="s.journal", sampler=optuna.samplers.RandomSampler()
        )
    with pytest.raises(UsageError, match="SQLite can hand one trial to two workers"):
        lstm_tune.worker("s", daily(wave(200)), storage="sqlite:///s.db")


def test_worker_of_a_study_that_is_not_there_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lstm_tune.pipeline import worker as module

    with pytest.raises(StudyError, match=r"s.journal' does not exist; check the path, or begin the study with tune"):
        lstm_tune.worker("s", daily(wave(200)), storage=str(tmp_path / "s.journal"))
    assert not (tmp_path / "s.journal").exists()
    (tmp_path / "s.journal").touch()
    with pytest.raises(StudyError, match="there is no study 's' in this storage"):
        lstm_tune.worker("s", daily(wave(200)), storage=str(tmp_path / "s.journal"), timeout=0.01)
    told: list[str] = []

    class Told(Progress):
        def info(self, text: str) -> None:
            told.append(text)

    storage = str(tmp_path / "s.journal")
    optuna.create_study(study_name="mine", storage=open_storage(storage))
    for name, ends in (("s", "there is no study 's'"), ("mine", "study 'mine' takes no workers; begin it")):
        with pytest.raises(StudyError, match=ends):
            lstm_tune.worker(name, daily(wave(200)), storage=storage, timeout=1.2, progress=Told())
    assert told == [
        "there is no study 's' in this storage yet: waits at most 1 s until it is begun",
        "study 'mine' takes no workers yet: waits at most 1 s until it is begun",
    ]
    monkeypatch.setattr(module, "_WAIT", 0.0)
    with pytest.raises(StudyError, match="there is no study 's' in this storage"):
        lstm_tune.worker("s", daily(wave(200)), storage=str(tmp_path / "s.journal"))
    with pytest.raises(DataError, match="does not exist"):
        lstm_tune.worker("s", tmp_path / "none.csv", storage=str(tmp_path / "s.journal"))
