"""The trainer: pure schedules, equal work in every epoch, the best epoch's weights, random numbers of its own."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from series import TINY, net, series_of, wave, with_holes

from lstm_tune.config import RULES, Config
from lstm_tune.data.windows import Windows
from lstm_tune.models.preprocessing import Shape
from lstm_tune.models.pretrained import shipped_weights
from lstm_tune.training import trainer as train
from lstm_tune.training.fitting import EpochStats, fit
from lstm_tune.training.optimizers import OPTIMIZERS, is_adaptive, make_optimizer
from lstm_tune.training.parallel import side_by_side
from lstm_tune.training.schedules import SCHEDULES, plateau_factor, schedule_factor
from lstm_tune.training.trainer import Diverged, Trainer, samples_per_epoch, seeded


def trainer_of(y: Any = None, samples: int = 100, seed: int = 0, **params: Any) -> Trainer:
    windows = Windows(series_of(wave() if y is None else y), 2)
    config = Config.from_params(TINY | params)
    model = net(config, Shape(horizon=2, period=7))
    model.fit_statistics(windows, ((0, 112),))
    positions = windows.positions(((0, 112),), model.context, reach_back=False)
    return Trainer(model, windows, positions, config, samples, seed)


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def fit_to(values: Sequence[float], trainer: Trainer | None = None, **options: Any) -> tuple[Any, list[EpochStats]]:
    """Fit with these validation values, epoch by epoch from 0."""
    seen: list[EpochStats] = []
    trainer = trainer or trainer_of()
    ahead = iter(values)
    given = {"epochs": len(values) - 1, "patience": 99, "on_epoch": seen.append}
    return fit([trainer], lambda i: next(ahead), **(given | options)), seen


# ---- schedules


def test_cosine_falls_from_1_to_0() -> None:
    assert schedule_factor("cosine", 0) == 1
    assert schedule_factor("cosine", 0.5) == pytest.approx(0.5)
    assert schedule_factor("cosine", 1) == pytest.approx(0, abs=1e-12)


def test_one_cycle_rises_over_three_tenths_and_falls_to_0() -> None:
    assert schedule_factor("one_cycle", 0) == pytest.approx(0.04)
    assert schedule_factor("one_cycle", 0.3) == pytest.approx(1)
    assert schedule_factor("one_cycle", 0.3 - 1e-9) == pytest.approx(1)
    assert schedule_factor("one_cycle", 1) == pytest.approx(0, abs=1e-12)
    steps = [schedule_factor("one_cycle", k / 100) for k in range(101)]
    assert steps[:31] == sorted(steps[:31])
    assert steps[30:] == sorted(steps[30:], reverse=True)


@given(st.floats(0, 1))
def test_constant_and_plateau_do_not_follow_the_steps(done: float) -> None:
    assert schedule_factor("constant", done) == schedule_factor("plateau", done) == 1
    assert 0 <= schedule_factor("cosine", done) <= 1


@pytest.mark.parametrize(
    ("values", "factor"),
    [
        ([], 1),
        ([1.0], 1),
        ([1.0, 2.0], 1),
        ([1.0, 2.0, 1.0], 0.5),  # equal is not better
        ([1.0, 2.0, 2.0, 2.0, 2.0], 0.25),
        ([1.0, 2.0, 0.5, 2.0, 0.4, 2.0, 2.0], 0.5),
    ],
)
def test_plateau_halves_after_two_epochs_without_anything_better(values: list[float], factor: float) -> None:
    assert plateau_factor(values) == factor


def test_plateau_schedule_lowers_the_learning_rate() -> None:
    result, seen = fit_to([1.0, 2.0, 2.0, 2.0, 2.0, 2.0], trainer_of(schedule="plateau", epochs=5))
    assert result.factors == (1.0, 1.0, 0.5, 0.5, 0.25)
    assert [s.learning_rate / 0.01 for s in seen[1:]] == pytest.approx([1.0, 1.0, 0.5, 0.5, 0.25])


def test_cosine_schedule_ends_with_the_last_planned_step() -> None:
    trainer = trainer_of(schedule="cosine", epochs=2, batch_size=25, samples=100)
    _, seen = fit_to([1.0, 1.0, 1.0], trainer)
    assert trainer._steps == trainer._steps_planned == 8
    assert seen[1].learning_rate == pytest.approx(0.01 * schedule_factor("cosine", 3 / 8))
    assert seen[2].learning_rate == pytest.approx(0.01 * schedule_factor("cosine", 7 / 8))


# ---- epochs


@given(st.integers(1, 10**7))
def test_epoch_is_a_pass_over_the_windows_within_bounds(windows: int) -> None:
    samples = samples_per_epoch(windows)
    assert train.MIN_SAMPLES_PER_EPOCH <= samples <= train.MAX_SAMPLES_PER_EPOCH or samples == windows
    assert samples_per_epoch(train.MIN_SAMPLES_PER_EPOCH + 5) == train.MIN_SAMPLES_PER_EPOCH + 5
    assert samples_per_epoch(windows, 300) == min(300, max(windows, train.MIN_SAMPLES_PER_EPOCH))


@pytest.mark.parametrize("batch_size", [1, 7, 64, 4096])
@pytest.mark.parametrize("lookback", [1, 8, 40])
def test_every_epoch_trains_on_equally_many_windows(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, lookback: int
) -> None:
    trainer = trainer_of(batch_size=batch_size, lookback=lookback, samples=150)
    seen: list[int] = []
    gather = Windows.gather
    monkeypatch.setattr(Windows, "gather", lambda w, p, c: seen.extend(p.tolist()) or gather(w, p, c))
    result, stats = fit_to([3.0, 2.0, 1.0], trainer)
    assert len(seen) == 300
    assert [s.samples for s in stats] == [0, 150, 300]
    assert result.epochs == 2
    counts = Counter(seen)
    assert set(counts) == set(trainer.positions.tolist())
    assert max(counts.values()) - min(counts.values()) <= 1  # whole permutations, one after another


def test_training_lowers_the_loss() -> None:
    trainer = trainer_of(samples=500)
    losses = [trainer.run_epoch() for _ in range(4)]
    assert losses[-1] < 0.7 * losses[0]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("name", "table"),
    [("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("loss", train.LOSSES)],
    ids=["optimizer", "schedule", "loss"],
)
def test_tables_of_the_trainer_hold_the_words_of_the_parameters(name: str, table: Mapping[str, Any]) -> None:
    assert sorted(table) == sorted(RULES[name].words)


def test_unknown_optimizer_or_schedule_is_no_silent_default() -> None:
    config = Config()
    object.__setattr__(config, "optimizer", "lion")
    with pytest.raises(KeyError, match="lion"):
        make_optimizer([torch.zeros(3)], config)
    with pytest.raises(KeyError, match="step"):
        schedule_factor("step", 0.5)


def test_only_sgd_is_not_adaptive() -> None:
    assert [name for name in OPTIMIZERS if not is_adaptive(name)] == ["sgd"]
    assert not is_adaptive(None)


@pytest.mark.parametrize("optimizer", RULES["optimizer"].words)
@pytest.mark.parametrize("loss", RULES["loss"].words)
def test_every_optimizer_and_loss_trains(optimizer: str, loss: str) -> None:
    trainer = trainer_of(with_holes(wave()), optimizer=optimizer, loss=loss, weight_decay=1e-4)
    before = weights(trainer)
    assert math.isfinite(trainer.run_epoch())  # type: ignore[arg-type]
    assert not torch.equal(weights(trainer), before)


@pytest.mark.parametrize(("loss", "expected"), [("mse", np.square), ("mae", np.abs)])
def test_training_loss_is_that_of_the_scaled_level(loss: str, expected: Any) -> None:
    trainer = trainer_of(loss=loss, learning_rate=1e-12, samples=103, batch_size=103)
    batch = trainer.windows.gather(trainer.positions[:], trainer.model.context)
    with torch.no_grad():
        error = trainer.model.level(batch) - trainer.model.scale_level(batch.target, batch.group)
    assert len(trainer.positions) == 103
    assert trainer.run_epoch() == pytest.approx(float(expected(error.numpy()).mean()), rel=1e-5)


def test_training_loss_in_units_of_each_window_weighs_windows_of_every_size_alike() -> None:
    y = wave() * np.where(np.arange(len(wave())) < 60, 1e3, 1.0)
    trainer = trainer_of(y, loss_scale="window", learning_rate=1e-12, samples=103, batch_size=103)
    batch = trainer.windows.gather(trainer.positions[:], trainer.model.context)
    model = trainer.model
    with torch.no_grad():
        error = (model.level(batch) - model.scale_level(batch.target, batch.group)).numpy()
        rows = model.scale_level(batch.history, batch.group)[:, -model.config.lookback :].numpy()
    unit = np.sqrt(rows.var(axis=1, keepdims=True) + 1e-4)
    assert unit.max() > 20 * unit.min()
    assert trainer.run_epoch() == pytest.approx(float(np.square(error / unit).mean()), rel=1e-5)


def test_gradient_is_clipped() -> None:
    steps = []
    for clip in (1e-6, 0.0):
        trainer = trainer_of(1e3 * wave(), optimizer="sgd", momentum=0.0, learning_rate=1.0, gradient_clip=clip)
        before = weights(trainer)
        trainer.run_epoch()
        steps.append(float((weights(trainer) - before).norm()))
    assert steps[0] <= 2.1e-6 < steps[1]


# ---- the best epoch


def test_weights_of_the_best_epoch_are_kept() -> None:
    trainer = trainer_of()
    by_epoch: list[torch.Tensor] = []
    result, _ = fit_to([5.0, 4.0, 2.0, 3.0, 2.0], trainer, on_epoch=lambda stats: by_epoch.append(weights(trainer)))
    assert (result.best_epoch, result.best_val, result.epochs, result.stopped) == (2, 2.0, 4, "epochs")
    assert torch.equal(weights(trainer), by_epoch[2])
    assert not torch.equal(by_epoch[2], by_epoch[4])


def test_untrained_model_is_kept_where_training_makes_it_worse() -> None:
    trainer = trainer_of()
    before = weights(trainer)
    result, _ = fit_to([1.0, 2.0, 3.0], trainer)
    assert result.best_epoch == 0
    assert torch.equal(weights(trainer), before)


def test_training_stops_when_patience_ends() -> None:
    result, seen = fit_to([5.0, 4.0, 4.0, 4.0, 1.0], patience=2)
    assert (result.stopped, result.epochs, result.best_epoch) == ("patience", 3, 1)
    assert [s.val for s in seen] == [5.0, 4.0, 4.0, 4.0]


def test_folds_are_trained_side_by_side_and_averaged() -> None:
    trainers = [trainer_of(seed=s) for s in (0, 1)]
    values = iter([4.0, 2.0, 3.0, 1.0])
    seen: list[EpochStats] = []
    result = fit(trainers, lambda i: next(values), epochs=1, patience=1, on_epoch=seen.append)
    assert [s.val for s in seen] == [3.0, 2.0]
    assert seen[1].samples == 200
    assert result.best_val == 2.0


def test_very_many_windows_are_drawn_evenly_from_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "_SHUFFLED", 50)
    trainer = trainer_of()
    drawn = trainer._next(20_000)
    assert not len(trainer._queue)
    counts = Counter(drawn.tolist())
    assert set(counts) == set(trainer.positions.tolist())
    expected = 20_000 / len(trainer.positions)
    assert max(abs(n - expected) for n in counts.values()) < 6 * math.sqrt(expected)
    assert torch.equal(trainer_of()._next(20_000), drawn)


# ---- divergence and time


@pytest.mark.parametrize("values", [[1.0, math.nan], [1.0, math.inf], [math.nan], [1.0, 1.1e4], [3.0, 3.1e4]])
def test_validation_that_explodes_is_divergence(values: list[float]) -> None:
    with pytest.raises(Diverged, match="validation score"):
        fit_to([*values, 1.0])


def test_bad_start_is_no_divergence() -> None:
    result, _ = fit_to([9e5, 8e5, 1.0])
    assert result.best_val == 1.0


def test_training_loss_that_is_not_finite_is_divergence() -> None:
    trainer = trainer_of(optimizer="sgd", learning_rate=10.0, gradient_clip=0.0, samples=2000, activation="relu")
    with pytest.raises(Diverged, match=r"training loss became (nan|inf) at step"):
        fit_to([1.0] * 20, trainer)


def test_deadline_ends_training_with_what_there_is() -> None:
    trainer = trainer_of()
    before = weights(trainer)
    result, seen = fit_to([1.0, 0.5], trainer, deadline=time.monotonic() - 1)
    assert (result.stopped, result.epochs, len(seen)) == ("time", 0, 1)
    assert torch.equal(weights(trainer), before)
    assert trainer_of().run_epoch(deadline=time.monotonic() - 1) is None


def test_hook_can_end_training() -> None:
    class Stop(Exception):
        pass

    def stop(stats: EpochStats) -> None:
        if stats.epoch == 1:
            raise Stop

    with pytest.raises(Stop):
        fit_to([3.0, 2.0, 1.0], on_epoch=stop)


# ---- random numbers


def test_training_leaves_the_global_generator_alone_and_does_not_read_it() -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        trainer = trainer_of(dropout=0.5, layers=2)
        fit_to([3.0, 2.0, 1.0], trainer)
        assert torch.equal(torch.get_rng_state(), before)
        found.append(weights(trainer))
    assert torch.equal(*found)


def test_seed_decides_shuffling_and_dropout() -> None:
    found = []
    for seed in (1, 2):
        trainer = trainer_of(dropout=0.5, seed=seed)
        trainer.run_epoch()
        found.append(weights(trainer))
    assert not torch.equal(*found)


def test_seeded_draws_by_the_seed_and_puts_the_global_generator_back() -> None:
    outer = torch.get_rng_state()
    drawn = []
    for _ in range(2):
        with seeded(5, torch.device("cpu")):
            drawn.append(torch.rand(2))
    assert torch.equal(*drawn)
    with pytest.raises(KeyError), seeded(5, torch.device("cpu")):
        raise KeyError
    assert torch.equal(torch.get_rng_state(), outer)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_work_side_by_side_comes_back_in_order(threads: int) -> None:
    assert side_by_side(lambda i: i * i, 4, threads) == [0, 1, 4, 9]


# ---- flat parameters, precision


def test_optimizer_sees_one_tensor_and_the_model_trains_in_place() -> None:
    trainer = trainer_of(weight_average=0.9, layers=2)
    (flat,) = trainer.optimizer.param_groups[0]["params"]
    assert flat.numel() >= sum(p.numel() for p in trainer.model.parameters())
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.run_epoch()
    ends = flat.data_ptr() + 4 * flat.numel()
    for p, old, mean in zip(trainer.model.parameters(), before, trainer.result.parameters(), strict=True):
        assert flat.data_ptr() <= p.data_ptr() < ends
        assert p.data_ptr() % 64 == flat.data_ptr() % 64
        assert not flat.data_ptr() <= mean.data_ptr() < ends
        assert not torch.equal(p, old)
        assert not torch.equal(p, mean)


@pytest.mark.parametrize("optimizer", RULES["optimizer"].words)
def test_step_equals_that_of_torch_on_separate_parameters(optimizer: str) -> None:
    trainer = trainer_of(optimizer=optimizer, samples=64, gradient_clip=0.5, weight_decay=1e-3, head_units=3)
    twin = trainer_of(optimizer=optimizer, samples=64, gradient_clip=0.5, weight_decay=1e-3, head_units=3)
    model = net(twin.config, twin.model.shape)
    model.load_state_dict(twin.model.state_dict())
    common = {"lr": twin.config.learning_rate, "weight_decay": 1e-3}
    theirs: torch.optim.Optimizer = {
        "adam": lambda p: torch.optim.Adam(p, **common),
        "adamw": lambda p: torch.optim.AdamW(p, **common),
        "nadam": lambda p: torch.optim.NAdam(p, **common),
        "rmsprop": lambda p: torch.optim.RMSprop(p, **common),
        "sgd": lambda p: torch.optim.SGD(p, momentum=0.9, **common),
    }[optimizer](model.parameters())
    for _ in range(3):
        batch = twin.windows.gather(twin._next(64), model.context)
        theirs.zero_grad()
        error = model.train().level(batch) - model.scale_level(batch.target, batch.group)
        error.square().mean().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        theirs.step()
        trainer.run_epoch()
    for ours, expected in zip(trainer.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)


def test_no_optimizer_imports_the_compiler_of_torch() -> None:
    code = """
