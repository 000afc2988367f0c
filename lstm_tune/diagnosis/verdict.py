"""The verdict: what a study found, in at most three sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lstm_tune.diagnosis.action import NOTHING_LEFT
from lstm_tune.diagnosis.catalogue import DATA_CODES, cause_of, handling_setting, nothing_handled
from lstm_tune.diagnosis.finding import SEVERITIES
from lstm_tune.diagnosis.next_step import next_step
from lstm_tune.evaluation.baseline_labels import label_of
from lstm_tune.evaluation.metrics import IN_UNITS, TITLES
from lstm_tune.evaluation.model_labels import LITTLE, network, starts_simple, trained_share
from lstm_tune.utils.text import joined, justified_digits, number

_LIKE_NOISE = 1.25  # times the noise estimate: as little error as can be expected
_MOST_NAMED = 3  # causes
_COMPARED = "worse_than_baseline"  # the code that the first sentence tells already
_LEAKS = "later_rows_trained_on"  # the code that the first sentence warns of
_ON_THE_SEARCH = ("more_trials", "stop_now")  # codes whose advice is the next step if there is no cause
_EQUAL = 0.005  # relative difference of two MSEs


def verdict(record: Mapping[str, Any]) -> str:
    """Return the result of a study in at most three plain sentences.

    The first one compares the test MSE with that of the best forecast that needs no LSTM, the second one names the
    likely causes of the remaining error, the third one says what to do next.

    Args:
        record: as `result.json` holds it; `test`, `baselines`, `skill` and `findings` are read, and, if they are there,
            `skill_ci95`, `in_sample`, `over_series`, `ensemble`, and the parameters and epochs of `best`.
    """
    findings: Sequence[Mapping[str, Any]] = record["findings"]
    tested_well = not nothing_handled(f["code"] for f in findings)
    params = ((record.get("best") or {}).get("params") or {}) if tested_well else {}
    handled = {cause: setting for f in findings if (cause := cause_of(f)) and (setting := _handled_by(f, params))}
    causes = [f for f in findings if _is_open(f, params)]
    # Forecasts and training show what does raise the error; the data show what may.
    causes.sort(key=lambda f: (SEVERITIES.index(f["severity"]), f["code"] in DATA_CODES))
    first = _comparison(record)
    if any(f["code"] == _LEAKS for f in findings):
        first = f"{first.removesuffix('.')}; it may be too low, since later rows of other series were trained on."
    sentences = [first, _causes(causes, handled, record), _next_step(causes, findings)]
    return " ".join(sentences).strip()


def _handled_by(finding: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """Return the setting that handles a finding of some severity, or one that `mark_handled` has lowered."""
    matters = finding["severity"] != "info" or "seen_to_by" in finding["evidence"]
    return handling_setting(finding, params) if matters else ""


def _is_open(finding: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Return whether a finding is a cause of error that nothing handles."""
    if finding["code"] == _COMPARED or not cause_of(finding):
        return False
    matters = finding["severity"] != "info" or "seen_to_by" in finding["evidence"]
    return matters and not handling_setting(finding, params)


def _comparison(record: Mapping[str, Any]) -> str:
    """Compare the model with the best baseline, and say how certain the difference is."""
    test, baselines = record["test"], record["baselines"]
    # Among several columns or series each counts alike, in units of its own spread; the skill is of that MSE.
    single = not isinstance(test["mse"], Mapping)
    digits = justified_digits(test["mse"] if single else test["mse_scaled"], test.get("ci95"))
    single = single and not record.get("over_series")
    own = test["mse"] if single else test["mse_scaled"]
    what = f"The {'' if single else 'scaled '}test MSE of {number(own, digits)}"
    judged = record.get("metric") or {"name": "mse"}
    name = min(baselines, key=lambda n: baselines[n].get("test_score", baselines[n]["test_mse_scaled"]), default=None)
    if name is None:
        return f"{what} has no forecast without an LSTM to compare with."
    skill = record["skill"].get(name)
    if skill is None:
        return f"{what} is above that of {label_of(name).sentence}, which makes no error at all."
    if judged["name"] != "mse":
        return _by_metric(record, name, skill)
    other = baselines[name]["test_mse" if single else "test_mse_scaled"]
    against = f"that of {label_of(name).sentence} ({number(other, digits)}), the best forecast without an LSTM"
    if abs(skill) < _EQUAL:
        return f"{what} equals {against}."
    return f"{what} is {_relative_size(skill)} {against}, {_certainty(record, name)}."


