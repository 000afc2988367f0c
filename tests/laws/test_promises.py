"""What a user relies on besides the numbers: whole files, resume, repeat, exit statuses, JSON that stands alone."""

from __future__ import annotations

import json
import math
import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from law_studies import QUICK
from series import daily, wave

import lstm_tune
from lstm_tune.errors import RunError, StudyError
from lstm_tune.pipeline import conclusion
from lstm_tune.report import result as results
from lstm_tune.report.result_json import to_plain
from lstm_tune.search import coordinator
from lstm_tune.search.progress import Silent
from lstm_tune.storage.claims import claim
from lstm_tune.storage.optuna_private import id_of_study, storage_of
from lstm_tune.utils.atomic_files import atomic_write, write_json

pytestmark = pytest.mark.laws

CommandLine = Callable[..., tuple[int, str, str]]
WHOLE = {"result.json", "report.html", "report.json", "trials.csv", "forecast.csv", "study.journal", "model"}
MODEL = {"weights.safetensors", "config.json", "manifest.json"}


def tune(**options: Any) -> Any:
    given: dict[str, Any] = {"target": "y", "horizon": 2, "space": QUICK | {"epochs": 1}, "n_trials": 3, "folds": 1}
    given |= {"retrain_seeds": 1, "sampler": "random", "pruner": "none", "try_advice": 0.0}
    return lstm_tune.tune(daily(wave()), **(given | options))


# ---- files


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})

    def torn() -> None:
        with atomic_write(path) as beside:
            assert beside != path
            beside.write_text("half a fi")
            assert json.loads(path.read_text()) == {"old": 1}
            raise RuntimeError("torn")

    with pytest.raises(RuntimeError, match="torn"):
        torn()
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert json.loads(path.read_text()) == {"old": 1}
    with atomic_write(path) as beside:
        beside.write_text("new")
        assert json.loads(path.read_text()) == {"old": 1}
    assert path.read_text() == "new"


def test_no_number_that_json_lacks_is_written(tmp_path: Path) -> None:
    content = to_plain({"a": math.inf, "b": (-math.inf, [math.nan, 1.5]), "c": {"d": 0.0, "e": None, "f": True}})
    assert content == {"a": None, "b": [None, [None, 1.5]], "c": {"d": 0.0, "e": None, "f": True}}
    write_json(tmp_path / "a.json", content)
    assert json.loads((tmp_path / "a.json").read_text()) == content
    for number in (math.inf, -math.inf, math.nan):
        with pytest.raises(ValueError, match="JSON"):
            write_json(tmp_path / "b.json", {"a": number})
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_run_folder_holds_every_file_and_nothing_else(tmp_path: Path) -> None:
    tune(out=tmp_path)
    assert {p.name for p in tmp_path.iterdir()} - {"study.journal.lock", "advice.toml"} == WHOLE
    assert {p.name for p in (tmp_path / "model").iterdir()} == MODEL


