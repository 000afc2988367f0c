"""The coordinator's side of a study that several machines share: it makes tickets, watches, and closes the gate."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

import optuna
from optuna.trial import FrozenTrial

from lstm_tune.search.progress import Progress
from lstm_tune.search.study import OptunaCallback, SharedStudy
from lstm_tune.search.tickets import ANY, Gate, make_tickets, set_gate, set_trial_seconds, take_ticket
from lstm_tune.search.trial_queue import counted_trials, fail_and_requeue, fail_interrupted, needs_retry
from lstm_tune.search.trials import Trial, read_trials
from lstm_tune.training.fitting import EpochStats
from lstm_tune.utils.process import is_alive, is_local, process_in_words

_LOOK = 1.0  # seconds between looks at the study
_STALE = 5.0  # seconds between looks for trials without heartbeats
_AHEAD = 4  # tickets that wait at least, if it is unknown how many trials there will be
_AT_ONCE = 50  # tickets that are made before the next look
_PATIENCE = 30.0  # seconds after the latest end of all trials, until those that still run are given up


@dataclass(kw_only=True, slots=True, eq=False)
class CoordinatedTickets:
    """The tickets of a study that this process coordinates.

    Attributes:
        study: that this process coordinates.
        run: this process.
        n_trials: of the whole study; None: until the study is stopped.
        local: workers of this process; those elsewhere are shown after them.
        few: whether tickets are made a few ahead, because the study may be stopped before the last of `n_trials`.
        deadline: called when trials may begin; returns the time (`time.monotonic`) at which they must stop.
        callbacks: called in this process after each trial, wherever it ran.
        progress: told what happens elsewhere.
        watch: called every second, with whether tickets may be taken, and how many trials have ended.
    """

    study: SharedStudy
    run: str
    n_trials: int | None
    local: int
    few: bool
    deadline: Callable[[], float]
    callbacks: Sequence[OptunaCallback]
    progress: Progress
    watch: Callable[[bool, int], None] = lambda is_open, ended: None
    exhausted: bool = False
    has_others: bool = True
    _gate: Gate | None = None
    _reported: set[int] = field(default_factory=set)  # trials whose end was reported
    _machines: set[str] = field(default_factory=set)  # processes elsewhere that have taken part
    _places: dict[int, int] = field(default_factory=dict)  # in the display, of trials that run elsewhere
    _shown: dict[int, int] = field(default_factory=dict)  # the last epoch that was shown of a trial elsewhere
    _looked: float = float("-inf")
    _checked: float = float("-inf")
    _published: float | None = None  # how long a trial may take that begins now
    _latest: float = float("-inf")  # when every trial that began must have ended

    def __post_init__(self) -> None:
        """Trials that had ended before are not reported again."""
        self._reported |= {t.number for t in read_trials(self.study) if t.finished}

    def take(self) -> FrozenTrial | None:
        """Take a ticket, as workers elsewhere do."""
        return None if self.exhausted else take_ticket(self.study, self.run)

    def seconds(self) -> float:
        """Return how long a trial may take."""
        end = self.deadline()
        self._latest = max(self._latest, end)
        return max(0.0, end - time.monotonic())

    def ended(self, number: int) -> None:
        """Report it with the next look."""
        self._looked = float("-inf")

    def queued_again(self) -> None:
        """Do nothing: its ticket waits."""

    def leave(self, number: int) -> None:
        """Fail the trial; a resumed study tries it again."""
        fail_interrupted(self.study, number)

    def look(self) -> None:
        """Take back lost trials, report what has ended, keep the tickets and the gate as they must be."""
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked = now
        if now - self._checked >= _STALE:
            self._checked = now
            self._take_back()
            self._publish_seconds()
        trials = read_trials(self.study)
        self._report(trials)
        self._balance(trials)
        self.watch(self._gate is not None and self._gate.open, len(self._reported))

    def close(self) -> None:
        """Close the gate, and fail what still runs elsewhere; a resumed study tries it again."""
        self._set_gate(Gate(open=False))
        for trial in read_trials(self.study):
            if trial.state == "RUNNING":
                fail_interrupted(self.study, trial.number)

    def _take_back(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self.study)
        for trial in read_trials(self.study):
            gone = is_local(trial.run) and trial.run != self.run and not is_alive(trial.run)
            if trial.state == "RUNNING" and gone:
                fail_and_requeue(self.study, trial.number, "its process ended")

    def _report(self, trials: Sequence[Trial]) -> None:
        elsewhere = {t.number for t in trials if t.state == "RUNNING" and t.run != self.run}
        self._places = {number: place for number, place in self._places.items() if number in elsewhere}
        for trial in trials:
            if trial.number in elsewhere:
                self._show(trial)
            if not trial.finished or trial.number in self._reported:
                continue
            self._reported.add(trial.number)
            if needs_retry(trials, trial):
                if trial.run != self.run:
                    cause = trial.lost or f"{process_in_words(trial.run)} has given it back"
                    self.progress.info(f"trial {trial.number}: {cause}; it is tried again")
                continue
            frozen = self.study.get_trials(deepcopy=False)[trial.number]
            for callback in self.callbacks:
                callback(self.study, copy.deepcopy(frozen))

    def _show(self, trial: Trial) -> None:
        if trial.run is None:
            return
        if trial.run not in self._machines:
            self._machines.add(trial.run)
            self.progress.info(f"{process_in_words(trial.run)} takes part")
        if trial.number not in self._places:
            taken = set(self._places.values())
            place = next(n for n in count(self.local + 1) if n not in taken)
            self._places[trial.number], self._shown[trial.number] = place, -1
            self.progress.trial_started(trial.number, place)
        if trial.reports and max(trial.reports) > self._shown[trial.number]:
            epoch = self._shown[trial.number] = max(trial.reports)
            self.progress.epoch(trial.number, _stats(epoch, trial.reports[epoch]))

    def _balance(self, trials: Sequence[Trial]) -> None:
        """Make the tickets that are lacking, open the gate for as many as may be taken, or close it at the end."""
        running = sum(t.state == "RUNNING" for t in trials)
        waiting = sorted(t.number for t in trials if t.state == "WAITING")
        left = None if self.n_trials is None else self.n_trials - len(counted_trials(trials)) - running
        if self.study.stopped or (left is not None and left <= 0 and not running):
            self._finish(running)
            return
        ahead = max(_AHEAD, 2 * running)
        wanted = ahead if left is None else min(left, ahead) if self.few else left
        if (lacking := wanted - len(waiting)) > 0:
            make_tickets(self.study, min(lacking, _AT_ONCE))
            if lacking > _AT_ONCE:
                self._looked = float("-inf")  # the rest follows, while workers take the first ones
        allowed = ANY if left is None or left >= len(waiting) else waiting[left - 1] if left > 0 else -1
        self._set_gate(Gate(open=True, last=allowed))

    def _publish_seconds(self) -> None:
        seconds = self.seconds()
        if seconds != self._published:
            set_trial_seconds(self.study, seconds)
            self._published = seconds

    def _finish(self, running: int) -> None:
        self._set_gate(Gate(open=False))
        late = time.monotonic() > self._latest + _PATIENCE
        if not running or late:  # nobody can have taken a ticket meanwhile: look once more, now that the gate is closed
            left = [t for t in read_trials(self.study) if t.state == "RUNNING"]
            if left and not late:
                return
            for trial in left:
                fail_interrupted(self.study, trial.number)
            self._report(read_trials(self.study))
            self.exhausted = True

    def _set_gate(self, gate: Gate) -> None:
        if gate != self._gate:
            set_gate(self.study, gate)
            self._gate = gate


def _stats(epoch: int, value: float) -> EpochStats:
    """Return what is known of an epoch elsewhere."""
    nan = float("nan")
    return EpochStats(epoch=epoch, samples=0, train_loss=nan, val=value, learning_rate=nan, seconds=nan)
