"""How the networks of a saved model were trained, and what is scored beside it, so that both can be done again."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lstm_tune.errors import RunError
from lstm_tune.models.checked import Checked

_MOST = 10**9  # epochs, samples or windows that a file may name


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkRecipe:
    """How one network was trained, beside its configuration."""

    trial: int
    seed: int
    epochs: int  # 0: the forecast before any training
    factors: tuple[float, ...]  # of the plateau schedule, epoch by epoch
    half_batches: bool  # whether memory sufficed for half a batch alone


@dataclass(frozen=True, kw_only=True, slots=True)
class SimpleRecipe:
    """How the forecasts that need no network are fitted, to be scored beside a model.

    Attributes:
        lookback: rows that the data of the study allow.
        weights: of each in their mean, by its name.
    """

    lookback: int
    weights: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How the networks of a model were trained.

    Attributes:
        networks: in the order of the model's members.
        samples: training windows in an epoch, …
        windows: … of so many windows at the shortest lookback; other rows get as many passes.
        precision: "fp32" or "bf16".
        simple: of the forecasts that need no network; None: an earlier version did not keep it.
    """

    networks: tuple[NetworkRecipe, ...]
    samples: int
    windows: int
    precision: str
    simple: SimpleRecipe | None = None

    def samples_of(self, windows: int) -> int:
        """Return the training windows in an epoch over rows that hold so many windows at the shortest lookback."""
        return max(1, round(self.samples * windows / self.windows))

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON."""
        return dataclasses.asdict(self) | {
            "networks": [dataclasses.asdict(one) | {"factors": list(one.factors)} for one in self.networks]
        }

    @classmethod
    def from_json(cls, raw: Any) -> Recipe | None:
        """Read what `to_json` wrote; None: an earlier version wrote nothing.

        Raises:
            ValueError, KeyError: it is something else.
        """
        if raw is None:
            return None
        given = Checked(raw, "recipe")
        precision = given.text("precision")
        if precision not in ("fp32", "bf16"):
            raise ValueError(f"recipe: precision must be fp32 or bf16, but is {precision!r}")
        return cls(
            networks=tuple(_network(one) for one in given.tables("networks", _MOST)),
            samples=_count(given.raw, "samples", 1),
            windows=_count(given.raw, "windows", 1),
            precision=precision,
            simple=_simple(raw.get("simple")),
        )


def known_recipe(recipe: Recipe | None) -> Recipe:
    """Return the recipe of a model.

    Raises:
        RunError: the model has none.
    """
    if recipe is None:
        raise RunError(
            "the model was saved by a version that did not keep how it was trained, so it cannot be trained again; "
            "run tune again"
        )
    return recipe


def _network(raw: Any) -> NetworkRecipe:
    given = Checked(raw, "recipe of a network")
    return NetworkRecipe(
        trial=_count(given.raw, "trial", 0),
        seed=_count(given.raw, "seed", 0),
        epochs=_count(given.raw, "epochs", 0),
        factors=given.numbers("factors"),
        half_batches=given.flag("half_batches"),
    )


def _simple(raw: Any) -> SimpleRecipe | None:
    if raw is None:
        return None
    weights = Checked(raw, "recipe of the simple forecasts").table("weights")
    if not all(type(weight) in (int, float) and math.isfinite(weight) for weight in weights.values()):
        raise ValueError("recipe of the simple forecasts: each weight must be a finite number")
    return SimpleRecipe(lookback=_count(raw, "lookback", 1), weights=dict(weights))


def _count(raw: Mapping[str, Any], key: str, least: int) -> int:
    value = raw[key]
    if type(value) is not int or not least <= value < 2**63 or (key != "seed" and value > _MOST):
        raise ValueError(f"recipe: {key} must be a whole number of at least {least}, but is {value!r}")
    return value
