from __future__ import annotations

from collections.abc import Iterator

import optuna
import pytest
import torch

from lstm_tune import train


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny nets on shared cores: a second thread only waits."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture(scope="module")
def short_epochs() -> Iterator[None]:
    """Epochs of 128 windows instead of 2,048, in the modules that ask for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "MIN_SAMPLES_PER_EPOCH", 128)
        yield
