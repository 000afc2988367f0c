"""Findings on training, forecasts and search: for each code a case that raises it, and one near it that must not."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import oracle_findings
import pytest
from studies import outcome

from lstm_tune.config import Config
from lstm_tune.diagnosis import search_checks, skill_checks
from lstm_tune.diagnosis.catalogue import mark_handled
from lstm_tune.diagnosis.check import run_checks
from lstm_tune.diagnosis.evidence import Retrain, Scores, Search
from lstm_tune.diagnosis.finding import Finding
from lstm_tune.diagnosis.learning_curves import Training
from lstm_tune.diagnosis.search_checks import widenable
from lstm_tune.diagnosis.skill_checks import Holdout, with_score
from lstm_tune.diagnosis.study_findings import FORECAST_CHECKS, TRAINING_CHECKS
from lstm_tune.evaluation.decomposition import decompose
from lstm_tune.evaluation.recorded_forecasts import Forecasts
from lstm_tune.evaluation.significance import Comparison, TimeBlocks, compare
from lstm_tune.search.space import space_from_mapping
from lstm_tune.search.trials import EpochRecord, Trial
from lstm_tune.training.limits import Limits

STEPS = 32 * 32  # windows in an epoch of 32 steps


def trial(
    val: Sequence[float],
    loss: Sequence[float] | None = None,
    *,
    number: int = 0,
    value: float | None = None,
    stopped: str = "epochs",
    rates: Sequence[float] | None = None,
    folds: Sequence[float] = (1.0,),
    **config: Any,
) -> Trial:
    """A completed trial of the given validation curve, the untrained value first; the loss falls as validation does."""
    settings = Config(**config)
    epochs = len(val) - 1
    losses = list(val[1:]) if loss is None else list(loss)
    lr = [settings.learning_rate] * epochs if rates is None else rates
    reached = min(val) if value is None else value
    return Trial(
        number=number,
        state="COMPLETE",
        value=reached,
        config=settings,
        history=(
            EpochRecord(0, None, val[0], settings.learning_rate if rates is None else rates[0], 0.0),
            *(EpochRecord(e + 1, losses[e], val[e + 1], lr[e], 1.0 * e) for e in range(epochs)),
        ),
        outcome=outcome(
            value=reached,
            config=settings,
            best_epoch=int(np.argmin(val)),
            epochs=epochs,
            stopped=stopped,
            fold_mse_scaled=tuple(folds),
            samples=epochs * STEPS * len(folds),
        ),
    )


def with_value(trial: Trial, value: float) -> Trial:
    """The same trial, with another value."""
    return dataclasses.replace(trial, value=value, outcome=dataclasses.replace(trial.completed(), value=value))


def pruned(number: int, reason: str, **config: Any) -> Trial:
    return Trial(number=number, state="PRUNED", config=Config(**config), pruned_because=reason)


def falling(epochs: int = 20, floor: float = 0.3, rate: float = 0.5, noise: float = 0.01, seed: int = 0) -> np.ndarray:
    """A healthy curve: from 1 down to a floor, with a few epochs of patience at the end."""
    rng = np.random.default_rng(seed)
    clean = floor + (1 - floor) * np.exp(-rate * np.arange(epochs + 1))
    return np.asarray(clean * (1 + noise * rng.normal(size=epochs + 1)))


def scores(**options: Any) -> Scores:
    """Of a model that does 30% better than ridge, which is the best baseline, on fitted, validation and test rows."""
    baselines = {"persistence": 0.6, "seasonal_naive": 0.8, "ridge": 0.45}
    given: dict[str, Any] = {
        "val": 0.3,
        "test": 0.3,
        "fit": 0.28,
        "val_baselines": baselines,
        "test_baselines": baselines,
        "fit_baselines": baselines,
        "noise": 0.25,
        "independent": 100.0,
        "skill_ci95": {"ridge": (0.2, 0.4), "persistence": (0.4, 0.6), "seasonal_naive": (0.5, 0.7)},
    }
    return Scores(**(given | options))


def forecasts(actual: Any, forecast: Any, **options: Any) -> Forecasts:
    """Of one series: actual values (n,) one row ahead with the one before each, or (n, H) with `last`."""
    y, f = np.asarray(actual, float), np.asarray(forecast, float)
    if y.ndim == 1:
        options = {"last": np.concatenate([[0.0], y[:-1]])} | options
        y, f = y[:, None], f[:, None]
    given: dict[str, Any] = {
        "observed": np.ones(y.shape, bool),
        "row": np.arange(len(y)) + 1000,
        "channel": np.zeros(len(y), int),
    }
    return Forecasts(actual=y, forecast=f, **(given | options))


def compare_in_order(own: np.ndarray, other: np.ndarray) -> Comparison:
    """Compare squared errors (n, H) of windows of one series, in the order of time."""
    n, horizon = own.shape
    return compare(own.sum(1), other.sum(1), np.full(n, float(horizon)), TimeBlocks.cut(np.arange(n), 4 * horizon))


def measured(tested: Forecasts, **options: Any) -> Scores:
    """The scores that these forecasts earn, beside persistence and whatever else is given."""
    own = np.square(tested.forecast - tested.actual)
    last = np.square(tested.last[:, None] - tested.actual)
    against = compare_in_order(own, last)
    baselines = {"persistence": float(last.mean())} | options.pop("rivals", {})
    given: dict[str, Any] = {
        "test": float(own.mean()),
        "test_baselines": baselines,
        "skill_ci95": {"persistence": (1 - against.high, 1 - against.low)},
    }
    return scores(**(given | options))


def ar(n: int, phi: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A stationary process y (n,) of variance 1 and its optimal forecast."""
    rng = np.random.default_rng(seed)
    y = np.empty(n + 1)
    y[0] = rng.normal()
    for t in range(n):
        y[t + 1] = phi * y[t] + math.sqrt(1 - phi * phi) * rng.normal()
    return y[1:], phi * y[:-1]


