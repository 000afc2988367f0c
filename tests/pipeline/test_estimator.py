"""The estimator for scikit-learn: its checks, pipelines and time series splits; what it forecasts."""

from __future__ import annotations

import io
import logging
import pickle
import warnings
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from series import TINY, wave
from sklearn.base import clone
from sklearn.model_selection import TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import lstm_tune
from lstm_tune.errors import DataError
from lstm_tune.sklearn import LSTMTuneRegressor

Y = wave(80)
X = np.sin(np.arange(100) / 3)[:, None]


def small(**options: Any) -> LSTMTuneRegressor:
    """One that trains for a moment."""
    space = TINY | {"epochs": 1, "lookback": 2}
    return LSTMTuneRegressor(**({"space": space, "n_trials": 1, "retrain_seeds": 1, "folds": 1} | options))


# Each of these asks for what no forecast can give.
FORECASTS_DIFFER = {
    "check_methods_sample_order_invariance": "rows of X are in the order of time",
    "check_methods_subset_invariance": "predict(X) forecasts the rows after those of fit, so the first row of X counts",
    "check_estimators_empty_data_messages": "a series needs no covariates: X may have no column",
}


@pytest.mark.slow
def test_checks_of_scikit_learn_pass() -> None:
    found = check_estimator(small(), expected_failed_checks=FORECASTS_DIFFER, on_skip=None, on_fail=None)
    by_status = {status: [c["check_name"] for c in found if c["status"] == status] for status in ("failed", "xfail")}
    assert by_status == {"failed": [], "xfail": sorted(FORECASTS_DIFFER, key=[c["check_name"] for c in found].index)}
    assert len(found) > 45


@pytest.mark.laws
def test_first_horizon_is_the_forecast_of_the_model_and_a_prefix_changes_nothing() -> None:
    """Beyond the horizon, too, where forecasts are made of forecasts."""
    space = TINY | {"epochs": 6, "patience": 6, "learning_rate": 0.03, "lookback": 2}
    fitted = small(horizon=3, space=space).fit(X[:80], Y)
    frame = pd.DataFrame({"y0": np.append(Y, [np.nan] * 3), "x0": X[:83, 0]})
    every = fitted.predict(X[80:90])
    assert every[:3] == pytest.approx(fitted.model_.predict(frame)["y0"].to_numpy())
    for n in (1, 3, 4, 7):
        assert fitted.predict(X[80 : 80 + n]) == pytest.approx(every[:n], rel=1e-6)
    # Rows 4 to 6 are the forecast of a model that is told rows 1 to 3.
    told = pd.DataFrame({"y0": np.concatenate([Y, every[:3], [np.nan] * 3]), "x0": X[:86, 0]})
    assert every[3:6] == pytest.approx(fitted.model_.predict(told)["y0"].to_numpy(), rel=1e-5)
    later = X.copy()
    later[83:86] += 1
    moved = fitted.predict(later[80:90])
    assert moved[:3].tolist() == every[:3].tolist()
    assert (np.abs(moved[3:6] - every[3:6]) > 1e-3).all()


def test_dates_are_the_time_and_a_gap_is_followed() -> None:
    index = pd.date_range("2024-01-01", periods=100, freq="D")
    nothing = pd.DataFrame(index=index)
    fitted = small(calendar=True, horizon=2).fit(nothing[:80], pd.Series(Y, index=index[:80]))
    assert fitted.result_.record["data"]["freq"] == "D"
    every = fitted.predict(nothing[80:90])
    assert len(every) == 10
    assert fitted.predict(nothing[85:90]) == pytest.approx(every[5:])
    assert fitted.predict(np.empty((10, 0))) == pytest.approx(every)  # the dates go on
    with pytest.raises(ValueError, match=r"X begins at 2024-03-20 .*, but predict forecasts what follows"):
        fitted.predict(nothing[79:85])
    covariates = pd.DataFrame({"a": X[:, 0]}, index=index)
    fitted = small().fit(covariates[:80], pd.Series(Y, index=index[:80]))
    with pytest.raises(DataError, match="x0 is missing at 2024-03-21"):
        fitted.predict(covariates[85:90])


