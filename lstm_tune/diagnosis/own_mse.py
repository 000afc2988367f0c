"""What a model with a given MSE is worth on some data, and which causes fit: for models that were trained elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from lstm_tune.errors import UsageError
from lstm_tune.evaluation.baseline_labels import LABELS, label_of
from lstm_tune.utils.text import number

SCALINGS: Mapping[str, str] = {"minmax": "scaled to 0 and 1", "standard": "standardised"}

_TOO_GOOD = 0.5  # of the least error that seems possible: an error below is no forecast's
_PLAUSIBLE = 0.3, 3.0  # times the least error that seems possible, times the largest of a simple forecast
_ALIKE = 0.05  # relative difference of two errors that are as good as equal
_NEAR_BEST = 1.1  # times the best simple forecast: little is left to gain
_MOST_CAUSES = 4
_NOTES = (
    "These figures are of the test rows that are named above; an MSE of other rows can be compared only if they are as "
    "hard to forecast."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnMse:
    """What an MSE that somebody has measured means.

    Attributes:
        mse: in the target's own units, squared.
        mse_scaled: over the variance of the train rows; None: several series, each with a scale of its own.
        scaled: how the values were scaled on which it was computed: "minmax", "standard"; None: not at all.
        suspected: scalings that would explain an MSE that is too low to be one of values in their own units.
        against: the MSE over that of each simple forecast on the test rows, {name: ratio}.
        over_noise: the MSE over the noise floor; None: there is no estimate.
        says: what this means, in sentences.
        causes: what may make it so high, the most likely one first.
    """

    mse: float
    mse_scaled: float | None
    scaled: str | None
    suspected: tuple[str, ...]
    against: Mapping[str, float]
    over_noise: float | None
    says: tuple[str, ...]
    causes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


def read_own_mse(mse: float | None, rmse: float | None, scaled: str | None) -> float | None:
    """Return the MSE that was given, as such or as its root; None: neither was.

    Raises:
        UsageError: both, an impossible number, or an unknown scaling.
    """
    if scaled is not None and scaled not in SCALINGS:
        raise UsageError(f"scaled must be one of {', '.join(SCALINGS)}, but is {scaled!r}")
    if mse is not None and rmse is not None:
        raise UsageError("mse and rmse are the same error; give one of them")
    if mse is None and rmse is None:
        if scaled is not None:
            raise UsageError("scaled says how an MSE was computed; give the MSE, too")
        return None
    name, value = ("mse", mse) if mse is not None else ("rmse", rmse)
    if isinstance(value, bool) or not isinstance(value, int | float) or not (value > 0 and math.isfinite(value)):
        raise UsageError(f"{name} must be a number above 0, but is {value!r}")
    return float(value) if name == "mse" else float(value) ** 2


def judge_mse(
    given: float,
    scaled: str | None,
    *,
    span: float,
    scale: Mapping[str, Any],
    baselines: Mapping[str, Mapping[str, Any]],
    causes: Sequence[str],
) -> OwnMse:
    """Return what an MSE is worth on some data.

    Args:
        given: the MSE.
        scaled: how the values were scaled on which it was computed; None: not at all.
        span: largest minus smallest train value.
        scale: of `mse_scale`.
        baselines: of `score_baselines`.
        causes: of error that the data show, the most severe first.

    Raises:
        UsageError: several targets have an MSE each.
    """
    variance = scale["unit_mse"]
    if isinstance(variance, Mapping):
        raise UsageError(f"an MSE belongs to one column, but there are {len(variance)} targets; name one with target=")
    units = {"minmax": span**2, "standard": float(variance)}
    mse = given * units[scaled] if scaled is not None else given
    tested = {name: float(b["test_mse"]) for name, b in baselines.items()}
    floor = scale["noise_floor_mse"]
    least = min(tested.values()) if floor is None else min(floor, *tested.values())
    low, high = _PLAUSIBLE[0] * least, _PLAUSIBLE[1] * max(tested.values())
    too_good = mse < _TOO_GOOD * least
    suspected = [s for s, unit in units.items() if low <= given * unit <= high] if too_good and scaled is None else []
    judged = OwnMse(
        mse=mse,
        mse_scaled=None if scale["own_scales"] else mse / variance,
        scaled=scaled,
        suspected=tuple(suspected),
        against={name: mse / other for name, other in tested.items() if other > 0},
        over_noise=None if not floor else mse / floor,
        says=(),
        causes=(),
    )
    says = _too_good(judged, given, least, units) if too_good else _comparison(judged, tested, floor)
    return replace(judged, says=(*says, _NOTES), causes=tuple(_causes(judged, causes, too_good=too_good)))


def _what(own: OwnMse) -> str:
    before = f"An MSE measured on values that were {SCALINGS[own.scaled]} is" if own.scaled else "Your MSE is"
    value = f"{before} {number(own.mse, 4)} in the data's own units (RMSE {number(math.sqrt(own.mse), 4)})"
    if own.mse_scaled is None:
        return f"{value}; over several series it is mostly the error of the largest ones."
    return f"{value}, which is a scaled MSE of {number(own.mse_scaled, 3)}."


def _too_good(own: OwnMse, given: float, least: float, units: Mapping[str, float]) -> list[str]:
    says = [
        _what(own),
        f"The least error that seems possible on these data is {number(least, 4)}, so no forecast of values in their "
        f"own units is likely to have this MSE.",
    ]
    for scaling in own.suspected:
        there = given * units[scaling]
        says.append(
            f"If it was computed on values that were {SCALINGS[scaling]}, it is {number(there, 4)} in their own units "
            f"(RMSE {number(math.sqrt(there), 4)}): pass --scaled {scaling} to see what that is worth."
        )
    return says


def _comparison(own: OwnMse, tested: Mapping[str, float], floor: float | None) -> list[str]:
    best = min(tested, key=lambda name: tested[name])
    against = _against(own.against.get(best, math.inf), best, tested[best])
    says = [_what(own), f"{against}, the best forecast without an LSTM."]
    # Without a season, repeating the last one is repeating the last value.
    same = tested.get("seasonal_naive") == tested.get("persistence")
    rest = [name for name in LABELS if name in tested and not (same and name == "seasonal_naive")]
    beaten = [label_of(name).sentence for name in rest if own.against.get(name, math.inf) < 1 - _ALIKE]
    better = [label_of(name).sentence for name in rest if own.against.get(name, math.inf) > 1 + _ALIKE]
    if better:
        says.append(f"Better than your model: {', '.join(better)}.")
    if beaten:
        says.append(f"Your model is better than: {', '.join(beaten)}.")
    if max(own.against.values(), default=math.inf) <= _NEAR_BEST:
        says.append(
            "So the model is about as good as the best of these forecasts, or better: nothing is wrong with it."
        )
    if floor is not None and floor < own.mse:
        says.append(
            f"The noise floor is about {number(floor, 3)}, so from the past alone at most {1 - floor / own.mse:.0%} of "
            f"the error can be taken off."
        )
    return says


def _against(ratio: float, name: str, mse: float) -> str:
    size = "equals" if abs(ratio - 1) <= _ALIKE else f"is {ratio:.2g} times"
    return f"It {size} that of {label_of(name).sentence} ({number(mse, 4)})"


def _causes(own: OwnMse, of_data: Sequence[str], *, too_good: bool) -> list[str]:
    """Return the causes that fit an error of this size, those that the error itself shows first."""
    if too_good:
        leak = "the scored rows were seen in training, for example because windows were shuffled before the split"
        return ["it was computed on values that were scaled in another way", leak]
    ratio = {name: own.against.get(name, math.inf) for name in ("persistence", "train_mean", "seasonal_naive")}
    best = max(own.against.values(), default=math.inf)  # the largest ratio is that to the best forecast
    if best <= _NEAR_BEST:
        return []
    found = []
    if ratio["train_mean"] > 1 + _ALIKE:
        found.append(
            "the forecasts are worse than a constant: the forecasts were not brought back to the data's own units, the "
            "level of the scored rows is new to the network, or the learning rate is too high"
        )
    elif abs(ratio["train_mean"] - 1) <= _ALIKE:
        found.append(
            "the network forecasts little more than the mean: it has not learned, or trained for too few epochs"
        )
    if abs(ratio["persistence"] - 1) <= _ALIKE:
        found.append("the network copies the last value")
    elif ratio["persistence"] > 1 and ratio["train_mean"] < 1 - _ALIKE:
        found.append("the network has learned less than the last value says: too few epochs, or unscaled inputs")
    if ratio["seasonal_naive"] > 1 + _ALIKE and ratio["seasonal_naive"] >= 0.9 * best:
        found.append("the network does not see the season: its lookback is too short for it")
    found += [f"in the data: {cause}" for cause in of_data]
    return list(dict.fromkeys(found))[:_MOST_CAUSES]
