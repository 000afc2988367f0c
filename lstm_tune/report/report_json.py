"""`report.json`: what the report draws and no other file of the run folder holds."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import WilcoxonPruner
from optuna.trial import FrozenTrial, TrialState

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Split
from lstm_tune.data.time_labels import series_name
from lstm_tune.data.windows import Positions, Windows
from lstm_tune.report.drawn_forecasts import Forecasters, forecasts_record
from lstm_tune.report.encoding import encode_times, envelope, evenly, rounded_list
from lstm_tune.report.forecast_csv import SeriesErrors
from lstm_tune.report.page import SCHEMA
from lstm_tune.report.search_figures import DOTS, PRUNED
from lstm_tune.search.trials import Trial, completed

LEAST_TRIALS = 8  # completed ones, from which on importances are computed
_FOREST_TRIALS = 300  # fANOVA takes a second for these, and grows faster than their number
_CURVES = 100
_DRAWN = 24_000  # points of the drawn series, all together
_DRAWN_SERIES = 100


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ReportSource:
    """What `report.json` is drawn from, once a study has been tested."""

    study: optuna.Study
    trials: Sequence[Trial]  # of the study
    split: Split
    period: int | None  # rows in a season; None: there is none
    windows: Windows  # of all rows
    positions: Positions  # of the test windows
    forecasters: Forecasters
    errors: Sequence[SeriesErrors]  # of the test windows


def collect(source: ReportSource) -> dict[str, Any]:
    """Return the content of `report.json`."""
    trials = [t for t in source.trials if t.finished]
    return {
        "schema": SCHEMA,
        "period": source.period,
        "trials": drawn_trials(trials),
        "parameters": parameters(source.study.get_trials(deepcopy=False)),
        "importances": importances(source.study),
        "curves": curves(trials, by_fold=isinstance(source.study.pruner, WilcoxonPruner)),
        "drawn": drawn(source.windows.data, source.split),
        "forecasts": forecasts_record(
            source.forecasters, source.windows, source.positions, source.errors, source.period
        ),
    }


def drawn_trials(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return number, state and score of every trial, and the parameters of those that are drawn with them.

    These are all, or evenly spaced ones in the order of their scores, the best among them, and some pruned ones.
    """
    scored = completed(trials)
    pruned = [t for t in trials if t.state == "PRUNED"]
    chosen = [scored[i] for i in evenly(len(scored), DOTS)] + [pruned[i] for i in evenly(len(pruned), PRUNED)]
    detailed = {t.number for t in chosen}
    return [
        {
            "number": t.number,
            "state": t.state,
            "value": t.value if t.value is not None and math.isfinite(t.value) else None,
            "params": dict(t.settings) if t.number in detailed else {},
        }
        for t in trials
    ]


def parameters(trials: Sequence[FrozenTrial]) -> dict[str, dict[str, Any]]:
    """Return what each searched parameter could be."""
    found: dict[str, BaseDistribution] = {}
    for trial in trials:
        found |= trial.distributions
    return {name: _bounds(d) for name, d in found.items() if not d.single()}


def _bounds(distribution: BaseDistribution) -> dict[str, Any]:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return {"choices": list(choices)}
        case IntDistribution() | FloatDistribution():
            return {"low": distribution.low, "high": distribution.high, "log": distribution.log}
    return {}


def importances(study: optuna.Study) -> dict[str, Any] | None:
    """Return each parameter's share in how much the validation score varies; None if too few trials were completed.

    By fANOVA (Hutter, Hoos and Leyton-Brown 2014) on forests of 32 trees; of very many trials by PED-ANOVA (Watanabe,
    Bansal and Hutter 2023), which takes no time.
    """
    completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len({str(sorted(t.params.items())) for t in completed}) < LEAST_TRIALS:
        return None
    # Not above: they import scikit-learn, which takes half a second that a study waits for before its first trial.
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is experimental
        forest = len(completed) <= _FOREST_TRIALS
        evaluator = FanovaImportanceEvaluator(n_trees=32, seed=0) if forest else PedAnovaImportanceEvaluator()
        try:
            shares = get_param_importances(study, evaluator=evaluator)
        except (ValueError, RuntimeError):  # no parameter varies, or all scores are equal
            return None
    if not any(np.isfinite(share) and share > 0 for share in shares.values()):
        return None
    return {
        "method": "fANOVA" if forest else "PED-ANOVA",
        "trials": len(completed),
        "shares": {name: round(float(share), 5) for name, share in shares.items() if np.isfinite(share)},
    }


def curves(trials: Sequence[Trial], *, by_fold: bool) -> dict[str, Any]:
    """Return learning curves: the best trial's first, then the others' in the order of their numbers.

    Args:
        trials: that have ended.
        by_fold: whether the pruner was asked after each fold, so that a pruned trial reported no epochs.
    """
    own = [t for t in trials if t.same_as is None]
    found = [curve for t in own if (curve := _curve(t, by_fold)) is not None]
    best = next((t.number for t in completed(own)), None)
    found.sort(key=lambda c: (c["trial"] != best, c["trial"]))
    kept = [found[i] for i in evenly(len(found), _CURVES)]
    for curve in kept[1:]:
        del curve["train"]
    return {"of": len(found), "kept": kept}


def _curve(trial: Trial, by_fold: bool) -> dict[str, Any] | None:
    val: list[float | None]
    if trial.history:
        epochs, train, val = ([row[i] for row in trial.history] for i in range(3))
    elif trial.reports and not by_fold:
        epochs, val = list(trial.reports), list(trial.reports.values())
        train = [None] * len(epochs)
    else:
        return None
    return {
        "trial": trial.number,
        "state": trial.state,
        "epochs": epochs,
        "val": rounded_list(np.array(val, dtype=np.float64), 4),
        "train": rounded_list(np.array(train, dtype=np.float64), 4),
        "best_epoch": trial.outcome.best_epoch if trial.outcome else None,
    }


def drawn(series: SeriesSet, parts: Split) -> dict[str, Any]:
    """Return each target of each series in few points, with the borders of its parts.

    If there are too many series, evenly spaced ones are taken. Values are in working units: minus `origin`.
    """
    every = [(c, s) for c in range(series.n_channels) for s in range(series.n_series)]
    chosen = [every[i] for i in evenly(len(every), _DRAWN_SERIES)]
    lines = []
    for c, s in chosen:
        a, b = series.offsets[s], series.offsets[s + 1]
        values = np.where(series.observed[c, a:b].numpy(), series.values[c, a:b].double().numpy(), np.nan)
        rows, line = envelope(values, max(100, _DRAWN // len(chosen)))
        lines.append(
            {
                "name": series_name(series.series[s], series.targets[c], series.n_channels),
                "rows": b - a,
                "times": encode_times(series.times[a + rows]),
                "origin": series.origin[c],
                "values": rounded_list(line, 7),
                "parts": {
                    name: _ends(series, ranges[s])
                    for name, ranges in (("train", parts.train), ("val", parts.val), ("test", parts.test))
                },
            }
        )
    return {"of": len(every), "lines": lines}


def _ends(series: SeriesSet, part: tuple[int, int]) -> dict[str, Any] | None:
    """Return the first and the last time of a part; None: the series was left out."""
    start, end = part
    return None if end <= start else encode_times(series.times[np.array([start, end - 1])])
