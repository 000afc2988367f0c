"""The verdict, the findings of real small studies on doctored series, and how both are shown."""

from __future__ import annotations

import copy
import io
import json
import re
from functools import cache
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from series import wave

import lstm_tune
from lstm_tune.cli.result_table import show_result
from lstm_tune.diagnosis.catalogue import CODES, handling_setting, mark_handled
from lstm_tune.diagnosis.check import Check
from lstm_tune.diagnosis.finding import SHOWN, Finding, Severity
from lstm_tune.diagnosis.verdict import verdict
from lstm_tune.evaluation.noise_estimate import noise_estimate
from lstm_tune.evaluation.recorded_forecasts import Recorder, stretches
from lstm_tune.report.study_text import UNTRAINED

PLAIN: dict[str, Any] = {
    "lookback": 12,
    "hidden_units": 16,
    "dropout": 0.0,
    "learning_rate": 0.005,
    "epochs": 8,
    "patience": 4,
}
HEALTHY: dict[str, Any] = {"skip": "linear", "lookback": 96, "learning_rate": 1e-3, "activation": "none"}
SGD: dict[str, Any] = {"optimizer": "sgd", "gradient_clip": 0.0}


def season(rows: int = 500, noise: float = 0.5, seed: int = 0) -> np.ndarray:
    """A season of 12 rows with noise."""
    return 3 * wave(rows, period=12, noise=noise / 3, seed=seed)


def walk(rows: int = 500) -> np.ndarray:
    return np.asarray(np.cumsum(np.random.default_rng(0).normal(size=rows)))


def logistic(rows: int = 800) -> np.ndarray:
    """A series without noise that no line forecasts."""
    x = np.empty(rows)
    x[0] = 0.3
    for t in range(rows - 1):
        x[t + 1] = 3.9 * x[t] * (1 - x[t])
    return x


def spiky() -> np.ndarray:
    y = season()
    y[450] += 80
    return y


def shifted() -> np.ndarray:
    return season() + 12 * (np.arange(500) >= 400)


SERIES = {
    "season": season,
    "short": lambda: season(90, noise=2.0),
    "walk": walk,
    "noise": lambda: np.random.default_rng(0).normal(size=500),
    "logistic": logistic,
    "spiky": spiky,
    "shifted": shifted,
}


@cache
def _found(name: str, space: str, n_trials: int) -> str:
    result = lstm_tune.tune(
        SERIES[name](), space=json.loads(space), folds=1, retrain_seeds=1, calendar=False, n_trials=n_trials
    )
    return json.dumps(result.to_dict())


def found(name: str, n_trials: int = 1, **space: Any) -> dict[str, Any]:
    """What a study of the plain LSTM, with some settings changed, records of a series."""
    record: dict[str, Any] = json.loads(_found(name, json.dumps(PLAIN | space), n_trials))
    return record


def codes(record: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in record["findings"]}


DOCTORED: list[tuple[str, str, dict[str, Any], int]] = [
    ("learning_rate_too_low", "season", {"learning_rate": 1e-6}, 1),
    ("learning_rate_too_low", "season", SGD | {"learning_rate": 1e-6}, 1),
    ("learning_rate_too_low", "season", {"learning_rate": 1e-6, "window_norm": "last"}, 1),
    ("learning_rate_too_high", "season", {"learning_rate": 1.0}, 1),
    ("learning_rate_too_high", "season", SGD | {"learning_rate": 1.0}, 1),
    ("diverged_trials", "season", SGD | {"learning_rate": {"low": 0.5, "high": 10.0}}, 6),
    ("too_few_epochs", "season", {"epochs": 1, "learning_rate": 1e-3}, 1),
    ("too_many_epochs", "short", {"epochs": 30, "patience": 30, "hidden_units": 32}, 1),
    ("overfit", "short", {"epochs": 30, "patience": 30, "hidden_units": 32}, 1),
    ("underfit", "logistic", {"hidden_units": 1}, 1),
    ("batch_size", "season", {"batch_size": 300, "learning_rate": 1e-3}, 1),
    ("copies_last_value", "walk", {"window_norm": "last", "learning_rate": 1e-3}, 1),
    ("predicts_the_mean", "noise", {}, 1),
    ("missed_seasonality", "season", {"learning_rate": 1e-6}, 1),
    ("outliers_dominate", "spiky", {}, 1),
    ("biased", "shifted", {}, 1),
    ("worse_than_baseline", "season", {"epochs": 1, "learning_rate": 1e-3}, 1),
    ("space_edge", "season", SGD | {"learning_rate": {"low": 0.1, "high": 10.0, "log": True}}, 6),
    ("more_trials", "season", SGD | {"learning_rate": {"low": 0.1, "high": 10.0, "log": True}}, 6),
    ("stop_now", "season", {}, 1),
]


