"""What the data allow of a search space: each parameter within its bound, and a sentence for each cut."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from lstm_tune.config import PLAIN
from lstm_tune.errors import SpaceError
from lstm_tune.search.parameter import Choice, Fixed, Parameter, Range, Value, largest, simplified, unique
from lstm_tune.training.limits import Limits


def cut_parameters(
    given: Mapping[str, Parameter], limits: Limits, source: str, *, quiet: bool
) -> tuple[dict[str, Parameter], tuple[str, ...]]:
    """Return the part of the parameters that the data allow, and one sentence for each cut.

    Args:
        given: parameters, in an order in which every `when` refers to earlier ones.
        limits: of the data.
        source: the file, for errors.
        quiet: whether cuts that nobody asked for need no sentence, as in a preset.

    Raises:
        SpaceError: nothing is left of a parameter.
    """
    bounds = _bounds(limits, given)
    parameters: dict[str, Parameter] = {}
    notes = []
    for name, parameter in given.items():
        possible = _possible(parameter, parameters)
        if possible is None:
            notes.append(f"{name}: left out: its condition cannot hold any more")
            continue
        bound = bounds.get(name, _Bound())
        left = _left(name, possible, bound, source)
        if left.describe() != parameter.describe() and not (bound.quiet and quiet):
            notes.append(f"{name}: {parameter.describe()} cut to {left.describe()}: {bound.reason}")
        parameters[name] = left
    for name, bound in bounds.items():
        plain = getattr(PLAIN, name)
        if name not in parameters and not bound.allows(plain):
            parameters[name] = Fixed(value=bound.top)
            notes.append(f"{name}: {plain} cut to {bound.top}: {bound.reason}")
    return parameters, tuple(notes)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Bound:
    """What the data allow of one parameter, why, and what a person can do about it."""

    top: float = math.inf
    banned: str | None = None
    clips: bool = False  # whether a listed number that is too large is lowered, not dropped
    quiet: bool = False  # whether a preset is cut without a note: nobody asked for what is left out
    reason: str = ""
    remedy: str = ""

    def allows(self, value: Value) -> bool:
        return value != self.banned if isinstance(value, str) else value <= self.top

    def of(self, values: Iterable[Value]) -> tuple[Value, ...]:
        """Return the values that are allowed, or all of them with `top` in place of what is above."""
        if self.clips:
            return unique(value if isinstance(value, str) else min(value, self.top) for value in values)
        return tuple(value for value in values if self.allows(value))


def _bounds(limits: Limits, parameters: Mapping[str, Parameter]) -> dict[str, _Bound]:
    bounds = {
        "lookback": _Bound(
            top=limits.max_lookback,
            reason="the training rows allow no more",
            remedy=f"lower it to {limits.max_lookback} at most, or give more rows",
        ),
        "batch_size": _Bound(
            top=limits.max_batch_size,
            clips=True,
            reason=f"there are only {limits.max_batch_size} training windows",
        ),
    }
    window = _narrowed(parameters.get("lookback", Fixed(value=PLAIN.lookback)), bounds["lookback"])
    longest = limits.max_lookback if window is None else largest({"lookback": window}, "lookback")
    patch = min(max(1, limits.max_lookback // 2), longest)
    bounds["patch"] = _Bound(
        top=patch,
        reason="the windows that the training rows allow are too short for more",
        remedy=f"lower it to {patch} at most, or give more rows",
    )
    if not limits.positive:
        reason = "the target is not above 0 everywhere, so it has no logarithm"
        bounds["transform"] = _Bound(banned="log", reason=reason, remedy="use none")
    if limits.period is None:
        seasonal = _Bound(banned="seasonal", reason="the data show no season", remedy="use none")
        bounds |= {"difference": seasonal, "skip": seasonal}
    if not limits.several_series and isinstance(parameters.get("loss_scale"), Choice):
        reason = "there is one series, so the default weighs no series more than another"
        bounds["loss_scale"] = _Bound(banned="window", reason=reason, remedy="use series", quiet=True)
    return bounds


def _possible(parameter: Parameter, earlier: Mapping[str, Parameter]) -> Parameter | None:
    """Return the parameter with what its condition can still ask for, or None if that is nothing."""
    when = {
        parent: tuple(value for value in allowed if parent in earlier and earlier[parent].admits(value))
        for parent, allowed in parameter.when.items()
    }
    return replace(parameter, when=when) if all(when.values()) else None


def _narrowed(parameter: Parameter, bound: _Bound) -> Parameter | None:
    """Return the part of the parameter within the bound, or None if nothing is; a range is always clipped."""
    match parameter:
        case Range(low=low, high=high):
            return simplified(replace(parameter, low=min(low, bound.top), high=min(high, bound.top)))
        case Choice(values=values):
            left = bound.of(values)
            return simplified(replace(parameter, values=left)) if left else None
        case Fixed(value=value):
            left = bound.of((value,))
            return replace(parameter, value=left[0]) if left else None


def _left(name: str, parameter: Parameter, bound: _Bound, source: str) -> Parameter:
    left, plain = _narrowed(parameter, bound), getattr(PLAIN, name)
    if left is None:
        raise SpaceError(f"{source}: {name} = {parameter.describe()}: {bound.reason}; {bound.remedy}")
    if left.when and not bound.allows(plain):
        rule = f"is {plain} if its condition does not hold, but {bound.reason}; drop the condition"
        raise SpaceError(f"{source}: {name} = {parameter.describe()}: {rule}")
    return left
