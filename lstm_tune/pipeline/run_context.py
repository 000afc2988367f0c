"""What all steps of one run share."""

from __future__ import annotations

from dataclasses import dataclass

from lstm_tune.pipeline.options import TuneOptions
from lstm_tune.search.budget import Clock
from lstm_tune.search.progress import Progress
from lstm_tune.utils.signals import StopRequest


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RunContext:
    """What the user asked for, and how a step learns of the time, of a stop, and of whom to tell.

    Attributes:
        options: that were asked for.
        clock: the deadline, and the seconds that each step took.
        stop: whether the user wants to stop.
        progress: told what happens.
    """

    options: TuneOptions
    clock: Clock
    stop: StopRequest
    progress: Progress
