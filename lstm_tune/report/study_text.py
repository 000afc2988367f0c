"""What a study's trials and the saved model are called, in words, from the records of `result.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lstm_tune.evaluation.model_labels import BEFOREHAND, is_beforehand, is_untrained
from lstm_tune.utils.text import justified_digits, number

_LEAST_DIGITS = 3  # so that forecasts that differ by 1% are told apart
UNTRAINED = "Untrained: the forecast that the LSTM of that trial corrects (its start), without the LSTM."
_BEFOREHAND = (
    "The LSTM trained beforehand comes with the package: it has seen simulated series alone, and counts as untrained."
)


def trial_states(study: Mapping[str, Any]) -> str:
    """Return how the trials of a study ended, such as "13 completed, 7 pruned, 2 interrupted".

    Args:
        study: as in `result.json`.
    """
    states, not_counted = study["states"], study.get("not_counted", 0)
    rare = {"failed": states["FAIL"] - not_counted, "interrupted": not_counted}
    counts = [f"{states['COMPLETE']} completed", f"{states['PRUNED']} pruned"]
    return ", ".join(counts + [f"{n} {name}" for name, n in rare.items() if n])


def members(ensemble: Sequence[Mapping[str, Any]]) -> str:
    """Return the members of the saved model with their weights, such as "trials 10 (15%), 6 untrained (12%)".

    Args:
        ensemble: as in `result.json`.
    """
    beforehand = [m for m in ensemble if is_beforehand(m)]
    rest = [m for m in ensemble if not is_beforehand(m)]
    named = [f"{m['trial']}{' untrained' if is_untrained(m) else ''} ({_share(m['weight'])})" for m in rest]
    trials = [f"trial{'s' if len(named) > 1 else ''} {', '.join(named)}"] if named else []
    share = _share(math.fsum(m["weight"] for m in beforehand))
    return " and ".join(trials + ([f"{BEFOREHAND} ({share})"] if beforehand else []))


def on_untrained(ensemble: Sequence[Mapping[str, Any]]) -> str:
    """Return what the members are that no trial has trained; "" if there is none."""
    found = {is_beforehand(member) for member in ensemble if is_untrained(member)}
    return " ".join(text for kind, text in ((False, UNTRAINED), (True, _BEFOREHAND)) if kind in found)


def _share(weight: float) -> str:
    return "under 1%" if 0 < weight < 0.005 else f"{weight:.0%}"


def score_digits(test: Mapping[str, Any]) -> int:
    """Return how many significant digits the scores of a table have: those that the interval justifies, 3 at least.

    Args:
        test: of `result.json`.
    """
    own = test["mse_scaled"] if isinstance(test["mse"], Mapping) else test["mse"]
    return 4 if own is None else max(_LEAST_DIGITS, justified_digits(own, test.get("ci95")))


def levels_option(record: Mapping[str, Any]) -> str:
    """Return the option of `predict` for the intervals that a run has: " --level 80,95"; "": it has none."""
    levels = ",".join((record["test"].get("intervals") or {}).get("model", {}))
    return f" --level {levels}" if levels else ""


def ends(interval: Sequence[float | None], digits: int) -> str:
    """Return an interval in words: "1.2 to 3.4", or that there is none; windows of many series may lie at one time."""
    low, high = interval
    known = all(end is not None and math.isfinite(end) for end in (low, high))
    return (
        f"{number(low, digits)} to {number(high, digits)}" if known else "unknown, the windows cover too short a time"
    )
