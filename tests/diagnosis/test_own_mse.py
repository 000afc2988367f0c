"""What an MSE that was measured elsewhere is worth: beside simple forecasts, scaled or not, and why so high."""

from __future__ import annotations

import io
import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from series import daily, panel, wave

import lstm_tune
from lstm_tune.cli.diagnosis_table import show_diagnosis
from lstm_tune.diagnosis.data_findings import Diagnosis, diagnose
from lstm_tune.diagnosis.own_mse import OwnMse
from lstm_tune.errors import UsageError
from lstm_tune.evaluation.baseline_labels import label_of

LEVEL = 500 + 40 * (wave(400, period=7, noise=0.3) - 5)  # a season with noise, far from 0
TRAIN = LEVEL[:280]


def of(y: Any = LEVEL, **options: Any) -> Diagnosis:
    return diagnose(daily(y), target="y", **options)


@cache
def scores() -> dict[str, float]:
    """The test MSE of each simple forecast."""
    return {name: float(b["test_mse"]) for name, b in of().baselines.items()}


def own(**options: Any) -> OwnMse:
    found = of(**options).own
    assert found is not None
    return found


def test_an_mse_is_compared_with_every_simple_forecast() -> None:
    judged = own(mse=2 * scores()["ridge"])
    assert judged.against["ridge"] == pytest.approx(2)
    assert judged.against["persistence"] == pytest.approx(2 * scores()["ridge"] / scores()["persistence"])
    assert judged.mse_scaled == pytest.approx(2 * scores()["ridge"] / np.var(TRAIN), rel=1e-4)
    assert set(judged.against) == set(scores())
    assert json.dumps(of(mse=9.0).to_dict(), allow_nan=False)
    says = " ".join(own(mse=3 * max(scores().values())).says)
    assert [name for name in scores() if label_of(name).sentence not in says] == []


def test_a_season_that_is_not_there_is_not_among_the_forecasts() -> None:
    walk = np.cumsum(np.random.default_rng(0).normal(size=300))
    judged = of(walk, mse=50.0).own
    assert judged is not None
    assert "repeating the last value" in " ".join(judged.says)
    assert "season" not in " ".join(judged.says)


def test_an_rmse_is_the_root_of_the_mse() -> None:
    assert own(rmse=30.0) == own(mse=900.0)


@pytest.mark.parametrize(("scaled", "unit"), [("minmax", np.ptp(TRAIN) ** 2), ("standard", np.var(TRAIN))])
def test_an_mse_of_scaled_values_is_brought_to_their_own_units(scaled: str, unit: float) -> None:
    there = 1.5 * scores()["ridge"]
    judged = own(mse=there / unit, scaled=scaled)
    assert judged.mse == pytest.approx(there, rel=1e-4)
    assert judged.against["ridge"] == pytest.approx(1.5, rel=1e-4)


@pytest.mark.parametrize(("scaled", "unit"), [("minmax", np.ptp(TRAIN) ** 2), ("standard", np.var(TRAIN))])
def test_an_mse_that_is_too_low_is_suspected_to_be_one_of_scaled_values(scaled: str, unit: float) -> None:
    judged = own(mse=1.2 * scores()["ridge"] / unit)
    assert scaled in judged.suspected
    assert any(f"--scaled {scaled}" in sentence for sentence in judged.says)
    assert own(mse=scores()["ridge"]).suspected == ()


def test_an_mse_that_no_scaling_explains_points_to_rows_that_were_seen() -> None:
    judged = own(mse=1e-9)
    assert judged.suspected == ()
    assert "seen in training" in judged.causes[-1]


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("persistence", "copies the last value"),
        ("train_mean", "little more than the mean"),
    ],
)
def test_an_mse_as_large_as_that_of_a_simple_forecast_has_its_cause(name: str, cause: str) -> None:
    assert any(cause in one for one in own(mse=scores()[name]).causes)


def test_an_mse_above_that_of_a_constant_is_called_so_and_a_good_one_has_no_cause() -> None:
    assert "worse than a constant" in own(mse=3 * max(scores().values())).causes[0]
    good = own(mse=0.95 * min(scores().values()))
    assert good.causes == ()
    assert any("nothing is wrong with it" in sentence for sentence in good.says)


def test_causes_that_the_data_show_are_named() -> None:
    judged = own(y=LEVEL + 1.0 * np.arange(400), mse=1e5)
    assert any("in the data: " in cause for cause in judged.causes)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"mse": 1.0, "rmse": 1.0}, "give one of them"),
        ({"mse": 0.0}, "above 0"),
        ({"rmse": float("nan")}, "above 0"),
        ({"mse": 1.0, "scaled": "robust"}, "minmax, standard"),
        ({"scaled": "minmax"}, "give the MSE, too"),
    ],
)
def test_impossible_errors_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        of(**options)


def test_several_targets_have_no_common_mse() -> None:
    with pytest.raises(UsageError, match="name one with target="):
        diagnose(daily(LEVEL, z=LEVEL[::-1].copy()), target=["y", "z"], mse=1.0)


def test_many_series_of_one_column_have_one() -> None:
    found = lstm_tune.diagnose(panel(LEVEL, 1.1 * LEVEL), target="y", id="shop", mse=5000.0)
    assert found.own is not None
    assert found.own.against["persistence"] > 0
    assert found.own.mse_scaled is None  # each series has a scale of its own
    assert "mostly the error of the largest ones" in found.own.says[0]


def test_answer_is_shown_after_the_scores() -> None:
    console = Console(record=True, width=80, file=io.StringIO(), highlight=False)
    show_diagnosis(console, of(mse=scores()["persistence"]).to_dict())
    text = console.export_text()
    assert text.index("What your MSE is worth") > text.index("ridge regression")
    assert "possible cause: the network copies the last value" in " ".join(text.split())
