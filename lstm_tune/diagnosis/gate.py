"""The one gate that all advice passes: what is on already, refused by the data or contradicted is never advised.

The gate turns the factors of actions into values, for the best configuration of the study, and gives each action that
has none an expected gain. What remains is what `lstm-tune tune --apply` does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lstm_tune.config import PLAIN, RULES
from lstm_tune.data.calendar_features import calendar_features
from lstm_tune.diagnosis.action import Action, Value
from lstm_tune.diagnosis.finding import SEVERITIES, SHOWN, Finding
from lstm_tune.diagnosis.next_step import promise
from lstm_tune.training.task import Task

if TYPE_CHECKING:
    from lstm_tune.search.trials import Trial  # with Optuna, a fifth of a second that `diagnose` of data does not need

_GAINS = {"high": 0.05, "warn": 0.02, "info": 0.005}  # that an action is taken to have by the severity of its finding
_FADES = 0.9  # what the next alternative of a finding is worth, times the one before
_NEAR = 1.25  # ratio of two numbers that are as good as equal
_REJECTED = 3  # trials of a value, without which the best configuration does, that show that it does not help
_WIDER = ("hidden_units", "layers", "head_units")
_STRICTER = ("dropout", "weight_decay")
_CAPACITY = "capacity"
_COUNTS = ("n_trials", "folds", "retrain_seeds", "timeout")  # options of which more is the advice


@dataclass(frozen=True, kw_only=True, slots=True)
class Circumstances:
    """What decides whether an action is possible and new.

    Attributes:
        task: with what the data allow.
        calendar_possible: whether the time stamps have a frequency that calendar features tell apart.
        params: of the best trial; None: there is no study yet.
        trials: that have ended.
        options: of the study: those in `_COUNTS`, and calendar and space.
    """

    task: Task
    calendar_possible: bool
    params: Mapping[str, Value] | None = None
    trials: Sequence[Trial] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        task: Task,
        *,
        params: Mapping[str, Value] | None = None,
        trials: Sequence[Trial] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Circumstances:
        """Return the circumstances of a task, and of the study that was made of it if there was one."""
        data = task.windows.data
        dated = data.freq is not None and bool(calendar_features(data.times[:1], data.freq)[1])
        return cls(task=task, calendar_possible=dated, params=params, trials=trials, options=options or {})

    @property
    def has_calendar(self) -> bool:
        """Whether calendar features are among the covariates."""
        return any(name.startswith("calendar_") for name in self.task.windows.data.future_names)


def gate(findings: Iterable[Finding], known: Circumstances) -> list[Finding]:
    """Return the findings, in their order, with those of their actions that are possible, new and not contradicted.

    Of two findings that contradict each other, the more severe one keeps its action. An action of several findings is
    told by the one that expects most of it; the others name that one.
    """
    findings = list(findings)
    moved: dict[str, float] = {}  # parameters that an action of a more severe finding moves, and in which direction
    kept: dict[int, tuple[Action, ...]] = {}
    for i in sorted(range(len(findings)), key=lambda i: SEVERITIES.index(findings[i].severity)):
        finding = findings[i]
        actions = _resolved(finding, known)
        kept[i] = tuple(a for a in actions if not _contradicts(_moves(a, known), moved))
        for action in kept[i]:
            for name, way in _moves(action, known).items():
                moved.setdefault(name, way)
    return _told_once([replace(finding, actions=kept[i]) for i, finding in enumerate(findings)])


def _told_once(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings, each of their actions told by one: of those that are shown, the one that expects most."""
    best: dict[str, tuple[tuple[bool, float], str]] = {}
    for i, finding in enumerate(findings):
        for action in finding.actions:
            rank = (i < SHOWN, promise(action))
            known = best.get(action.describe())
            if known is None or rank > known[0]:
                best[action.describe()] = (rank, finding.code)
    tellers = {what: code for what, (_, code) in best.items()}
    return [
        replace(
            finding,
            said_by={
                what: tellers[what] for action in finding.actions if tellers[what := action.describe()] != finding.code
            },
        )
        for finding in findings
    ]


