"""What the LSTM computes in while it trains: float32, or bfloat16 if the machine gains by it.

Weights, gradients, optimizer, everything before and after the LSTM, and every score stay in float32. Two questions are
kept apart, so that chance decides neither: whether a trial's LSTM is large enough to gain is arithmetic on its
configuration (`trainer.bf16_pays`), and whether the machine is fast in bfloat16 is measured once, on a shape that is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch

from lstm_tune.config import PLAIN, Config
from lstm_tune.errors import DataError, UsageError
from lstm_tune.models.preprocessing import Shape
from lstm_tune.training.task import Task, make_trainer
from lstm_tune.training.trainer import bf16_pays, training_failed

PRECISIONS = ("auto", "fp32", "bf16")

_LEAST_GAIN = 1.3  # times as fast: bfloat16 is taken from there
_MEASURED = replace(PLAIN, lookback=96, hidden_units=64, batch_size=128)  # large: it gains clearly or not at all
_SECONDS = 0.4  # of measuring, about
_LEAST_RUNS, _MOST_RUNS = 3, 40
_measured: dict[tuple[str, Shape, Config], float] = {}  # what `measure_bf16_speedup` found, in this process


def check_precision(precision: str, device: str) -> None:
    """Refuse an unknown precision, and bf16 on a machine that has no instructions for it.

    Raises:
        UsageError: says which.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision must be auto, fp32 or bf16, but is {precision!r}")
    if precision == "bf16" and not has_bf16(device):
        what = "this processor has neither AVX512-BF16 nor AMX" if device == "cpu" else "this GPU cannot compute in it"
        raise UsageError(f'precision is bf16, but {what}; use precision="auto"')


def has_bf16(device: str) -> bool:
    """Return whether the device computes in bfloat16 by instructions of its own."""
    if device != "cpu":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    asked: Sequence[Any] = [getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile")]
    return any(ask is not None and ask() for ask in asked)


def pick_precision(task: Task, configs: Iterable[Config]) -> str:
    """Return "fp32" or "bf16": what pays on the trials of a study.

    Args:
        task: whose windows are trained on.
        configs: a sample of what the trials may be.
    """
    if not has_bf16(task.windows.device.type) or not any(bf16_pays(config, task.shape) for config in configs):
        return "fp32"
    config = replace(_MEASURED, lookback=min(_MEASURED.lookback, task.limits.max_lookback))
    try:
        return "bf16" if measure_bf16_speedup(task, config) >= _LEAST_GAIN else "fp32"
    except Exception as error:
        if not (isinstance(error, DataError) or training_failed(error)):
            raise
        return "fp32"  # a configuration that cannot train here says nothing about bf16; its trials will say why


def measure_bf16_speedup(task: Task, config: Config) -> float:
    """Return how many times as fast two training steps are in bfloat16: the best of many runs of each, by turns.

    On a CPU the time is that of the thread, which other processes on the machine disturb little.
    """
    clock = time.thread_time if task.windows.device.type == "cpu" else time.perf_counter
    key = (str(task.windows.device), task.shape, config)
    if key not in _measured:
        trainers = [make_trainer(task, 0, config, 0, precision) for precision in ("fp32", "bf16")]
        best = [math.inf, math.inf]
        end = time.perf_counter() + _SECONDS
        for run in range(_MOST_RUNS):
            for i, trainer in enumerate(trainers):
                trainer.samples = 2 * trainer.batch_size
                began = clock()
                trainer.run_epoch()
                if run:  # the first pays for what is paid once
                    best[i] = min(best[i], clock() - began)
            if run >= _LEAST_RUNS and time.perf_counter() > end:
                break
        _measured[key] = best[0] / best[1]
    return _measured[key]