@pytest.mark.slow
@pytest.mark.parametrize(("code", "name", "space", "n_trials"), DOCTORED, ids=lambda value: str(value))
def test_a_doctored_study_raises_its_code(code: str, name: str, space: dict[str, Any], n_trials: int) -> None:
    record = found(name, n_trials, **space)
    assert code in codes(record)
    assert record["verdict"] == verdict(record)
    for finding in record["findings"]:
        told = finding["advice"].startswith(("Try", "Tried", "See what")) or "See also what" in finding["advice"]
        assert told or not finding["actions"]


@pytest.mark.slow
def test_a_healthy_study_raises_nothing_grave() -> None:
    record = found("season", **HEALTHY)
    assert not [f for f in record["findings"] if f["severity"] != "info"]
    assert "Nothing looks wrong" in record["verdict"]


def test_a_shifted_level_is_called_bias_and_not_overfitting() -> None:
    assert not {"overfit", "validation_overfit"} & codes(found("shifted"))


def test_noise_and_walks_are_not_blamed_on_training() -> None:
    blamed = {"underfit", "overfit", "learning_rate_too_low", "learning_rate_too_high"}
    assert not blamed & (codes(found("noise")) | codes(found("walk", window_norm="last", learning_rate=1e-3)))


def test_findings_are_ordered_by_gravity_and_are_known() -> None:
    for name, space in (("season", {"learning_rate": 1e-6}), ("shifted", {})):
        findings = found(name, **space)["findings"]
        order = ["high", "warn", "info"]
        ranks = [order.index(f["severity"]) for f in findings]
        assert ranks == sorted(ranks)
        assert {f["code"] for f in findings} <= set(CODES)


def test_parts_of_the_mse_and_the_fit_are_in_the_result() -> None:
    record = found("season")
    parts = record["decomposition"]
    assert parts["bias2"] + parts["variance"] + parts["rest"] == pytest.approx(record["test"]["mse_scaled"], rel=1e-4)
    assert parts["windows"] == parts["of"] == record["test"]["windows"]
    assert len(parts["per_step"]["bias2"]) == record["data"]["horizon"]
    assert set(record["in_sample"]["baselines"]) == set(record["skill_ci95"]) == set(record["baselines"])
    assert 0 < record["in_sample"]["noise_estimate"] < 0.2


def test_skill_lies_within_its_interval() -> None:
    record = found("season")
    for name, (low, high) in record["skill_ci95"].items():
        assert low <= record["skill"][name] <= high


def test_several_targets_and_holes_are_judged_on_scaled_errors() -> None:
    import pandas as pd

    y = season(300)
    holes = np.where(np.arange(300) % 9 == 4, np.nan, 1000 * season(300, seed=1))
    frame = pd.DataFrame({"a": y, "b": holes})
    result = lstm_tune.tune(
        frame, target=["a", "b"], horizon=3, space=PLAIN, n_trials=1, folds=1, retrain_seeds=1, calendar=False
    )
    record = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert "scaled test MSE" in record["verdict"]
    assert record["decomposition"]["mse_scaled"] == pytest.approx(record["test"]["mse_scaled"], rel=1e-3)
    steps = record["decomposition"]["per_step"]["mse_scaled"]
    assert steps == pytest.approx(record["test"]["per_step_mse"], rel=1e-3)


# ---- the verdict


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+(?=[A-Z])", text)


@pytest.mark.slow
def test_verdict_has_three_sentences_at_most() -> None:
    for name, n_trials, space in {(n, k, json.dumps(s)) for _, n, s, k in DOCTORED}:
        text = found(name, n_trials, **json.loads(space))["verdict"]
        assert 2 <= len(sentences(text)) <= 3, text


