"""A check: the rule behind one finding code, and what the verdict needs to know of that code.

Each module of rules ends with a tuple `CHECKS`. `catalogue.py` lists these tuples; a finding of any other code cannot
leave this wing, because `run_checks` is the only way out and each check vouches for its own code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from lstm_tune.diagnosis.finding import Finding

Evidence = Mapping[str, Any]  # of a finding, as in `result.json`
Params = Mapping[str, Any]  # of the best trial
Subject = TypeVar("Subject")  # what is looked at: a channel, the whole data set, the trials, the test forecasts, …


def unhandled(evidence: Evidence, params: Params) -> str:
    """Return "": no setting of the model handles the finding."""
    return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check(Generic[Subject]):
    """The rule behind one finding code.

    Attributes:
        code: of the findings that it makes.
        look: returns the finding, or None if there is nothing to report.
        cause: what the verdict says of it, as the end of "Likely cause: …"; a function of the evidence if one code has
            several causes; None if the finding is no cause of error, such as advice on how to go on.
        handled_by: returns the setting of the best trial that handles the finding, such as "window_norm = last", or
            "" if there is none.
        explains: codes of findings that follow from this one and are left out beside it.
        most: channels that are looked at, evenly spaced ones of those that there are; None: all.
        may_be_chance: whether a statistical test decides, which is wrong now and then if many series are tested.
    """

    code: str
    look: Callable[[Subject], Finding | None]
    cause: str | Callable[[Evidence], str] | None
    handled_by: Callable[[Evidence, Params], str] = unhandled
    explains: Sequence[str] = ()
    may_be_chance: bool = False
    most: int | None = None

    def find(self, subject: Subject) -> Finding | None:
        """Return the finding, or None.

        Raises:
            ValueError: the rule returned a finding of another code.
        """
        finding = self.look(subject)
        if finding is not None and finding.code != self.code:
            raise ValueError(f"the check of code {self.code!r} returned a finding of code {finding.code!r}")
        return finding


def run_checks(checks: Iterable[Check[Subject]], subject: Subject) -> list[Finding]:
    """Return the findings of all checks, in their order, without those that another finding explains."""
    checks = tuple(checks)
    found = {check.code: finding for check in checks if (finding := check.find(subject)) is not None}
    explained = {code for check in checks if check.code in found for code in check.explains}
    return [finding for code, finding in found.items() if code not in explained]


def first_setting(params: Params, accepted: Mapping[str, Sequence[Any]]) -> str:
    """Return the first parameter that has one of its accepted values, such as "transform = log"; "" if none has."""
    return next((f"{name} = {params[name]}" for name, values in accepted.items() if params.get(name) in values), "")