def _resolved(finding: Finding, known: Circumstances) -> list[Action]:
    found: list[Action] = []
    for action in finding.actions:
        possible = _possible(_with_values(action, known), known)
        if possible is None or any(possible.describe() == other.describe() for other in found):
            continue
        gain = possible.gain
        if gain is None:
            gain = round(_GAINS[finding.severity] * _FADES ** len(found), 4)
        found.append(replace(possible, gain=gain))
    return found


def _with_values(action: Action, known: Circumstances) -> Action:
    """Return the action with values in place of its factors."""
    params = known.params or PLAIN.params()
    space, options = dict(action.space), dict(action.options)
    for name, factor in action.factors.items():
        if name in RULES:
            rule = RULES[name]
            value = float(params[name]) * factor
            value = min(max(value, rule.low), rule.high)
            space[name] = rule.kind(round(value) if rule.kind is int else float(f"{value:.2g}"))
        elif known.options.get(name):
            options[name] = known.options[name] * factor
    return replace(action, space=space, options=options, factors={})


def _possible(action: Action, known: Circumstances) -> Action | None:
    """Return the part of an action that the data allow and that is not on already; None if nothing is left."""
    limits = known.task.limits
    space = dict(action.space)
    for name, top in (("lookback", limits.max_lookback), ("batch_size", limits.max_batch_size)):
        if name in space:
            space[name] = min(int(space[name]), top)
    if space.get("transform") == "log" and not (limits.positive and known.task.positive):
        return None
    if limits.period is None and "seasonal" in space.values():
        return None
    if any(not RULES[name].admits(value) for name, value in space.items()):
        return None
    options = {name: value for name, value in action.options.items() if _is_new(name, value, known)}
    if action.options and not options:
        return None
    if known.params is not None:
        space = {name: value for name, value in space.items() if not _equal(known.params.get(name), value)}
    if (action.space and not space) or not _goes_its_way(action.way, space, known):
        return None
    if not space and not options:
        return None
    possible = replace(action, space=space, options=options)
    return None if _was_rejected(possible, known) else possible


def _goes_its_way(way: int, space: Mapping[str, Value], known: Circumstances) -> bool:
    """Return whether all numbers move in the direction that is meant."""
    moves = _moves(Action(space=space), known)
    return not way or all(moves[name] == way for name in space if name in moves)


def _is_new(name: str, value: Any, known: Circumstances) -> bool:
    if name == "calendar":
        return known.calendar_possible and not known.has_calendar
    if name == "space":
        return known.options.get("space") not in (value, "thorough")
    if name == "folds" and len(known.task.folds) < (known.options.get("folds") or 1):
        return False  # the data allow no more
    if name in _COUNTS:
        now = known.options.get(name)
        return known.params is None or (now is not None and value > now)
    return True


def _was_rejected(action: Action, known: Circumstances) -> bool:
    """Return whether the search has tried the values of an action often enough, and the best trial has others."""
    if not action.space or action.options:
        return False
    alike = [
        trial.settings
        for trial in known.trials
        if trial.state in ("COMPLETE", "PRUNED")
        and trial.same_as is None
        and all(_equal(trial.settings.get(name), value) for name, value in action.space.items())
    ]
    params = known.params or {}
    alone = any(all(s.get(name) == params[name] for name in params if name not in action.space) for s in alike)
    return alone or len(alike) >= _REJECTED


def _equal(a: Value | None, b: Value) -> bool:
    """Return whether two values of a parameter are as good as equal."""
    if isinstance(a, str) or isinstance(b, str) or a is None:
        return a == b
    if min(a, b) <= 0:
        return a == b
    return 1 / _NEAR < a / b < _NEAR


def _moves(action: Action, known: Circumstances) -> dict[str, float]:
    """Return in which direction an action moves numbers, and the capacity of the network: 1 up, -1 down."""
    params = known.params or PLAIN.params()
    ways: dict[str, float] = {}
    for name, value in action.space.items():
        now = params.get(name)
        if isinstance(value, str) or isinstance(now, str) or now is None or value == now:
            continue
        way = math.copysign(1.0, value - now)
        ways[name] = way
        if name in _WIDER or name in _STRICTER:
            ways[_CAPACITY] = way if name in _WIDER else -way
    return ways


def _contradicts(ways: Mapping[str, float], moved: Mapping[str, float]) -> bool:
    return any(moved.get(name, way) != way for name, way in ways.items())
