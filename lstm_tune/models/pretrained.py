"""An LSTM that was trained beforehand on simulated series alone, and forecasts any series without training.

It reads a window row by row. Everything that it sees is a difference of values, divided by the usual size of such a
difference in the window so far; so a constant that is added to the window is added to the forecast, and a factor
multiplies it. From its state a small head finds, for every step of the horizon, the coefficients of a linear
combination of what was seen (the last season, its change, smoothed levels and slopes), and what to add to it.

`benchmarks/quality/pretrain.py` simulates the series and trains it. Letters: B windows in a batch, T rows of a
window, H steps of the horizon, K terms, m seasonal period.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib import resources

import safetensors.torch
import torch
from torch import Tensor, nn

FURTHEST = 48  # steps ahead that it was trained on; further ones take the coefficients of the last of them
WEIGHTS = "pretrained.safetensors"  # float16, beside this module
UNITS = 128
_HEAD = 96
_RATES = (0.5, 0.2, 0.05)  # of the smoothed levels
_INPUTS = 12
_TERMS = 17
_STEP_INPUTS = 5
_LEAST_SCALE = 1e-3  # of the scale of differences of neighbours: a season without noise has no scale of its own
_TINY = 1e-12
_CHUNK = 256  # windows at once: the states of all rows are kept
_ROWS, _SEASONS, _MOST_ROWS = 96, 4, 192  # of a window: more change the forecast little, and cost time


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What is known of windows after each of their rows; each tensor is (B, T), except `inputs`."""

    x: Tensor
    m: int
    scale: Tensor
    season: Tensor  # mean of the last m rows
    levels: tuple[Tensor, ...]  # smoothed, by `_RATES`
    changes: tuple[Tensor, ...]  # smoothed seasonal differences, by `_RATES`
    slope: Tensor  # smoothed difference of neighbours
    mean: Tensor  # of all rows so far
    inputs: Tensor  # of the recurrent layer, (B, T, I)


def look(x: Tensor, m: int) -> Seen:
    """Describe windows x (B, T) of seasonal period m (1: none) after each of their rows, by the rows before alone."""
    x = x - x[:, :1]
    length = x.shape[1]
    row = torch.arange(length, device=x.device)
    back = row[:, None] - row[None, :]  # rows from the second to the first
    first = torch.diff(x, dim=1, prepend=x[:, :1])
    seasonal = x - x[:, (row - m).clamp_min(0)]
    has = (row >= m) & (m > 1)
    seasonal = torch.where(has, seasonal, torch.zeros_like(x))
    own = (first.abs().cumsum(1) / row.clamp_min(1)).clamp_min(_TINY)
    yearly = seasonal.abs().cumsum(1) / (row - m + 1).clamp_min(1)
    scale = torch.where(row >= m + 2, torch.minimum(own, yearly.clamp_min(_LEAST_SCALE * own)), own) if m > 1 else own

    def smoothed(values: Tensor, rate: float, since: int = 0) -> Tensor:
        weights = torch.where((back >= 0) & (row[None, :] >= since), (1.0 - rate) ** back.clamp_min(0), 0.0)
        return values @ (weights / weights.sum(1, keepdim=True).clamp_min(_TINY)).T.to(values.dtype)

    season = smoothed_mean(x, m if m > 1 else 4)
    levels = tuple(smoothed(x, rate) for rate in _RATES)
    changes = tuple(smoothed(seasonal, rate, m) for rate in _RATES)
    slope = smoothed(first, 0.2, 1)
    recent = smoothed(first.abs(), 0.2, 1)
    ones = torch.ones_like(x)
    inputs = torch.stack(
        [
            *(torch.asinh(v / scale) for v in (first, seasonal, season - x, levels[1] - x, changes[1], slope)),
            (own / scale).log(),
            (recent.clamp_min(_TINY) / own).log().clamp(-5.0, 5.0),
            has * ones,
            (row + 1.0).log() / 5 * ones,
            math.log(m) / 4 * ones,
            float(m > 1) * ones,
        ],
        dim=2,
    )
    return Seen(
        x=x, m=m, scale=scale, season=season, levels=levels, changes=changes, slope=slope,
        mean=smoothed_mean(x, length), inputs=inputs,
    )  # fmt: skip


def smoothed_mean(x: Tensor, n: int) -> Tensor:
    """Return the mean of the last n rows, or of all rows so far, (B, T)."""
    total = torch.nn.functional.pad(x.cumsum(1), (1, 0))
    row = torch.arange(x.shape[1], device=x.device)
    start = (row + 1 - n).clamp_min(0)
    return (total[:, 1:] - total[:, start]) / (row + 1 - start)


