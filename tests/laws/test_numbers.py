"""Every number of a run folder equals that of a second program, for all kinds of data that a study takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from law_studies import CHECKS, KINDS, run_kind
from oracle import Finished

import lstm_tune
from lstm_tune.pipeline import search_step
from lstm_tune.training.backtest import COLUMNS

pytestmark = [pytest.mark.laws, pytest.mark.slow]


@pytest.mark.parametrize("check", sorted(CHECKS))
@pytest.mark.parametrize("name", KINDS)
def test_every_number_is_that_of_the_oracle(study_of: Callable[[str], Finished], name: str, check: str) -> None:
    CHECKS[check](study_of(name))


@pytest.mark.processes
def test_two_workers_find_what_one_finds(
    study_of: Callable[[str], Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []
    pool = search_step.optimize
    monkeypatch.setattr(search_step, "optimize", lambda *args, **how: used.append(args[2]) or pool(*args, **how))
    one, two = study_of("panel"), run_kind(KINDS["panel"], tmp_path, workers=2)
    assert used == [2]
    for file in ("model/weights.safetensors", "model/config.json", "forecast.csv"):
        assert (one.folder / file).read_bytes() == (two.folder / file).read_bytes(), file
    trials = [{t.number: (t.params, t.value, t.intermediate_values) for t in run.study.trials} for run in (one, two)]
    assert trials[0] == trials[1]
    for name, check in CHECKS.items():
        if name != "timing":  # of the seconds of all workers
            check(two)


@pytest.mark.parametrize("name", KINDS)
def test_a_result_opened_from_its_folder_holds_the_same_numbers(study_of: Callable[[str], Finished], name: str) -> None:
    run, kind = study_of(name), KINDS[name]
    opened = lstm_tune.load_result(run.folder, data=kind.frame)
    content = json.loads((run.folder / "result.json").read_text(encoding="utf-8"))
    assert opened.to_dict() == content
    if len(content["data"]["target"]) > 1:
        return
    frame = opened.to_frame().dropna(subset="y")
    for baseline, scored in content["baselines"].items():
        assert ((frame[COLUMNS[baseline]] - frame["y"]) ** 2).mean() == pytest.approx(scored["test_mse"], rel=1e-4)
    assert ((frame["LSTM"] - frame["y"]) ** 2).mean() == pytest.approx(content["test"]["mse"], rel=1e-4)
