"""`trials.csv`, `best`, `study` and `ensemble` compared with the study itself and the published rule of the weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from oracle import Finished, same


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
    weights = ensemble_weights(run)
    assert {(m["trial"], m["epochs"]): m["weight"] for m in listed} == {
        key: pytest.approx(weight, abs=6e-5) for key, weight in weights.items()
    }
    assert [m["weight"] for m in listed] == sorted((m["weight"] for m in listed), reverse=True)
    total = math.fsum(m["weight"] for m in listed)
    for i, member in enumerate(run.model.members):
        entry = listed[i % k]
        assert member.params == entry["params"]
        assert trials[entry["trial"]].params.items() <= entry["params"].items()
        same(member.weight, entry["weight"] / total * k / len(run.model.members), "weights of the members", 0.0, 1e-4)
        buffers = ("center", "scale", "covariate_", "clip_", "log_", "skip_")
        size = sum(t.size for name, t in member.state.items() if not name.startswith(buffers))
        if member.params == run.record["best"]["params"]:
            assert size == run.record["best"]["weights"]


def ensemble_weights(run: Finished) -> dict[tuple[int, int], float]:
    """Return {(trial, epochs): weight} by the published rule: the best two of each kind, weighted by 1 / value²."""
    horizon, rows = run.horizon, sum(b - a for a, b in run.parts["val"])
    independent = rows / horizon
    distinct: dict[float, optuna.trial.FrozenTrial] = {}
    for t in run.study.trials:
        if t.state is optuna.trial.TrialState.COMPLETE:
            distinct.setdefault(t.value, t)
    ranked = sorted(distinct.values(), key=lambda t: t.value)
    best = ranked[0]

    def params(t: optuna.trial.FrozenTrial) -> dict[str, Any]:
        found: dict[str, Any] = t.user_attrs["config"]
        return found

    def epochs(t: optuna.trial.FrozenTrial) -> int:
        return min(t.intermediate_values, key=lambda e: (t.intermediate_values[e], e))

    def naive(t: optuna.trial.FrozenTrial) -> bool:
        return epochs(t) == 0 and params(t)["skip"] != "linear"

    if len(run.record["retrain"]["seeds"]) == 1 and run.record["retrain"]["asked"] == 1:
        return {(best.number, epochs(best)): 1.0}
    near = [best, *(t for t in ranked[1:] if t.value <= 2 * best.value and not naive(t))]
    kinds: dict[Any, list[Any]] = {}
    for t in near:
        kinds.setdefault(tuple(params(t)[n] for n in ("transform", "difference", "window_norm", "skip")), []).append(t)
    firsts = sorted((group[0] for group in kinds.values()), key=lambda t: t.value)
    seconds = sorted((t for group in kinds.values() for t in group[1:2]), key=lambda t: t.value)
    trust = 1 + 8 / independent
    weights = {}
    for t in [*firsts, *seconds][:10]:
        p = params(t)
        level = p["window_norm"] == p["difference"] == "none"
        prior = 1 / trust if level else trust if p["skip"] == "linear" else 1.0
        weights[t.number, epochs(t)] = prior * (best.value / t.value) ** 2
    total = math.fsum(weights.values())
    weights = {key: weight / total for key, weight in weights.items()}
    starts = [
        (t.intermediate_values[0], t.number)
        for t in run.study.trials
        if t.state is optuna.trial.TrialState.COMPLETE
        and any(params(t)[name] != "none" for name in ("skip", "window_norm", "difference"))
    ]
    if starts:
        start, number = min(starts)
        n, gain = independent * run.folds, max(0.0, 1 - best.value / start)
        share = n**2 / (n**2 + 150**2) / (1 + n * gain**2)
        weights = {key: (1 - share) * weight for key, weight in weights.items()}
        twins = [key for key in weights if key[1] == 0 and distinct_value(run, key[0]) == start]
        key = (*twins, (number, 0))[0]
        weights[key] = weights.get(key, 0.0) + share
    return weights


def distinct_value(run: Finished, number: int) -> float:
    """Return a trial's value."""
    value = run.study.trials[number].value
    assert value is not None
    return value
