"""What trials train in: refused, measured once, and the same whatever the clock says about small differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from series import task_of, wave

from lstm_tune.config import Config
from lstm_tune.errors import UsageError
from lstm_tune.search.draws import draw
from lstm_tune.search.space import space_from_mapping
from lstm_tune.training import precision
from lstm_tune.training.precision import check_precision, has_bf16, measure_bf16_speedup, pick_precision
from lstm_tune.training.task import Task
from lstm_tune.training.trainer import Diverged, bf16_pays

LARGE = {"lookback": {"low": 24, "high": 48}, "hidden_units": {"low": 128, "high": 256}, "batch_size": [128, 256]}
SMALL = {"lookback": {"low": 4, "high": 8}, "hidden_units": {"low": 4, "high": 8}, "batch_size": [16, 32]}


def configs(space: Mapping[str, Any]) -> Iterator[Config]:
    return draw(space_from_mapping(space), 64)


@pytest.fixture(autouse=True)
def _nothing_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_measured", {})


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="precision must be auto, fp32 or bf16, but is 'fp8'"):
        check_precision("fp8", "cpu")


def test_bf16_is_refused_where_the_processor_has_no_instructions_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda device: False)
    with pytest.raises(UsageError, match=r'neither AVX512-BF16 nor AMX; use precision="auto"'):
        check_precision("bf16", "cpu")
    check_precision("auto", "cpu")
    assert pick_precision(task_of(wave(400)), configs(LARGE)) == "fp32"


@pytest.mark.parametrize(("times", "expected"), [(1.29, "fp32"), (1.31, "bf16")])
def test_auto_follows_the_measurement(monkeypatch: pytest.MonkeyPatch, times: float, expected: str) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    monkeypatch.setattr(precision, "measure_bf16_speedup", lambda task, config: times)
    assert pick_precision(task_of(wave(400)), configs(LARGE)) == expected


def test_space_of_small_nets_is_fp32_without_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    monkeypatch.setattr(precision, "measure_bf16_speedup", lambda task, config: pytest.fail("measured"))
    assert pick_precision(task_of(wave(400)), configs(SMALL)) == "fp32"


def test_what_is_measured_gains_and_depends_on_the_data_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[Config] = []
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    monkeypatch.setattr(precision, "measure_bf16_speedup", lambda task, config: measured.append(config) or 2.0)
    task = task_of(wave(400))
    for units in (128, 256):
        pick_precision(task, configs(LARGE | {"hidden_units": units}))
    assert measured[0] == measured[1]
    assert measured[0].lookback <= task.limits.max_lookback
    assert bf16_pays(measured[0], task.shape)


@pytest.mark.parametrize(
    "error", [Diverged("nothing to train on"), RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")], ids=str
)
def test_what_cannot_be_measured_is_fp32(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(task: Task, config: Config) -> float:
        raise error

    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    monkeypatch.setattr(precision, "measure_bf16_speedup", fail)
    assert pick_precision(task_of(wave(400)), configs(LARGE)) == "fp32"


def test_speed_is_measured_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_SECONDS", 0.0)
    task = task_of(wave(400))
    config = Config(lookback=24, hidden_units=128, batch_size=128)
    found = measure_bf16_speedup(task, config)
    assert np.isfinite(found)
    assert found > 0
    monkeypatch.setattr(precision, "make_trainer", lambda *args: pytest.fail("measured again"))
    assert measure_bf16_speedup(task, config) == found


def test_a_device_says_whether_it_computes_in_bf16() -> None:
    assert has_bf16("cpu") in (True, False)
