"""Advice that has been tried: the best configuration of a study, trained again with one change that findings advise.

Each training is that of a trial: the same task, folds, windows, seed and precision, so its value compares with that of
the best trial. A task holds no test row, so what is tried cannot see one.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lstm_tune.ablation.trainings import train_as_trial
from lstm_tune.config import Config
from lstm_tune.diagnosis.action import LEAST_GAIN, Action
from lstm_tune.diagnosis.finding import Finding
from lstm_tune.diagnosis.next_step import promise
from lstm_tune.search.trials import Trial
from lstm_tune.training.task import Task
from lstm_tune.training.trainer import training_failed

_WORSE = 0.01  # of a block's MSE: a change that adds more to it on one block is not advised, whatever the others say


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """What came of a change.

    Attributes:
        change: of the validation score, relative to that of the best trial; None: training diverged.
        worst: change of the MSE on the block on which the change does worst.
    """

    change: float | None
    worst: float = 0.0

    @property
    def helps(self) -> bool:
        """Whether the change is to be advised."""
        return self.change is not None and self.change <= -LEAST_GAIN and self.worst <= _WORSE


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Trying:
    """How changes are tried: as the trials of the study were trained.

    Attributes:
        task: that the trials shared.
        best: the best trial.
        seed: of the study.
        precision: of its trials.
        deadline: on the clock of `time.monotonic`.
        threads: that share the folds of a training.
        stop: whether the user wants to stop.
    """

    task: Task
    best: Trial
    seed: int
    precision: str
    deadline: float
    threads: int
    stop: Callable[[], bool]

    def attempt(self, action: Action) -> Attempt | None:
        """Train the best configuration with one change; None: there was no time, or the user wants to stop."""
        outcome = self.best.completed()
        config = Config.from_params({**outcome.config.params(), **action.space})
        try:
            done = train_as_trial(
                self.task,
                config,
                self.seed,
                precision=self.precision,
                deadline=self.deadline,
                threads=self.threads,
                stop=self.stop,
            )
        except KeyboardInterrupt:
            if not self.stop():
                raise
            return None
        except Exception as error:
            if not training_failed(error):
                raise
            return Attempt(change=None)
        if done is None:
            return None
        result, models = done
        errors = [self.task.score(fold, model).mse_scaled for fold, model in enumerate(models)]
        blocks = zip(errors, outcome.fold_mse_scaled, strict=True)
        worst = max(_relative(own, before) for own, before in blocks)
        return Attempt(change=_relative(result.best_val, outcome.value), worst=worst)


def first_actions(findings: Sequence[Finding], most: int | None = None) -> list[Action]:
    """Return the changes of the space that warnings advise, each once, the most promising first.

    Args:
        findings: whose actions have passed the gate.
        most: changes to return; None: all.
    """
    possible = (
        action
        for finding in findings
        if finding.severity != "info"
        for action in finding.actions
        if action.space and not action.options and action.tried is None
    )
    found: dict[str, Action] = {}
    for action in sorted(possible, key=promise, reverse=True):
        found.setdefault(action.describe(), action)  # of two findings, the one that promises more
    return list(found.values())[:most]


def try_actions(findings: Sequence[Finding], actions: Sequence[Action], trying: Trying) -> list[Finding]:
    """Try actions of the findings, as many as there is time for, and return the findings with what came of it.

    Args:
        findings: whose actions have passed the gate.
        actions: of these findings (`first_actions`).
        trying: how.
    """
    attempts: dict[str, Attempt] = {}
    for action in actions:
        if trying.stop() or time.monotonic() >= trying.deadline:
            break
        attempt = trying.attempt(action)
        if attempt is not None:
            attempts[action.describe()] = attempt
    return settled([with_attempts(finding, attempts) for finding in findings])


def with_attempts(finding: Finding, attempts: Mapping[str, Attempt]) -> Finding:
    """Return a finding with what came of its actions: those that did not help are no longer advised."""
    kept: list[Action] = []
    rejected: list[Action] = list(finding.rejected)
    for action in finding.actions:
        attempt = attempts.get(action.describe())
        if attempt is None:
            kept.append(action)
            continue
        tried = dataclasses.replace(action, tried=None if attempt.change is None else round(attempt.change, 4))
        (kept if attempt.helps else rejected).append(tried)
    kept.sort(key=lambda action: action.tried if action.tried is not None else 0.0)  # what has helped comes first
    return dataclasses.replace(finding, actions=tuple(kept), rejected=tuple(rejected))


def settled(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings without untried values of a number of which another value has been tried and helps.

    A finding that would have told such a value names the finding that tells the other one.
    """
    known: dict[str, tuple[float, str]] = {}  # of a number: the change of its best value, and who tells it
    for finding in findings:
        for action in finding.actions:
            if action.tried is not None and (name := _number_of(action)):
                code = finding.said_by.get(action.describe(), finding.code)
                known[name] = min(known.get(name, (math.inf, "")), (action.tried, code))
    found = []
    for finding in findings:
        beside = {
            action.describe(): known[name][1]
            for action in finding.actions
            if action.tried is None and (name := _number_of(action)) in known
        }
        kept = tuple(a for a in finding.actions if beside.get(a.describe()) != finding.code)
        others = {what: code for what, code in beside.items() if code != finding.code}
        found.append(dataclasses.replace(finding, actions=kept, said_by={**finding.said_by, **others}))
    return found


def _number_of(action: Action) -> str:
    """Return the one number that an action changes; "": it changes something else, or more."""
    numbers = [name for name, value in action.space.items() if not isinstance(value, str)]
    return numbers[0] if len(numbers) == len(action.space) == 1 and not action.options else ""


def _relative(own: float, before: float) -> float:
    return own / before - 1 if before > 0 else 0.0 if own == before else math.inf
