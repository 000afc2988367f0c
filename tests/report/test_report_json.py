"""report.json: what is kept of trials, curves and series."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from report_page import open_page

from lstm_tune.report import report_json as details
from lstm_tune.report.encoding import decode_times
from lstm_tune.report.search_figures import DOTS
from lstm_tune.search.trials import read_trials


def test_curves_put_the_best_trial_first_and_keep_its_training_loss(run: Path) -> None:
    result, kept = (json.loads((run / name).read_text()) for name in ("result.json", "report.json"))
    curves = kept["curves"]["kept"]
    assert curves[0]["trial"] == result["best"]["trial"]
    assert min(curves[0]["val"]) == pytest.approx(result["best"]["value"], rel=1e-3)
    assert [c["trial"] for c in curves if "train" in c] == [curves[0]["trial"]]
    assert sum(result["study"]["states"].values()) == 9
    assert any(c["state"] == "PRUNED" for c in curves) == bool(result["study"]["states"]["PRUNED"])


def test_drawn_series_marks_its_parts_and_leaves_holes(run: Path) -> None:
    (line,) = json.loads((run / "report.json").read_text())["drawn"]["lines"]
    assert line["rows"] == 160
    assert line["values"].count(None) == 1
    times = decode_times(line["times"])
    first, last = decode_times(line["parts"]["test"])
    assert (first, last) == (times[128], times[159])


def studied(n: int, **fixed: float) -> optuna.Study:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda t: fixed.get("value", 9 * t.suggest_float("a", 0, 1)) + t.suggest_int("b", 1, 3), n_trials=n)
    return study


def test_importances_find_what_matters_and_keep_quiet_about_few_trials() -> None:
    found = details.importances(studied(30))
    assert found is not None
    assert (found["method"], found["trials"]) == ("fANOVA", 30)
    assert found["shares"]["a"] > 0.7
    assert sum(found["shares"].values()) == pytest.approx(1, abs=1e-3)
    assert details.importances(studied(details.LEAST_TRIALS - 1)) is None


def test_importances_of_very_many_trials_take_the_quick_way() -> None:
    found = details.importances(studied(details._FOREST_TRIALS + 1))
    assert found is not None
    assert found["method"] == "PED-ANOVA"
    assert found["shares"]["a"] > found["shares"]["b"]


def test_curves_of_a_thousand_trials_are_bounded() -> None:
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.report(x, 0)
        return x

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=400)
    found = details.curves(read_trials(study), by_fold=False)
    assert found["of"] == 400
    assert len(found["kept"]) <= 100
    assert found["kept"][0]["trial"] == study.best_trial.number


def test_every_trial_is_kept_with_its_score_and_few_with_their_parameters(run: Path) -> None:
    trials = json.loads((run / "report.json").read_text())["trials"]
    assert [t["number"] for t in trials] == list(range(9))
    assert all("lookback" in t["params"] for t in trials if t["state"] != "FAIL")
    many = details.drawn_trials(read_trials(studied(DOTS + 200)))
    assert len(many) == DOTS + 200
    assert sum(bool(t["params"]) for t in many) == DOTS
    best = min(many, key=lambda t: t["value"])
    assert best["params"]


def test_drawn_trials_are_those_of_the_study(run: Path) -> None:
    history = open_page(run).payload["figures"]["history"]["data"][0]
    result = json.loads((run / "result.json").read_text())
    assert min(history["y"]) == pytest.approx(result["best"]["value"], rel=1e-4)