@pytest.mark.parametrize("fails", ["write_trials", "write_forecast"])
def test_result_json_is_there_only_if_all_else_is(fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(results, fails, full)
        with pytest.raises(RunError, match="resume=True"):
            tune(out=tmp_path)
    assert not (tmp_path / "result.json").exists()
    again = tune(out=tmp_path, resume=True)
    assert again.record["study"]["n_trials"] == 3
    assert json.loads((tmp_path / "result.json").read_text())["test"] == again.record["test"]


def test_the_files_of_a_model_take_their_names_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tune().model
    model.save(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in MODEL}
    other = tune(seed=1).model
    written: list[int] = []
    original = Path.write_bytes

    def torn(self: Path, content: bytes) -> int:
        written.append(len(content))
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        return original(self, content)

    monkeypatch.setattr(Path, "write_bytes", torn)
    with pytest.raises(OSError, match="No space"):
        other.save(tmp_path)
    monkeypatch.undo()
    assert {name: (tmp_path / name).read_bytes() for name in MODEL} == before
    assert len(list(tmp_path.iterdir())) == 3


# ---- resume and repeat


def test_a_study_in_parts_ends_as_the_whole_one(tmp_path: Path) -> None:
    wide = QUICK | {"skip": ["none", "last"], "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}}
    whole = tune(out=tmp_path / "whole", n_trials=6, space=wide, retrain_seeds=2)
    for trials in (2, 4, 6):
        part = tune(out=tmp_path / "part", n_trials=trials, space=wide, retrain_seeds=2, resume=True)
        assert len(part.study.trials) == trials
    assert [len(coordinator.test_readings(run.study)) for run in (whole, part)] == [1, 3]
    assert [(t.params, t.value) for t in part.study.trials] == [(t.params, t.value) for t in whole.study.trials]
    for file in ("forecast.csv", "model/config.json", "model/weights.safetensors"):
        assert (tmp_path / "part" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    parts = ("data", "best", "test", "retrain", "baselines", "skill", "skill_ci95", "ensemble", "settings")
    assert {p for p in parts if part.record[p] != whole.record[p]} == set()


def test_a_process_whose_study_another_machine_has_taken_over_reads_no_test_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies: list[optuna.Study] = []
    retrain = conclusion.retrain_best

    def taken_over(outcome: Any, task: Any, opened: Any, *rest: Any) -> Any:
        study = opened.coordinator.study
        studies.append(study)
        number = coordinator._latest(storage_of(study).get_study_system_attrs(id_of_study(study)))
        assert claim(storage_of(study), id_of_study(study), coordinator._key(number + 1), "far-away/77/123#other")
        return retrain(outcome, task, opened, *rest)

    monkeypatch.setattr(conclusion, "retrain_best", taken_over)
    with pytest.raises(StudyError, match="process 77 on far-away has taken over"):
        tune(out=tmp_path, n_trials=1)
    assert coordinator.test_readings(studies[0]) == []
    assert {"trials.csv"} == {p.name for p in tmp_path.iterdir()} - {"study.journal", "study.journal.lock", "run.toml"}


CHANGES: dict[str, dict[str, Any]] = {
    "horizon": {"horizon": 3, "study_name": "s"},
    "split": {"split": (0.6, 0.2, 0.2)},
    "folds": {"folds": 2},
    "space": {"space": QUICK | {"epochs": 2}},
    "seed": {"seed": 5},
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_resume_refuses_other_settings_and_changes_nothing(change: str, tmp_path: Path) -> None:
    tune(out=tmp_path, n_trials=1, study_name="s")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(StudyError, match=f"another {change}"):
        tune(**({"out": tmp_path, "n_trials": 2, "resume": True, "study_name": "s"} | CHANGES[change]))
    with pytest.raises(StudyError, match="resume=True"):
        tune(out=tmp_path, n_trials=2)
    (tmp_path / "study.journal").rename(tmp_path / "kept")  # a result alone is a study, too
    with pytest.raises(StudyError, match="resume=True"):
        tune(out=tmp_path, n_trials=2)
    (tmp_path / "kept").rename(tmp_path / "study.journal")
    for path, content in before.items():  # the journal may grow by a line that changes nothing
        found = path.read_bytes()
        assert found.startswith(content) if path.name == "study.journal" else found == content, path.name


def test_the_command_of_a_study_repeats_it(
    tmp_path: Path, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    daily(wave(), p=wave(seed=3)).to_csv("data.csv", index=False)
    (tmp_path / "space.toml").write_text("lookback = [5, 9, 12]\nhidden_units = 4\nepochs = 1\nepoch_samples = 96\n")
    options = [
        "--target",
        "y",
        "--past",
        "p",
        "--horizon",
        "2",
        "--space",
        "space.toml",
        "--trials",
        "2",
        "--seed",
        "7",
    ]
    options += ["--folds", "2", "--split", "100,20,40", "--retrain-seeds", "2", "--sampler", "random", "--quiet"]
    assert command_line("tune", "data.csv", *options, "--out", "one")[0] == 0
    record = json.loads(Path("one/result.json").read_text())
    words = shlex.split(record["study"]["command"])
    assert words[:3] == ["lstm-tune", "tune", "data.csv"]
    assert command_line(*words[1:], "--out", "two", "--quiet")[0] == 0
    for file in ("forecast.csv", "model/weights.safetensors"):
        assert Path("one", file).read_bytes() == Path("two", file).read_bytes()
    assert json.loads(Path("two/result.json").read_text())["settings"] == record["settings"]


def test_every_trial_that_has_ended_is_counted_and_listed(tmp_path: Path) -> None:
    class Second(optuna.pruners.BasePruner):
        def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
            return trial.number == 1

    distinct = QUICK | {"epochs": 1, "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}}
    result = tune(out=tmp_path, n_trials=4, pruner=Second(), space=distinct)
    rows = pd.read_csv(tmp_path / "trials.csv")
    assert rows["state"].tolist() == ["COMPLETE", "PRUNED", "COMPLETE", "COMPLETE"]
    assert rows["pruned_because"].notna().tolist() == [False, True, False, False]
    assert result.record["study"]["states"] == {"COMPLETE": 3, "PRUNED": 1, "FAIL": 0, "RUNNING": 0}
    again = tune(out=tmp_path, n_trials=4, pruner=Second(), space=distinct, resume=True)
    assert again.record["study"]["n_trials"] == 4


# ---- the command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data and a tiny space, which the command works in."""
    monkeypatch.chdir(tmp_path)
    daily(wave(80)).to_csv("data.csv", index=False)
    (tmp_path / "space.toml").write_text("lookback = 4\nhidden_units = 2\nepochs = 1\nepoch_samples = 64\n")
    return tmp_path


SMALL = ("tune", "data.csv", "--space", "space.toml", "--target", "y", "--trials", "2", "--folds", "1", "--out", "run")


def test_json_is_the_result_and_stands_alone_on_stdout(folder: Path, command_line: CommandLine) -> None:
    status, out, _ = command_line(*SMALL, "--json", "--retrain-seeds", "1")
    assert status == 0
    assert json.loads(out) == json.loads((folder / "run" / "result.json").read_text())


def test_exit_status_says_whose_fault_it_was(folder: Path, command_line: CommandLine) -> None:
    daily(wave(5)).to_csv("few.csv", index=False)
    Path("none.csv").write_text("date,y\n2024-01-01,a\n2024-01-02,b\n")
    assert command_line(*SMALL, "--quiet", "--retrain-seeds", "1")[0] == 0
    for status, command in (
        (1, SMALL),  # the folder holds a study
        (1, ("predict", "nowhere", "data.csv")),
        (2, ("tune", "few.csv", *SMALL[2:-2], "--out", "few")),
        (2, ("tune", "none.csv", *SMALL[2:-2], "--out", "none")),
        (2, (*SMALL[:-2], "--horizon", "0", "--out", "zero")),
        (2, ("tune", "missing.csv", "--target", "y")),
    ):
        found, out, err = command_line(*command)
        assert (found, out) == (status, ""), command
        assert "Traceback" not in err


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_with_its_status_and_keeps_the_trials(
    signum: signal.Signals, status: int, folder: Path, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Silent):
        def trial(self, trial: Any) -> None:
            os.kill(os.getpid(), signum)

    monkeypatch.setattr("lstm_tune.cli.tune_command.make_progress", lambda *args, **options: Killed())
    before = signal.getsignal(signal.SIGTERM)
    found, _, err = command_line(*SMALL, "--quiet", "--retrain-seeds", "1")
    assert found == status
    assert "--resume" in err
    assert signal.getsignal(signal.SIGTERM) == before
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert command_line(*SMALL, "--quiet", "--retrain-seeds", "1", "--resume")[0] == 0
    assert len(pd.read_csv("run/trials.csv")) == 2
