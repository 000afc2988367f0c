"""Reads a saved model back: its configuration, and the network with its weights, all of it checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lstm_tune.errors import LstmTuneError, RunError
from lstm_tune.evaluation.conformal import Intervals
from lstm_tune.models.forecaster import MeanForecaster
from lstm_tune.models.model_config import ModelConfig
from lstm_tune.models.model_files import CONFIG, WEIGHTS, read_config, read_weights
from lstm_tune.models.preprocessing import LOG_FLOOR, NO_LOG_FLOOR

INTERVALS = "intervals"  # the widths, among the weights


def stored(intervals: Intervals | None) -> tuple[dict[str, Any] | None, dict[str, Tensor]]:
    """Return intervals as a model keeps them: what goes into its configuration, and what goes among its weights."""
    if intervals is None:
        return None, {}
    record = {
        "windows": intervals.windows,
        "levels": list(intervals.levels),
        "own_scale": intervals.own_scale,
        "folds": intervals.folds,
        "share": intervals.share,
        "usual": list(intervals.usual),
    }
    return record, {INTERVALS: intervals.widths}


def restore(folder: Path) -> tuple[ModelConfig, MeanForecaster, Intervals | None]:
    """Return the configuration, the network, ready to forecast, and its intervals.

    Raises:
        RunError: a file is missing, damaged, of another schema, or does not belong to the other.
    """
    raw = read_config(folder)
    try:
        config = ModelConfig.from_json(raw)
        network = config.outline()
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RuntimeError, LstmTuneError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise RunError(f"{folder / CONFIG} is damaged ({reason}); restore it or run tune again") from None
    shapes = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    kept = config.intervals
    if kept is not None:
        shapes[INTERVALS] = (config.shape.channels, config.shape.horizon, len(kept["levels"]))
    floors = {name: torch.full(shape, NO_LOG_FLOOR) for name, shape in shapes.items() if name.endswith(LOG_FLOOR)}
    tensors = floors | read_weights(folder, shapes, optional=floors)
    _check_finite(folder, tensors)
    # Copied into memory aligned as torch aligns it: the file's own alignment changes the last bit of a product.
    widths = tensors.pop(INTERVALS, None)
    network.load_state_dict({name: tensor.clone() for name, tensor in tensors.items()}, assign=True)
    return config, network.eval(), None if kept is None or widths is None else _intervals(folder, kept, widths)


def _intervals(folder: Path, kept: Mapping[str, Any], widths: Tensor) -> Intervals:
    try:
        return Intervals(
            widths=widths.clone(), **{**kept, "levels": tuple(kept["levels"]), "usual": tuple(kept["usual"])}
        )
    except ValueError as error:
        raise RunError(f"{folder / CONFIG} is damaged ({error}); restore it or run tune again") from None


def _check_finite(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights that are no numbers, and scales that nothing can be divided by.

    Raises:
        RunError: names the weight.
    """
    for name, tensor in tensors.items():
        kind = name.rpartition(".")[2]
        bad = tensor.isnan() if kind in ("clip_low", "clip_high", "log_ceiling") else ~tensor.isfinite()
        if kind in ("scale", "covariate_scale"):
            bad |= tensor <= 0
        if kind == INTERVALS:
            bad |= tensor < 0
        if bool(bad.any()):
            raise RunError(
                f"{folder / WEIGHTS} is damaged: {name} holds {float(tensor[bad].reshape(-1)[0])}; "
                "restore it or run tune again"
            )