def window_rows(available: int, period: int) -> int:
    """Return how many rows of history it is given: what there is, up to 96, or to four seasons or 192."""
    return min(available, max(_ROWS, min(_SEASONS * period, _MOST_ROWS)))


class PretrainedNetwork(nn.Module):
    """The recurrent layer and its head; one set of weights for all series."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_INPUTS, UNITS, batch_first=True)
        self.state = nn.Linear(UNITS, _HEAD)
        self.step = nn.Linear(_TERMS + _STEP_INPUTS, _HEAD, bias=False)
        self.output = nn.Linear(_HEAD, _TERMS + 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def load_shipped(self) -> None:
        """Take the weights that the package ships."""
        self.load_state_dict(shipped_weights())

    def forward(self, windows: Tensor, period: int, horizon: int) -> Tensor:
        """Forecast the rows after windows (B, T) of a seasonal period (1: none): (B, H)."""
        m = period if windows.shape[1] >= period + 2 else 1
        at = torch.tensor([windows.shape[1] - 1], device=windows.device)
        steps = torch.arange(1, horizon + 1, device=windows.device)[None]
        parts = []
        for some in (windows,) if torch.compiler.is_compiling() else torch.split(windows, _CHUNK):
            seen = look(some, m)
            states, _ = self.lstm(seen.inputs)
            parts.append(some[:, :1] + self.forecast(seen, states, at, steps)[:, 0])
        return torch.cat(parts)

    def forecast(self, seen: Seen, states: Tensor, at: Tensor, steps: Tensor) -> Tensor:
        """Forecast from some rows of each window.

        Args:
            seen: B windows.
            states: of the recurrent layer after each row, (B, T, U).
            at: the last row that each forecast may use, (P,).
            steps: rows ahead of it, (P, H).

        Returns:
            Values minus those of the window's first row, (B, P, H).
        """
        x, m, here = seen.x, seen.m, at[:, None]
        zero = torch.zeros((), dtype=x.dtype, device=x.device)
        reach = steps.clamp_max(FURTHEST)
        now = x[:, at, None]
        scale = seen.scale[:, at, None]
        if m > 1:
            places = [here + (steps - 1) % m + 1 - k * m for k in (1, 2, 3)]
            there = [place >= 0 for place in places]
            past = [x[:, place.clamp_min(0)] for place in places]
        else:
            there = [torch.zeros_like(steps, dtype=torch.bool)] * 3
            past = [now.expand(-1, -1, steps.shape[1])] * 3
        base = torch.where(there[0], past[0], now)  # (B, P, H)
        year = seen.season
        ago = [year[:, (at - k * m).clamp_min(0), None] for k in (1, 2)]
        ago_there = [(at >= (k + 1) * m - 1)[:, None] & (m > 1) for k in (1, 2)]
        level = year[:, at, None]
        given = (
            now - base,
            level - base,
            torch.where(ago_there[0], level - ago[0], zero),
            torch.where(ago_there[1], ago[0] - ago[1], zero),
            torch.where(there[1], past[1] - base, zero),
            torch.where(there[2], past[2] - past[1], zero),
            *(change[:, at, None] for change in seen.changes),
            *(smooth[:, at, None] - now for smooth in seen.levels),
            seen.mean[:, at, None] - now,
            x[:, (at - 1).clamp_min(0), None] - now,
            x[:, (at - 2).clamp_min(0), None] - now,
            seen.slope[:, at, None] * reach,
            now / at.clamp_min(1)[:, None] * reach,
        )
        terms = torch.stack([term.expand_as(base) for term in given], dim=3)
        h = reach.to(x.dtype)
        of_step = torch.stack(
            [h.log() / 3, (h / m).log1p() if m > 1 else torch.zeros_like(h), *(t.to(x.dtype) for t in there)], dim=2
        )
        of_step = of_step.expand(x.shape[0], -1, -1, -1)
        known = torch.cat([torch.asinh(terms / scale[..., None]), of_step], dim=3)
        hidden = torch.nn.functional.gelu(self.state(states[:, at])[:, :, None] + self.step(known))
        found = self.output(hidden)
        forecast: Tensor = base + (found[..., :-1] * terms).sum(3) + found[..., -1] * scale
        return forecast


@cache
def shipped_weights() -> dict[str, Tensor]:
    """Return the weights that the package ships, float32."""
    content = resources.files(__package__).joinpath(WEIGHTS).read_bytes()
    return {name: tensor.float() for name, tensor in safetensors.torch.load(content).items()}
