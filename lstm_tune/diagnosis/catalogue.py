"""All finding codes, collected from the tables beside the checks, and what these tables say of a finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lstm_tune.diagnosis.check import Check
from lstm_tune.diagnosis.data_checks import DATA_CHECKS
from lstm_tune.diagnosis.finding import Finding
from lstm_tune.diagnosis.input_checks import CHECKS as INPUT_CHECKS
from lstm_tune.diagnosis.study_findings import STUDY_CHECKS

DATA_CODES = tuple(dict.fromkeys(check.code for check in DATA_CHECKS))
CODES = (*DATA_CODES, *dict.fromkeys(check.code for check in (*STUDY_CHECKS, *INPUT_CHECKS)))
_UNHANDLED = ("worse_than_baseline", "biased")  # what the test says if no setting handles the data well enough
_CHECKS: Mapping[str, Check[Any]] = {check.code: check for check in (*DATA_CHECKS, *STUDY_CHECKS, *INPUT_CHECKS)}


def cause_of(finding: Mapping[str, Any]) -> str:
    """Return the cause of error that a finding of `result.json` is, as the end of "Likely cause: …"; "" if it is none.

    A severe finding always has a cause: if the table gives none, or does not know the code, its own sentence is one.
    """
    check = _CHECKS.get(finding["code"])
    cause = check.cause if check is not None else None
    if cause is not None:
        return cause if isinstance(cause, str) else cause(finding["evidence"])
    sentence = str(finding["says"]).rstrip(".")
    return f"{sentence[:1].lower()}{sentence[1:]}" if finding["severity"] == "high" else ""


def nothing_handled(codes: Iterable[str]) -> bool:
    """Return whether findings with these codes on the test forecasts forbid to call any cause of error handled."""
    return not set(codes).isdisjoint(_UNHANDLED)


def handling_setting(finding: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """Return the setting of the best trial that handles a finding, such as "window_norm = last"; "" if none does.

    Args:
        finding: as in `result.json`.
        params: of the best trial.
    """
    check = _CHECKS.get(finding["code"])
    return "" if check is None else check.handled_by(finding["evidence"], params)


def mark_handled(findings: Iterable[Finding], params: Mapping[str, Any]) -> list[Finding]:
    """Return the findings with those that a setting of the best trial handles turned into information.

    Args:
        findings: on the data.
        params: of the best trial.
    """
    marked = []
    for finding in findings:
        setting = handling_setting(finding.to_dict(), params)
        if setting:
            finding = replace(
                finding,
                severity="info",
                evidence={**finding.evidence, "seen_to_by": setting},
                actions=(),
                by_hand=f"No action needed: the best trial handles it ({setting}).",
            )
        marked.append(finding)
    return marked
