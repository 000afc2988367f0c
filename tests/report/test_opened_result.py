"""A result that is opened from its run folder, in a later session: what it shows, draws and refuses."""

from __future__ import annotations

import functools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import FrozenTrial, TrialState
from series import TINY, daily, wave

import lstm_tune
from lstm_tune.errors import RunError, StudyError, UsageError
from lstm_tune.report.plain import from_plain
from lstm_tune.report.result import Result
from lstm_tune.report.result_json import ResultRecord
from lstm_tune.training import trainer


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """The data of `result`."""
    y = wave()
    y[-3] = np.nan
    return daily(y)


@pytest.fixture
def opened(run: Path, frame: pd.DataFrame) -> Result:
    """`result`, opened from its folder."""
    return lstm_tune.load_result(run, data=frame)


def test_an_opened_result_shows_what_the_result_showed(result: Result, opened: Result) -> None:
    assert opened.record == result.record
    assert repr(opened) == repr(result)
    assert opened._repr_html_() == result._repr_html_()
    assert opened.test == result.test
    assert opened.best_params == result.best_params


def test_the_findings_of_a_result_are_those_of_its_file(result: Result, opened: Result) -> None:
    assert result.findings
    for one in (result, opened):
        assert [finding.to_dict() for finding in one.findings] == result.record["findings"]
        assert all(finding.code in repr(one) for finding in one.findings[:1])


@pytest.mark.parametrize("kind", ["forecast", "residuals", "learning_curves", "history", "importances"])
def test_an_opened_result_draws_the_same_figures(result: Result, opened: Result, kind: str) -> None:
    assert opened.plot(kind).to_json() == result.plot(kind).to_json()


def test_an_opened_result_gives_the_same_frame(result: Result, opened: Result) -> None:
    pd.testing.assert_frame_equal(opened.to_frame(), result.to_frame())


def test_the_study_of_an_opened_result_can_be_read_and_not_written(result: Result, opened: Result) -> None:
    assert [t.number for t in opened.trials] == [t.number for t in result.trials]
    assert opened.study.best_value == result.study.best_value
    with pytest.raises(StudyError, match="to be looked at alone"):
        opened.study.set_user_attr("a", 1)


def test_intervals_survive_and_data_and_study_are_found_where_they_were(
    tmp_path: Path, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "MIN_SAMPLES_PER_EPOCH", 128)
    frame.to_csv(tmp_path / "d.csv", index=False)
    made = lstm_tune.tune(
        tmp_path / "d.csv",
        space=TINY,
        n_trials=1,
        out=tmp_path / "run",
        level=[80],
        retrain_seeds=1,
        storage=f"{tmp_path}/s.journal",
    )
    opened = lstm_tune.load_result(tmp_path / "run")
    assert opened.test.intervals is not None
    assert opened.test.intervals["model"]["80"] == made.test.intervals["model"]["80"]
    assert opened.plot("intervals").to_json() == made.plot("intervals").to_json()
    assert opened.study.study_name == made.study.study_name
    (tmp_path / "d.csv").unlink()
    with pytest.raises(UsageError, match=r"no longer at '.*d\.csv'; pass them as data="):
        lstm_tune.load_result(tmp_path / "run").to_frame()
    (tmp_path / "s.journal").unlink()
    with pytest.raises(RunError, match=r"is not in the folder .*; pass storage="):
        _ = lstm_tune.load_result(tmp_path / "run").study