def code_of(found: Sequence[Finding], code: str) -> Finding | None:
    return next((f for f in found if f.code == code), None)


def training_findings(trials: Sequence[Trial], scores: Scores) -> list[Finding]:
    return run_checks(TRAINING_CHECKS, Training(trials=trials, scores=scores))


def forecast_findings(tested: Forecasts, scores: Scores) -> list[Finding]:
    return run_checks(FORECAST_CHECKS, Holdout(forecasts=tested, scores=scores))


def worse_than_baseline(scores: Scores) -> Finding | None:
    return skill_checks.worse_than_baseline(Holdout(forecasts=forecasts([0.0], [0.0]), scores=scores))


def training(*trials: Trial, **options: Any) -> list[Finding]:
    return training_findings(trials, scores(**options))


def searching(trials: Sequence[Trial], **options: Any) -> list[Finding]:
    given: dict[str, Any] = {
        "scores": scores(),
        "retrain": Retrain(seeds=(0.30, 0.301, 0.299), weights=(1.0,)),
        "edges": [],
        "searched": ["learning_rate"],
        "levelled_off": False,
    }
    return run_checks(search_checks.CHECKS, Search(trials=trials, **(given | options)))


def go_on_or_stop(trials: Sequence[Trial], searched: Sequence[str], **options: Any) -> Finding | None:
    found = searching(trials, searched=searched, **options)
    return code_of(found, "more_trials") or code_of(found, "stop_now")


# ---- training


def test_a_healthy_study_has_no_finding_on_training() -> None:
    trials = [trial(falling(seed=i), number=i, stopped="patience") for i in range(5)]
    assert training(*trials) == []


@pytest.mark.parametrize(
    ("given", "severity"),
    [
        ({"fit": 0.7, "test": 0.55}, "high"),  # ridge fits both fitted and test rows better
        ({"fit": 0.28, "test": 0.3, "noise": 0.05}, "high"),
        ({"fit": 0.28, "test": 0.3, "noise": 0.1}, "warn"),
        ({"fit": 0.6, "test": 0.40}, None),  # a baseline that fits better and forecasts worse has overfitted itself
        ({"fit": 0.28, "noise": 0.2}, None),
        ({"fit": math.nan, "noise": math.nan, "fit_baselines": {}}, None),
    ],
)
def test_underfit_is_a_model_that_does_not_fit_its_training_rows(given: dict[str, Any], severity: str | None) -> None:
    found = code_of(training(trial(falling(), stopped="patience"), **given), "underfit")
    assert (found.severity if found else None) == severity


def test_overfit_is_a_gap_between_fitted_and_test_rows_that_naive_forecasts_do_not_share() -> None:
    healthy = trial(falling(), stopped="patience")
    found = code_of(training(healthy, fit=0.05), "overfit")
    assert found is not None
    assert found.severity == "high"
    harder = {"persistence": 0.12, "seasonal_naive": 0.2}
    assert code_of(training(healthy, fit=0.05, fit_baselines=harder), "overfit") is None
    assert code_of(training(healthy, fit=0.2), "overfit") is None


def test_overfit_is_validation_that_rises_while_the_training_loss_falls() -> None:
    val = [1, 0.5, 0.4, 0.45, 0.5, 0.55, 0.6]
    assert code_of(training(trial(val, [0.9, 0.5, 0.4, 0.3, 0.2, 0.1])), "overfit") is not None
    assert code_of(training(trial(val, [0.9, 0.5, 0.5, 0.49, 0.5, 0.49])), "overfit") is None  # not memorised
    flat = [1, 0.5, 0.4, 0.41, 0.42, 0.42, 0.43]  # what patience waits for
    assert code_of(training(trial(flat, [0.9, 0.5, 0.4, 0.3, 0.2, 0.1])), "overfit") is None


def test_a_symptom_of_the_winner_alone_is_no_finding() -> None:
    val = [1, 0.5, 0.4, 0.45, 0.5, 0.55, 0.6]
    winner = trial(val, [0.9, 0.5, 0.4, 0.3, 0.2, 0.1], value=0.2)
    others = [trial(falling(seed=i), number=i, stopped="patience") for i in (1, 2)]
    assert code_of(training(winner, *others), "overfit") is None


def test_learning_rate_is_too_high_where_validation_jumps_up_and_down() -> None:
    jumps = [1, 0.5, 0.8, 0.45, 0.9, 0.5, 0.8, 0.44]
    found = code_of(training(trial(jumps, learning_rate=0.05)), "learning_rate_too_high")
    assert found is not None
    assert found.severity == "high"
    assert found.actions[0].factors == {"learning_rate": 0.1}
    wobbles = [1, 0.5, 0.51, 0.50, 0.51, 0.50, 0.515, 0.5]
    assert code_of(training(trial(wobbles)), "learning_rate_too_high") is None
    rises = [1, 0.5, 0.6, 0.7, 0.8, 0.9]  # overfitting goes one way
    assert code_of(training(trial(rises)), "learning_rate_too_high") is None


