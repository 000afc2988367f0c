from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from lstm_tune.ensemble import select, variety_first

TARGET = torch.linspace(-1, 1, 40).reshape(10, 4)


def mse(forecasts: Sequence[Tensor]) -> float:
    return float(torch.stack([(f - TARGET).square().mean() for f in forecasts]).mean())


def off_by(*errors: float) -> tuple[Tensor, ...]:
    """One forecast for each fold, wrong by a constant."""
    return tuple(TARGET + e for e in errors)


def test_opposite_errors_are_averaged_away() -> None:
    assert select({3: off_by(0.2, 0.2), 1: off_by(-0.2, -0.2)}, mse) == {3: 0.5, 1: 0.5}


def test_a_trial_that_others_only_worsen_stands_alone() -> None:
    assert select({3: off_by(0.1, 0.1), 1: off_by(0.5, 0.5), 2: off_by(0.2, 0.3)}, mse) == {3: 1.0}


def test_a_single_candidate_has_all_the_weight() -> None:
    assert select({7: off_by(0.4)}, mse) == {7: 1.0}


def test_a_trial_that_worsens_the_mean_is_passed_over_and_the_next_one_tried() -> None:
    assert select({3: off_by(0.1), 1: off_by(0.5), 2: off_by(-0.1)}, mse) == {3: 0.5, 2: 0.5}


def test_no_more_than_the_allowed_members_are_chosen() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = {n: (TARGET + torch.randn(TARGET.shape, generator=generator),) for n in range(9)}
    weights = select(noise, mse, members=3)
    assert len(weights) == 3
    assert sum(weights.values()) == pytest.approx(1)


def test_the_best_of_each_kind_comes_before_the_others() -> None:
    ranked = ["a1", "a2", "b1", "a3", "c1", "b2"]
    assert variety_first(ranked, lambda item: item[0]) == ["a1", "b1", "c1", "a2", "a3", "b2"]


def test_the_mean_is_hardly_worse_than_the_best_trial_and_begins_with_it() -> None:
    generator = torch.Generator().manual_seed(1)
    drawn = {n: (TARGET + torch.randn(TARGET.shape, generator=generator),) for n in range(6)}
    forecasts = dict(sorted(drawn.items(), key=lambda item: mse(item[1])))
    weights = select(forecasts, mse)
    mean = [sum((w * forecasts[n][0] for n, w in weights.items()), torch.zeros_like(TARGET))]
    assert next(iter(weights)) == next(iter(forecasts))
    assert mse(mean) <= 1.05 * mse(forecasts[next(iter(forecasts))])
