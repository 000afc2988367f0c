"""The numbers that findings rest on (`evidence`), each found a second time from frame, record, trials and forecasts.

A rule returns what the finding of its code says, or None if there is none to make. If a code is in `_SURE`, its finding
is there if and only if the rule finds something; of the other codes the tests of their wing say when they appear.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import optuna
import pandas as pd
from oracle import Finished, same
from oracle_data import Array
from oracle_data_findings import DATA_RULES, EACH_COLUMN, Evidence
from scipy.stats import t as student

_ROUNDED = {4: 1e-3, 3: 6e-3, 2: 0.06}  # what is lost by rounding to so many digits
_DIGITS = {"p": 2} | dict.fromkeys(  # all others have four
    (
        "share_of_mse",
        "autocorrelation",
        "range_ratio",
        "r2",
        "skill_of_best_baseline",
        "late_gain",
        "steps_per_epoch",
        "seed_sd",
        "expected_gain",
        "expected_gain_of_best_value",
        "gain_of_last_third",
    ),
    3,
)
_NOT_FOUND_AGAIN = {  # p values of tests that have an oracle of their own in tests/diagnosis, and a limit
    "adf_p",
    "kpss_p",
    "mean_p",
    "variance_p",
    "ks_distance",
    "ks_p",
    "max_lookback",
}
_SURE = (
    "irregular_time",
    "later_rows_trained_on",
    "missing_values",
    "seasonality",
    "too_little_data",
    "worse_than_baseline",
    "underfit",
    "interval_coverage",
    "outliers_dominate",
    "biased",
    "predicts_the_mean",
    "space_edge",
    "more_trials",
    "stop_now",
)


def check_findings(run: Finished) -> None:
    """Every number of every finding, and that none is missing of those that a plain rule decides."""
    found = {finding["code"]: finding["evidence"] for finding in run.record["findings"]}
    rules = DATA_RULES | STUDY_RULES
    for code in _SURE:
        assert (code in found) == (rules[code](run) is not None), code
    for code, evidence in found.items():
        assert code in rules, f"{code}: write a rule that finds its numbers"
        expected = rules[code](run)
        assert expected is not None, code
        if setting := evidence.get("seen_to_by"):
            name, value = setting.split(" = ")
            assert str(run.record["best"]["params"][name]) == value
        assert evidence.keys() - expected.keys() - {"seen_to_by"} <= _NOT_FOUND_AGAIN, code
        for name, value in expected.items():
            digits = 3 if code == "outliers_dominate" else _DIGITS.get(name, 4)
            _compare(evidence[name], value, f"{code}: {name}", _ROUNDED[digits])


def _compare(found: Any, expected: Any, what: str, rel: float) -> None:
    if isinstance(expected, (float, np.floating)):
        same(found, float(expected), what, rel, 1e-5)
    elif isinstance(expected, list) and expected and isinstance(expected[0], float):
        same(found, expected, what, rel)
    else:
        assert found == expected, what


def check_first_finding(run: Finished) -> None:
    """The last column of `series.csv`: of each series the most severe finding on its data, not the first one."""
    path = run.folder / "series.csv"
    if not path.exists():
        return
    concerned = {f["code"] for f in run.record["findings"] if "series_looked_at" in f["evidence"]}
    assert concerned <= EACH_COLUMN.keys()
    table = pd.read_csv(path)
    own: dict[tuple[str, str], list[tuple[int, float, str]]] = {}
    for code, rule in EACH_COLUMN.items():
        for name, target, severity, rank in rule.of_each(run):
            own.setdefault((name, target), []).append((severity, -rank, code))
    expected = [min(own.get((s, t), [(9, 0.0, "")]))[2] for s, t in zip(table["series"], table["target"], strict=True)]
    assert table["first_finding"].fillna("").tolist() == expected


# ---- the scores


def _worse_than_baseline(run: Finished) -> Evidence | None:
    test = run.record["test"]["mse_scaled"]
    others = {name: entry["test_mse_scaled"] for name, entry in run.record["baselines"].items()}
    best = min(others, key=lambda name: others[name])
    if test / others[best] - 1 < 0.02:
        return None
    return {
        "baseline": best,
        "ratio": test / others[best],
        "skill_ci95": run.record["skill_ci95"][best],
        "test_mse_scaled": test,
        "baseline_mse_scaled": others[best],
    }


def _underfit(run: Finished) -> Evidence | None:
    fit, test = run.record["in_sample"], run.record["test"]["mse_scaled"]
    own, others = fit["mse_scaled"], fit["baselines"]
    better = {
        name: own / other
        for name, other in others.items()
        if own >= 1.2 * other and test >= 1.1 * run.record["baselines"][name]["test_mse_scaled"]
    }
    evidence: Evidence = {"fitted_mse_scaled": own}
    if better:
        name = max(better, key=lambda n: better[n])
        return evidence | {"baseline": name, "baseline_fitted_mse_scaled": others[name]}
    least = fit["noise_estimate"]
    if not least or own < 0.02 or min(own, test) < 2 * least:
        return None
    return evidence | {"noise_estimate": least}


def _interval_coverage(run: Finished) -> Evidence | None:
    found = (run.record["test"]["intervals"] or {}).get("model", {})
    missed = []
    for level, entry in found.items():
        low, high = entry["coverage_ci95"]
        if not low <= float(level) / 100 <= high:
            missed.append((abs(entry["coverage"] - float(level) / 100), float(level), entry))
    if not missed:
        return None
    _, level, entry = max(missed, key=lambda m: m[0])
    return {"level": level, "coverage": entry["coverage"], "coverage_ci95": entry["coverage_ci95"]}


# ---- the forecasts of the test rows, in units of each series' own spread


def _errors(run: Finished) -> Array:
    tested = run.tested(run.ahead)
    return (tested.ahead - tested.actual) / tested.own_sd[tested.group, None]


def _outliers_dominate(run: Finished) -> Evidence | None:
    squares: dict[tuple[int, int, int], list[float]] = {}
    for window, errors in zip(run.test, _errors(run), strict=True):
        for h in np.flatnonzero(np.isfinite(errors)):
            squares.setdefault((window.channel, window.series, window.row + int(h)), []).append(errors[h] ** 2)
    rows = sorted(squares, key=lambda key: -float(np.mean(squares[key])))
    each = [float(np.mean(squares[key])) for key in rows]
    few = math.ceil(0.01 * len(each))
    share = sum(each[:few]) / sum(each)
    if len(each) < 30 or share < 0.3:
        return None
    named = [str(run.table.series[s].times[row])[:10] for _, s, row in rows[: min(few, 3)]]
    return {"rows": few, "of_rows": len(each), "share": share, "worst": named}


def _biased(run: Finished) -> Evidence | None:
    errors, channel = _errors(run), np.array([w.channel for w in run.test])
    worst = (0.0, 1.0)
    for c in range(run.channels):
        each = np.array([np.nanmean(row) for row in errors[channel == c]])
        size = max(2 * run.horizon, math.isqrt(len(each)))
        blocks = [each[i * size : (i + 1) * size].mean() for i in range(len(each) // size)]
        if len(blocks) < 4:
            continue
        t = np.mean(blocks) / np.std(blocks, ddof=1) * math.sqrt(len(blocks))
        p = 2 * student.sf(abs(t), len(blocks) - 1) * run.channels
        if p < 0.01 and abs(each.mean()) >= max(0.05, abs(worst[0])):
            worst = float(each.mean()), p
    share = worst[0] ** 2 / sum(float(np.nanmean(errors[channel == c] ** 2)) for c in range(run.channels))
    return {"mean_error_scaled": worst[0], "share_of_mse": share, "p": worst[1]} if share >= 0.1 else None


def _missed_seasonality(run: Finished) -> Evidence:
    """The largest autocorrelation of the errors of the first or the last step, at the season that is not below it."""
    errors, found = _errors(run), []
    for step in {1, run.horizon}:
        lag = run.period * -(-step // run.period)  # type: ignore[operator]
        place = {(w.channel, w.series, w.row): e for w, e in zip(run.test, errors[:, step - 1], strict=True)}
        known = np.array([e for e in place.values() if np.isfinite(e)])
        pairs = [
            (e - known.mean()) * (other - known.mean())
            for (c, s, row), e in place.items()
            for other in [place.get((c, s, row + lag), math.nan)]
            if np.isfinite(e) and np.isfinite(other)
        ]
        found.append((float(np.mean(pairs) / known.var()), step, lag))
    strength, step, lag = max(found)
    return {"period": run.period, "lag": lag, "step": step, "autocorrelation": strength}


def _predicts_the_mean(run: Finished) -> Evidence | None:
    tested = run.tested(run.ahead)
    mean, sd = (x[tested.group, None] for x in run.own)
    ranges, variances = [], []
    for c in range(run.channels):
        here = (tested.channel == c)[:, None] & np.isfinite(tested.actual)
        f, y = (((x - mean) / sd)[here] for x in (tested.ahead, tested.actual))
        ranges.append([np.ptp(np.quantile(x, [0.05, 0.95])) ** 2 for x in (f, y)])
        variances.append(y.var())
    ratio = np.sum(ranges, axis=0)[0] / np.sum(ranges, axis=0)[1]
    if ratio >= 0.1:
        return None
    test = run.record["test"]["mse_scaled"]
    least = min(entry["test_mse_scaled"] for entry in run.record["baselines"].values())
    return {
        "range_ratio": math.sqrt(ratio),
        "r2": 1 - test / float(np.mean(variances)),
        "skill_of_best_baseline": 1 - least / test,
    }


# ---- the trials


def _ended(run: Finished) -> list[optuna.trial.FrozenTrial]:
    """Return the trials that have ended and repeat none, in their order; without those that `_cut` says."""
    return [t for t in _finished(run) if not _cut(t)]


def _finished(run: Finished) -> list[optuna.trial.FrozenTrial]:
    return [t for t in run.study.trials if t.state.is_finished() and "same_as_trial" not in t.user_attrs]


def _cut(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether the time limit ended it before its first epoch; then it tells nothing of its configuration."""
    return trial.user_attrs.get("stopped") == "time" and trial.user_attrs["epochs"] == 0


