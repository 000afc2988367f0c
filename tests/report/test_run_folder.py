"""The run folder that was never needed, and the time that was given."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import studies
from series import TINY, daily, wave
from studies import Watching

from lstm_tune.cli import tune_command
from lstm_tune.errors import LstmTuneError
from lstm_tune.pipeline import prepare
from lstm_tune.pipeline.options import TuneOptions
from lstm_tune.pipeline.run_context import RunContext
from lstm_tune.pipeline.tune import run
from lstm_tune.search.budget import Clock
from lstm_tune.utils.signals import StopRequest

tune = partial(studies.tune, space=TINY | {"epochs": 1}, n_trials=1)


@pytest.mark.parametrize("options", [{"storage": "bogus://host/x"}, {"sampler": "bogus"}, {"pruner": "bogus"}], ids=str)
def test_study_that_cannot_begin_leaves_no_folder_behind(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(LstmTuneError, match="bogus"):
        tune(out=tmp_path / "runs" / "mine", **options)
    assert not list(tmp_path.iterdir())


def test_study_that_cannot_begin_leaves_alone_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "study.journal").touch()
    for name in ("mine", "other"):
        with pytest.raises(LstmTuneError, match="bogus"):
            tune(out=tmp_path / name, storage="bogus://host/x", resume=True)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == ["mine", "other", "other/study.journal"]


def test_command_that_repeats_the_run_has_the_timeout_that_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command_line: Callable[..., tuple[int, str, str]]
) -> None:
    monkeypatch.setattr(tune_command, "STARTED", time.monotonic() - 30)
    (tmp_path / "space.toml").write_text("lookback = 4\nhidden_units = 4\nepochs = 1\n")
    options = ["--space", str(tmp_path / "space.toml"), "--trials", "1", "--workers", "1", "--retrain-seeds", "1"]
    status, _, err = command_line("tune", "example:nile", *options, "--timeout", "100", "--out", str(tmp_path / "run"))
    assert status == 0, err
    assert " --timeout 100s " in (tmp_path / "run" / "result.json").read_text()


def test_time_that_had_passed_before_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float | None] = []
    monkeypatch.setattr(prepare, "pick_precision", lambda *asked: pytest.fail("it is late: nothing is measured"))

    class Begun(Watching):
        def begin(self, trials: int | None, done: int, seconds: float | None) -> None:
            told.append(seconds)

    options = TuneOptions(space=TINY | {"epochs": 1}, n_trials=1, timeout=100, retrain_seeds=1, folds=1)
    clock = Clock(options.seconds, time.monotonic() - 30)
    result = run(daily(wave(200)), RunContext(options=options, clock=clock, stop=StopRequest(), progress=Begun()))
    assert told[0] is not None
    assert told[0] <= 70
    seconds = dict(result.record["timing"]["seconds"])
    total = seconds.pop("total")
    assert seconds.keys() >= {"start", "data", "setup", "study", "retrain", "test"}
    assert (seconds["start"] >= 30, total - 5 < sum(seconds.values()) <= total) == (True, True)
