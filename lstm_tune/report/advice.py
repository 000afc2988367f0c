"""The advice of a finished run, as a search space and options of `tune`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lstm_tune.diagnosis.action import Action, continues
from lstm_tune.diagnosis.next_step import promise
from lstm_tune.search.space import Space
from lstm_tune.search.space_changes import with_changes
from lstm_tune.search.space_toml import to_toml

ADVICE = "advice.toml"
_MOST = 6  # changes of the space that are tried by themselves


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """What some findings of a run advise.

    Attributes:
        actions: the most promising first.
        space: of the run with the changes; None: nothing of the space changes.
        options: of `tune` that change.
    """

    actions: tuple[Action, ...]
    space: Space | None
    options: Mapping[str, Any]

    @property
    def resumes(self) -> bool:
        """Whether the run is continued, and not repeated."""
        return bool(self.actions) and all(map(continues, self.actions))


def advice_of(
    findings: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], best: Mapping[str, Any], code: str | None = None
) -> Advice:
    """Return what the findings advise.

    Args:
        findings: as in `result.json`.
        settings: of the study, as there.
        best: parameters of the best trial.
        code: of the finding that is followed; None: all that are more than information.

    Raises:
        SpaceError: the space of the study is damaged.
    """
    chosen = [f for f in findings if f["code"] == code or (code is None and f["severity"] != "info")]
    actions = [action for finding in chosen for action in _followed(finding.get("actions", ()))]
    if code is None:
        actions = [action for action in actions if not continues(action)]
    actions.sort(key=promise, reverse=True)
    changes = [action.space for action in actions if action.space][:_MOST]
    space = with_changes(Space.from_dict(settings["space"]), best, changes) if changes else None
    options: dict[str, Any] = {}
    for action in actions:
        options = {**action.options, **options}  # of two actions that set the same option, the more promising one's
    return Advice(actions=tuple(actions), space=space, options=options)


def _followed(entries: Sequence[Mapping[str, Any]]) -> list[Action]:
    """Return the alternatives of a finding that are followed: changes of the space, which validation rows can judge.

    An option holds for all trials, so the first one is followed only if there is nothing else.
    """
    actions = [Action.from_dict(entry) for entry in entries]
    return [action for action in actions if action.space] or actions[:1]


def advice_file(
    findings: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], best: Mapping[str, Any]
) -> str | None:
    """Return the text of `advice.toml`: the space of the run with all changes that its findings advise; None: none."""
    advice = advice_of(findings, settings, best)
    if advice.space is None:
        return None
    said = list(dict.fromkeys(f"- {action.describe()}" for action in advice.actions if action.space))
    comments = [
        "The search space of this run, changed as its findings advise:",
        *said,
        "The first tables are the most promising change, the best configuration, and all other changes.",
    ]
    return to_toml(advice.space, comments)
