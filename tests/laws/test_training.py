"""Training is what a plain loop does: the same windows in the same order, losses, steps, schedules and averages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from series import TINY, series_of, wave, with_holes
from torch.nn.functional import huber_loss

from lstm_tune.config import Config
from lstm_tune.data.windows import Windows
from lstm_tune.models.forecaster import LSTMForecaster
from lstm_tune.models.preprocessing import Shape
from lstm_tune.training.trainer import Trainer, seeded

pytestmark = pytest.mark.laws

Array = np.ndarray[Any, Any]
EPOCHS, SAMPLES, HORIZON = 3, 150, 3
ROWS = ((0, 130),)
CASES: tuple[dict[str, Any], ...] = (
    {"optimizer": "sgd", "momentum": 0.8, "schedule": "cosine", "loss": "mse", "weight_average": 0.9},
    {"optimizer": "sgd", "momentum": 0.0, "schedule": "plateau", "loss": "mae", "weight_decay": 0.05},
    {"optimizer": "adam", "schedule": "one_cycle", "loss": "huber", "weight_decay": 0.05, "transform": "log"},
    {"optimizer": "adamw", "schedule": "constant", "loss": "mse", "weight_decay": 0.1, "weight_average": 0.3},
    {"optimizer": "rmsprop", "schedule": "cosine", "loss": "mse", "weight_decay": 0.05, "batch_size": 7},
)


class Steps:
    """The updates of an optimizer, in NumPy, from the papers' formulas."""

    def __init__(self, config: Config) -> None:
        self.config, self.first, self.second, self.count = config, [], [], 0

    def update(self, weights: list[Array], gradients: list[Array], rate: float) -> list[Array]:
        c, self.count = self.config, self.count + 1
        if not self.first:
            self.first, self.second = ([np.zeros_like(w) for w in weights] for _ in range(2))
        found = []
        for i, (w, g) in enumerate(zip(weights, gradients, strict=True)):
            if c.optimizer == "adamw":
                w = w - rate * c.weight_decay * w
            else:
                g = g + c.weight_decay * w
            if c.optimizer == "sgd":
                self.first[i] = c.momentum * self.first[i] + g
                found.append(w - rate * self.first[i])
                continue
            if c.optimizer == "rmsprop":
                self.second[i] = 0.99 * self.second[i] + 0.01 * g**2
                found.append(w - rate * g / (np.sqrt(self.second[i]) + 1e-8))
                continue
            self.first[i] = 0.9 * self.first[i] + 0.1 * g
            self.second[i] = 0.999 * self.second[i] + 0.001 * g**2
            mean, square = self.first[i] / (1 - 0.9**self.count), self.second[i] / (1 - 0.999**self.count)
            found.append(w - rate * mean / (np.sqrt(square) + 1e-8))
        return found


def rate_at(config: Config, done: float) -> float:
    if config.schedule == "cosine":
        return config.learning_rate * (1 + math.cos(math.pi * done)) / 2
    if config.schedule == "one_cycle":
        rise = 0.04 + 0.96 * (1 - math.cos(math.pi * done / 0.3)) / 2
        return config.learning_rate * (rise if done < 0.3 else (1 + math.cos(math.pi * (done - 0.3) / 0.7)) / 2)
    return config.learning_rate


def loss_of(config: Config, forecast: torch.Tensor, target: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    error = forecast - target
    each = {"mse": error**2, "mae": error.abs(), "huber": huber_loss(forecast, target, reduction="none")}[config.loss]
    return each[seen].mean()


def by_hand(
    model: LSTMForecaster, windows: Windows, config: Config, seed: int, factors: list[float]
) -> tuple[list[Array], list[Array], list[float]]:
    """Return the weights, their moving average and the loss of each epoch."""
    positions = windows.positions(ROWS, model.context, reach_back=False)[:]
    generator, queue = torch.Generator().manual_seed(seed), list[int]()
    parameters = list(model.parameters())
    weights = [p.detach().numpy().astype(np.float64) for p in parameters]
    average, steps, size = [w.copy() for w in weights], Steps(config), min(config.batch_size, len(positions))
    center, scale = float(model.center[0]), float(model.scale[0])
    planned, losses = config.epochs * math.ceil(SAMPLES / size), []
    for factor in factors:
        while len(queue) < SAMPLES:
            queue += torch.randperm(len(positions), generator=generator).tolist()
        chosen, queue = queue[:SAMPLES], queue[SAMPLES:]
        total = 0.0
        for start in range(0, SAMPLES, size):
            batch = windows.gather(positions[chosen[start : start + size]], model.context)
            for p, w in zip(parameters, weights, strict=True):
                p.data = torch.from_numpy(w).float()
            assert batch.observed is not None
            target = batch.target.log() if config.transform == "log" else batch.target
            loss = loss_of(config, model.level(batch), (target - center) / scale, batch.observed.bool())
            gradients = [g.numpy().astype(np.float64) for g in torch.autograd.grad(loss, parameters)]
            norm = math.sqrt(sum(float((g**2).sum()) for g in gradients))
            if config.gradient_clip and norm > config.gradient_clip:
                gradients = [g * config.gradient_clip / norm for g in gradients]
            weights = steps.update(weights, gradients, factor * rate_at(config, steps.count / planned))
            decay = min(config.weight_average, (1 + steps.count) / (10 + steps.count))
            average = [decay * a + (1 - decay) * w for a, w in zip(average, weights, strict=True)]
            total += loss.item() * len(batch.target)
        losses.append(total / SAMPLES)
    return weights, average, losses


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['optimizer']}-{case['schedule']}")
def test_training_is_what_a_plain_loop_does(case: dict[str, Any]) -> None:
    params = {"learning_rate": 0.02, "gradient_clip": 0.3, "batch_size": 32, "epochs": EPOCHS, "skip": "last"}
    config = Config.from_params(TINY | params | case)
    windows = Windows(series_of(with_holes(wave(130))), HORIZON)
    models = []
    for _ in range(2):
        with seeded(4, windows.device):
            models.append(LSTMForecaster(config, Shape(horizon=HORIZON, period=7)))
        models[-1].fit_statistics(windows, ROWS)
    positions = windows.positions(ROWS, models[0].context, reach_back=False)
    assert len(positions) < SAMPLES  # so that an epoch begins a second pass
    trainer = Trainer(models[0], windows, positions, config, SAMPLES, 9)
    factors = [1.0, 0.5, 0.25] if config.schedule == "plateau" else [1.0] * EPOCHS
    losses = [trainer.run_epoch(factor) for factor in factors]
    weights, average, expected = by_hand(models[1].train(), windows, config, 9, factors)
    assert losses == pytest.approx(expected, rel=1e-3)
    for found, wanted in zip(trainer.model.parameters(), weights, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=2e-3, atol=2e-4)
    if config.weight_average:
        for found, wanted in zip(trainer.result.parameters(), average, strict=True):
            np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=2e-3, atol=2e-4)
    else:
        assert trainer.result is trainer.model
