"""Trials that go wrong: what is pruned with its reason, and what fails with its traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import TrialState
from series import TINY, daily, run_study, task_of, wave
from studies import UnluckyPruner

import lstm_tune
from lstm_tune.config import Config
from lstm_tune.data.windows import Batch
from lstm_tune.errors import StudyError
from lstm_tune.storage.open import open_storage
from lstm_tune.training.retrain import Member, retrain
from lstm_tune.training.trainer import Trainer, is_out_of_memory

pytestmark = pytest.mark.usefixtures("short_epochs")


def loss_that(monkeypatch: pytest.MonkeyPatch, change: Callable[[torch.Tensor, Batch], torch.Tensor]) -> None:
    loss_of = Trainer._loss
    monkeypatch.setattr(Trainer, "_loss", lambda self, batch: change(loss_of(self, batch), batch))


def memory_for(monkeypatch: pytest.MonkeyPatch, windows: int) -> None:
    def checked(loss: torch.Tensor, batch: Batch) -> torch.Tensor:
        if len(batch.target) > windows:
            raise torch.OutOfMemoryError("out of memory: 1 GiB was asked for")
        return loss

    loss_that(monkeypatch, checked)


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_loss_that_is_no_number_prunes_the_trial_with_the_reason(
    factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss_that(monkeypatch, lambda loss, batch: loss * factor)
    study, _ = run_study(task_of(wave()), TINY)
    assert study.trials[0].state is TrialState.PRUNED
    assert study.trials[0].user_attrs["pruned_because"].startswith("diverged: the training loss became")


def test_exploding_validation_prunes_the_trial_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([1.0, 1e6])
    monkeypatch.setattr("lstm_tune.training.task.quick_value", lambda *args: next(values))
    study, _ = run_study(task_of(wave()), TINY)
    assert study.trials[0].state is TrialState.PRUNED
    assert study.trials[0].user_attrs["pruned_because"].startswith("diverged: the validation score exploded to")


def test_trial_short_of_memory_takes_its_batches_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    usual, _ = run_study(task_of(wave()), TINY | {"batch_size": 32})
    memory_for(monkeypatch, 16)
    study, _ = run_study(task_of(wave()), TINY | {"batch_size": 32})
    trial = study.trials[0]
    assert trial.state is TrialState.COMPLETE
    assert trial.user_attrs["micro_batch"] == 16
    assert trial.user_attrs["config"]["batch_size"] == 32
    assert trial.value == pytest.approx(usual.trials[0].value, rel=1e-3)
    assert trial.value == min(trial.intermediate_values.values())
    assert "micro_batch" not in usual.trials[0].user_attrs


def test_trial_without_memory_for_half_a_batch_is_pruned_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    memory_for(monkeypatch, 15)
    study, _ = run_study(task_of(wave()), TINY | {"batch_size": 32})
    assert study.trials[0].state is TrialState.PRUNED
    assert study.trials[0].user_attrs["pruned_because"] == "out of memory: out of memory: 1 GiB was asked for"
    assert study.trials[0].user_attrs["micro_batch"] == 16


def test_retrain_takes_its_batches_in_halves_too(monkeypatch: pytest.MonkeyPatch) -> None:
    halved: list[bool] = []
    run_epoch = Trainer.run_epoch

    def watched(self: Trainer, *args: Any) -> float | None:
        halved.append(self.half_batches)
        return run_epoch(self, *args)

    memory_for(monkeypatch, 16)
    monkeypatch.setattr(Trainer, "run_epoch", watched)
    options = {"target": "y", "space": TINY | {"batch_size": 32}, "n_trials": 1, "retrain_seeds": 1, "folds": 1}
    result = lstm_tune.tune(daily(wave()), **options)
    assert result.record["retrain"]["rows"] == "train+val"
    assert halved[0] is False  # the trial finds out …
    assert halved[-1] is True  # … and the retrain knows


def test_retrain_leaves_out_what_finds_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    memory_for(monkeypatch, 15)
    task = task_of(wave())
    members = [
        Member(trial=i, config=Config.from_params(TINY | {"batch_size": size}), epochs=1, factors=(), weight=1.0)
        for i, size in enumerate((32, 8))
    ]
    done = retrain(task, members, [0])
    assert [member.trial for member, _ in done.models[0]] == [1]


def test_memory_of_the_process_that_is_limited_ends_in_an_error_that_is_recognised() -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**42, before[1]))
    try:
        with pytest.raises(RuntimeError) as caught:
            torch.empty(2**43, dtype=torch.uint8)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert is_out_of_memory(caught.value)


def test_any_other_error_fails_its_trial_alone_and_keeps_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def sometimes(loss: torch.Tensor, batch: Batch) -> torch.Tensor:
        if batch.history.shape[1] == 4:
            raise ZeroDivisionError("on purpose")
        return loss

    loss_that(monkeypatch, sometimes)
    space = TINY | {"lookback": [4, 8, 12]}
    result = lstm_tune.tune(
        daily(wave()), target="y", space=space, n_trials=6, folds=1, retrain_seeds=1, sampler="random", seed=1
    )
    failed = result.study.get_trials(states=(TrialState.FAIL,))
    assert failed
    assert all(t.params["lookback"] == 4 for t in failed)
    assert all(t.user_attrs["traceback"].strip().endswith("ZeroDivisionError: on purpose") for t in failed)
    assert result.record["study"]["n_trials"] == 6


@pytest.mark.parametrize("workers", [1, 2])
def test_ten_failures_in_a_row_stop_the_study_with_the_cause_and_keep_it(tmp_path: Path, workers: int) -> None:
    options: dict[str, Any] = {"target": "y", "space": TINY, "folds": 1, "n_trials": 30, "out": tmp_path}
    with pytest.raises(StudyError, match=r"10 trials in a row failed.*no luck.*resume=True") as caught:
        lstm_tune.tune(daily(wave()), pruner=UnluckyPruner(), workers=workers, **options)
    assert "\n" not in str(caught.value)
    study = optuna.load_study(study_name=None, storage=open_storage(tmp_path / "study.journal"))
    ended = [t for t in study.trials if t.state.is_finished()]
    assert {t.state for t in ended} == {TrialState.FAIL}
    assert 10 <= len(ended) <= 10 + workers
