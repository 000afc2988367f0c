"""The next step: of all that the findings advise, the one action with the largest expected gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lstm_tune.diagnosis.action import LEAST_GAIN, Action


@dataclass(frozen=True, kw_only=True, slots=True)
class NextStep:
    """What to do next.

    Attributes:
        code: of the finding that advises it.
        action: what it is.
        command: that does it; None: a command line cannot say it.
    """

    code: str
    action: Action
    command: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `result.json`."""
        return {"code": self.code, **self.action.to_dict(), "says": self.says, "command": self.command}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> NextStep:
        """Read the entry of `result.json`.

        Raises:
            KeyError, TypeError: it is none.
        """
        return cls(code=entry["code"], action=Action.from_dict(entry), command=entry["command"])

    @property
    def says(self) -> str:
        """The step as the end of "Next: …"."""
        return f"try {self.action.describe()} (for {self.code})"


def next_step(findings: Sequence[Mapping[str, Any]]) -> NextStep | None:
    """Return the action with the largest gain, as a trial of it or an estimate says; None if none is worth it.

    Args:
        findings: as in `result.json`, the most severe first; of equal gains the first one is taken.
    """
    found = [
        (action, finding["code"])
        for finding in findings
        for action in map(Action.from_dict, finding.get("actions", ()))
        if promise(action) >= LEAST_GAIN
    ]
    if not found:
        return None
    action, code = max(found, key=lambda one: promise(one[0]))
    return NextStep(code=code, action=action)


def promise(action: Action) -> float:
    """Return the share of the MSE that an action promises to take off."""
    return -action.tried if action.tried is not None else action.gain or 0.0
