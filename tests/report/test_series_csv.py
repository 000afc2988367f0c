"""`series.csv`, and what screen, report and result.json say of the spread over many series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from series import TINY, daily, panel, wave

import lstm_tune
import lstm_tune.data.load
from lstm_tune.cli.console import make_console
from lstm_tune.cli.result_table import show_result
from lstm_tune.evaluation.score import Score
from lstm_tune.evaluation.series_scores import SeriesScores, SeriesSummary

OPTIONS: dict[str, Any] = {
    "target": "y",
    "space": TINY | {"epochs": 1},
    "n_trials": 1,
    "retrain_seeds": 1,
    "folds": 1,
    "horizon": 2,
}


def test_each_series_has_a_line_whose_scores_are_those_of_its_forecasts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = panel(wave(120), 50 * wave(120, seed=1), wave(120, seed=2)).replace({"shop": {"c": "=c"}})
    result = lstm_tune.tune(frame, id="shop", out=tmp_path / "run", **OPTIONS)
    table = pd.read_csv(tmp_path / "run" / "series.csv")
    assert table["series"].tolist() == ["'=c", "a", "b"]
    assert table["rows"].tolist() == [120] * 3
    ahead = pd.read_csv(tmp_path / "run" / "forecast.csv")
    squares = (ahead["actual"] - ahead["forecast"]) ** 2
    np.testing.assert_allclose(table["test_mse"], squares.groupby(ahead["series"]).mean()[table["series"]], rtol=1e-5)
    looked = [f for f in result.record["findings"] if f["evidence"].get("series")]
    first = dict(zip(table["series"], table["first_finding"], strict=True))
    for finding in looked:
        assert set(finding["evidence"]["worst"]) <= {"=c", "a", "b"}
        assert isinstance(first["'=c" if finding["evidence"]["series"] == "=c" else finding["evidence"]["series"]], str)
    assert looked
    record = result.record
    assert record["test"]["metrics"]["mse"] == pytest.approx(table["test_mse"].mean())
    assert record["test"]["metrics"]["mase"] == pytest.approx(table["mase"].mean())
    assert record["test"]["mse_scaled"] == pytest.approx(table["test_mse_scaled"].mean())
    over = record["over_series"]
    skill = table["skill_seasonal_naive"]
    assert (over["scored"], over["better"]) == (3, int((skill > 0).sum()))
    assert over["median_skill"] == pytest.approx(skill.median())
    assert [w["skill"] for w in over["worst"]] == pytest.approx(sorted(skill))
    assert "of 3 series have a smaller test MSE" in (tmp_path / "run" / "report.html").read_text()
    show_result(make_console(), record, str(tmp_path / "run"))
    printed = capsys.readouterr().out
    assert "of 3 series" in printed
    assert "worst, model's error against it:" in printed


def test_a_single_series_has_no_such_file(tmp_path: Path) -> None:
    result = lstm_tune.tune(daily(wave(120)), out=tmp_path / "run", **OPTIONS)
    assert result.record["over_series"] is None
    assert not (tmp_path / "run" / "series.csv").exists()


def score_of(mse: list[float]) -> Score:
    nothing: Any = ()
    values = np.array([mse])
    return Score(
        mse=nothing,
        mae=nothing,
        r2=nothing,
        mse_scaled=0.0,
        per_step_mse=nothing,
        window_error=values,
        window_count=values,
        windows=1,
        metrics={"mse": values, "mase": np.sqrt(values)},
        **({"series_mse": values} if "series_mse" in Score.__slots__ else {}),
    )


def test_ten_worst_are_named_and_series_without_a_skill_do_not_count() -> None:
    frame = pd.concat([daily(wave(30)).assign(shop=f"s{i:02}") for i in range(15)])
    data = lstm_tune.data.load.load_series(frame, target="y", id="shop")
    naive = score_of([2.0] * 13 + [0.0, np.nan])
    model = score_of([*map(float, range(13)), 1.0, np.nan])
    scores = SeriesScores.of(data, np.ones(15), model, {"seasonal_naive": naive})
    over = SeriesSummary.of(scores)
    assert (over.scored, over.better) == (13, 2)
    assert [w.series for w in over.worst] == [f"s{i:02}" for i in range(12, 2, -1)]
    assert over.median_skill == 1 - 6 / 2
