"""What the saved model is called, and how much of it is a trained network.

The saved model is a mean of forecasts, and some of its members may be untrained: the simple forecast that a network
corrects, without the network. A name must not promise more than that. This module imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lstm_tune.config import CELL_LABELS, STARTS, Config

LITTLE = 0.5  # of the saved model: if trained networks weigh less, its name says how much
_NEGLIGIBLE = 0.05  # of the saved model: if the best trial weighs less, a line beside its parameters says so

MODEL = "saved model"
BEFOREHAND = "the LSTM trained beforehand"

Ensemble = Sequence[Mapping[str, Any]]  # as in `result.json`: trial, weight, epochs and params of each member


def is_beforehand(member: Mapping[str, Any]) -> bool:
    """Return whether a member is the LSTM that was trained beforehand, which no trial has trained."""
    return not member["epochs"] and member.get("params", {}).get("skip") == "pretrained"


def starts_simple(params: Mapping[str, Any]) -> bool:
    """Return whether a network of these parameters forecasts before any training: else its weights are random."""
    return any(params.get(name, "none") != "none" for name in STARTS)


def is_untrained(member: Mapping[str, Any]) -> bool:
    """Return whether a member is a simple forecast without its network; a network of random weights is none."""
    params = member.get("params")  # an earlier version did not list them
    return not member["epochs"] and (params is None or starts_simple(params))


def member_name(member: Mapping[str, Any]) -> str:
    """Return what a member is called, such as "trial 3", "trial 3 untrained" or "the LSTM trained beforehand"."""
    if is_beforehand(member):
        return BEFOREHAND
    return f"trial {member['trial']}{' untrained' if is_untrained(member) else ''}"


def trained_share(ensemble: Ensemble) -> float:
    """Return the weight of the networks, 0 to 1; 1 of no members: an earlier version did not list them."""
    total = math.fsum(member["weight"] for member in ensemble)
    return math.fsum(member["weight"] for member in ensemble if not is_untrained(member)) / total if total else 1.0


def network(ensemble: Ensemble) -> str:
    """Return what the members' networks are called, such as "LSTM"."""
    cells = dict.fromkeys(member["params"].get("cell", Config.cell) for member in ensemble)
    return " and ".join(CELL_LABELS[cell] for cell in cells) or CELL_LABELS[Config.cell]


def model_label(ensemble: Ensemble) -> str:
    """Return what all call the saved model; "saved model (9% LSTM)" if it is mostly untrained."""
    share = trained_share(ensemble)
    return MODEL if share >= LITTLE else f"{MODEL} ({share:.0%} {network(ensemble)})"


def alone_label(ensemble: Ensemble) -> str:
    """Return what tables call the mean of the trained members alone, such as "LSTM alone"."""
    return f"{network(ensemble)} alone"


def adds_little(ensemble: Ensemble) -> str:
    """Return a sentence on how little the network adds; "" if it is not little."""
    share = trained_share(ensemble)
    if share >= LITTLE:
        return ""
    return f"The {network(ensemble)} adds little here: {1 - share:.0%} of the saved model are untrained forecasts."


def weight_of_best(best: Mapping[str, Any], ensemble: Ensemble) -> str:
    """Return a clause on the best trial's weight in the saved model if it is small; "" if it is not.

    Args:
        best: as in `result.json`: the number of the trial, and its epochs.
        ensemble: the members.
    """
    own = [m for m in ensemble if (m["trial"], m["epochs"]) == (best["trial"], best["epochs"]) and not is_beforehand(m)]
    weight = math.fsum(member["weight"] for member in own)
    if weight >= _NEGLIGIBLE or not ensemble:
        return ""
    heaviest = max(ensemble, key=lambda member: member["weight"])
    part = f"only {weight:.1%} of" if weight else "no part of"
    return f"it is {part} the saved model, of which {member_name(heaviest)} is {heaviest['weight']:.0%}"
