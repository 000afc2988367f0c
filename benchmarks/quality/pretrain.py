"""Train the LSTM that forecasts without training, on simulated series alone.

    python benchmarks/quality/pretrain.py --minutes 45 --out FILE.safetensors [--start FILE.safetensors]

Series are exponential smoothing processes with random parameters (with and without trend, damping and season), errors
that are correlated or heavy-tailed, cycles, level shifts, outliers, changing variance, exponentials of all that, and
counts. No real series is read. What it writes is `lstm_tune/models/pretrained.safetensors`.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from lstm_tune.models.pretrained import FURTHEST, PretrainedNetwork, look
from lstm_tune.utils.process import keep_freed_memory

_POOL, _BATCH = 1024, 64  # series that are simulated, and trained on, at once
_POSITIONS, _STEPS = 16, 6
_FLOOR = 2e-3  # of a squared error in units of the usual difference: a series without noise is not all that counts
_PERIODS = {1: 0.34, 4: 0.15, 12: 0.26, 7: 0.07, 24: 0.05, 48: 0.02, 52: 0.03, 0: 0.08}  # 0: any from 2 to 60
_HORIZONS = (1, 2, 4, 6, 8, 12, 12, 24, 24, 48)


def _or(p: float, n: int, a: Tensor, b: Tensor | float) -> Tensor:
    """Return `a` with probability p, else `b`, for each of n series."""
    return torch.where(torch.rand(n) < p, a, torch.as_tensor(b, dtype=a.dtype))


def _log_uniform(n: int, low: float, high: float) -> Tensor:
    return torch.exp(torch.empty(n).uniform_(math.log(low), math.log(high)))


def _shape(n: int, m: int) -> Tensor:
    """Return seasons (n, m) of mean 0 and spread 1: smooth ones, rough ones, and peaks."""
    angle = 2 * math.pi * torch.arange(m) / m
    smooth = torch.zeros(n, m)
    for k in range(1, min(4, m // 2) + 1):
        phase = 2 * math.pi * torch.rand(n, 1)
        smooth += torch.randn(n, 1) / k * torch.cos(k * angle + phase)
    rough = torch.randn(n, m)
    peaks = torch.exp(1.2 * torch.randn(n, m))
    kind = torch.rand(n, 1)
    mix = torch.rand(n, 1)
    season = torch.where(kind < 0.45, smooth + 0.3 * mix * rough, torch.where(kind < 0.8, rough, peaks))
    season = season - season.mean(1, keepdim=True)
    return season / season.std(1, keepdim=True).clamp_min(1e-6)


def _noise(n: int, rows: int) -> Tensor:
    """Return independent errors (n, rows) of spread about 1: normal, heavy-tailed, or of changing variance."""
    normal = torch.randn(n, rows)
    df = torch.randint(3, 8, (n, 1)).float()
    chi = torch.distributions.Chi2(df.expand(n, rows)).sample()
    heavy = torch.randn(n, rows) / (chi / df).sqrt() * ((df - 2) / df).sqrt()
    noise = torch.where(torch.rand(n, 1) < 0.35, heavy, normal)
    volatility = torch.exp(0.1 * torch.randn(n, rows).cumsum(1).clamp(-15, 15))
    return torch.where(torch.rand(n, 1) < 0.12, noise * volatility, noise)


def _correlated(n: int, rows: int, m: int) -> Tensor:
    """Return autoregressive errors (n, rows), many of them cyclic, some with cycles of about m rows."""
    cyclic = torch.rand(n) < 0.5
    radius = 1 - _log_uniform(n, 0.01, 0.5)
    cycle = _log_uniform(n, 4, 40)
    angle = 2 * math.pi / (torch.where(torch.rand(n) < 0.3, float(m), cycle) if m > 2 else cycle)
    real = torch.empty(n).uniform_(-0.6, 0.98)
    a = torch.where(cyclic, 2 * radius * torch.cos(angle), real)
    b = torch.where(cyclic, -(radius**2), torch.zeros(n))
    burn = 60
    e = _noise(n, rows + burn)
    x = torch.zeros(n, rows + burn)
    for t in range(2, rows + burn):
        x[:, t] = a * x[:, t - 1] + b * x[:, t - 2] + e[:, t]
    x = x[:, burn:]
    return x / x.std(1, keepdim=True).clamp_min(1e-6)


def simulate(n: int, rows: int, m: int) -> Tensor:
    """Return n series (n, rows) of seasonal period m (1: none)."""
    alpha = torch.rand(n) ** 1.3
    alpha = _or(0.12, n, torch.zeros(n), _or(0.22, n, torch.ones(n), alpha))
    trending = (torch.rand(n) < 0.55).float()
    beta = trending * alpha * torch.rand(n) ** 3
    phi = _or(0.5, n, torch.ones(n), torch.empty(n).uniform_(0.8, 0.995))
    gamma = (1 - alpha) * torch.rand(n) ** 3 * (torch.rand(n) < 0.7)
    level = torch.zeros(n)
    trend = trending * torch.randn(n) * _log_uniform(n, 0.003, 0.5)
    period = m if m > 1 else int(torch.randint(3, 30, ()))
    seasonal = torch.rand(n) < (0.9 if m > 1 else 0.12)
    amplitude = torch.where(seasonal, _log_uniform(n, 0.4, 25), torch.zeros(n))
    season = _shape(n, period) * amplitude[:, None]
    error = _noise(n, rows)
    x = torch.empty(n, rows)
    for t in range(rows):
        j = t % period
        trend = phi * trend
        level = level + trend
        e = error[:, t]
        x[:, t] = level + season[:, j] + e
        level, trend = level + alpha * e, trend + beta * e
        season[:, j] = season[:, j] + gamma * e * (amplitude > 0)
    row = torch.arange(rows)
    # On top of it, unless it is left as it is: correlated errors, a cycle, shifts of the level, outliers.
    plain = x.clone()
    x += _or(0.4, n, _log_uniform(n, 0.3, 6), 0.0)[:, None] * _correlated(n, rows, m)
    cycle = torch.sin(2 * math.pi * (row / _log_uniform(n, 5, 120)[:, None] + torch.rand(n, 1)))
    x += _or(0.12, n, _log_uniform(n, 0.5, 8), 0.0)[:, None] * cycle
    for _ in range(2):
        shift = (row >= torch.randint(0, rows, (n, 1))).float() * torch.randn(n, 1)
        x += _or(0.12, n, _log_uniform(n, 1, 10), 0.0)[:, None] * shift
    kink = (row - torch.randint(0, rows, (n, 1))).clamp_min(0).float() * torch.randn(n, 1)
    x += _or(0.12, n, _log_uniform(n, 0.01, 0.3), 0.0)[:, None] * kink
    outlier = (torch.rand(n, rows) < 0.015).float() * torch.randn(n, rows)
    x += _or(0.15, n, _log_uniform(n, 2, 8), 0.0)[:, None] * outlier
    return _transformed(torch.where(torch.rand(n, 1) < 0.4, plain, x))


def _transformed(x: Tensor) -> Tensor:
    """Return the series, exponentials of them, or counts, of spread about 1."""
    n = len(x)
    z = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True).clamp_min(1e-6)
    grown = torch.exp((_log_uniform(n, 0.1, 1.2)[:, None] * z).clamp(-12, 6))
    counts = torch.poisson(grown * _log_uniform(n, 0.5, 20)[:, None])
    kind = torch.rand(n, 1)
    y = torch.where(kind < 0.6, z, torch.where(kind < 0.95, grown, counts))
    return y / y.std(1, keepdim=True).clamp_min(1e-6)


def batches(generator_seed: int) -> Iterator[tuple[Tensor, int, int]]:
    """Yield batches without end: series (B, T + 48), their period, and T."""
    torch.manual_seed(generator_seed)
    names, weights = list(_PERIODS), torch.tensor(list(_PERIODS.values()))
    while True:
        m = names[int(torch.multinomial(weights, 1))]
        m = m or int(torch.randint(2, 61, ()))
        longest = int(torch.randint(24, 161, ())) if m == 1 else int(m * float(torch.empty(()).uniform_(3, 8)))
        rows = min(max(longest, 28), 190)
        pool = simulate(_POOL, rows + FURTHEST, m)
        for some in torch.split(pool, _BATCH):
            yield some, m, rows


def batch_loss(network: PretrainedNetwork, series: Tensor, m: int, rows: int) -> Tensor:
    """Return the mean logarithm of the series' squared errors: what a geometric mean over series is made of."""
    horizon = _HORIZONS[int(torch.randint(len(_HORIZONS), ()))]
    first = max(8, math.ceil(1.6 * m) if m > 1 else 0)
    at = torch.randint(min(first, rows - 4), rows, (_POSITIONS,))
    steps = torch.randint(1, horizon + 1, (_POSITIONS, _STEPS))
    seen = look(series[:, :rows], m)
    with torch.autocast("cpu", torch.bfloat16):
        states, _ = network.lstm(seen.inputs)
    forecast = network.forecast(seen, states.float(), at, steps)
    target = series[:, at[:, None] + steps] - series[:, :1, None]
    usual = seen.scale[:, -1]
    squares = torch.square((forecast - target) / usual[:, None, None]).mean((1, 2))
    return torch.log(squares + _FLOOR).mean()


