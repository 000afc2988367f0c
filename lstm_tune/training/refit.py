"""The networks of a saved model, trained again on other rows: same configurations, epochs and seeds, no search."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from lstm_tune.config import Config
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges
from lstm_tune.data.windows import Windows
from lstm_tune.errors import DataError, StudyError
from lstm_tune.models.forecaster import LSTMForecaster, MeanForecaster
from lstm_tune.models.preprocessing import Shape
from lstm_tune.models.recipe import NetworkRecipe, Recipe, SimpleRecipe
from lstm_tune.training.data_limits import is_positive
from lstm_tune.training.parallel import side_by_side, single_threaded
from lstm_tune.training.retrain import Member, Retrained, TrainingSet, make_retrainer, run_retrainer
from lstm_tune.training.task import Task
from lstm_tune.utils.text import counted


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Refitted:
    """A model that was trained again.

    Attributes:
        network: on the CPU, ready to forecast.
        recipe: of the networks that are left.
        notes: a sentence on networks that were left out.
    """

    network: MeanForecaster
    recipe: Recipe
    notes: tuple[str, ...]


def recipe_of(retrained: Retrained, task: Task, precision: str) -> Recipe:
    """Return how the networks of a study's model were trained."""
    fold = task.folds[0]
    return Recipe(
        networks=tuple(
            NetworkRecipe(
                trial=member.trial,
                seed=seed,
                epochs=member.epochs,
                factors=member.factors[: member.epochs],
                half_batches=member.half_batches,
            )
            for seed, pairs in zip(retrained.seeds, retrained.models, strict=True)
            for member, _ in pairs
        ),
        samples=fold.samples,
        windows=len(task.windows.positions(fold.segment.fit, 0, reach_back=False)),
        precision=precision,
        simple=SimpleRecipe(lookback=task.limits.max_lookback, weights=dict(task.combination)),
    )


def every_row(data: SeriesSet) -> Ranges:
    """Return the ranges that hold all rows of each series."""
    return tuple(itertools.pairwise(data.offsets))


@single_threaded()
def refit_network(
    network: MeanForecaster,
    recipe: Recipe,
    shape: Shape,
    windows: Windows,
    rows: Ranges,
    *,
    threads: int = 1,
    on_model: Callable[[int, int], None] = lambda done, asked: None,
) -> Refitted:
    """Train the networks of a model again on some rows.

    Each is trained for the epochs of its recipe, from the same seed, each epoch with as many passes over the rows as
    before; so the same rows give the same weights to the bit. A network that cannot be fitted on the rows (a logarithm
    of a value that is not above 0), or that diverges, is left out.

    Args:
        network: the model.
        recipe: how it was trained.
        shape: horizon, channels, covariates, period.
        windows: of the series, on the device to train on.
        rows: to fit on, one range for each series; nothing outside of them is read.
        threads: that share the work; the result does not depend on them.
        on_model: called with (models done, models asked), first with none done.

    Raises:
        DataError: too few rows, or a target without two different values.
        StudyError: every network diverged, or ran out of memory.
    """
    configs = [model.config for model in network.members if isinstance(model, LSTMForecaster)]
    _check_rows(network, windows, rows)
    samples = recipe.samples_of(len(windows.positions(rows, 0, reach_back=False)))
    data = TrainingSet(windows=windows, shape=shape, rows=rows, samples=samples)
    positive = is_positive(windows.data, rows) and not any(windows.data.origin)
    jobs = [i for i, config in enumerate(configs) if config.transform != "log" or positive]
    notes = []
    if len(jobs) < len(configs):
        left_out = len(configs) - len(jobs)
        if not jobs:
            raise DataError(
                "every network of the model takes logarithms, and a value of these rows is not above 0; "
                "run tune on them"
            )
        notes.append(
            f"{left_out} of {len(configs)} networks take logarithms and were left out, since a value is "
            "not above 0; run tune on these rows for others"
        )
    fitted: dict[Config, LSTMForecaster] = {}
    done: list[tuple[int, LSTMForecaster]] = []
    on_model(0, len(jobs))
    for first in range(0, len(jobs), threads):
        some = jobs[first : first + threads]
        members = [_member(configs[i], recipe.networks[i], network.weights[i]) for i in some]
        trainers = [
            make_retrainer(data, member, recipe.networks[i].seed, recipe.precision, fitted)
            for i, member in zip(some, members, strict=True)
        ]
        how = side_by_side(partial(run_retrainer, trainers, members, math.inf, lambda: False), len(some), threads)
        done += [(i, t.result.cpu().eval()) for i, t, end in zip(some, trainers, how, strict=True) if end == "done"]
        on_model(min(first + threads, len(jobs)), len(jobs))
    if not done:
        raise StudyError("every network diverged, or ran out of memory, on these rows; run tune on them")
    if len(done) < len(jobs):
        notes.append(
            f"{len(jobs) - len(done)} of {len(jobs)} networks diverged on these rows and were left out; "
            f"run tune on them for others"
        )
    kept = [i for i, _ in done]
    return Refitted(
        network=MeanForecaster([model for _, model in done], [network.weights[i] for i in kept]).eval(),
        recipe=replace(recipe, networks=tuple(recipe.networks[i] for i in kept)),
        notes=tuple(notes),
    )


def _member(config: Config, recipe: NetworkRecipe, weight: float) -> Member:
    return Member(
        trial=recipe.trial,
        config=config,
        epochs=recipe.epochs,
        factors=recipe.factors,
        weight=weight,
        half_batches=recipe.half_batches,
    )


def _check_rows(network: MeanForecaster, windows: Windows, rows: Ranges) -> None:
    """Refuse rows that hold no window of the longest context, or a target that does not vary.

    Raises:
        DataError: names what is missing.
    """
    data, need = windows.data, network.context + windows.horizon
    most = max((b - a for a, b in rows), default=0)
    if not len(windows.positions(rows, network.context, reach_back=False)):
        raise DataError(
            f"the model looks back on {counted(network.context, 'row')} and forecasts {windows.horizon}, so it needs "
            f"{need} rows in a row to be trained on, but the longest series has {most}; give it more rows"
        )
    for c, target in enumerate(data.targets):
        bounds = [(float(x.min()), float(x.max())) for x in data.seen(c, rows) if len(x)]
        if not bounds or min(low for low, _ in bounds) == max(high for _, high in bounds):
            raise DataError(
                f"target {target!r} has fewer than two different values in the rows to train on; give it other rows"
            )
    if not bool(torch.isfinite(data.values).all()):
        raise DataError("a value of the rows to train on is no finite number; correct it, or leave it empty")