def test_learning_rate_is_too_high_where_training_only_makes_it_worse() -> None:
    thrown = trial([0.5, 2.0, 1.9, 1.95, 1.8], learning_rate=1.0, optimizer="sgd", stopped="patience")
    assert code_of(training(thrown), "learning_rate_too_high") is not None
    saturated = trial([1.0, 0.99, 0.99, 0.99], [1.0, 1.0, 1.0], learning_rate=0.5)
    assert code_of(training(saturated), "learning_rate_too_high") is not None
    nothing_to_learn = trial([0.5, 0.51, 0.52, 0.52, 0.53], skip="linear", stopped="patience")
    assert code_of(training(nothing_to_learn), "learning_rate_too_high") is None


def test_learning_rate_is_too_low_where_training_crawls() -> None:
    crawls = trial(1 - 0.005 * np.arange(11), learning_rate=1e-5)
    found = training(crawls, val=0.95)
    assert code_of(found, "learning_rate_too_low") is not None
    assert code_of(found, "too_few_epochs") is None  # said already
    # A schedule that ends at 0 slows down by itself.
    rates = 1e-5 * 0.5 * (1 + np.cos(np.pi * np.arange(1, 11) / 10))
    annealed = 1 - 50 * np.concatenate([[0], np.cumsum(rates)]) * 10
    crawls = trial(annealed, rates=rates.tolist(), learning_rate=1e-5, schedule="cosine")
    assert code_of(training(crawls, val=0.95), "learning_rate_too_low") is not None
    slow = trial(1 - 0.005 * np.arange(11))
    assert code_of(training(slow, val=0.95), "learning_rate_too_low") is not None
    assert code_of(training(slow, val=0.4), "learning_rate_too_low") is None  # nothing shows that there is more


def test_learning_rate_is_not_too_low_where_faster_trials_end_no_better() -> None:
    slow = trial(0.5 - 0.001 * np.arange(11), learning_rate=2e-4, skip="linear")
    fast = trial([0.5, 0.52, 0.55, 0.6], number=1, learning_rate=2e-3, skip="linear", stopped="patience")
    assert code_of(training(slow, val=0.49), "learning_rate_too_low") is not None
    assert code_of(training(slow, fast, val=0.49), "learning_rate_too_low") is None
    settled = trial([0.5, 0.46, 0.45, 0.449, 0.4485, 0.4484, 0.4483], skip="linear")
    assert code_of(training(settled, val=0.49), "learning_rate_too_low") is None


def test_steps_that_cannot_move_a_weight_are_too_low_whatever_the_curve() -> None:
    still = trial([0.5, 0.5001, 0.4999, 0.5001, 0.5001], learning_rate=1e-6, skip="linear", stopped="patience")
    assert code_of(training(still), "learning_rate_too_low") is not None
    ended = trial([0.5, 0.5001, 0.4999, 0.5001, 0.5001], learning_rate=5e-4, skip="linear", stopped="patience")
    assert code_of(training(ended), "learning_rate_too_low") is None  # patience, not the rate, kept it where it was


def test_too_few_epochs_are_those_that_end_while_validation_still_falls() -> None:
    found = code_of(training(trial(falling(6, rate=0.2, noise=0))), "too_few_epochs")
    assert found is not None
    assert found.evidence["epochs"] == 6
    assert code_of(training(trial([1.0, 0.6])), "too_few_epochs") is not None
    assert code_of(training(trial(falling(20, noise=0))), "too_few_epochs") is None
    ended = trial(falling(6, rate=0.2, noise=0), stopped="patience")
    assert code_of(training(ended), "too_few_epochs") is None
    cut = code_of(training(trial(falling(6, rate=0.2, noise=0), stopped="time")), "too_few_epochs")
    assert cut is not None
    assert cut.actions[0].factors == {"timeout": 2}


def test_too_few_epochs_are_none_within_the_time_limit() -> None:
    begun = trial([0.5], stopped="time", skip="linear")
    found = code_of(training(begun), "too_few_epochs")
    assert found is not None
    assert found.severity == "high"
    assert found.says.startswith("No epoch fitted into the time limit")
    assert list(found.actions[0].factors) == ["timeout"]
    told = code_of(training(begun, trial([1.0, 0.9], number=1, stopped="time")), "too_few_epochs")
    assert told is not None
    assert told.says.startswith("No epoch of the best trial")
    assert code_of(training(trial([0.5, 0.6], stopped="time", skip="linear")), "too_few_epochs") is None


def test_without_any_epoch_no_change_of_the_training_is_advised() -> None:
    scores = {"fit": 0.9, "fit_baselines": {"ridge": 0.4}, "test": 1.3, "test_baselines": {"ridge": 0.5}}
    cut = code_of(training(trial([0.5], stopped="time"), **scores), "underfit")
    assert cut is not None
    assert [dict(action.space) for action in cut.actions] == [{"skip": "linear"}]
    assert not any(action.factors for action in cut.actions)
    ended = code_of(training(trial(falling(), stopped="patience"), **scores), "underfit")
    assert ended is not None
    assert any("epochs" in action.factors for action in ended.actions)


def test_too_many_epochs_are_those_long_after_the_best_one() -> None:
    late = [trial([1, 0.5, *[0.52] * 20], number=i) for i in range(3)]
    assert code_of(training(*late), "too_many_epochs") is not None
    patient = [trial([1, 0.5, *[0.52] * 4], number=i, stopped="patience") for i in range(3)]
    assert code_of(training(*patient), "too_many_epochs") is None


def test_batches_are_too_large_where_an_epoch_has_a_few_steps() -> None:
    val = falling(6, rate=0.2, noise=0)
    assert code_of(training(trial(val, batch_size=512)), "batch_size") is not None
    assert code_of(training(trial(val, batch_size=64)), "batch_size") is None
    done = trial(falling(20, noise=0), batch_size=512, stopped="patience")
    assert code_of(training(done), "batch_size") is None


