"""What is printed and written: no cell is a formula, `--json` stands alone, batches and chunks change no number."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from law_studies import KINDS, QUICK, run_kind
from oracle import Finished, numbers_of, same
from oracle_outputs import noise
from series import panel, wave

import lstm_tune
from lstm_tune.data.windows import Batch, Windows
from lstm_tune.evaluation import conformal
from lstm_tune.evaluation.noise_estimate import noise_estimate
from lstm_tune.models import forecast_ahead
from lstm_tune.report import forecast_csv
from lstm_tune.report.result import write_trials
from lstm_tune.search.trials import Trial

pytestmark = [pytest.mark.laws, pytest.mark.usefixtures("short_epochs")]

CommandLine = Callable[..., tuple[int, str, str]]
NAMES = {"a": "=a", "b": "+b", "c": "@c"}


def texts_of(content: str) -> list[str]:
    """Return the cells of a CSV text that are no numbers."""

    def is_number(cell: str) -> bool:
        try:
            float(cell)
        except ValueError:
            return False
        return True

    return [cell for row in csv.reader(io.StringIO(content)) for cell in row if cell and not is_number(cell)]


def assert_no_formula(cells: Iterable[str]) -> None:
    assert not [cell for cell in cells if cell.lstrip()[:1] in tuple("=+-@")]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose series and target have the names of formulas, beside its data."""
    folder = tmp_path_factory.mktemp("hostile")
    frame = panel(wave(110), wave(120, seed=1), wave(100, seed=2)).replace({"shop": NAMES})
    frame = frame.rename(columns={"y": "-y"})
    frame.to_csv(folder / "data.csv", index=False)
    options: dict[str, Any] = {
        "space": QUICK | {"epochs": 1},
        "n_trials": 1,
        "retrain_seeds": 1,
        "folds": 1,
        "try_advice": 0.0,
    }
    lstm_tune.tune(str(folder / "data.csv"), target="-y", id="shop", horizon=2, level=80, out=folder / "run", **options)
    return folder


def test_no_cell_of_any_table_is_a_formula(hostile: Path, command_line: CommandLine, tmp_path: Path) -> None:
    run, data = str(hostile / "run"), str(hostile / "data.csv")
    status, printed, _ = command_line("predict", run, data, "--level", "80")
    assert status == 0
    assert command_line("predict", run, data, "--out", str(tmp_path / "ahead.csv"))[0] == 0
    options = ("--windows", "2", "--refit", "never", "--out", str(tmp_path / "back.csv"))
    assert command_line("backtest", run, data, *options)[0] == 0
    files = [hostile / "run" / name for name in ("forecast.csv", "series.csv", "trials.csv")]
    for content in (printed, *(f.read_text() for f in (*files, tmp_path / "ahead.csv", tmp_path / "back.csv"))):
        cells = texts_of(content)
        assert_no_formula(cells)
        if "COMPLETE" not in cells:
            assert {f"'{name}" for name in NAMES.values()} <= {cell[:3] for cell in cells}


def test_a_reason_in_trials_csv_is_no_formula(tmp_path: Path) -> None:
    study = optuna.create_study()
    reasons = ["=HYPERLINK(1)", "@x", "plain"]
    for reason in reasons:
        attrs = {"pruned_because": reason}
        study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.PRUNED, user_attrs=attrs))
    write_trials([Trial.of(trial) for trial in study.trials], tmp_path / "trials.csv")
    assert_no_formula(texts_of((tmp_path / "trials.csv").read_text()))
    kept = pd.read_csv(tmp_path / "trials.csv")["pruned_because"].tolist()
    assert [text.removeprefix("'") for text in kept] == reasons


def test_json_is_all_that_is_printed(hostile: Path, command_line: CommandLine, tmp_path: Path) -> None:
    run, data = str(hostile / "run"), str(hostile / "data.csv")
    space = tmp_path / "space.toml"
    space.write_text("lookback = 4\nhidden_units = 2\nepochs = 1\n")
    small = ("tune", data, "--target", "-y", "--id", "shop", "--space", str(space), "--trials", "1", "--folds", "1")
    small += ("--retrain-seeds", "1", "--workers", "1")
    status, quiet, notes = command_line(*small, "--quiet", "--out", str(tmp_path / "quiet"))
    assert (status, quiet) == (0, "")
    for command, expected in (
        ((*small, "--out", str(tmp_path / "json")), notes),
        (("evaluate", run, data), None),
        (("backtest", run, data, "--windows", "2", "--refit", "never"), None),
        (("diagnose", data, "--target", "-y", "--id", "shop"), None),
    ):
        status, out, err = command_line(*command, "--json")
        assert status == 0, err
        json.loads(out)
        assert out.count("\n") == 1
        assert "Traceback" not in err
        if expected is not None:
            assert err == expected
        assert not [word for word in ("MSE", "RMSE", "persistence", "ridge", "%") if word in err], err


