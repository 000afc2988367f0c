"""`trials.csv`, `best`, `study` and `ensemble` compared with the study itself and the published rule of the weights."""

from __future__ import annotations

import math

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
    assert math.fsum(m["weight"] for m in listed) == pytest.approx(1, abs=1e-3)
    for m in listed:
        reports = trials[m["trial"]].intermediate_values
        assert m["epochs"] in (0, min(reports, key=lambda epoch: (reports[epoch], epoch)))
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
