"""A model of many series, made ready for other ones: each gets its own scale, kept or measured."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Sequence

import torch

from lstm_tune.data.own_scale import LEAST_VALUES, SeriesStatistics
from lstm_tune.data.series import SeriesSet
from lstm_tune.models.data_spec import DataSpec
from lstm_tune.models.forecaster import LSTMForecaster, MeanForecaster
from lstm_tune.models.preprocessing import Preprocessing, Shape

_NAMED = 3


def has_own_scale(network: MeanForecaster) -> bool:
    """Return whether any network of the mean scales each series by itself."""
    return any(isinstance(member, Preprocessing) and member.own_scale for member in network.members)


def for_series(network: MeanForecaster, known: Sequence[str], data: SeriesSet) -> MeanForecaster:
    """Return the network with the scale of each series of the data, in their order; the weights are shared.

    A series that was trained on keeps the scale of its training. Another one is scaled by its own observed values: by
    their mean and standard deviation, or, if there are less than 8, by what is usual among the trained series, see
    `own_scale`.

    Args:
        network: of a saved model.
        known: names of the series that it was trained on, in order.
        data: series to forecast; all of their rows may be looked at.
    """
    if not has_own_scale(network) or tuple(known) == data.series:
        return network
    places = {name: i for i, name in enumerate(known) if name}
    index = torch.tensor([places.get(name, -1) for name in data.series])
    rows = tuple(itertools.pairwise(data.offsets))
    measured = {log: SeriesStatistics.of(data, rows, log=log) for log in _kinds(network)}
    members = []
    for member in network.members:
        assert isinstance(member, LSTMForecaster)
        members.append(_adapted(member, index, measured) if member.own_scale else member)
    return MeanForecaster(members, network.weights).train(network.training)


def with_series(shape: Shape, spec: DataSpec, data: SeriesSet) -> tuple[Shape, DataSpec]:
    """Return what a model of several series is built for, with the series of other data."""
    if shape.series == 1:
        return shape, spec
    return dataclasses.replace(shape, series=data.n_series), dataclasses.replace(spec, series=DataSpec.of(data).series)


def _kinds(network: MeanForecaster) -> set[bool]:
    """Return whether values, logarithms or both are scaled."""
    return {m.config.transform == "log" for m in network.members if isinstance(m, Preprocessing) and m.own_scale}


def _adapted(member: LSTMForecaster, index: torch.Tensor, measured: dict[bool, SeriesStatistics]) -> LSTMForecaster:
    adapted = copy.copy(member)
    adapted._buffers = dict(member._buffers)
    adapted.shape = dataclasses.replace(member.shape, series=len(index))
    adapted.take_own_scale(measured[member.config.transform == "log"], member.usual_spread)
    kept = index >= 0
    for name in ("center", "scale", "log_ceiling", "log_floor"):
        if name in member._buffers:
            before, now = (getattr(one, name).reshape(member.shape.channels, -1) for one in (member, adapted))
            setattr(adapted, name, torch.where(kept, before[:, index.clamp_min(0)], now).reshape(-1))
    return adapted


def describe_unseen(network: MeanForecaster, known: Sequence[str], data: SeriesSet) -> tuple[str, ...]:
    """Return a sentence on series that were not trained on and are too short to tell their own spread."""
    if not has_own_scale(network):
        return ()
    trained = set(known)
    count = SeriesStatistics.of(data, tuple(itertools.pairwise(data.offsets))).count.min(axis=0)
    few = [name for name, n in zip(data.series, count, strict=True) if name not in trained and n < LEAST_VALUES]
    if not few:
        return ()
    shown = ", ".join(map(repr, few[:_NAMED])) + (", …" if len(few) > _NAMED else "")
    return (
        f"{len(few)} series that the model was not trained on have less than {LEAST_VALUES} values, which tell no "
        f"scale: their spread is taken to be what is usual among the others ({shown})",
    )