def test_verdict_names_the_best_baseline_and_the_cause() -> None:
    text = found("season", learning_rate=1e-6)["verdict"]
    assert "times that of ridge regression" in text
    assert "more than chance explains" in text
    assert "the learning rate is too low" in text
    assert "Next: try skip = linear (for worse_than_baseline)." in text


def test_verdict_says_when_a_difference_may_be_chance() -> None:
    record = found("season")
    record["skill_ci95"]["ridge"] = [-0.2, 0.3]
    record["skill"]["ridge"] = 0.1
    assert "10% below that of ridge regression" in verdict(record)
    assert "may be chance" in verdict(record)
    record["skill_ci95"]["ridge"] = None
    assert "windows cover too short a time" in verdict(record)
    record["skill"]["ridge"] = 0.001
    assert "equals that of ridge regression" in verdict(record)


def test_verdict_on_several_series_compares_what_each_counts_alike_in() -> None:
    """In the unit of the data the series with large values decide; the skill is that of the scaled MSE."""
    record = copy.deepcopy(found("season"))
    record["over_series"] = {"scored": 2}
    record["skill"]["ridge"], record["skill_ci95"]["ridge"] = 0.1, [0.05, 0.15]
    record["test"]["mse_scaled"] = 0.9
    for name, baseline in record["baselines"].items():
        baseline["test_mse_scaled"] = baseline["test_score"] = 1.0 if name == "ridge" else 2.0
    text = verdict(record)
    assert re.match(r"The scaled test MSE of 0\.90* is 10% below that of ridge regression \(1", text), text


def test_verdict_takes_findings_on_the_data_up() -> None:
    record = copy.deepcopy(found("season", **HEALTHY))
    shift = {
        "code": "train_test_shift",
        "severity": "high",
        "evidence": {},
        "says": "The test rows lie higher.",
        "advice": "Search window_norm = last.",
    }
    record["findings"].insert(0, shift)
    assert "Likely cause: the test rows differ from the train rows." in verdict(record)
    assert verdict(record).endswith("Next: search window_norm = last.")


def on_data(code: str, severity: Severity = "high", **evidence: Any) -> Finding:
    return Finding(code=code, severity=severity, evidence=evidence, says="So it is.", by_hand="difference = first")


SEEN_TO: list[tuple[Finding, dict[str, Any], str]] = [
    (on_data("non_stationary_level"), {"window_norm": "last"}, "window_norm = last"),
    (on_data("trend_beyond_training_range"), {"difference": "first"}, "difference = first"),
    (on_data("train_test_shift", mean_shift_in_sd=-1.2), {"window_norm": "standard"}, "window_norm = standard"),
    (on_data("train_test_shift", mean_shift_in_sd=0.1, variance_ratio=4.0), {"window_norm": "last"}, ""),
    (on_data("train_test_shift", mean_shift_in_sd=0.1, variance_ratio=4.0), {"transform": "log"}, "transform = log"),
    (on_data("train_test_shift", mean_shift_in_sd=0.6, ks_distance=0.3), {"window_norm": "last"}, ""),
    (on_data("scale_unfit", skewness=3.0), {"transform": "log"}, "transform = log"),
    (on_data("scale_unfit", mean_over_sd=1e5), {"transform": "log"}, ""),
    (on_data("non_stationary_level"), {"window_norm": "none", "difference": "none"}, ""),
    (on_data("missing_values"), {"window_norm": "last"}, ""),
]


@pytest.mark.parametrize(("finding", "params", "setting"), SEEN_TO)
def test_what_the_tuned_model_sees_to_is_good_to_know_and_no_more(
    finding: Finding, params: dict[str, Any], setting: str
) -> None:
    assert handling_setting(finding.to_dict(), params) == setting
    [told] = mark_handled([finding], params)
    assert told.severity == ("info" if setting else "high")
    assert (setting in told.advice) if setting else (told == finding)


@pytest.mark.parametrize("lowered", [False, True])
def test_verdict_does_not_advise_what_the_model_does_already(lowered: bool) -> None:
    record = copy.deepcopy(found("season", **HEALTHY))
    record["best"]["params"]["window_norm"] = "last"
    data = [on_data("non_stationary_level", slope_per_row=0.1), on_data("train_test_shift", mean_shift_in_sd=2.0)]
    data = mark_handled(data, record["best"]["params"]) if lowered else data
    record["findings"] = [f.to_dict() for f in data] + record["findings"]
    text = verdict(record)
    assert "The level follows a trend and the test rows differ" in text
    assert "which the best trial handles (window_norm = last); nothing else looks wrong" in text
    assert "Likely cause" not in text
    assert "difference = first" not in text