import sys, torch
from dataclasses import replace
from lstm_tune.config import Config
from lstm_tune.training.optimizers import OPTIMIZERS, make_optimizer
for name in OPTIMIZERS:
    weight = torch.zeros(3)
    weight.grad = torch.ones(3)
    make_optimizer([weight], replace(Config(), optimizer=name)).step()
    assert weight.abs().min() > 0, name
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("units", "batch", "cell", "expected"), [
    (256, 256, "tanh", "bf16"),
    (4, 256, "tanh", "fp32"),
    (256, 256, "relu", "fp32"),
])  # fmt: skip
def test_only_large_steps_of_the_fused_cell_are_rounded(units: int, batch: int, cell: str, expected: str) -> None:
    windows = Windows(series_of(wave(400)), 2)
    config = Config(lookback=24, hidden_units=units, batch_size=batch, cell_activation=cell)
    model = net(config, Shape(horizon=2))
    positions = windows.positions(((0, 400),), model.context, reach_back=False)
    assert Trainer(model, windows, positions, config, 256, 0, "bf16").precision == expected
    assert model.lstm.in_bf16 is (expected == "bf16")


def test_training_in_bf16_repeats_to_the_bit_and_stays_near_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "_LEAST_WORK", 0)
    found = []
    for precision in ("bf16", "bf16", "fp32"):
        trainer = trainer_of(samples=500)
        train.set_training_precision(trainer.model, precision)
        trainer.run_epoch()
        found.append(weights(trainer))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    torch.testing.assert_close(found[0], found[2], rtol=0, atol=0.05)


