"""Findings: possible causes of a high MSE, each with its evidence and with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lstm_tune.diagnosis.action import Action, sentence

Severity = Literal["info", "warn", "high"]
SEVERITIES: tuple[Severity, ...] = ("high", "warn", "info")  # most severe first
SEVERITY_WORDS = "high: it decides the MSE; warn: it costs accuracy, or may; info: good to know."
SHOWN = 7  # findings that people are shown, at most


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A possible cause of a high MSE, with its evidence.

    Attributes:
        code: one of the codes in `diagnosis/README.md`.
        severity: one of `SEVERITIES`, see `SEVERITY_WORDS`.
        evidence: numbers (and names) that show it; plain JSON.
        says: one sentence in plain words.
        actions: changes of the study that should help, the best one first.
        rejected: actions that were tried and did not help on the validation blocks.
        by_hand: what only a person can do, in sentences; "": nothing.
        said_by: {what an action does: code of the finding that tells it, or a better value}: advice is told once.
        recorded: the advice of a finding that is read from `result.json`, which does not hold `by_hand` and `said_by`.
        rank: breaks ties between equal severities; larger is worse. It is not written to `result.json`.
    """

    code: str
    severity: Severity
    evidence: Mapping[str, Any]
    says: str
    actions: tuple[Action, ...] = ()
    rejected: tuple[Action, ...] = ()
    by_hand: str = ""
    said_by: Mapping[str, str] = field(default_factory=dict)
    recorded: str | None = None
    rank: float = 0.0

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity must be one of {', '.join(SEVERITIES)}, but is {self.severity!r}")

    @property
    def advice(self) -> str:
        """What to do, in sentences made of the actions."""
        if self.recorded is not None:
            return self.recorded
        return sentence(self.actions, self.by_hand, self.rejected, self.said_by)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `result.json`."""
        return {
            "code": self.code,
            "severity": self.severity,
            "evidence": dict(self.evidence),
            "says": self.says,
            "advice": self.advice,
            "actions": [action.to_dict() for action in self.actions],
            "rejected": [action.to_dict() for action in self.rejected],
        }

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Finding:
        """Read an entry of `result.json`.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        return cls(
            code=entry["code"],
            severity=entry["severity"],
            evidence=entry["evidence"],
            says=entry["says"],
            actions=tuple(map(Action.from_dict, entry["actions"])),
            rejected=tuple(map(Action.from_dict, entry["rejected"])),
            recorded=entry["advice"],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """Values of one measure from which a finding has a severity."""

    warn: float
    high: float

    def severity(self, value: float) -> Severity | None:
        """Return the severity of a value; None if it is below both thresholds."""
        return "high" if value >= self.high else "warn" if value >= self.warn else None


def most_severe(findings: Iterable[Finding]) -> Finding | None:
    """Return the most severe finding, of equal severities the one of highest rank, of equal ranks the first one."""
    return min(findings, key=lambda f: (SEVERITIES.index(f.severity), -f.rank), default=None)


def milder(severity: Severity) -> Severity:
    """Return the next lower severity; that of "info" is "info"."""
    return SEVERITIES[min(SEVERITIES.index(severity) + 1, len(SEVERITIES) - 1)]


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings, most severe first, in the given order within a severity."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def severe_first(findings: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the findings of a `result.json`, most severe first, in the given order within a severity."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding["severity"]))


def most_shown(findings: Iterable[Mapping[str, Any]], code: str | None) -> list[Mapping[str, Any]]:
    """Return the findings of a `result.json` that people are shown: the most severe, and any that "Next" names."""
    ranked = list(findings)
    named = [f for f in ranked[SHOWN:] if f["code"] == code][:1]
    return ranked[:SHOWN] if any(f["code"] == code for f in ranked[:SHOWN]) else ranked[:SHOWN] + named