def test_holidays_metric_and_intervals_are_options_of_the_study() -> None:
    pytest.importorskip("holidays")
    index = pd.date_range("2024-01-01", periods=80, freq="D")
    nothing = pd.DataFrame(index=index)
    fitted = small(holidays="DE", metric="mae", level=50).fit(nothing, pd.Series(Y, index=index))
    assert fitted.result_.record["metric"]["name"] == "mae"
    assert "holiday_DE" in fitted.result_.record["data"]["future"]
    assert fitted.model_.known_intervals().windows > 0
    assert len(fitted.predict(np.empty((3, 0)))) == 3


def test_it_works_in_a_pipeline_with_time_series_split() -> None:
    model = make_pipeline(StandardScaler(), small(horizon=5))
    scores = cross_val_score(model, X[:80], Y, cv=TimeSeriesSplit(2, test_size=5), scoring="neg_mean_squared_error")
    split = [*TimeSeriesSplit(2, test_size=5).split(Y)]
    expected = []
    for train, test in split:
        forecast = clone(model).fit(X[train], Y[train]).predict(X[test])
        expected.append(-np.mean((forecast - Y[test]) ** 2))
    assert scores == pytest.approx(expected)
    assert model.get_params()["lstmtuneregressor__horizon"] == 5


def test_several_targets_and_missing_values() -> None:
    both = np.column_stack([Y, -2 * Y])
    both[10, 0] = np.nan
    fitted = small().fit(np.empty((80, 0)), both)
    assert fitted.result_.record["data"]["missing"]["y0"] == 1
    assert fitted.predict(np.empty((4, 0))).shape == (4, 2)
    assert np.isfinite(fitted.score(np.empty((4, 0)), both[76:]))


@pytest.mark.laws
def test_refit_uses_the_last_rows_and_without_it_the_model_is_that_of_the_study() -> None:
    refitted, kept = small().fit(X[:80], Y), small(refit=False).fit(X[:80], Y)
    assert kept.model_ is kept.result_.model
    assert max(refitted.model_.trained.times) > max(kept.model_.trained.times)
    assert refitted.best_params_ == kept.best_params_


def test_a_pickle_forecasts_the_same_without_the_study() -> None:
    fitted = small().fit(X[:80], Y)
    again = pickle.loads(pickle.dumps(fitted))  # bytes that this test wrote itself
    assert (again.predict(X[80:84]) == fitted.predict(X[80:84])).all()
    assert not hasattr(again, "result_")
    assert isinstance(again.model_, lstm_tune.ForecastModel)


def test_random_states_draw_a_seed_and_an_integer_is_one() -> None:
    seeds = [
        small(random_state=state).fit(X[:80], Y).result_.record["env"]["seed"]
        for state in (7, np.random.RandomState(0))
    ]
    assert seeds == [7, int(np.random.RandomState(0).randint(2**31 - 1))]


def test_a_fit_logs_no_trial_unless_it_is_asked_to() -> None:
    logger, level = logging.getLogger("optuna"), optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    for verbose in (False, True):
        said = io.StringIO()
        handler = logging.StreamHandler(said)
        logger.addHandler(handler)
        try:
            small(verbose=verbose).fit(X[:80], Y)
        finally:
            logger.removeHandler(handler)
            seen = optuna.logging.get_verbosity()
        assert ("Trial 0 finished" in said.getvalue(), seen) == (verbose, optuna.logging.INFO)
    optuna.logging.set_verbosity(level)


def test_rows_without_dates_raise_no_word_on_a_time_column() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        small().fit(X[:80], Y).predict(X[80:84])
    assert not [str(one.message) for one in told if "time column" in str(one.message)]


def test_errors_name_the_parameters_as_python_does() -> None:
    with pytest.raises(DataError, match="a shorter horizon or another split") as refused:
        small().fit(X[:5], Y[:5])
    assert "--" not in str(refused.value)


def test_gaps_of_covariates_are_refused_with_name_count_and_remedy() -> None:
    table = pd.DataFrame({"a": X[:, 0], "temp": X[:, 0] ** 2})
    table.loc[[4, 9, 82], "temp"] = np.nan
    with pytest.raises(ValueError, match=r"^column 'temp' of X is NaN.* in 2 of 80 rows \(first: row 4\); fill them"):
        small().fit(table[:80], Y)
    with pytest.raises(ValueError, match=r"^column 'temp' of X is NaN .* in 1 of 4 rows \(first: row 2\)"):
        small().fit(table[:80].ffill(), Y).predict(table[80:84])
    with pytest.raises(ValueError, match=r"^column 0 of X is NaN or infinite in 80 of 80 rows"):
        small().fit(np.full((80, 1), -np.inf), Y)
