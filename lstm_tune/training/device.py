"""The device that models are trained on."""

from __future__ import annotations

import torch

from lstm_tune.errors import UsageError


def pick_device(device: str) -> str:
    """Return "cpu" or "cuda": what was asked for, or the best there is.

    Raises:
        UsageError: an unknown device, or one that is not there.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device must be auto, cpu or cuda, but is {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError('device is cuda, but torch finds no CUDA device here; use device="cpu"')
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device