def test_verdict_names_what_the_forecasts_show_before_what_the_data_may_do() -> None:
    record = copy.deepcopy(found("season", **HEALTHY))
    data = [on_data("missing_values", "warn"), on_data("outliers_dominate", "warn"), on_data("outliers")]
    record["findings"] = [f.to_dict() for f in data[:2]]
    assert "Likely causes: a few rows make most of the error and many values are missing." in verdict(record)
    record["findings"] = [f.to_dict() for f in data]
    assert "Likely cause: the data contain outliers." in verdict(record)


def test_severe_finding_of_a_code_that_no_table_knows_is_in_the_verdict() -> None:
    record = copy.deepcopy(found("season", **HEALTHY))
    new = Finding(code="brand_new", severity="high", evidence={}, says="The clock runs backwards.", by_hand="Turn it.")
    record["findings"].append(new.to_dict())
    text = verdict(record)
    assert "Likely cause: the clock runs backwards." in text
    assert "othing looks wrong" not in text
    assert text.endswith("Next: turn it.")


@pytest.mark.parametrize("code", CODES)
def test_severe_finding_of_any_code_is_in_the_verdict(code: str) -> None:
    record = copy.deepcopy(found("season", **HEALTHY))
    record["findings"] = [on_data(code).to_dict()]
    text = verdict(record)
    assert "looks wrong" not in text or ("Nothing else looks wrong" in text and code == "worse_than_baseline")
    assert "Next: difference = first." in text


def test_a_finding_of_another_code_than_that_of_its_check_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'outliers'.*'biased'"):
        Check(code="outliers", look=lambda _: on_data("biased"), cause="x").find(None)


def test_verdict_tells_that_training_gained_nothing() -> None:
    record = copy.deepcopy(found("season", **HEALTHY))
    record["best"]["epochs"] = 3
    record["ensemble"] = [member | {"epochs": 3} for member in record["ensemble"]]
    assert "no better than" not in verdict(record)
    record["best"]["epochs"] = 0
    told = "training made the best trial no better than the simple forecast that it starts from"
    record["findings"] = []
    assert f"Nothing looks wrong in data, training or forecasts: {told}" in verdict(record)
    record["findings"] = [on_data("outliers").to_dict()]
    assert f"Likely cause: the data contain outliers; {told}." in verdict(record)


def test_verdict_and_table_tell_that_the_saved_model_is_mostly_untrained() -> None:
    record = copy.deepcopy(found("season", learning_rate=1e-6))
    member = record["ensemble"][0]
    record["ensemble"] = [
        member | {"trial": 3, "epochs": 0, "weight": 0.91, "params": {"skip": "last"}},
        member | {"epochs": 3, "weight": 0.09},
    ]
    record["network_alone"] = {"weight": 0.09, "test_mse": 17.25, "test_mse_scaled": 0.75}
    record["findings"], record["in_sample"] = [], {}
    told = "the LSTM adds little here (91% of the saved model are untrained forecasts)"
    assert f"Nothing looks wrong in data, training or forecasts: {told}." in verdict(record)
    text = shown(record, 120)
    assert "saved model (9% LSTM)" in text
    assert re.search(r"^ *saved model ", shown(found("season", learning_rate=1e-6), 120), re.MULTILINE)
    assert re.search(r"LSTM alone +17\.2 +4\.15 +0\.75 +", text)
    assert "The LSTM adds little here: 91% of the saved model are untrained forecasts." in text


def test_best_parameters_of_a_trial_that_hardly_counts_say_so() -> None:
    record = copy.deepcopy(found("season", learning_rate=1e-6))
    best, member = record["best"], record["ensemble"][0]
    assert "has the best validation score" not in shown(record, 120)
    other = member | {"trial": best["trial"] + 1, "epochs": 3}
    own = member | {"trial": best["trial"], "epochs": best["epochs"]}
    record["ensemble"] = [other | {"weight": 0.99}, own | {"weight": 0.01}]
    told = f"it is only 1.0% of the saved model, of which trial {other['trial']} is 99%."
    assert told in " ".join(shown(record, 120).split())
    record["ensemble"] = [other | {"weight": 1.0}]
    assert "it is no part of the saved model" in " ".join(shown(record, 120).split())


