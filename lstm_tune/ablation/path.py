"""The path from the plain LSTM to the tuned one, one change at a time."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from lstm_tune.ablation.finished_run import FinishedRun
from lstm_tune.ablation.steps import (
    START,
    Group,
    Step,
    applied,
    changes,
    differing,
    joined,
    ordered,
    stays_noise,
)
from lstm_tune.ablation.trainings import OutOfTime, Trainings
from lstm_tune.config import Config
from lstm_tune.errors import StudyError

_END = "the best trial"
_SURE = 2  # seeds that every step is trained with; more only if they can make a difference


@dataclass(slots=True)
class Waterfall:
    """The steps so far."""

    steps: list[Step] = field(default_factory=list)
    listed_from: str | None = None  # the first step whose stage was not tried, for lack of time


def most_trainings(run: FinishedRun) -> int:
    """Return how many trainings the whole waterfall can take."""
    seeds = len(run.seeds)
    groups = sum(map(len, differing(run.start, run.end)))
    return 3 * seeds + groups * seeds + len(_members(run)) * seeds


def most_advised(run: FinishedRun) -> int:
    """Return how many trainings it can take to try what is advised."""
    return (1 + len(run.advised)) * len(run.seeds)


def walk(run: FinishedRun, trainings: Trainings, found: Waterfall) -> None:
    """Train the steps and add them to `found`, the plain LSTM first, the mean of the members last.

    Raises:
        OutOfTime: there was no time for all. If both ends were trained, the changes that are left are one step.
        StudyError: the plain LSTM diverged with every seed.
    """
    _both_ends(run, trainings, found)
    try:
        for stage in differing(run.start, run.end):
            _take_stage(stage, run, trainings, found)
        _take_mean(run, trainings, found)
    except OutOfTime:
        left = [group for stage in differing(_last_config(found), run.end) for group in stage]
        if left:
            name = joined(left)
            name = f"remaining changes together: {name}" if len(left) > 1 else name
            _add(left, name, trainings.values({name: run.end}, run.seeds)[name], run, found)
        raise


def try_advised(run: FinishedRun, trainings: Trainings) -> Iterator[Step]:
    """Train the tuned configuration with each change that the findings advise, and yield the change as a step from it.

    Raises:
        OutOfTime: there was no time for all.
    """
    before = trainings.values({_END: run.end}, run.seeds)[_END] if run.advised else ()
    own = run.end.params()
    for action in run.advised:
        config = Config.from_params({**own, **action.space})
        name = action.describe()
        values = trainings.values({name: config}, run.seeds)[name]
        changed = {parameter: (own[parameter], value) for parameter, value in action.space.items()}
        yield Step(name=name, changes=changed, values=values, before=before, config=config)


def _both_ends(run: FinishedRun, trainings: Trainings, found: Waterfall) -> None:
    """Train the first and the last configuration: both are known, whatever time allows between them."""
    values = trainings.values({START: run.start}, run.seeds)[START]
    if all(v is None for v in values):
        raise StudyError("the plain LSTM diverged with every seed, so there is no step to start from")
    found.steps.append(Step(name=START, changes={}, values=values, before=None, config=run.start))
    if run.end != run.start:
        trainings.values({_END: run.end}, run.seeds)


def _take_stage(stage: Sequence[Group], run: FinishedRun, trainings: Trainings, found: Waterfall) -> None:
    """Take the steps of one stage. A change that diverges alone is made together with the next one."""
    together: list[Group] = []
    bundles = _bundles(stage, run, trainings, found)
    for i, bundle in enumerate(bundles):
        together += bundle
        values = _train_step(joined(together), applied(_last_config(found), run.end, *together), run, trainings, found)
        if any(v is not None for v in values) or i == len(bundles) - 1:
            _add(together, joined(together), values, run, found)
            together = []


def _bundles(stage: Sequence[Group], run: FinishedRun, trainings: Trainings, found: Waterfall) -> list[list[Group]]:
    """Return the changes of a stage in the order of their steps.

    Each change is tried alone with the first seed. Those that change less than another seed does are one step, at the
    end: taken apart, each would only be found to be noise.
    """
    if len(stage) < 2:
        return [list(stage)]
    at = _last_config(found)
    tries = {group.name: applied(at, run.end, group) for group in stage}
    if not _time_to_try(tries.values(), run, trainings, found):
        if found.listed_from is None:
            found.listed_from = stage[0].name
        return [[group] for group in stage]
    values = {name: value for name, (value,) in trainings.values(tries, run.seeds[:1]).items()}
    groups = ordered(stage, values)
    before, spread = found.steps[-1].values[0], _seed_spread(found.steps)
    small = [group for group in groups if _is_small(values[group.name], before, spread)]
    if len(small) < 2:
        return [[group] for group in groups]
    return [*([group] for group in groups if group not in small), small]


def _is_small(value: float | None, before: float | None, spread: float) -> bool:
    """Return whether a change is smaller than the standard deviation of the difference of two seeds."""
    return value is not None and before is not None and abs(value - before) <= math.sqrt(2) * spread


def _seed_spread(steps: Iterable[Step]) -> float:
    """Return the standard deviation over the seeds, pooled over the steps."""
    variances = [step.sd**2 for step in steps if step.sd is not None]
    return math.sqrt(statistics.fmean(variances)) if variances else 0.0


def _time_to_try(tries: Iterable[Config], run: FinishedRun, trainings: Trainings, found: Waterfall) -> bool:
    """Return whether there is time to try every change, and then for the main path, the mean and the test."""
    missing = sum(trainings.lacks(config, run.seeds[0]) for config in tries)
    groups = sum(map(len, differing(_last_config(found), run.end)))
    path = max(0, groups - 1) * _SURE  # the last step is the tuned LSTM, which is trained already
    rest = path + len(_members(run)) * trainings.means_left() + len(run.seeds)
    return not missing or trainings.seconds_for(missing + rest) <= trainings.seconds_left


def _train_step(
    name: str, config: Config, run: FinishedRun, trainings: Trainings, found: Waterfall
) -> tuple[float | None, ...]:
    """Return the values of a configuration with two seeds, and with each further one that can make the change count.

    A further seed is compared with the step before, which is trained with it if it was not yet.
    """
    last = found.steps[-1]
    values = trainings.values({name: config}, run.seeds[:_SURE])[name]
    for count in range(_SURE + 1, len(run.seeds) + 1):
        seed = run.seeds[count - 1]
        step = Step(name=name, changes={}, values=values, before=last.values)
        if stays_noise(step.differences, len(run.seeds)):
            if trainings.lacks(config, seed):
                break
        elif len(last.values) < count and last.config is not None:
            last = replace(last, values=last.values + trainings.values({last.name: last.config}, [seed])[last.name])
            found.steps[-1] = last
        values += trainings.values({name: config}, [seed])[name]
    return values


def _take_mean(run: FinishedRun, trainings: Trainings, found: Waterfall) -> None:
    """Go from the best trial alone to the weighted mean of the members: the saved model.

    If time runs out, the step is that of the seeds that are done.
    """
    members = _members(run)
    if not members:
        return
    values: tuple[float | None, ...] = ()
    try:
        for seed in run.seeds:
            values += (trainings.mean_value(seed),)
    finally:
        if values:
            name, change = f"mean of {len(members)} forecasts", {"ensemble": (1, len(members))}
            found.steps.append(Step(name=name, changes=change, values=values, before=found.steps[-1].values))


def _add(
    groups: Sequence[Group], name: str, values: tuple[float | None, ...], run: FinishedRun, found: Waterfall
) -> None:
    """Add the step in which some groups change."""
    before = _last_config(found)
    config = applied(before, run.end, *groups)
    step = Step(
        name=name,
        changes=changes(before, config, *groups),
        values=values,
        before=found.steps[-1].values,
        config=config,
    )
    found.steps.append(step)


def _last_config(found: Waterfall) -> Config:
    """Return the configuration that the path has come to."""
    return next(step.config for step in reversed(found.steps) if step.config is not None)


def _members(run: FinishedRun) -> Sequence[object]:
    """Return the members of a mean; nothing if the saved model is the best trial alone."""
    return run.members if len(run.members) > 1 else ()