def test_accelerator_is_asked_for_the_loss_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(samples=640, batch_size=16)
    trainer._looks = False
    asked = []
    finite = math.isfinite
    monkeypatch.setattr(train.math, "isfinite", lambda x: asked.append(x) or finite(x))
    trainer.run_epoch()
    assert len(asked) == 1


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_weight_decay_leaves_the_lstm_trained_beforehand_as_it_was_shipped(average: float) -> None:
    trainer = trainer_of(skip="pretrained", optimizer="adamw", weight_decay=0.1, weight_average=average)
    trainer.run_epoch()
    for model in (trainer.model, trainer.result):
        assert model.pretrained is not None
        for name, kept in model.pretrained.state_dict().items():
            torch.testing.assert_close(kept, shipped_weights()[name], rtol=0, atol=0)


# ---- memory


def gradients_of(trainer: Trainer, chunk: torch.Tensor, *, halved: bool) -> tuple[torch.Tensor, torch.Tensor]:
    trainer.model.train()
    loss = trainer._in_halves(chunk) if halved else trainer._backward(chunk)
    return loss.detach(), torch.cat([g.flatten() for g in trainer._gradients])


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
@pytest.mark.parametrize("y", [wave(), with_holes(wave(), every=5)], ids=["whole", "holes"])
@pytest.mark.parametrize("count", [2, 7, 64])
def test_halves_of_a_batch_add_up_to_the_step_of_the_whole(loss: str, y: np.ndarray, count: int) -> None:
    one, two = trainer_of(y, loss=loss), trainer_of(y, loss=loss)
    chunk = one.positions[torch.arange(count)]
    whole, added = gradients_of(one, chunk, halved=False), gradients_of(two, chunk, halved=True)
    torch.testing.assert_close(added, whole, rtol=1e-4, atol=1e-6)
    assert whole[1].abs().max() > 0


