"""`result.json`: what a study found, as plain JSON."""

from __future__ import annotations

import math
import platform
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import optuna
import torch
from optuna.trial import FrozenTrial, TrialState

from lstm_tune.diagnosis.evidence import plain
from lstm_tune.diagnosis.forecast_findings import Comparison
from lstm_tune.evaluation.recorded_forecasts import Fit
from lstm_tune.evaluation.score import Score, per_target
from lstm_tune.report.result import TestScore, per_step
from lstm_tune.search.trial_queue import n_counted
from lstm_tune.training.retrain import Member, Retrained
from lstm_tune.training.task import Task

SCHEMA = 1
_PACKAGES = ("lstm-tune", "torch", "optuna", "numpy", "pandas", "scikit-learn", "statsmodels", "safetensors")


def best_record(trial: FrozenTrial, targets: tuple[str, ...]) -> dict[str, Any]:
    """Describe the winner by its number, its parameters and its validation scores."""
    attrs = trial.user_attrs
    return {
        "trial": trial.number,
        "params": attrs["config"],
        "val_mse": per_target(tuple(attrs["val_mse"]), targets),
        "val_mse_scaled": attrs["val_mse_scaled"],
        "value": trial.value,
        "fold_mse_scaled": attrs["fold_mse_scaled"],
        "epochs": attrs["best_epoch"],
        "weights": attrs["parameters"],
    }


def study_record(study: optuna.Study, storage: str | None, *, interrupted: bool) -> dict[str, Any]:
    """Describe the study: name, storage without its password, how its trials ended, whether the user ended it."""
    trials = study.get_trials(deepcopy=False)
    states = Counter(t.state for t in trials)
    names = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING)
    return {
        "name": study.study_name,
        "storage": storage,
        "direction": "minimize",
        "n_trials": sum(states[s] for s in names),
        "states": {s.name: states[s] for s in names},
        "not_counted": sum(t.state.is_finished() for t in trials) - n_counted(study),
        "interrupted": interrupted,
    }


def retrain_record(
    retrained: Retrained, scores: list[Score], best: FrozenTrial, targets: tuple[str, ...]
) -> dict[str, Any]:
    """Describe the retrain: what each seed alone would have scored on the test rows."""
    scaled = [s.mse_scaled for s in scores]
    return {
        "epochs": best.user_attrs["best_epoch"],
        "seeds": [
            {"seed": seed, "mse": per_target(s.mse, targets), "mse_scaled": s.mse_scaled}
            for seed, s in zip(retrained.seeds, scores, strict=True)
        ],
        "mean": statistics.fmean(scaled),
        "sd": statistics.stdev(scaled) if len(scaled) > 1 else None,
    }


def ensemble_record(members: Sequence[Member]) -> list[dict[str, Any]]:
    """Describe what is averaged, the heaviest part first; epochs 0: a trial's forecast before any training."""
    return [
        {"trial": m.trial, "weight": round(m.weight, 4), "epochs": m.epochs, "params": m.config.params()}
        for m in members
    ]


def baselines_record(task: Task, test: dict[str, Score], targets: tuple[str, ...]) -> dict[str, Any]:
    """Put each baseline's validation and test MSE together, the latter for each step, too."""
    return {
        name: {
            "val_mse": per_target(task.baselines[name][0], targets),
            "val_mse_scaled": task.baselines[name][1],
            "test_mse": per_target(score.mse, targets),
            "test_mse_scaled": score.mse_scaled,
            "per_step_mse": per_step(score, task.scale.sd),
        }
        for name, score in test.items()
    }


def skill_record(test: TestScore, baselines: dict[str, Score]) -> dict[str, float | None]:
    """Return 1 - mse/baseline for each baseline (scaled MSE); None where the baseline makes no error at all."""
    return {
        name: 1 - test.mse_scaled / score.mse_scaled if score.mse_scaled > 0 else None
        for name, score in baselines.items()
    }


def interval_record(against: dict[str, Comparison]) -> dict[str, list[float] | None]:
    """Return the 95% interval of the skill against each baseline; None where too few windows tell none."""
    return {name: [1 - c.high, 1 - c.low] if math.isfinite(c.low) else None for name, c in against.items()}


def in_sample_record(fit: Fit) -> dict[str, Any]:
    """Return the scaled MSEs on rows that were fitted on, and the noise estimate; None where there is none."""
    return {
        "mse_scaled": plain(fit.model),
        "baselines": {name: plain(mse) for name, mse in fit.baselines.items()},
        "noise_estimate": plain(fit.noise),
        "windows": fit.windows,
    }


def test_record(test: TestScore) -> dict[str, Any]:
    """Return the test score as JSON."""
    return asdict(test) | {"ci95": list(test.ci95)}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    return {name: version(name) for name in _PACKAGES} | {"python": platform.python_version()}


def env_record(device: str, threads: int, workers: int, precision: str, seed: int) -> dict[str, Any]:
    """Describe the software, the device, the processes and the seed."""
    return {
        "versions": versions(),
        "platform": f"{sys.platform}-{platform.machine()}",
        "device": device if device == "cpu" else torch.cuda.get_device_name(device),
        "threads": threads,
        "workers": workers,
        "precision": precision,
        "seed": seed,
    }


def timing_record(seconds: dict[str, float], study: optuna.Study, before: int) -> dict[str, Any]:
    """Return seconds by phase, trials per hour and training windows per second.

    Args:
        seconds: of this run, by phase.
        study: that it went on with.
        before: trials that had ended when it began.
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    trained = [t for t in trials if "same_as_trial" not in t.user_attrs]
    samples = math.fsum(t.user_attrs.get("samples", 0) for t in trained)
    busy = math.fsum(t.user_attrs.get("seconds", 0) for t in trained)
    ended = n_counted(study) - before
    return {
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "trials_per_hour": round(3600 * ended / seconds["study"], 1) if seconds["study"] > 0 else None,
        "samples_per_second": round(samples / busy, 1) if busy > 0 else None,
    }
