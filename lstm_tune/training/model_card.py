"""What a saved model says of itself, in a terminal or a notebook."""

from __future__ import annotations

from typing import Any

from lstm_tune.models.data_spec import DataSpec
from lstm_tune.models.forecaster import LSTMForecaster, MeanForecaster
from lstm_tune.models.recipe import Recipe
from lstm_tune.utils.text import counted


def model_facts(spec: DataSpec, horizon: int, lookback: int, members: int) -> dict[str, str]:
    """Return what a model forecasts, how far ahead, and what it must be given.

    Args:
        spec: the columns that it was made for.
        horizon: rows that one forecast covers.
        lookback: rows that it must see.
        members: its networks.
    """
    stamps = [f"holidays of {spec.holidays}"] * (spec.holidays is not None) + ["the calendar"] * spec.calendar
    covariates = [*spec.past, *spec.future, *spec.static, *stamps]
    return {
        "forecasts": ", ".join(spec.targets),
        "ahead": counted(horizon, "row") + (f" of frequency {spec.freq}" if spec.freq else ""),
        "needs": f"{counted(lookback, 'row')}{' with ' if covariates else ''}{', '.join(covariates)}",
        "members": counted(members, "network"),
        "see": ".predict(frame), .plot(frame), .evaluate(frame), .save(folder)",
    }


def members_of(network: MeanForecaster, recipe: Recipe | None) -> list[dict[str, Any]]:
    """Return weight, epochs and parameters of each network of a model, as `model_label` reads them.

    Args:
        network: the model.
        recipe: how its networks were trained; None: an earlier version did not keep it, and nothing is returned.
    """
    if recipe is None:
        return []
    return [
        {"weight": weight, "epochs": made.epochs, "params": member.config.params()}
        for member, weight, made in zip(network.members, network.weights, recipe.networks, strict=True)
        if isinstance(member, LSTMForecaster)
    ]