def _one_more(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    return [*trials, trials[0]]


def _another_best(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    best = min(trials, key=lambda t: t.value if t.state is TrialState.COMPLETE and t.value is not None else math.inf)
    assert best.value is not None
    best.value *= 0.999
    return trials


def _one_failed(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    trials[-1].state, trials[-1].values = TrialState.FAIL, None
    return trials


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (list, ""),
        (lambda trials: trials[:4], r"holds [1-4] .*, and result\.json tells of "),
        (_one_more, r"holds .*, and result\.json tells of "),
        (_one_failed, r"holds .* 1 FAIL\), and result\.json tells of "),
        (_another_best, r"the score of trial \d there is 0\.\d+, and in result\.json 0\.\d+"),
    ],
)
def test_the_study_of_an_opened_result_must_be_the_one_that_result_json_tells_of(
    result: Result, run: Path, change: Callable[[list[FrozenTrial]], list[FrozenTrial]], says: str
) -> None:
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(study_name=result.study.study_name, storage=storage)
    study.add_trials(change(result.study.get_trials()))
    opened = lstm_tune.load_result(run, storage=storage)
    if not says:
        assert len(opened.trials) == len(result.trials)
        return
    for read in (lambda: opened.study, lambda: opened.trials):
        with pytest.raises(StudyError, match=f"{says}.*; restore it .*resume=True"):
            read()


def test_a_trial_that_still_ran_when_the_result_was_written_may_have_ended(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    record = json.loads((copy / "result.json").read_text())
    states = record["study"]["states"]
    states["COMPLETE"], states["RUNNING"] = states["COMPLETE"] - 1, 1
    (copy / "result.json").write_text(json.dumps(record))
    assert len(lstm_tune.load_result(copy).trials) == record["study"]["n_trials"]


def test_the_result_of_many_series_is_the_same_to_the_last_key(shops: Path) -> None:
    content = json.loads((shops / "result.json").read_text())
    assert from_plain(ResultRecord, content).to_dict() == content


def test_other_data_than_those_of_the_run_are_refused(run: Path) -> None:
    opened = lstm_tune.load_result(run, data=daily(wave(seed=3)))
    assert "test MSE" in repr(opened)
    with pytest.raises(UsageError, match=r"does not hold the data that .*; pass them as data="):
        opened.plot()


def test_what_a_folder_does_not_hold_is_refused_in_one_line(run: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"result\.json"):
        lstm_tune.load_result(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "report.json").unlink()
    (copy / "study.journal").unlink()
    opened = lstm_tune.load_result(copy, data=frame)
    with pytest.raises(RunError, match=r"holds no report\.json"):
        opened.plot("history")
    with pytest.raises(StudyError, match="no longer holds the study"):
        _ = lstm_tune.load_result(copy, storage=optuna.storages.InMemoryStorage()).study
    with pytest.raises(UsageError, match="copy that folder"):
        opened.save(tmp_path / "again")
    with pytest.raises(UsageError, match="not explained yet"):
        opened.plot("waterfall")
    record = json.loads((copy / "result.json").read_text())
    (copy / "result.json").write_text(json.dumps(record | {"refit": {}}))
    with pytest.raises(RunError, match="written by refit"):
        lstm_tune.load_result(copy)
    del record["best"]["epochs"]
    (copy / "result.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match=r"damaged, or of an earlier version \(KeyError: 'epochs'\); restore it"):
        lstm_tune.load_result(copy)


@pytest.mark.parametrize("storage", [5, b"s.journal", {}])
def test_a_storage_of_the_wrong_type_is_refused_by_its_type(run: Path, storage: Any) -> None:
    with pytest.raises(UsageError, match=r"^storage must be a URL, the path of a journal file, or an Optuna storage"):
        lstm_tune.load_result(run, storage=storage)


def test_a_storage_may_be_a_path_or_the_run_folder_that_holds_it(run: Path) -> None:
    names = [lstm_tune.load_result(run, storage=s).study.study_name for s in (run / "study.journal", run, str(run))]
    assert names == [lstm_tune.load_result(run).study.study_name] * 3


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(run, tmp_path / "copy")


def edit(file: Path, *keys: str, value: Any = None) -> None:
    """Set a value of a JSON file; None: take it out."""
    content = json.loads(file.read_text())
    inner = functools.reduce(lambda part, key: part[key], keys[:-1], content)
    del inner[keys[-1]]
    if value is not None:
        inner[keys[-1]] = value
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("keys", "value", "says"),
    [
        (("settings", "folds"), None, r"damaged, or of an earlier version \(KeyError: 'folds'\)"),
        (("settings", "folds"), "x", r"damaged \(UsageError: folds must be a whole number, but is 'x'\)"),
        (("settings", "folds"), 0, r"damaged \(UsageError: folds must be at least 1, but is 0\)"),
        (("settings", "season"), ["x"], r"damaged \(UsageError: season must be a whole number, but is 'x'\)"),
        (("settings", "season"), 5, r"damaged \(TypeError: 'int' object is not iterable\)"),
        (("test", "intervals"), {"persistence": {}}, r"damaged, or of an earlier version \(KeyError: 'model'\)"),
    ],
)
def test_settings_that_are_damaged_are_named(
    copy: Path, frame: pd.DataFrame, keys: tuple[str, ...], value: Any, says: str
) -> None:
    edit(copy / "result.json", *keys, value=value)
    with pytest.raises(RunError, match=rf"result\.json is {says}; restore it from a copy, or run tune again"):
        lstm_tune.load_result(copy, data=frame).to_frame()


@pytest.mark.parametrize(
    ("name", "keys", "value", "kind"),
    [
        ("report.json", ("trials",), 5, "history"),
        ("report.json", ("trials",), [{"number": 1}], "history"),
        ("report.json", ("curves",), [{}], "learning_curves"),
        ("report.json", ("importances",), {"shares": 3}, "importances"),
        ("explain.json", ("steps",), None, "waterfall"),
    ],
)
def test_a_file_whose_figure_cannot_be_drawn_is_named(
    copy: Path, name: str, keys: tuple[str, ...], value: Any, kind: str
) -> None:
    (copy / "explain.json").write_text('{"schema": 1, "steps": []}')
    edit(copy / name, *keys, value=value)
    with pytest.raises(RunError, match=rf"{name} is damaged.*; restore it from a copy, or run tune again"):
        lstm_tune.load_result(copy).plot(kind)


def test_a_run_file_that_is_no_text_is_named(copy: Path) -> None:
    (copy / "run.toml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(RunError, match=r"run\.toml is damaged \(UnicodeDecodeError: .*; restore it from a copy"):
        lstm_tune.load_result(copy)


def test_data_in_a_sheet_of_a_workbook_are_still_there(
    run: Path, frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, "run")
    frame.to_excel("data.xlsx", sheet_name="flow")
    record = json.loads(Path("run/result.json").read_text())
    record["data"]["path"] = "data.xlsx#flow"
    Path("run/result.json").write_text(json.dumps(record))
    assert lstm_tune.load_result("run").windows.data.n_rows == len(frame)
