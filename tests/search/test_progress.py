"""What is told of a study while it runs, outside of the command line."""

from __future__ import annotations

import sys
import types
from typing import Any

import optuna
import pytest
from studies import outcome, tune

from lstm_tune.search.progress import LineProgress, Warnings, checked_progress, runs_in_notebook
from lstm_tune.search.trials import Trial
from lstm_tune.training.fitting import EpochStats


def shown(text: str) -> list[str]:
    """What a terminal or a notebook shows of each line in the end."""
    lines = []
    for line in text.split("\n"):
        visible = ""
        for part in line.split("\r"):
            visible = part + visible[len(part) :]
        lines.append(visible.rstrip())
    return lines


def test_one_line_is_rewritten_and_ends_with_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    line = LineProgress()
    line.begin(3, 0, None)
    assert shown(capsys.readouterr().out) == ["0/3 trials  0 pruned"]
    line.epoch(0, EpochStats(epoch=7, samples=1, train_loss=0.1, val=0.2, learning_rate=0.1, seconds=0.0))
    for number in range(2):
        line.trial(Trial(number=number, state="COMPLETE", value=0.5 - number / 10, outcome=outcome()))
    line.retrain(1, 9)
    before = shown(capsys.readouterr().out)
    assert len(before) == 1
    assert before[0].startswith("2/3 trials  0 pruned  best 0.4 (trial 1)  retraining: 1 of 9")
    line.end()
    line.end()
    assert shown(capsys.readouterr().out)[0] == "2/3 trials  0 pruned  best 0.4 (trial 1)  0:00"


def test_progress_true_shows_a_study_and_nothing_is_shown_without_it(capsys: pytest.CaptureFixture[str]) -> None:
    space = {"lookback": [4, 6], "hidden_units": 4, "epochs": 1}
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        tune(n_trials=2, space=space, progress=True)
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
    out, err = capsys.readouterr()
    assert err == ""
    (line, rest) = shown(out)
    assert line.startswith("2/2 trials")
    assert rest == ""
    tune(n_trials=1, space=space)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("given", "kind"), [(None, Warnings), (False, Warnings), (True, LineProgress)])
def test_what_an_argument_stands_for(given: Any, kind: type) -> None:
    assert type(checked_progress(given)) is kind


def test_a_kernel_gets_the_line_unless_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert runs_in_notebook()
    assert type(checked_progress(None)) is LineProgress
    assert type(checked_progress(False)) is Warnings
    del shell.kernel  # the prompt of IPython in a terminal
    assert not runs_in_notebook()