class Full:
    """Replaces `Trainer._loss`: there is memory for this many windows only."""

    def __init__(self, trainer: Trainer, most: int, error: Exception) -> None:
        self.loss, self.most, self.error = trainer._loss, most, error

    def __call__(self, batch: Any) -> torch.Tensor:
        if len(batch.target) > self.most:
            raise self.error
        return self.loss(batch)


OUT_OF_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to …"),
    RuntimeError("CUDA error: out of memory"),  # of the driver, not of torch's own allocator
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("std::bad_alloc"),  # of C++ code in torch that allocates by itself
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_lack_of_memory_halves_the_batch_and_nothing_else(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, short = trainer_of(batch_size=32), trainer_of(batch_size=32)
    monkeypatch.setattr(short, "_loss", Full(short, 16, error))
    losses = [(trainer.run_epoch(), trainer.run_epoch()) for trainer in (usual, short)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    torch.testing.assert_close(weights(short), weights(usual), rtol=1e-3, atol=1e-5)
    assert (usual.half_batches, short.half_batches, short.steps) == (False, True, usual.steps)


def test_memory_that_does_not_suffice_for_half_a_batch_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(batch_size=32)
    monkeypatch.setattr(trainer, "_loss", Full(trainer, 15, MemoryError("none left")))
    with pytest.raises(MemoryError, match="none left"):
        trainer.run_epoch()


def test_other_errors_do_not_halve_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(batch_size=32)
    monkeypatch.setattr(trainer, "_loss", Full(trainer, 16, RuntimeError("shapes differ")))
    with pytest.raises(RuntimeError, match="shapes differ"):
        trainer.run_epoch()
    assert not trainer.half_batches