def test_batches_are_too_small_where_their_steps_are_noise() -> None:
    jumps = [1, 0.5, 0.8, 0.45, 0.9, 0.5, 0.8, 0.44]
    assert code_of(training(trial(jumps, batch_size=2)), "batch_size") is not None
    assert code_of(training(trial(jumps, batch_size=64)), "batch_size") is None


def test_batch_size_is_found_where_the_trials_agree_on_it() -> None:
    rng = np.random.default_rng(0)

    def study(effect: float) -> list[Trial]:
        sizes = [32, 64, 128, 256] * 6
        values = [0.3 * (1 + effect * (size >= 128)) * (1 + 0.02 * rng.random()) for size in sizes]
        return [
            trial(falling(seed=i), number=i, value=v, batch_size=s, stopped="patience")
            for i, (s, v) in enumerate(zip(sizes, values, strict=True))
        ]

    trials = study(0.3)
    best = min(range(len(trials)), key=lambda i: trials[i].value or 0)
    trials[best - best % 4] = with_value(trials[best - best % 4], 0.29)  # 32, at the end of the sizes
    found = code_of(training(*trials), "batch_size")
    assert found is not None
    assert found.evidence["better"] == "smaller"
    assert code_of(training(*study(0.0)), "batch_size") is None


def test_diverged_trials_are_counted_and_what_they_share_is_named() -> None:
    kept = [trial(falling(seed=i), number=i, stopped="patience") for i in range(4)]
    lost = [
        pruned(10 + i, "diverged: the training loss became nan at step 3", optimizer="sgd", learning_rate=0.5)
        for i in range(4)
    ]
    found = code_of(training(*kept, *lost), "diverged_trials")
    assert found is not None
    assert found.severity == "high"
    assert found.evidence["in_common"] == {"learning_rate": "of 0.5 or more", "optimizer": "sgd"}
    other = [pruned(10 + i, "the pruner stopped it after epoch 3", optimizer="sgd") for i in range(4)]
    short = [pruned(20 + i, "diverged: no training window: the configuration looks 90 rows back") for i in range(4)]
    assert code_of(training(*kept, *other, *short), "diverged_trials") is None
    assert code_of(training(*kept, lost[0]), "diverged_trials") is None


# ---- forecasts


def test_optimal_forecasts_of_a_stationary_process_raise_nothing() -> None:
    y, f = ar(400, 0.7, seed=1)
    tested = forecasts(y, f, periods=(7, 24))
    assert forecast_findings(tested, measured(tested)) == []


def test_a_forecast_that_follows_the_last_value_is_a_copy() -> None:
    walk = np.cumsum(np.random.default_rng(0).normal(size=300))
    late = np.concatenate([[0], walk[:-1]])
    tested = forecasts(walk, late + 0.05 * np.random.default_rng(1).normal(size=300))
    found = code_of(forecast_findings(tested, measured(tested)), "copies_last_value")
    assert found is not None
    assert found.severity == "warn"  # nothing better is known
    better = measured(tested, rivals={"ridge": 0.3})
    unsure = code_of(forecast_findings(tested, better), "copies_last_value")
    assert unsure is not None
    assert unsure.severity == "warn"
    sure = dataclasses.replace(better, skill_ci95={**better.skill_ci95, "ridge": (-4.0, -1.0)})
    found = code_of(forecast_findings(tested, sure), "copies_last_value")
    assert found is not None
    assert found.severity == "high"


def test_a_forecast_that_beats_the_last_value_is_no_copy_of_it() -> None:
    walk = np.cumsum(np.random.default_rng(0).normal(size=300))
    knowing = walk + 0.5 * np.random.default_rng(1).normal(size=300)
    tested = forecasts(walk, knowing)
    assert code_of(forecast_findings(tested, measured(tested)), "copies_last_value") is None
    worse = forecasts(walk, np.random.default_rng(2).normal(size=300) * 10)  # bad, but no copy
    assert code_of(forecast_findings(worse, measured(worse)), "copies_last_value") is None


def test_copies_of_several_steps_are_found_too() -> None:
    walk = np.cumsum(np.random.default_rng(0).normal(size=400))
    y = np.lib.stride_tricks.sliding_window_view(walk[1:], 12)
    last = walk[: len(y)]
    copied = forecasts(y, np.repeat(last[:, None], 12, 1), last=last)
    assert code_of(forecast_findings(copied, measured(copied)), "copies_last_value") is not None
    known = forecasts(y, y + 1.0 * np.random.default_rng(1).normal(size=y.shape), last=last)
    assert code_of(forecast_findings(known, measured(known)), "copies_last_value") is None


def test_a_nearly_constant_forecast_predicts_the_mean() -> None:
    noise = np.random.default_rng(0).normal(size=300)
    flat = forecasts(noise, 0.02 * np.random.default_rng(1).normal(size=300))
    found = code_of(forecast_findings(flat, measured(flat)), "predicts_the_mean")
    assert found is not None
    assert found.severity == "warn"
    y, f = ar(300, 0.9, seed=0)
    missed = forecasts(y, np.zeros(300))
    found = code_of(forecast_findings(missed, measured(missed)), "predicts_the_mean")
    assert found is not None
    assert found.severity == "high"  # persistence shows that there is more
    seen = forecasts(y, f)
    assert code_of(forecast_findings(seen, measured(seen)), "predicts_the_mean") is None


