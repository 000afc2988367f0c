"""What a study found, in at most three sentences; and all its findings together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lstm_tune.diagnosis.finding import DATA_CODES, SEARCH_CODES, SEVERITIES, Finding, ranked
from lstm_tune.diagnosis.forecast_findings import forecast_findings, worse_than_baseline
from lstm_tune.diagnosis.search_findings import Search, search_findings
from lstm_tune.diagnosis.training_findings import training_findings
from lstm_tune.evaluation.baseline_labels import label_of
from lstm_tune.evaluation.recorded_forecasts import Forecasts
from lstm_tune.utils.text import number

# What a finding says of the MSE, as part of a sentence: "What keeps it up: {cause}."; `_cause` knows some more closely.
_CAUSES = {
    "non_stationary_level": "the level of the series wanders",
    "trend_beyond_training_range": "the trend leads out of the range that was trained on",
    "train_test_shift": "the test rows differ from the rows that were trained on",
    "scale_unfit": "the size of the values does not suit a network",
    "outliers": "the data hold outliers",
    "missing_values": "values are missing",
    "irregular_time": "the time steps are irregular",
    "constant_series": "the series hardly moves",
    "too_little_data": "there are few rows to learn from",
    "seasonality": "there is a season to take into account",
    "low_signal": "the past values tell little about the next ones",
    "underfit": "the model does not even fit the rows it was trained on",
    "overfit": "the model learns its training rows by heart",
    "learning_rate_too_high": "the learning rate is too high",
    "learning_rate_too_low": "the learning rate is too low",
    "too_few_epochs": "training ended too early",
    "batch_size": "the batch size does not suit the data",
    "diverged_trials": "many trials diverged",
    "copies_last_value": "the forecast only follows the last value",
    "predicts_the_mean": "the forecast is nearly the mean",
    "missed_seasonality": "a season is left in the errors",
    "outliers_dominate": "a few rows carry the error",
    "biased": "the forecasts are off to one side",
    "validation_overfit": "the winner suits the validation rows alone",
}
_LIKE_NOISE = 1.25  # times the noise estimate
_NO_FAULT = {"seasonality"}  # to know, not to mend
_LEVEL = 0.5  # standard deviations by which the mean moves, from which a shift is one of the level


def study_findings(search: Search, tested: Forecasts) -> list[Finding]:
    """Return what trials, test forecasts and search say, the gravest first."""
    return ranked(
        [
            *filter(None, [worse_than_baseline(search.scores)]),
            *training_findings(search.trials, search.scores),
            *forecast_findings(tested, search.scores),
            *search_findings(search),
        ]
    )


def verdict(record: Mapping[str, Any]) -> str:
    """Return what `result.json` says, in at most three sentences of plain words.

    The first one compares the test MSE with that of the best forecast that needs no LSTM, the second one names the main
    causes of what is left of it, the third one says what to do.

    Args:
        record: of the result; `test`, `baselines`, `skill` and `findings` are read, and `skill_ci95` and the parameters
            and best epoch of `best` where they are there.
    """
    findings = record["findings"]
    params = (record.get("best") or {}).get("params") or {}
    known = [f for f in findings if f["code"] in _CAUSES and f["code"] not in _NO_FAULT]
    grave = [f for f in known if f["severity"] != "info" or "seen_to_by" in f["evidence"]]
    causes = [f for f in grave if not seen_to(f, params)]
    # Forecasts and training show what does keep the error up; data, what may.
    causes.sort(key=lambda f: (SEVERITIES.index(f["severity"]), f["code"] in DATA_CODES))
    settled = {_cause(f): seen_to(f, params) for f in grave if seen_to(f, params)}
    return " ".join([_comparison(record), _because(causes, settled, record), _next(causes, findings)]).strip()


def seen_to(finding: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """Return the setting of the tuned model that answers what the data show, such as "window_norm = last"; "" of none.

    Args:
        finding: as in `result.json`.
        params: of the best trial.
    """
    code, evidence = finding["code"], finding["evidence"]
    shift = code == "train_test_shift" and "ks_distance" not in evidence
    moved = shift and abs(evidence.get("mean_shift_in_sd", 0.0)) >= _LEVEL
    answers: dict[str, Sequence[Any]] = {}
    if code in ("non_stationary_level", "trend_beyond_training_range") or moved:
        answers = {"window_norm": ("last", "standard"), "difference": ("first", "seasonal")}
    elif shift:
        answers = {"window_norm": ("standard",), "transform": ("log",)}
    elif code == "scale_unfit" and ("skewness" in evidence or "spread_grows_by_level_to_the" in evidence):
        answers = {"transform": ("log",)}
    elif code == "seasonality":
        if params.get("lookback", 0) >= evidence.get("period", math.inf):
            return f"lookback = {params['lookback']}"
        answers = {"difference": ("seasonal",), "skip": ("seasonal",)}
    elif code == "outliers":
        if params.get("outlier_clip"):
            return f"outlier_clip = {params['outlier_clip']}"
        answers = {"loss": ("mae", "huber")}
    return next((f"{name} = {params[name]}" for name, values in answers.items() if params.get(name) in values), "")


def answered(findings: Iterable[Finding], params: Mapping[str, Any]) -> list[Finding]:
    """Return findings on the data as they concern the tuned model: what its settings see to is good to know, no more.

    Args:
        findings: on the data.
        params: of the best trial.
    """
    told = []
    for finding in findings:
        setting = seen_to(finding.to_dict(), params)
        if setting:
            evidence = {**finding.evidence, "seen_to_by": setting}
            advice = f"Nothing: the tuned model meets it with {setting}."
            finding = replace(finding, severity="info", evidence=evidence, advice=advice)
        told.append(finding)
    return told


def _cause(finding: Mapping[str, Any]) -> str:
    """Return what the finding says of the MSE, as part of a sentence."""
    code, evidence = finding["code"], finding["evidence"]
    if code == "non_stationary_level" and "slope_per_row" in evidence:
        return "the level follows a trend"
    if code == "train_test_shift" and evidence.get("part") == "validation":
        return "the validation rows differ from the rows that were trained on"
    if code == "scale_unfit" and "skewness" in evidence:
        return "the values have a long tail"
    if code == "scale_unfit" and "spread_grows_by_level_to_the" in evidence:
        return "the spread grows with the level"
    return _CAUSES[code]


def _comparison(record: Mapping[str, Any]) -> str:
    """Say how the model does beside the best baseline, and how sure that is."""
    test, baselines = record["test"], record["baselines"]
    single = not isinstance(test["mse"], Mapping)
    own = test["mse"] if single else test["mse_scaled"]
    what = f"The {'' if single else 'scaled '}test MSE of {number(own)}"
    name = min(baselines, key=lambda n: baselines[n]["test_mse_scaled"], default=None)
    skill = None if name is None else record["skill"].get(name)
    if name is None:
        return f"{what} has no baseline to compare with."
    if skill is None:
        return f"{what} is above that of {label_of(name).sentence}, which makes no error at all."
    other = baselines[name]["test_mse" if single else "test_mse_scaled"]
    against = f"that of {label_of(name).sentence} ({number(other)}), the best forecast without an LSTM"
    if abs(skill) < 0.005:
        return f"{what} is level with {against}."
    size = (
        f"{skill:.0%} below"
        if skill > 0
        else f"{-skill:.0%} above"
        if skill > -1
        else f"{1 - skill:.1f} times"
        if skill > -99
        else "over 100 times"
    )
    low, high = _interval(record, name)
    if math.isnan(low):
        sure = "on too few windows to tell whether by chance"
    elif low > 0 or high < 0:
        sure = "by more than chance explains"
    else:
        sure = "though that may be chance"
    return f"{what} is {size} {against}, {sure}."


def _interval(record: Mapping[str, Any], name: str) -> tuple[float, float]:
    low, high = (record.get("skill_ci95") or {}).get(name) or (None, None)
    return (math.nan, math.nan) if low is None or high is None else (low, high)


def _because(causes: Sequence[Mapping[str, Any]], settled: Mapping[str, str], record: Mapping[str, Any]) -> str:
    grave = [f for f in causes if f["severity"] == "high"] or list(causes)
    untrained = (record.get("best") or {}).get("epochs") == 0
    no_better = "training made the best trial no better than the forecast that it corrects" if untrained else ""
    if not grave:
        beaten = any(f["code"] == "worse_than_baseline" for f in record["findings"])
        fit, noise = (record.get("in_sample", {}).get(key) for key in ("mse_scaled", "noise_estimate"))
        noisy = not beaten and fit is not None and noise is not None and fit <= _LIKE_NOISE * noise
        rest = ": what is left is about as much as similar windows differ by" if noisy else ""
        if no_better:
            rest = f": {no_better}, so there may be little for an LSTM to learn"
        if settled:
            settings = list(dict.fromkeys(settled.values()))
            known = _joined(list(settled)[:3])
            meets = f"which the model meets with {_joined(settings)}"
            return f"{known[:1].upper()}{known[1:]}, {meets}; nothing else looks wrong{rest}."
        return f"Nothing {'else ' if beaten else ''}looks wrong in data, training or forecasts{rest}."
    named = [_cause(f) for f in grave[:3]]
    return f"What keeps it up: {_joined(named)}{'; ' if no_better else ''}{no_better}."


def _next(causes: Sequence[Mapping[str, Any]], findings: Iterable[Mapping[str, Any]]) -> str:
    worse = [f for f in findings if f["code"] == "worse_than_baseline"]
    search = [f for f in findings if f["code"] in SEARCH_CODES and f["code"] in ("more_trials", "stop_now")]
    chosen = next(iter([*causes, *worse, *search]), None)
    return "" if chosen is None else f"Next: {_first_sentence(chosen['advice'])}"


def _first_sentence(text: str) -> str:
    sentence = text.split(". ")[0].rstrip(".")
    return f"{sentence[:1].lower()}{sentence[1:]}."


def _joined(parts: Sequence[str]) -> str:
    if len(parts) < 3:
        return " and ".join(parts)
    return f"{', '.join(parts[:-1])}, and {parts[-1]}"
