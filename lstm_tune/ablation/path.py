"""The way from the plain LSTM to the tuned one, one change at a time."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_tune.ablation import steps as waterfall
from lstm_tune.ablation.explain_json import Book
from lstm_tune.ablation.finished_run import Subject
from lstm_tune.ablation.steps import Group, Step
from lstm_tune.ablation.trainings import OutOfTime, Trainings
from lstm_tune.config import Config
from lstm_tune.errors import StudyError


class Walk:
    """Goes from the first configuration to the last one, and writes down each step."""

    def __init__(self, subject: Subject, trainings: Trainings, book: Book) -> None:
        self.subject = subject
        self.trainings = trainings
        self.book = book
        self.at = subject.start
        self.stages = waterfall.differing(subject.start, subject.end)
        self.members = len(subject.members) if len(subject.members) > 1 else 0
        seeds = len(subject.seeds)
        tries = sum(len(stage) * (len(stage) + 1) // 2 + len(stage) * (seeds - 1) for stage in self.stages)
        trainings.most = 3 * seeds + tries + self.members * seeds

    def ends(self) -> None:
        """Train the first and the last configuration: whatever time allows between them, both are known."""
        subject = self.subject
        values = self.trainings.values({waterfall.START: subject.start}, subject.seeds)[waterfall.START]
        if not any(v is not None for v in values):
            raise StudyError("the plain LSTM diverged with every seed, so there is nothing to explain from")
        self.book.steps.append(Step(name=waterfall.START, changes={}, values=values, before=None))
        if subject.end != subject.start:
            self.trainings.values({"the tuned LSTM": subject.end}, subject.seeds)

    def path(self) -> None:
        """Change one group after another, until the configuration is the tuned one."""
        stages = [list(stage) for stage in self.stages]
        try:
            for stage in stages:
                self._stage(stage, sum(map(len, stages)))
        except OutOfTime:
            left = [group for stage in stages for group in stage]
            if left and not any(self.trainings.lacks(self.subject.end, seed) for seed in self.subject.seeds):
                name = waterfall.joined(left)
                self._step(left, f"not taken apart: {name}" if len(left) > 1 else name)
            raise

    def _stage(self, stage: list[Group], left: int) -> None:
        """Take the steps of one stage; what diverges by itself goes together with the change after it.

        Args:
            stage: its groups; those that are done are taken out.
            left: groups of this stage and the later ones.
        """
        later = left - len(stage)
        end, seeds = self.subject.end, self.subject.seeds
        tried: dict[str, float | None] = {}
        together: list[Group] = []
        while stage:
            free = [group for group in stage if group not in together]
            if len(free) > 1:
                tries = {group.name: waterfall.applied(self.at, end, *together, group) for group in free}
                if self._time_to_try(list(tries.values()), len(stage) + later):
                    tried = {name: value for name, (value,) in self.trainings.values(tries, seeds[:1]).items()}
                elif self.book.listed_from is None:
                    self.book.listed_from = waterfall.next_group(free, tried).name
            together.append(waterfall.next_group(free, tried))
            name, config = waterfall.joined(together), waterfall.applied(self.at, end, *together)
            values = self.trainings.values({name: config}, seeds)[name]
            if any(v is not None for v in values) or len(together) == len(stage):
                self._step(together, name)
                stage[:] = [group for group in stage if group not in together]
                together = []

    def _time_to_try(self, configs: Sequence[Config], groups: int) -> bool:
        """Return whether there is time to try every change before the rest of the way is gone, and the mean trained."""
        seeds = self.subject.seeds
        tries = sum(self.trainings.lacks(config, seeds[0]) for config in configs)
        rest = groups * len(seeds) + self.members * self.trainings.means_left() + len(seeds)
        return not tries or self.trainings.seconds_for(tries + rest) <= self.trainings.seconds_left

    def _step(self, groups: Sequence[Group], name: str) -> None:
        """Go on by the change of some groups, and write it down; its trainings are done."""
        seeds, before = self.subject.seeds, self.at
        self.at = waterfall.applied(before, self.subject.end, *groups)
        self.book.steps.append(
            Step(
                name=name,
                changes=waterfall.changes(before, self.at, *groups),
                values=self.trainings.values({name: self.at}, seeds)[name],
                before=self.book.steps[-1].values,
            )
        )

    def mean(self) -> None:
        """Go from the best trial alone to the weighted mean of the members, the saved model."""
        if not self.members:
            return
        values = self.trainings.mean_values()
        name = f"mean of {self.members} forecasts"
        changes = {"ensemble": (1, self.members)}
        self.book.steps.append(Step(name=name, changes=changes, values=values, before=self.book.steps[-1].values))