def test_a_season_in_the_errors_was_missed() -> None:
    rng = np.random.default_rng(0)
    y = 2 * np.sin(2 * np.pi * np.arange(300) / 12) + 0.5 * rng.normal(size=300)
    missed = forecasts(y, np.zeros(300) + 0.1 * rng.normal(size=300), periods=(12,))
    found = code_of(forecast_findings(missed, measured(missed)), "missed_seasonality")
    assert found is not None
    assert (found.severity, found.evidence["period"]) == ("high", 12)
    known = forecasts(y, 2 * np.sin(2 * np.pi * np.arange(300) / 12), periods=(12,))
    assert code_of(forecast_findings(known, measured(known)), "missed_seasonality") is None
    drift, _ = ar(300, 0.99, seed=2)  # errors that depend on each other at every lag are no season
    wandering = forecasts(drift, np.zeros(300), periods=(12,))
    assert code_of(forecast_findings(wandering, measured(wandering)), "missed_seasonality") is None


def test_a_few_rows_that_carry_the_error_are_named() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=300)
    y[[50, 200]] += 40
    spiky = forecasts(y, np.zeros(300), label=lambda row: f"row {row}")
    found = code_of(forecast_findings(spiky, measured(spiky)), "outliers_dominate")
    assert found is not None
    assert found.severity == "high"
    assert set(found.evidence["worst"]) >= {"row 1050", "row 1200"}
    heavy = forecasts(rng.laplace(size=300), np.zeros(300))  # heavy tails alone are no few rows
    assert code_of(forecast_findings(heavy, measured(heavy)), "outliers_dominate") is None


def test_a_forecast_too_high_throughout_is_biased() -> None:
    y, f = ar(300, 0.7, seed=0)
    high = forecasts(y, f + 0.8)
    found = code_of(forecast_findings(high, measured(high)), "biased")
    assert found is not None
    assert found.severity == "high"
    assert "too high" in found.says
    assert code_of(forecast_findings(forecasts(y, f + 0.05), scores()), "biased") is None


def test_a_mean_error_that_wandering_errors_explain_is_no_bias() -> None:
    raised = 0
    for seed in range(50):
        error, _ = ar(240, 0.9, seed)
        raised += code_of(forecast_findings(forecasts(error, np.zeros(240)), scores()), "biased") is not None
    assert raised <= 10
    shifted, _ = ar(240, 0.5, 0)
    assert code_of(forecast_findings(forecasts(shifted + 1, np.zeros(240)), scores()), "biased") is not None


def test_bias_of_one_of_many_columns_is_measured_against_all_of_their_error() -> None:
    y, f = ar(400, 0.7, seed=0)
    channel = np.repeat([0, 1], 200)
    both = forecasts(y, f + 0.8 * (channel == 1), row=np.tile(np.arange(200), 2), channel=channel)
    found = code_of(forecast_findings(both, scores()), "biased")
    assert found is not None
    assert found.evidence["share_of_mse"] < 0.5


def test_advice_begins_with_no_or_if_there_is_nothing_before_it() -> None:
    found = worse_than_baseline(scores(test=0.6))
    assert found is not None
    assert " Or use the ridge regression itself." in found.advice
    assert dataclasses.replace(found, actions=()).advice == "Use the ridge regression itself."


def test_worse_than_baseline_is_high_only_beyond_chance() -> None:
    sure = scores(test=0.6, skill_ci95={"ridge": (-0.5, -0.1)})
    found = worse_than_baseline(sure)
    assert found is not None
    assert (found.severity, found.evidence["baseline"]) == ("high", "ridge")
    unsure = scores(test=0.6, skill_ci95={"ridge": (-0.9, 0.2)})
    found = worse_than_baseline(unsure)
    assert found is not None
    assert found.severity == "warn"
    assert worse_than_baseline(scores(test=0.453)) is None
    perfect = worse_than_baseline(scores(test_baselines={"seasonal_naive": 0.0}))
    assert perfect is not None
    assert perfect.severity == "high"
    assert worse_than_baseline(scores(test=0.0, test_baselines={"seasonal_naive": 0.0})) is None


def test_comparison_knows_chance_from_merit() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(size=400)
    a, b = common**2 + 0.1 * rng.random(400), common**2 + 0.1 * rng.random(400) + 0.2
    better = compare_in_order(a[:, None], b[:, None])
    assert better.low < better.ratio < better.high < 1
    even = [compare_in_order(*rng.normal(size=(2, 200, 1)) ** 2) for _ in range(200)]
    assert sum(not c.low <= 1 <= c.high for c in even) <= 20
    assert math.isnan(compare_in_order(a[:4].reshape(2, 2), b[:4].reshape(2, 2)).low)


def test_parts_of_the_mse_add_up_and_say_what_was_done() -> None:
    y, f = ar(500, 0.8, seed=0)
    parts = decompose(forecasts(y, f + 1))
    total = parts["bias2"] + parts["variance"] + parts["rest"]
    assert total == pytest.approx(parts["mse_scaled"], rel=1e-4)
    assert parts["mse_scaled"] == pytest.approx(np.mean((f + 1 - y) ** 2), rel=1e-4)
    assert parts["bias"] == pytest.approx(np.mean(f + 1 - y), rel=1e-4)
    flat = decompose(forecasts(y, np.zeros(500)))
    assert flat["variance"] == pytest.approx(y.var(), rel=1e-4)
    assert flat["rest"] == pytest.approx(0, abs=1e-6)
    steps = np.stack([y[:-1], y[1:]], axis=1)
    each = decompose(forecasts(steps, steps + np.array([0.0, 0.5]), last=y[:-1]))["per_step"]
    assert each["bias2"] == pytest.approx([0, 0.25], abs=1e-6)