def train(minutes: float, out: Path, seed: int, start: Path | None = None, rate: float = 2e-3) -> None:
    """Train for a time; the mean of the last weights is written every two minutes."""
    torch.manual_seed(seed)
    network = PretrainedNetwork()
    if start is not None:
        weights = safetensors.torch.load_file(start)
        network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    mean = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9985))
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    began = saved = time.monotonic()
    losses: list[float] = []
    for count, (series, m, rows) in enumerate(batches(seed + 1)):
        passed = (time.monotonic() - began) / 60 / minutes
        if passed >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (count + 1) / 300) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * passed)))
        loss = batch_loss(network, series, m, rows)
        if not torch.isfinite(loss):
            continue
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        mean.update_parameters(network)
        losses.append(loss.item())
        if time.monotonic() - saved > 120:
            saved = time.monotonic()
            _save(mean.module, out)
            print(f"{passed:.0%} {count} batches, loss {sum(losses) / len(losses):.4f}", file=sys.stderr, flush=True)
            losses.clear()
    _save(mean.module, out)


def _save(network: torch.nn.Module, path: Path) -> None:
    """Write the weights as the package ships them."""
    path.write_bytes(safetensors.torch.save({name: tensor.half() for name, tensor in network.state_dict().items()}))


def main() -> int:
    """Train as asked; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=45.0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="weights to begin from")
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate at the start")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    train(args.minutes, args.out, args.seed, args.start, args.rate)
    return 0


if __name__ == "__main__":
    sys.exit(main())