def test_a_note_of_predict_goes_to_stderr_alone(hostile: Path, command_line: CommandLine, tmp_path: Path) -> None:
    short = pd.read_csv(hostile / "data.csv").groupby("shop").tail(3)
    short.to_csv(tmp_path / "short.csv", index=False)
    status, out, err = command_line("predict", str(hostile / "run"), str(tmp_path / "short.csv"))
    assert status == 0
    assert "continued into the past" in err
    assert len(out.splitlines()) == 1 + 3 * 2
    assert len({len(row) for row in csv.reader(io.StringIO(out))}) == 1


def test_noise_is_what_the_most_similar_window_apart_from_it_differs_by() -> None:
    """On a random walk the most similar window is a neighbour, whose targets overlap: it must not be taken."""
    y = np.cumsum(np.random.default_rng(0).normal(size=180))
    at = np.arange(8, 176)
    history, target = (np.array([y[r + a : r + b] for r in at]) for a, b in ((-8, 0), (0, 4)))
    assert noise_estimate(history, target, at) == pytest.approx(noise(history, target, at), rel=1e-6)
    few = at % 3 == 0
    found = noise_estimate(history[few], target[few], at[few])
    assert found == pytest.approx(noise(history[few], target[few], at[few]), rel=1e-6)


# ---- how much is done at once


@pytest.mark.slow
@pytest.mark.parametrize("name", ["panel, rows at the end", "holes"])
def test_how_many_windows_are_looked_at_together_changes_no_number(
    study_of: Callable[[str], Finished], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, before = KINDS[name], study_of(name)
    batches = Windows.batches

    def few(self: Windows, positions: Any, context: int, size: int) -> Iterable[Batch]:
        return batches(self, positions, context, min(size, 7))

    monkeypatch.setattr(Windows, "batches", few)
    monkeypatch.setattr(conformal, "_CHUNK", 5)
    monkeypatch.setattr(forecast_csv, "_CHUNK_WINDOWS", 11)
    monkeypatch.setattr(forecast_ahead, "_AT_ONCE", 1)
    after = run_kind(kind, tmp_path)
    parts = ("best", "test", "baselines", "skill", "skill_ci95", "decomposition", "in_sample", "retrain")
    found, expected = (numbers_of({part: run.record[part] for part in parts}) for run in (after, before))
    assert found.keys() == expected.keys()
    for path, number in expected.items():
        same(found[path], number, ".".join(path), 1e-3, 1e-4 if path[0] in ("skill", "skill_ci95") else 1e-9)
    one, other = (pd.read_csv(run.folder / "forecast.csv") for run in (before, after))
    pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=1e-4)
    reports = [json.loads((run.folder / "report.json").read_text())["forecasts"] for run in (before, after)]
    for mine, others in zip(*(report["series"] for report in reports), strict=True):
        for key in ("mse", "bias"):
            same(others[key], mine[key], f"report.json: {key}", 1e-3, 1e-3)
    for mine, others in zip(*(report["hardest"] for report in reports), strict=True):
        assert mine["name"] == others["name"]
        same(others["ratio"], mine["ratio"], "report.json: ratio", 1e-3)
    model, again = (lstm_tune.load(run.folder) for run in (before, after))
    frame = kind.frame if not kind.columns.get("future") else None
    if frame is not None:
        pd.testing.assert_frame_equal(model.predict(frame), again.predict(frame), check_exact=False, rtol=1e-4)


def test_the_number_of_series_forecast_together_changes_no_forecast(
    hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, frame = lstm_tune.load(hostile / "run"), pd.read_csv(hostile / "data.csv")
    before = model.predict(frame, level=80)
    monkeypatch.setattr(forecast_ahead, "_AT_ONCE", 2)
    pd.testing.assert_frame_equal(model.predict(frame, level=80), before, check_exact=False, rtol=1e-6)
    for name in NAMES.values():
        alone = model.predict(frame[frame["shop"] == name], level=80).drop(columns="series")
        beside = before[before["series"] == name].drop(columns="series").reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, beside, check_exact=False, rtol=1e-5)