def test_values_that_were_not_observed_change_nothing() -> None:
    y, f = ar(300, 0.7, seed=0)
    holes = np.arange(300) % 7 == 3
    garbled = np.where(holes, np.nan, y)
    tested = forecasts(garbled, f, last=np.concatenate([[0], y[:-1]]), observed=~holes[:, None], periods=(7,))
    assert forecast_findings(tested, scores()) == []
    clean = decompose(forecasts(y[~holes], f[~holes], row=np.flatnonzero(~holes)))
    assert decompose(tested)["mse_scaled"] == pytest.approx(clean["mse_scaled"])
    nothing = forecasts(y, f, observed=np.zeros((300, 1), bool), periods=(7,))
    assert forecast_findings(nothing, scores()) == []
    assert decompose(nothing)["mse_scaled"] is None


# ---- search


def study_of(values: Sequence[float], **config: Any) -> list[Trial]:
    return [trial(falling(seed=i), number=i, value=v, stopped="patience", **config) for i, v in enumerate(values)]


def test_winner_within_seed_noise_names_those_that_are_as_good() -> None:
    trials = study_of([0.30, 0.301, 0.36, 0.302, 0.5])
    found = code_of(searching(trials), "winner_within_seed_noise")
    assert found is not None
    assert found.evidence["as_good"] == [1, 3]
    assert found.severity == "info"
    alone = code_of(searching(study_of([0.30, 0.33, 0.36, 0.5])), "winner_within_seed_noise")
    assert alone is None


def test_trials_that_the_time_limit_ended_before_their_first_epoch_are_compared_with_none() -> None:
    values = [9.0, 6.0, 4.0, 2.5, 1.5, 0.9, 0.302, 0.3]
    trials = study_of(values)
    cut = [trial([0.3 + 0.0001 * i], number=8 + i, stopped="time") for i in range(1, 9)]
    for edges in ([], [("learning_rate", "low", 1e-4)]):
        usual = {f.code: f for f in searching(trials, edges=edges)}
        found = {f.code: f for f in searching([*trials, *cut], edges=edges)}
        assert {"more_trials", "winner_within_seed_noise"} <= set(found)
        assert {code: f.evidence for code, f in found.items()} == {code: f.evidence for code, f in usual.items()}
    assert found["more_trials"].actions[0].options["n_trials"] == 24  # as many again as were trained
    assert not searching(cut)


def test_the_oracle_compares_them_with_none_either() -> None:
    def run_of(values: Sequence[float], cut: int) -> Any:
        study, noise = optuna.create_study(), [{"mse_scaled": x} for x in (0.30, 0.301, 0.299)]
        for i, value in enumerate([*values, *(0.299 + 0.0001 * i for i in range(cut))]):
            begun = i < len(values)
            attributes = {"stopped": "epochs" if begun else "time", "epochs": int(begun), "history": [[0, 0.5, value]]}
            study.add_trial(optuna.trial.create_trial(value=value, user_attrs=attributes))
        return SimpleNamespace(
            study=study, record={"retrain": {"seeds": noise}, "ensemble": [{"weight": 1, "epochs": 1}]}
        )

    values = [9.0, 6.0, 4.0, 2.5, 1.5, 0.9, 0.302, 0.3]
    for rule in (oracle_findings._more_trials, oracle_findings._winner_within_seed_noise):
        assert rule(run_of(values, 8)) == rule(run_of(values, 0)) is not None
    found = {f.code: f.evidence for f in searching(study_of(values))}
    told = oracle_findings._more_trials(run_of(values, 8))
    assert told is not None
    assert found["more_trials"] == pytest.approx(told, rel=6e-3)
    had_no_time = code_of(training(trial([0.5], stopped="time", skip="linear")), "too_few_epochs")
    assert had_no_time is not None
    assert oracle_findings._too_few_epochs(run_of([0.5], 8)) == had_no_time.evidence


def test_seeds_that_disagree_by_chance_make_no_trial_of_twice_the_error_as_good() -> None:
    trials = study_of([0.30, 0.36, 0.60])
    found = code_of(searching(trials, retrain=Retrain(seeds=(0.2, 0.5), weights=(1.0,))), "winner_within_seed_noise")
    assert found is not None
    assert found.evidence["as_good"] == [1]


def test_without_a_second_seed_the_folds_tell_who_is_as_good() -> None:
    def pair(a: Sequence[float], b: Sequence[float]) -> list[Trial]:
        return [trial(falling(), number=0, value=0.3, folds=a), trial(falling(), number=1, value=0.31, folds=b)]

    one = Retrain(seeds=(0.3,), weights=(1.0,))
    tied = code_of(searching(pair([0.3, 0.2, 0.4], [0.33, 0.18, 0.42]), retrain=one), "winner_within_seed_noise")
    assert tied is not None
    assert tied.actions[0].options == {"retrain_seeds": 3}
    twice = [(0.3, [0.1, 0.2, 0.6]), (0.6, [0.9, 0.2, 0.7])]  # the blocks disagree, but no chance makes 0.6 as good
    trials = [trial(falling(), number=i, value=v, folds=f) for i, (v, f) in enumerate(twice)]
    assert code_of(searching(trials, retrain=one), "winner_within_seed_noise") is None
    clear = searching(pair([0.3, 0.2, 0.4], [0.36, 0.24, 0.47]), retrain=one)
    assert code_of(clear, "winner_within_seed_noise") is None


def test_a_season_is_not_handled_by_a_long_lookback_if_repeating_it_is_better() -> None:
    season = Finding(code="seasonality", severity="info", evidence={"period": 12}, says="There is one.")
    lost = with_score(season, scores(test=0.4, test_baselines={"seasonal_naive": 0.2}))
    assert (lost.severity, lost.evidence["model_over_seasonal_naive"]) == ("warn", 2.0)
    assert lost.says == "There is one. Repeating the last season has a 50% lower test MSE than the model."
    assert mark_handled([lost], {"lookback": 24}) == [lost]
    won = with_score(season, scores(test=0.1, test_baselines={"seasonal_naive": 0.2}))
    assert won == season
    assert mark_handled([won], {"lookback": 24})[0].evidence["seen_to_by"] == "lookback = 24"