def test_verdict_reads_results_that_were_written_before_there_were_intervals() -> None:
    record = found("season")
    for key in ("skill_ci95", "decomposition", "in_sample"):
        del record[key]
    assert verdict(record)


@pytest.mark.parametrize("y", [np.arange(120.0), np.tile(np.arange(7.0), 40), 1e9 * (np.arange(120) >= 70)])
def test_series_that_a_baseline_forecasts_without_error_get_a_verdict(y: np.ndarray) -> None:
    space = {"lookback": 4, "hidden_units": 4, "epochs": 1}
    result = lstm_tune.tune(y, space=space, n_trials=1, folds=1, retrain_seeds=1, calendar=False)
    record = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert "worse_than_baseline" in codes(record)
    assert re.search("no error at all|over 100 times", record["verdict"])


# ---- what it reads


def test_kept_forecasts_are_those_that_were_scored() -> None:
    class Counts:
        context = 1

        def __call__(self, batch: Any) -> Any:
            return batch

    kept = np.array([[2, 5], [7, 12]])
    recorder = Recorder(Counts(), kept)
    import torch

    numbers = torch.arange(20.0)[:, None]
    for part in torch.split(numbers, 4):
        recorder(part)
    assert recorder.forecasts()[:, 0].tolist() == [2, 3, 4, 7, 8, 9, 10, 11]


@pytest.mark.parametrize(("windows", "horizon", "groups"), [(1, 1, 1), (5000, 1, 1), (10**6, 96, 1), (10**5, 720, 321)])
def test_kept_stretches_are_bounded_and_do_not_overlap(windows: int, horizon: int, groups: int) -> None:
    kept = stretches(windows, horizon, groups)
    assert kept[0, 0] == 0
    assert kept[-1, 1] == windows
    assert (kept[1:, 0] >= kept[:-1, 1]).all()
    assert (kept[:, 1] - kept[:, 0]).sum() * horizon <= 2_000_000


def test_noise_estimate_is_near_the_noise_of_a_series_that_is_known() -> None:
    rng = np.random.default_rng(0)
    y = np.zeros(1200)
    for t in range(1, 1200):
        y[t] = 0.8 * y[t - 1] + rng.normal()
    history = np.lib.stride_tricks.sliding_window_view(y, 16)[:-1]
    rows = np.arange(len(history)) + 16
    assert 0.8 < noise_estimate(history, y[16:, None], rows) < 1.3
    clean = logistic(1200)
    history = np.lib.stride_tricks.sliding_window_view(clean, 16)[:-1]
    assert noise_estimate(history, clean[16:, None], rows) < 0.001


# ---- the screen


def shown(record: dict[str, Any], width: int, **options: Any) -> str:
    out = io.StringIO()
    show_result(Console(file=out, width=width, highlight=False, **options), record, "runs/x")
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_verdict_and_findings_close_the_output(width: int) -> None:
    record = found("season", learning_rate=1e-6)
    text = shown(record, width)
    flat = " ".join(text.split())
    assert flat.index("Best parameters") < flat.index("Verdict") < flat.index("Written to")
    assert record["verdict"] in flat
    for finding in record["findings"][:SHOWN]:
        assert finding["code"] in flat
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width


def test_commands_to_paste_stay_on_one_line() -> None:
    record = copy.deepcopy(found("season", learning_rate=1e-6))
    record["data"]["path"] = "data/" + "long" * 40 + ".csv"
    assert f"lstm-tune predict runs/x {record['data']['path']}\n" in shown(record, 80)
    score = {"coverage": 0.8, "coverage_ci95": [0.7, 0.9], "width": 1.0, "winkler": 1.5}
    record["test"]["intervals"] = {"model": {"80": score, "97.5": score}, "persistence": {"80": score, "97.5": score}}
    assert f"{record['data']['path']} --level 80,97.5\n" in shown(record, 80)


def test_untrained_parts_and_a_missing_season_are_explained() -> None:
    record = copy.deepcopy(found("season", learning_rate=1e-6))
    assert "seasonal naive (last season)" in shown(record, 120)
    assert UNTRAINED not in shown(record, 120)
    member = record["ensemble"][0]
    record["ensemble"] = [
        member | {"trial": 0, "epochs": 0, "weight": 0.7, "params": {"skip": "last"}},
        member | {"epochs": 3, "weight": 0.3},
    ]
    record["data"]["period"] = None
    text = shown(record, 120)
    assert "seasonal naive (no season)" in text
    assert UNTRAINED in text


