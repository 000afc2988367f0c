from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import optuna
import pytest
import torch

from lstm_tune.cli import app as cli
from lstm_tune.training import trainer as train


@pytest.fixture(scope="session", autouse=True)
def _surroundings() -> None:
    """One thread, for tiny nets on shared cores: a second only waits; and Ctrl-C as in a terminal."""
    torch.set_num_threads(1)
    # A shell that starts the tests in the background has them, and all that they start, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """A command that was stopped ignores Ctrl-C from then on: the process is about to end, but for tests."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def short_epochs() -> Iterator[None]:
    """Epochs of 128 windows instead of 2,048, in the modules that ask for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "MIN_SAMPLES_PER_EPOCH", 128)
        yield


@pytest.fixture
def command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process; return (status, stdout, stderr)."""

    def call(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lstm-tune", *args])
        capsys.readouterr()
        try:
            cli.main()
            status: Any = 0
        except SystemExit as error:
            status = error.code or 0
        out, err = capsys.readouterr()
        return status, out, err

    return call