def test_validation_overfit_is_more_than_a_harder_test_period() -> None:
    found = code_of(searching([], scores=scores(val=0.1, test=0.4)), "validation_overfit")
    assert found is not None
    assert found.severity == "high"
    harder = {"persistence": 2.4, "seasonal_naive": 3.0, "ridge": 1.9}
    assert code_of(searching([], scores=scores(val=0.1, test=0.4, test_baselines=harder)), "validation_overfit") is None
    few = scores(val=0.2, test=0.4, independent=9.0)  # a few validation windows scatter by as much
    assert code_of(searching([], scores=few), "validation_overfit") is None


def test_space_edge_is_a_warning_where_trials_get_better_towards_it() -> None:
    rates = np.geomspace(1e-4, 1e-2, 20)
    better = [trial(falling(), number=i, value=1 - 0.03 * i, learning_rate=float(r)) for i, r in enumerate(rates)]
    edges = [("learning_rate", "high", 0.01)]
    found = code_of(searching(better, edges=edges), "space_edge")
    assert found is not None
    assert found.severity == "warn"
    assert found.actions[0].space == {"learning_rate": 0.02}
    level = [trial(falling(), number=i, value=0.5, learning_rate=float(r)) for i, r in enumerate(rates)]
    found = code_of(searching(level, edges=edges), "space_edge")
    assert found is not None
    assert found.severity == "info"
    assert code_of(searching(better), "space_edge") is None
    assert code_of(searching(better[:2], edges=edges), "space_edge") is None


def test_edges_are_those_of_active_parameters_that_a_file_could_widen() -> None:
    space = space_from_mapping(
        {
            "lookback": {"low": 8, "high": 336, "log": True},
            "layers": {"low": 1, "high": 3},
            "patch": {"low": 2, "high": 3},
            "dropout": {"low": 0.0, "high": 0.5},
            "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
            "optimizer": ["adam", "sgd"],
            "momentum": {"low": 0.5, "high": 0.9, "when": {"optimizer": "sgd"}},
            "batch_size": [32, 64, 128],
        }
    )
    middle: Mapping[str, Any] = {"lookback": 50, "patch": 3, "layers": 2, "dropout": 0.2, "batch_size": 64}

    def edges(**values: Any) -> set[tuple[str, str]]:
        return {edge[:2] for edge in space.edges(Config(**(middle | values)))}

    assert edges() == set()
    assert edges(lookback=336) == {("lookback", "high")}
    assert edges(lookback=9, dropout=0.0, layers=1) == set()  # 9 is a step from 8; no file could widen the others
    assert edges(layers=3) == {("layers", "high")}
    assert edges(learning_rate=1.01e-4) == {("learning_rate", "low")}
    assert edges(batch_size=128) == {("batch_size", "high")}
    assert edges(momentum=0.9) == set()  # Adam has none
    assert edges(momentum=0.9, optimizer="sgd") == {("momentum", "high")}
    limits = Limits(max_lookback=336, positive=True, period=None, max_batch_size=200)
    given = [("lookback", "high", 336.0), ("batch_size", "high", 128.0)]
    assert widenable(given, limits) == [("batch_size", "high", 128.0)]  # the data set the other bound


def test_a_search_that_still_gains_should_go_on() -> None:
    gaining = go_on_or_stop(study_of(np.geomspace(1.0, 0.3, 24)), ["learning_rate"])
    assert gaining is not None
    assert (gaining.code, gaining.severity) == ("more_trials", "warn")
    assert "--trials 48" in gaining.advice
    assert 0 < gaining.evidence["expected_gain"] < gaining.evidence["expected_gain_of_best_value"]
    assert f"{gaining.evidence['expected_gain']:.0%}"[:-1] in gaining.says
    assert "off the error on new rows" in gaining.says
    few = go_on_or_stop(study_of([0.5, 0.4, 0.3]), ["learning_rate"])
    assert few is not None
    assert few.code == "more_trials"


def test_a_search_that_has_levelled_off_should_stop() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([[0.3], 0.3 + 0.002 * rng.random(30)])
    stopped = go_on_or_stop(study_of(values), ["learning_rate"])
    assert stopped is not None
    assert stopped.code == "stop_now"
    assert stopped.evidence["expected_gain"] < 0.01
    fixed = go_on_or_stop(study_of([0.3]), [])
    assert fixed is not None
    assert fixed.code == "stop_now"
    assert go_on_or_stop([pruned(0, "diverged: x")], ["learning_rate"]) is None


def test_a_study_that_ended_since_nothing_was_gained_is_not_told_to_go_on() -> None:
    values = [*np.geomspace(1.0, 0.2, 12), *[0.25] * 12]  # as many again should gain more than 1%, by the first twelve
    assert code_of(searching(study_of(values)), "more_trials") is not None
    found = go_on_or_stop(study_of(values), ["learning_rate"], levelled_off=True)
    assert found is not None
    assert found.code == "stop_now"
    assert "has levelled off" in found.says


def test_trials_that_only_repeat_each_other_are_not_told_to_go_on() -> None:
    different = study_of([0.3, 0.4, 0.35, 0.5])
    few = go_on_or_stop(
        [*different, *(dataclasses.replace(different[0], number=n, same_as=0) for n in range(4, 10))], ["skip"]
    )
    assert few is not None
    assert few.code == "more_trials"
    many = go_on_or_stop(
        [*different, *(dataclasses.replace(different[0], number=n, same_as=0) for n in range(4, 30))], ["skip"]
    )
    assert many is not None
    assert many.code == "stop_now"
    assert "26 trials repeated the 4 different ones" in many.says


