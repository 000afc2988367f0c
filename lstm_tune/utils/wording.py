"""Numbers and names as people read them, the same on the screen and in the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BASELINES = {  # in tables and figures; see `baseline`
    "persistence": "persistence (last value)",
    "seasonal_naive": "seasonal naive (last season)",
    "ridge": "ridge regression",
    "train_mean": "mean of the train rows",
}
BASELINES_SAID = {  # in sentences
    "persistence": "repeating the last value",
    "seasonal_naive": "repeating the last season",
    "ridge": "ridge regression",
    "train_mean": "the mean of the train rows",
}


_NO_SEASON = "seasonal naive (no season)"
UNTRAINED = "Untrained: the forecast that the LSTM of that trial corrects (its start), without the LSTM."


def baseline(name: str, period: float | None) -> str:
    """Return what tables call a forecast that needs no LSTM.

    Args:
        name: one of `BASELINES`.
        period: rows in a season; None or 1: there is none. NaN: it is not known.
    """
    return _NO_SEASON if name == "seasonal_naive" and period in (None, 1) else BASELINES[name]


def number(value: float | None) -> str:
    """Return a number in at most five significant digits, without an exponent where that stays short."""
    if value is None:
        return "–"
    if value != 0 and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.4g}"
    text = f"{value:.5g}" if abs(value) < 1e5 else f"{value:.0f}"
    return f"{float(text):,.10g}"


def fates(study: Mapping[str, Any]) -> str:
    """Return how the trials of a study ended, such as "13 completed, 7 pruned, 2 interrupted".

    Args:
        study: as in `result.json`.
    """
    states, not_counted = study["states"], study.get("not_counted", 0)
    rare = {"failed": states["FAIL"] - not_counted, "interrupted": not_counted}
    said = [f"{states['COMPLETE']} completed", f"{states['PRUNED']} pruned"]
    return ", ".join(said + [f"{n} {name}" for name, n in rare.items() if n])


def members(ensemble: Sequence[Mapping[str, Any]]) -> str:
    """Return the members of the saved model and their parts, such as "trials 10 (15%), 6 untrained (12%)".

    Args:
        ensemble: as in `result.json`.
    """
    named = [f"{m['trial']}{'' if m['epochs'] else ' untrained'} ({m['weight']:.0%})" for m in ensemble]
    return f"trial{'s' if len(named) > 1 else ''} {', '.join(named)}"


PARAMETERS = {
    "lookback": "rows that one forecast sees",
    "hidden_units": "width of the LSTM",
    "layers": "LSTMs on top of each other",
    "dropout": "share of the activations that is left out at random in training",
    "activation": "of the head, after the LSTM",
    "optimizer": "how the weights follow the gradient",
    "learning_rate": "size of a training step",
    "batch_size": "windows in a training step",
    "weight_decay": "pull of the weights towards 0",
    "momentum": "of sgd: how much of the last step goes on",
    "schedule": "of the learning rate over the epochs",
    "gradient_clip": "greatest length of a gradient; 0: no limit",
    "loss": "what training minimises; the score is always the MSE",
    "epochs": "most passes over the training windows",
    "patience": "epochs without a gain after which training ends",
    "transform": "of the target before all else",
    "difference": "what is subtracted from each value: the one before, or a season before",
    "window_norm": "what each window is freed of: its last value, or its mean and spread",
    "patch": "rows that enter the LSTM as one step",
    "skip": "a simple forecast that the LSTM corrects",
    "outlier_clip": "inputs are cut at so many robust standard deviations; 0: not",
    "head_units": "width of the head's hidden layer; 0: none",
    "cell_activation": "inside the LSTM",
    "weight_average": "decay of the moving average of the weights; 0: none",
}
