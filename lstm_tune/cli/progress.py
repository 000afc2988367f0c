"""What a person sees while a study runs: a live display, plain lines, or nothing."""

from __future__ import annotations

import sys
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lstm_tune.search.progress import Tally, clock
from lstm_tune.search.trials import Trial
from lstm_tune.training.fitting import EpochStats
from lstm_tune.utils.escaping import printable
from lstm_tune.utils.spelling import as_typed


class PlainProgress:
    """One line for each ended trial: for logs and pipes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._tally = Tally()

    def _say(self, text: str) -> None:
        print(printable(text), file=self._stream, flush=True)

    def info(self, text: str) -> None:
        """Print the sentence."""
        self._say(as_typed(text))

    def assumed(self, text: str) -> None:
        """Print the sentence."""
        self.info(text)

    def begin(self, trials: int | None, done: int, seconds: float | None) -> None:
        """Print the budget."""
        self._tally.begin(trials, done, seconds)
        budget = [_counted(trials, "trial")] if trials is not None else []
        budget += [clock(seconds)] if seconds is not None else []
        self._say(f"study begins: {' within '.join(budget) or 'no limit'}" + (f", {done} done before" if done else ""))

    def trial_started(self, trial: int, worker: int) -> None:
        """Say nothing: a line for each trial is enough."""

    def epoch(self, trial: int, stats: EpochStats) -> None:
        """Say nothing either."""

    def trial(self, trial: Trial) -> None:
        """Print how the trial ended."""
        best = self._tally.add(trial)
        self._say(f"trial {trial.number} ({self._tally.done}{self._tally.of()}): {describe_trial(trial)}" + " *" * best)

    def retrain(self, done: int, asked: int) -> None:
        """Print the count."""
        self._say(f"retraining on train and validation rows: {done} of {_counted(asked, 'model')} done")

    def calibrate(self, done: int, asked: int) -> None:
        """Print the count."""
        self._say(f"calibrating intervals: {done} of {_counted(asked, 'block')} done")

    def end(self) -> None:
        """Say nothing."""


class LiveProgress:
    """A display that stays in place: the newest trials, those that run, and the state of the study."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tally = Tally()
        self._live: Live | None = None
        self._workers: dict[int, int] = {}  # of the running trials
        self._epochs: dict[int, EpochStats] = {}
        self._recent: list[tuple[Trial, bool]] = []
        self._retrain = ""

    def info(self, text: str) -> None:
        """Print the sentence above the display."""
        self._console.print(Text("· " + printable(as_typed(text)), style="dim"))

    def assumed(self, text: str) -> None:
        """Print the sentence above the display."""
        self.info(text)

    def begin(self, trials: int | None, done: int, seconds: float | None) -> None:
        """Begin the display."""
        self._tally.begin(trials, done, seconds)
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=4, transient=True)
        self._live.start()

    def trial_started(self, trial: int, worker: int) -> None:
        """Show which worker has it."""
        for before in [t for t, w in self._workers.items() if w == worker]:
            self._forget(before)  # it was lost
        self._workers[trial] = worker

    def epoch(self, trial: int, stats: EpochStats) -> None:
        """Show the running trial's epoch."""
        self._epochs[trial] = stats

    def trial(self, trial: Trial) -> None:
        """Show how the trial ended."""
        best = self._tally.add(trial)
        self._recent = [*self._recent[-7:], (trial, best)]
        self._forget(trial.number)

    def _forget(self, trial: int) -> None:
        self._workers.pop(trial, None)
        self._epochs.pop(trial, None)

    def retrain(self, done: int, asked: int) -> None:
        """Show the count."""
        self._retrain = f"retraining on train and validation rows: {done} of {_counted(asked, 'model')} done"

    def calibrate(self, done: int, asked: int) -> None:
        """Show the count."""
        self._retrain = f"calibrating intervals: {done} of {_counted(asked, 'block')} done"

    def end(self) -> None:
        """End the display."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _render(self) -> Group:
        tally = self._tally
        now = self._retrain or self._running() or "…"
        # A trial takes two lines of a narrow screen; what runs and how far the study is must not fall off the end.
        room = max(1, (self._console.height - now.count("\n") - 3) // 2)
        table = Table.grid(padding=(0, 2))
        for trial, best in self._recent[-room:]:
            style = "bold green" if best else "dim" if trial.state != "COMPLETE" else ""
            table.add_row(Text(f"trial {trial.number}", style=style), Text(describe_trial(trial), style=style))
        left = "" if self._retrain else tally.time_left()
        state = Text("  ".join(filter(None, (tally.counts(), left))), style="bold")
        return Group(table, Text(now, style="cyan"), state)

    def _running(self) -> str:
        """Return one line for each running trial, in the order of the workers."""
        workers, epochs = dict(self._workers), dict(self._epochs)  # another thread draws
        lines = []
        for trial in sorted({*workers, *epochs}, key=lambda t: workers.get(t, t)):
            worker = f"worker {workers[trial]}, " if trial in workers else ""
            stats = epochs.get(trial)
            epoch = f"epoch {stats.epoch}, validation score {stats.val:.4g}" if stats else "begins"
            lines.append(f"{worker}trial {trial}: {epoch}")
        return "\n".join(lines)


def describe_trial(trial: Trial) -> str:
    """Return how a trial ended, in a few words."""
    if trial.state == "COMPLETE" and trial.value is not None:
        text = f"validation score {trial.value:.5g}"
        if trial.same_as is not None:
            return f"{text}, as trial {trial.same_as}"
        done = trial.completed()
        shape = f"lookback {done.config.lookback}, {done.config.layers} × {done.config.hidden_units} units"
        cut = ", cut short by the time limit" if done.stopped == "time" else ""
        return f"{text}, best epoch {done.best_epoch} of {done.epochs}, {shape}{cut}"
    if trial.state == "PRUNED":
        return printable(f"pruned: {trial.pruned_because or 'by the pruner'}")
    return printable(f"failed: {trial.failure or 'interrupted'}")


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