def test_the_expected_gain_is_near_what_more_trials_really_bring() -> None:
    told, true = [], []
    for seed in range(200):
        values = 0.2 + np.random.default_rng(seed).weibull(2.0, size=40)  # a search at random
        found = go_on_or_stop(study_of(values[:20]), ["learning_rate"])
        assert found is not None
        told.append(found.evidence["expected_gain_of_best_value"])
        true.append(1 - values.min() / values[:20].min())
    assert 0.5 < np.mean(told) / np.mean(true) < 2


# ---- all of them


def test_every_finding_is_plain_json_with_one_sentence() -> None:
    jumps = [1, 0.5, 0.8, 0.45, 0.9, 0.5, 0.8, 0.44]
    trials = [trial(jumps, batch_size=2, learning_rate=0.05), *[pruned(i, "diverged: x") for i in (1, 2)]]
    y, _ = ar(300, 0.7, seed=0)
    tested = forecasts(y, np.full(300, 2.0), periods=(7,))
    found = [
        *training_findings(trials, scores(fit=math.nan, noise=math.nan)),
        *forecast_findings(tested, measured(tested, skill_ci95={"persistence": (math.nan, math.nan)})),
        *searching(trials, scores=scores(val=0.1, test=0.9), edges=[("batch_size", "low", 2.0)]),
    ]
    assert len(found) > 5
    for finding in found:
        json.dumps(finding.to_dict(), allow_nan=False)
        assert finding.says.endswith(".")
        assert ". " not in finding.says
        assert finding.advice.endswith(".")


def healthy_study(seed: int) -> list[Trial]:
    """Curves that fall to a floor of their own at a speed of their own, until patience ends them."""
    rng = np.random.default_rng(seed)
    trials = []
    for number in range(rng.integers(3, 12)):
        floor, rate = 0.25 * (1 + 0.5 * rng.random()), rng.uniform(0.4, 2.0)
        noise = rng.uniform(0.002, 0.02)
        val = falling(60, floor, rate, noise, seed=int(rng.integers(2**31)))
        waited, best, end = 0, math.inf, 0
        for end, v in enumerate(val):  # noqa: B007
            waited, best = (0, v) if v < best else (waited + 1, best)
            if waited == 4:
                break
        loss = falling(end, floor * rng.uniform(0.6, 1.0), rate, noise, seed=int(rng.integers(2**31)))[1:]
        trials.append(trial(val[: end + 1], loss, number=number, stopped="patience" if end < 60 else "epochs"))
    return trials


def clean_forecasts(seed: int) -> tuple[Forecasts, Scores]:
    """The optimal forecasts, over 1 to 12 rows, of a stationary process; baselines that know no more."""
    rng = np.random.default_rng(seed)
    phi, horizon, n = rng.uniform(-0.9, 0.95), int(rng.integers(1, 13)), int(rng.integers(50, 600))
    y, _ = ar(n + horizon, phi, seed + 10_000)
    target = np.lib.stride_tricks.sliding_window_view(y[1:], horizon)
    last = y[: len(target)]
    tested = forecasts(target, last[:, None] * phi ** np.arange(1, horizon + 1), last=last, periods=(7, 12))
    rough = tested.forecast + 0.1 * rng.normal(size=horizon)  # a ridge, estimated
    own, ridge = np.square(tested.error), np.square(rough - target)
    against = compare_in_order(own, ridge)
    scored = measured(tested, rivals={"ridge": float(ridge.mean())})
    both = {**scored.skill_ci95, "ridge": (1 - against.high, 1 - against.low)}
    optimum = float(1 - np.mean(phi ** (2 * np.arange(1, horizon + 1))))
    naive = float(np.mean(2 - 2 * phi ** np.arange(1, horizon + 1.0)))
    return tested, dataclasses.replace(
        scored,
        skill_ci95=both,
        val=optimum * rng.uniform(0.8, 1.25),
        fit=optimum * rng.uniform(0.9, 1.05),
        noise=optimum * rng.uniform(0.85, 1.2),
        val_baselines={"persistence": naive * rng.uniform(0.8, 1.25), "ridge": optimum * 1.1},
        fit_baselines={"persistence": naive * rng.uniform(0.9, 1.1), "ridge": optimum},
    )


ALARMS: Mapping[str, Callable[[int], list[Finding]]] = {
    "training": lambda seed: training_findings(healthy_study(seed), clean_forecasts(seed)[1]),
    "forecasts": lambda seed: forecast_findings(*clean_forecasts(seed)),
    "baselines": lambda seed: [*filter(None, [worse_than_baseline(clean_forecasts(seed)[1])])],
    "search": lambda seed: searching(healthy_study(seed), scores=clean_forecasts(seed)[1]),
}


@pytest.mark.parametrize("kind", ALARMS)
def test_false_alarms_of_high_severity_are_rare_on_200_clean_cases(kind: str) -> None:
    counts: dict[str, int] = {}
    for seed in range(200):
        for finding in ALARMS[kind](seed):
            if finding.severity == "high":
                counts[finding.code] = counts.get(finding.code, 0) + 1
    assert all(count <= 10 for count in counts.values()), counts


def test_a_curve_without_finite_values_is_passed_over() -> None:
    broken = trial([1.0, math.nan, 0.5])
    assert broken.curve() is None
    assert training(broken) == []
    assert training() == []