def _ranked(run: Finished) -> list[optuna.trial.FrozenTrial]:
    """Return the completed ones, the best first, of equal values the first one."""
    ranked = sorted((t for t in _finished(run) if t.value is not None), key=lambda t: (t.value, t.number))
    return [t for i, t in enumerate(ranked) if i == 0 or t.value != ranked[i - 1].value]


def _too_few_epochs(run: Finished) -> Evidence:
    best = _ranked(run)[0]
    if _cut(best):
        return {"epochs": 0, "best_epoch": 0, "stopped": "time"}
    values = [row[2] for row in best.user_attrs["history"]]
    epochs = len(values) - 1
    gain = 1 - values[-1] / values[-1 - max(1, epochs // 4)]
    if run.record["best"]["params"]["schedule"] in ("cosine", "one_cycle"):
        gain /= 2
    stopped = best.user_attrs["stopped"]
    return {"epochs": epochs, "best_epoch": int(np.argmin(values)), "late_gain": gain, "stopped": stopped}


def _batch_size(run: Finished) -> Evidence:
    best = _ranked(run)[0]
    size, epochs = run.record["best"]["params"]["batch_size"], len(best.user_attrs["history"]) - 1
    return {"batch_size": size, "steps_per_epoch": best.user_attrs["samples"] / run.folds / epochs / size}


def _space_edge(run: Finished) -> Evidence | None:
    best, asked = run.record["best"]["params"], run.record["settings"]["space"]["parameters"]
    edges = {}
    for name, values in asked.items():
        if isinstance(values, list) and len(values) > 2 and not isinstance(values[0], str):
            for side, end in _ends(values):
                if best[name] == end:
                    edges[name] = {"side": side, "bound": end}
    if not edges or len(_ended(run)) < 3:
        return None
    return {"edges": edges, "better_near_bound": {}}  # too few trials to tell


def _ends(values: list[float]) -> Iterator[tuple[str, float]]:
    yield "low", min(values)
    yield "high", max(values)


def _winner_within_seed_noise(run: Finished) -> Evidence:
    ranked = [t for t in _ranked(run) if not _cut(t)]
    seeds = [entry["mse_scaled"] for entry in run.record["retrain"]["seeds"]]
    trained = [m["weight"] for m in run.record["ensemble"] if m["epochs"]]
    noise = np.std(seeds, ddof=1) / np.mean(seeds) / math.sqrt(sum(w * w for w in trained))
    least = ranked[0].value
    most = min(1.25, 1 + 2 * math.sqrt(2) * noise) * least
    rivals = [t.number for t in ranked[1:] if t.value <= most]
    return {"winner": ranked[0].number, "as_good": rivals[:10], "count": len(rivals), "seed_sd": noise}


def _outlook(run: Finished) -> tuple[Evidence, float]:
    """What as many trials again would bring, over all ways to draw a quarter or a half of the trials."""
    ended = [t for t in _ended(run) if t.state.name != "FAIL"]
    done = [t.value for t in ended if t.value is not None]
    n = len(ended)
    if n < 8 or len(done) < 4:
        return {"trials": n, "completed": len(done)}, math.nan
    logs = np.log([max(done) if t.value is None else t.value for t in ended])
    quarter, half = (
        float(np.mean([min(some) for some in itertools.combinations(logs, k)]))
        for k in (max(1, n // 4), max(2, n // 2))
    )
    last, before = half - logs.min(), quarter - half
    lately = logs[: n - max(1, n // 3)].min() - logs.min()
    log_gain = max(last * min(1.0, last / before) if before > 0 else last, lately / 2)
    gain = 1 - math.exp(-log_gain / 4)
    return {
        "trials": n,
        "expected_gain": gain,
        "expected_gain_of_best_value": 1 - math.exp(-log_gain),
        "for_trials": n,
        "trials_since_best": n - 1 - int(logs.argmin()),
        "gain_of_last_third": 1 - math.exp(-lately),
    }, gain


def _more_trials(run: Finished) -> Evidence | None:
    evidence, gain = _outlook(run)
    return None if gain < 0.01 else evidence


def _stop_now(run: Finished) -> Evidence | None:
    evidence, gain = _outlook(run)
    return evidence if gain < 0.01 else None


STUDY_RULES: Mapping[str, Callable[[Finished], Evidence | None]] = {
    "worse_than_baseline": _worse_than_baseline,
    "underfit": _underfit,
    "interval_coverage": _interval_coverage,
    "outliers_dominate": _outliers_dominate,
    "biased": _biased,
    "missed_seasonality": _missed_seasonality,
    "predicts_the_mean": _predicts_the_mean,
    "too_few_epochs": _too_few_epochs,
    "batch_size": _batch_size,
    "space_edge": _space_edge,
    "winner_within_seed_noise": _winner_within_seed_noise,
    "more_trials": _more_trials,
    "stop_now": _stop_now,
}