def _by_metric(record: Mapping[str, Any], name: str, skill: float) -> str:
    """Compare the model with the baseline that is best by the metric of the study; how certain, the MSE says."""
    metric, own = TITLES[record["metric"]["name"]], record["metric"]["test_score"]
    other = record["baselines"][name]["test_score"]
    scaled = "scaled " if record["metric"]["name"] in IN_UNITS else ""
    against = f"that of {label_of(name).sentence} ({number(other, 4)}), the best forecast without an LSTM"
    size = _relative_size(1 - own / other) if other > 0 else "above"
    mse = f"the test MSE is {_relative_size(skill)}, {_certainty(record, name)}"
    return f"The {scaled}test {metric} of {number(own, 4)} is {size} {against}; {mse}."


def _relative_size(skill: float) -> str:
    if skill > 0:
        return f"{skill:.0%} below"
    if skill > -1:
        return f"{-skill:.0%} above"
    return f"{1 - skill:.1f} times" if skill > -99 else "over 100 times"


def _certainty(record: Mapping[str, Any], name: str) -> str:
    low, high = (record.get("skill_ci95") or {}).get(name) or (None, None)
    if low is None or high is None or math.isnan(low):
        return "but the windows cover too short a time to tell whether this is chance"
    return "which is more than chance explains" if low > 0 or high < 0 else "which may be chance"


def _causes(causes: Sequence[Mapping[str, Any]], handled: Mapping[str, str], record: Mapping[str, Any]) -> str:
    no_gain = _no_gain(record)
    severe = [f for f in causes if f["severity"] == "high"] or list(causes)
    if severe:
        named = list(dict.fromkeys(cause_of(f) for f in severe))[:_MOST_NAMED]
        many = "s" if len(named) > 1 else ""
        return f"Likely cause{many}: {joined(named)}{'; ' if no_gain else ''}{no_gain}."
    beaten = any(f["code"] == _COMPARED for f in record["findings"])
    rest = f": {no_gain}" if no_gain else ""
    if not rest and not beaten and _is_like_noise(record):
        rest = ": the remaining error is about as large as the differences between similar windows"
    if handled:
        known = joined(list(handled)[:_MOST_NAMED])
        settings = joined(list(dict.fromkeys(handled.values())))
        first = f"{known[:1].upper()}{known[1:]}, which the best trial handles ({settings})"
        return f"{first}; nothing else looks wrong{rest}."
    return f"Nothing {'else ' if beaten else ''}looks wrong in data, training or forecasts{rest}."


def _no_gain(record: Mapping[str, Any]) -> str:
    """Return a clause on how little training added; "" if it added something."""
    ensemble = record.get("ensemble") or ()
    share = trained_share(ensemble)
    if share < LITTLE:
        return f"the {network(ensemble)} adds little here ({1 - share:.0%} of the saved model are untrained forecasts)"
    best = record.get("best") or {}
    if best.get("epochs") == 0:
        start = "simple forecast" if starts_simple(best["params"]) else "random network"
        return f"training made the best trial no better than the {start} that it starts from"
    return ""


def _is_like_noise(record: Mapping[str, Any]) -> bool:
    fit, noise = (record.get("in_sample", {}).get(key) for key in ("mse_scaled", "noise_estimate"))
    return fit is not None and noise is not None and bool(fit <= _LIKE_NOISE * noise)


def _next_step(causes: Sequence[Mapping[str, Any]], findings: Sequence[Mapping[str, Any]]) -> str:
    step = next_step(findings)
    if step is not None:
        return f"Next: {step.says}."
    compared = [f for f in findings if f["code"] == _COMPARED]
    search = [f for f in findings if f["code"] in _ON_THE_SEARCH]
    possible = (f for f in (*causes, *compared, *search) if not f.get("actions"))
    by_hand = [f for f in possible if not f["advice"].startswith(NOTHING_LEFT)]
    return f"Next: {_first_sentence(by_hand[0]['advice'])}" if by_hand else ""


def _first_sentence(text: str) -> str:
    sentence = text.split(". ")[0].rstrip(".")
    return f"{sentence[:1].lower()}{sentence[1:]}."
