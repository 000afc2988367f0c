"""Where a supervisor's trials come from: the budget of its own study, or tickets that several machines share."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from optuna.trial import FrozenTrial

from lstm_tune.search.coordinator import CoordinatorWatch
from lstm_tune.search.study import OptunaCallback, SharedStudy
from lstm_tune.search.tickets import read_gate, read_trial_seconds, take_ticket
from lstm_tune.search.trial_queue import begin_trial, fail_interrupted, give_back
from lstm_tune.storage.optuna_private import id_of_study, storage_of

_SHORTEST, _LONGEST = 0.2, 4.0  # seconds between two questions for a ticket, while none waits
_LOOK = 2.0  # seconds between looks at whether the study goes on


class TrialSource(Protocol):
    """Gives trials to a supervisor.

    Attributes:
        exhausted: whether no further trial will come.
        has_others: whether trials may run, or be lost, elsewhere: then no trial at the moment does not mean the end.
    """

    @property
    def exhausted(self) -> bool:
        """Whether no further trial will come."""

    @property
    def has_others(self) -> bool:
        """Whether trials may run elsewhere."""

    def take(self) -> FrozenTrial | None:
        """Begin the next trial; None: there is none at the moment."""

    def seconds(self) -> float:
        """Return how long the trial may take."""

    def look(self) -> None:
        """Do what must be done every second."""

    def ended(self, number: int) -> None:
        """A trial has ended, and counts."""

    def queued_again(self) -> None:
        """A trial does not count: it was lost."""

    def leave(self, number: int) -> None:
        """Leave a running trial: the study is stopped."""


@dataclass(kw_only=True, slots=True, eq=False)
class Budget:
    """The trials of a study that no other machine takes part in.

    Attributes:
        study: whose trials are begun.
        run: the supervisor's process.
        left: trials that may still be begun.
        deadline: called before a trial; returns the time (`time.monotonic`) at which it must stop with what it has.
        callbacks: called after each trial.
    """

    study: SharedStudy
    run: str
    left: float
    deadline: Callable[[], float]
    callbacks: Sequence[OptunaCallback]
    has_others: bool = False

    @property
    def exhausted(self) -> bool:
        """Whether no further trial will come."""
        return self.left <= 0 or self.study.stopped

    def take(self) -> FrozenTrial | None:
        """Begin a trial."""
        self.left -= 1
        return begin_trial(self.study, self.run)

    def seconds(self) -> float:
        """Return how long the trial may take."""
        return max(0.0, self.deadline() - time.monotonic())

    def look(self) -> None:
        """Do nothing: nobody else changes the study."""

    def ended(self, number: int) -> None:
        """Call the callbacks."""
        frozen = self.study.get_trials(deepcopy=False)[number]
        for callback in self.callbacks:
            callback(self.study, copy.deepcopy(frozen))

    def queued_again(self) -> None:
        """Begin one more trial."""
        self.left += 1

    def leave(self, number: int) -> None:
        """Fail the trial; a resumed study tries it again."""
        fail_interrupted(self.study, number)


@dataclass(kw_only=True, slots=True, eq=False)
class Tickets:
    """The tickets of a study that another process coordinates.

    Attributes:
        study: that is coordinated elsewhere.
        run: this process.
        end: when no further ticket is taken, on the clock of `time.monotonic`.
        info: told why no further ticket is taken, if not all are done.
        exhausted: whether no further ticket will be taken.
    """

    study: SharedStudy
    run: str
    end: float
    info: Callable[[str], None]
    exhausted: bool = False
    has_others: bool = True
    taken: int = 0
    _watch: CoordinatorWatch = field(default_factory=CoordinatorWatch)
    _looked: float = -math.inf
    _pause: float = _SHORTEST
    _asked: float = -math.inf

    def take(self) -> FrozenTrial | None:
        """Take a ticket; if there was none, ask again after a pause that grows."""
        now = time.monotonic()
        if now >= self.end:
            self.exhausted = True
        if self.exhausted or now - self._asked < self._pause:
            return None
        trial = take_ticket(self.study, self.run)
        self._asked, self._pause = (now, min(2 * self._pause, _LONGEST)) if trial is None else (-math.inf, _SHORTEST)
        self.taken += trial is not None
        return trial

    def seconds(self) -> float:
        """Return how long the trial may take."""
        return read_trial_seconds(self._attributes())

    def look(self) -> None:
        """Look whether the study goes on."""
        now = time.monotonic()
        if self.exhausted or now - self._looked < _LOOK:
            return
        self._looked = now
        attributes = self._attributes()
        gate = read_gate(attributes)
        if gate is not None and not gate.open:
            self.exhausted = True
        elif self._asked > -math.inf and self._watch.is_gone(attributes):  # and no ticket was left when it asked
            self.info("no trial waits, and nobody coordinates the study any more; tune with resume=True ends it")
            self.exhausted = True

    def _attributes(self) -> Mapping[str, Any]:
        return storage_of(self.study).get_study_system_attrs(id_of_study(self.study))

    def ended(self, number: int) -> None:
        """Do nothing: the coordinator sees it."""

    def queued_again(self) -> None:
        """Do nothing: its ticket waits."""

    def leave(self, number: int) -> None:
        """Give the trial back, for another worker."""
        give_back(self.study, number)
