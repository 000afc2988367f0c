"""`trials.csv`, `best`, `study` and `ensemble` compared with the study itself and the published rule of the weights."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from oracle import Errors, Finished, same
from oracle_data import Array
from oracle_statistics import untrained
from oracle_weights import Key, Tried, by_errors

from lstm_tune.config import PLAIN


def check_trials(run: Finished) -> None:
    """`trials.csv`, `best` and `study` against the study itself."""
    rows = pd.read_csv(run.folder / "trials.csv").replace({np.nan: None}).to_dict("records")
    trials = [t for t in run.study.trials if t.state.is_finished()]
    assert [row["number"] for row in rows] == [t.number for t in trials]
    for row, trial in zip(rows, trials, strict=True):
        assert row["state"] == trial.state.name
        for name, value in trial.params.items():
            assert row[f"params_{name}"] == (pytest.approx(value) if isinstance(value, float) else value)
        reports = trial.intermediate_values
        if trial.state is optuna.trial.TrialState.COMPLETE:
            same(row["value"], min(reports.values()), "trials.value", 1e-12)
            assert row["best_epoch"] == min(reports, key=lambda epoch: (reports[epoch], epoch))
            assert row["epochs"] == max(reports)
    complete = [t for t in trials if t.state is optuna.trial.TrialState.COMPLETE]
    best = min(complete, key=lambda t: (t.value, t.number))
    row = next(row for row in rows if row["number"] == best.number)
    found = run.record["best"]
    assert (found["trial"], found["epochs"], found["weights"]) == (best.number, row["best_epoch"], row["weights"])
    assert found["params"] == {
        name.removeprefix("params_"): pytest.approx(v) if isinstance(v, float) else v
        for name, v in row.items()
        if name.startswith("params_")
    }
    same(found["value"], best.value, "best.value", 1e-12)
    same(found["val_mse_scaled"], row["val_mse_scaled"], "best.val_mse_scaled", 1e-12)
    mse = [found["val_mse"]] if run.channels == 1 else [found["val_mse"][t] for t in run.table.targets]
    if len(run.table.series) == 1:  # of several series each has its own variance, and its MSE is not listed
        same(found["val_mse_scaled"], np.mean(np.array(mse) / run.sd**2), "best.val_mse")
    same(found["fold_mse_scaled"][0], found["val_mse_scaled"], "best.fold_mse_scaled", 1e-12)
    assert len(found["fold_mse_scaled"]) == run.folds
    study = run.record["study"]
    names = ("COMPLETE", "PRUNED", "FAIL", "RUNNING")
    assert study["states"] == {n: sum(t.state.name == n for t in run.study.trials) for n in names}
    assert study["n_trials"] == sum(study["states"].values())
    assert (study["name"], study["direction"]) == (run.study.study_name, "minimize")


def check_ensemble(run: Finished) -> None:
    """Which trials are averaged, with what weights, trained for how long; and that the saved members are those."""
    listed, k = run.record["ensemble"], len(run.record["ensemble"])
    trials = {t.number: t for t in run.study.trials}
    assert math.fsum(m["weight"] for m in listed) == pytest.approx(1, abs=1e-3)
    for m in listed:
        reports = trials[m["trial"]].intermediate_values
        assert m["epochs"] in (0, min(reports, key=lambda epoch: (reports[epoch], epoch)))
    assert [m["weight"] for m in listed] == sorted((m["weight"] for m in listed), reverse=True)
    total = math.fsum(m["weight"] for m in listed)
    for i, member in enumerate(run.model.members):
        entry = listed[i % k]
        assert member.params == entry["params"]
        assert _key(entry)[2] or trials[entry["trial"]].params.items() <= entry["params"].items()
        same(member.weight, entry["weight"] / total * k / len(run.model.members), "weights of the members", 0.0, 1e-4)
        buffers = ("center", "scale", "usual_", "covariate_", "clip_", "log_", "skip_", "pretrained.")
        size = sum(t.size for name, t in member.state.items() if not name.startswith(buffers))
        if member.params == run.record["best"]["params"]:
            assert size == run.record["best"]["weights"]


def _key(member: dict[str, Any]) -> Key:
    return member["trial"], member["epochs"], member["params"]["skip"] == "pretrained"


def check_weights(run: Finished) -> None:
    """The members of the saved model and their weights follow from the trials, by the rules that are published."""
    listed = {_key(m): m["weight"] for m in run.record["ensemble"]}
    expected = expected_weights(run)
    assert listed.keys() == expected.keys(), f"members: the folder has {listed}, the oracle {expected}"
    for key, weight in expected.items():
        same(
            listed[key],
            weight,
            f"weight of trial {key[0]} after {key[1]} epochs{', trained beforehand' * key[2]}",
            0.0,
            3e-4,
        )


def check_starts(run: Finished) -> None:
    """What a trial starts from is the simple forecast of its configuration, fitted on the rows of each fold."""
    for trial in run.study.trials:
        params = trial.user_attrs["config"]
        if trial.value is None or all(params[k] == "none" for k in ("skip", "window_norm", "difference")):
            continue
        scores = []
        for fold in range(run.folds):
            windows = run.fold_windows(fold)
            alone = run.model.of(untrained(run, params, run.fold_rows(fold)[0]))
            scores.append(Errors.of(run, windows, run.forecast_of(alone, windows)).mse_scaled / run.fold_units[fold])
        same(trial.user_attrs["start"], np.mean(scores) * run.fold_units[0], f"start of trial {trial.number}", 5e-3)


def expected_weights(run: Finished) -> dict[Key, float]:
    """Return {(trial, epochs): weight} of the saved model."""
    tried, known = [], 0
    trials = {t.number: t for t in run.study.trials}
    for t in run.study.trials:
        known += "fixed_params" in t.system_attrs
        if t.value is None:
            continue
        attrs, params = t.user_attrs, t.user_attrs["config"]
        starts = any(params[name] != "none" for name in ("skip", "window_norm", "difference"))
        start = attrs["start"] if starts else math.inf
        tried.append(Tried(number=t.number, value=t.value, epochs=attrs["best_epoch"], start=start, params=params))
    if len(run.record["retrain"]["seeds"]) == 1:
        best = min(tried, key=lambda t: (t.value, t.number))
        return {(best.number, best.epochs, False): 1.0}

    def errors(one: Tried | None, epochs: int) -> list[Array]:
        if one is not None and epochs == one.epochs:
            packed = trials[one.number].user_attrs["fold_errors"]
            return [np.frombuffer(base64.b64decode(text), dtype="<f2").astype(np.float64) for text in packed]
        beforehand = {"lookback": 1, "hidden_units": 1, "dropout": 0.0, "window_norm": "last", "skip": "pretrained"}
        params = PLAIN.params() | beforehand if one is None else dict(one.params)
        found = []
        for fold in range(run.folds):
            alone = run.model.of(untrained(run, params, run.fold_rows(fold)[0]))
            found.append(run.sampled_errors(fold, run.forecast_of(alone, run.sampled(fold))))
        return found

    return by_errors(tried, known, errors, run.fold_units, run.independent_windows, run.horizon, len(run.table.series))