def test_a_score_below_that_of_a_constant_is_reported() -> None:
    record = copy.deepcopy(found("season"))
    assert "a constant at the mean" not in shown(record, 120)
    record["test"]["r2"] = -0.35
    assert "R² is -0.35: a constant at the mean of the test rows would have less error" in shown(record, 120)


def test_no_more_than_seven_findings_are_shown() -> None:
    record = copy.deepcopy(found("season", learning_rate=1e-6))
    record["findings"] = record["findings"][:1] * 9
    text = shown(record, 120)
    assert text.count("→") == SHOWN
    assert "and 2 more, less severe, in result.json" in text


def test_colours_are_off_where_they_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    record = found("season", learning_rate=1e-6)
    colour = re.compile(r"\x1b\[[\d;]*3[0-7]")
    assert colour.search(shown(record, 80, force_terminal=True, color_system="standard"))
    assert "\x1b" not in shown(record, 80)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colour.search(shown(record, 80, force_terminal=True, color_system="standard"))


def test_names_in_square_brackets_are_shown_as_they_are() -> None:
    record = copy.deepcopy(found("season"))
    record["findings"][0]["says"] = "Column [bold]x[/bold] is odd."
    assert "[bold]x[/bold]" in shown(record, 120)


SEASON = Finding(code="seasonality", severity="info", evidence={"period": 24}, says="Daily.", by_hand="Look back.")
SPIKES = Finding(code="outliers", severity="warn", evidence={}, says="Spikes.", by_hand="Clip.")


@pytest.mark.parametrize(
    ("finding", "params", "setting"),
    [
        (SEASON, {"lookback": 23}, ""),
        (SEASON, {"lookback": 24}, "lookback = 24"),
        (SEASON, {"lookback": 8, "skip": "seasonal"}, "skip = seasonal"),
        (SPIKES, {"loss": "mse", "outlier_clip": 0.0}, ""),
        (SPIKES, {"loss": "huber", "outlier_clip": 0.0}, "loss = huber"),
        (SPIKES, {"loss": "mse", "outlier_clip": 5.0}, "outlier_clip = 5.0"),
    ],
)
def test_seasons_and_outliers_that_the_best_trial_sees_to_need_nothing(
    finding: Finding, params: dict[str, Any], setting: str
) -> None:
    seen = mark_handled([finding], params)[0]
    assert handling_setting(finding.to_dict(), params) == setting
    assert (seen == finding) == (not setting)
    assert seen.severity == ("info" if setting else finding.severity)


@pytest.mark.parametrize("code", ["worse_than_baseline", "biased"])
def test_no_cause_is_called_handled_if_the_test_says_otherwise(code: str) -> None:
    record = copy.deepcopy(found("season", **HEALTHY))
    record["best"]["params"]["window_norm"] = "last"
    record["findings"] = [on_data("train_test_shift", mean_shift_in_sd=2.0).to_dict(), *record["findings"]]
    assert "handles" in verdict(record)
    record["findings"].append(on_data(code).to_dict())
    assert "handles" not in verdict(record)


def test_finding_that_next_names_is_shown_however_mild() -> None:
    record = copy.deepcopy(found("season", learning_rate=1e-6))
    first = record["findings"][0]
    record["findings"] = [first] * 8 + [first | {"code": "mild_one"}]
    assert "mild_one" not in shown(record, 120)
    record["next"] = (record["next"] or {}) | {"code": "mild_one"}
    text = shown(record, 120)
    assert "mild_one" in text
    assert "and 1 more, less severe, in result.json" in text


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_number_of_the_table_is_cut(width: int) -> None:
    record = copy.deepcopy(found("season", learning_rate=1e-6))
    record["metric"] = record["metric"] | {"name": "mase", "test_score": 0.00012345}
    record["best"]["val_score"] = 0.00054321
    record["test"]["mse"] = 123456789.0
    table = shown(record, width).partition("95% interval")[0]
    assert "…" not in table
    assert re.search(r"123,4\d\d,\d{3}", table) or "123,500,000" in table
