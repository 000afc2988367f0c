"""`--apply RUN[:CODE]`: a run is repeated with its options, its best configuration and what its findings advise."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from series import daily, wave

import lstm_tune
from lstm_tune.cli import app as cli
from lstm_tune.errors import RunError, UsageError
from lstm_tune.pipeline.advice import apply_advice
from lstm_tune.pipeline.options import TuneOptions
from lstm_tune.report.advice import advice_file
from lstm_tune.search.space import Space, load_space

SPACE = "lookback = 3\nhidden_units = 2\nepochs = 1\nlearning_rate = 1e-6\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose training is far too slow, beside its data; horizon and folds are not the defaults."""
    folder = tmp_path_factory.mktemp("apply")
    daily(wave(200)).to_csv(folder / "data.csv", index=False)
    (folder / "space.toml").write_text(SPACE)
    out = folder / "runs" / "first"
    lstm_tune.tune(
        str(folder / "data.csv"),
        horizon=2,
        folds=1,
        space=str(folder / "space.toml"),
        n_trials=1,
        retrain_seeds=1,
        out=out,
    )
    return out


def record(run: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((run / "result.json").read_text())
    return loaded


def with_findings(run: Path, tmp_path: Path, *findings: dict[str, Any]) -> str:
    """A copy of the run's result with other findings; return its folder."""
    (tmp_path / "result.json").write_text(json.dumps({**record(run), "findings": list(findings)}))
    return str(tmp_path)


def advice(code: str, severity: str = "warn", **action: Any) -> dict[str, Any]:
    actions = [{"options": {}, "space": {}, "gain": 0.1, "tried": None} | action]
    return {"code": code, "severity": severity, "evidence": {}, "says": "", "advice": "", "actions": actions}


def test_a_run_is_repeated_with_its_options_and_the_changed_space(run: Path) -> None:
    options = apply_advice(TuneOptions(apply=f"{run}:worse_than_baseline"))
    assert (options.horizon, options.folds, options.n_trials, options.retrain_seeds) == (2, 1, 1, 1)
    assert isinstance(options.space, Space)
    change, best = options.space.enqueued()[:2]
    assert best["skip"] == "none"  # the best configuration, as far as the space leaves it open
    assert change["skip"] != "none"


def test_a_study_of_one_trial_tries_one_change_before_it_gives_its_advice(run: Path) -> None:
    found = record(run)
    actions = [a for f in found["findings"] for a in (*f["actions"], *f["rejected"])]
    tried = {json.dumps(a["space"]): a["tried"] for a in actions if a["tried"] is not None}
    assert len(tried) == 1
    best = max((a for f in found["findings"] for a in f["actions"]), key=lambda a: -(a["tried"] or 0))
    assert best["tried"] < -0.1
    assert found["next"]["tried"] == best["tried"]
    assert f"Tried: {found['next']['says'].split(' (')[0].removeprefix('try ')}" in json.dumps(found["findings"])
    assert found["timing"]["seconds"]["advice"] > 0


def test_nothing_is_tried_if_its_share_of_the_time_is_0(run: Path) -> None:
    options = dict(horizon=2, folds=1, space=str(run.parent.parent / "space.toml"), n_trials=1, retrain_seeds=1)
    found = lstm_tune.tune(str(run.parent.parent / "data.csv"), try_advice=0, **options).to_dict()
    assert {a["tried"] for f in found["findings"] for a in (*f["actions"], *f["rejected"])} == {None}
    with pytest.raises(UsageError, match=r"try_advice must be a number from 0 to 0\.5, but is 0\.9"):
        TuneOptions(try_advice=0.9)


def test_options_that_are_given_stay(run: Path) -> None:
    options = apply_advice(TuneOptions(apply=f"{run}:worse_than_baseline", n_trials=7, folds=3), {"n_trials", "folds"})
    assert (options.horizon, options.folds, options.n_trials) == (2, 3, 7)


def test_an_option_that_is_given_wins_over_what_is_advised(run: Path, tmp_path: Path) -> None:
    where = with_findings(run, tmp_path, advice("winner_within_seed_noise", options={"folds": 5}))
    assert apply_advice(TuneOptions(apply=where)).folds == 5
    assert apply_advice(TuneOptions(apply=where, folds=2)).folds == 2


def test_all_warnings_are_followed_together_and_information_is_not(run: Path, tmp_path: Path) -> None:
    folder = with_findings(
        run,
        tmp_path,
        advice("underfit", "high", space={"lookback": 9}),
        advice("low_signal", options={"calendar": True}),
        advice("more_trials", options={"n_trials": 60, "resume": True}),
        advice("seasonality", "info", space={"difference": "first"}),
    )
    options = apply_advice(TuneOptions(apply=folder))
    assert (options.calendar, options.n_trials, options.resume) == (True, 1, False)
    assert isinstance(options.space, Space)
    assert {"lookback", "difference"} & options.space.parameters.keys() == {"lookback"}


def test_an_option_is_followed_only_if_its_finding_has_nothing_that_validation_can_judge(
    run: Path, tmp_path: Path
) -> None:
    finding = advice("missed_seasonality", space={"lookback": 9})
    finding["actions"].append({"options": {"calendar": True}, "space": {}, "gain": 0.1, "tried": None})
    options = apply_advice(TuneOptions(apply=with_findings(run, tmp_path, finding)))
    assert options.calendar is None
    assert isinstance(options.space, Space)
    assert "lookback" in options.space.parameters


def test_more_trials_continue_the_run(run: Path, tmp_path: Path) -> None:
    folder = with_findings(run, tmp_path, advice("more_trials", options={"n_trials": 60, "resume": True}))
    options = apply_advice(TuneOptions(apply=f"{folder}:more_trials"))
    assert (options.n_trials, options.resume, options.folder) == (60, True, Path(folder))
    assert isinstance(options.space, Space)
    assert options.space.to_dict() == record(run)["settings"]["space"]


def test_space_of_the_advice_is_in_the_run_folder(run: Path) -> None:
    space = load_space(run / "advice.toml")
    assert not isinstance(space.parameters["skip"].plain(), str)
    assert "# - skip = linear" in (run / "advice.toml").read_text()


def test_advice_file_lists_each_change_once(run: Path) -> None:
    found = record(run)
    twice = [advice(code, space={"lookback": 9}) for code in ("underfit", "missed_seasonality")]
    text = advice_file(twice, found["settings"], found["best"]["params"])
    assert text is not None
    assert text.count("# - lookback = 9") == 1


def test_what_cannot_be_applied_is_refused_in_one_line(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no action for 'worse_than_baselin'; did you mean"):
        apply_advice(TuneOptions(apply=f"{run}:worse_than_baselin"))
    folder = with_findings(run, tmp_path, advice("seasonality", "info", space={"difference": "first"}))
    with pytest.raises(UsageError, match="name one, as in RUN:CODE"):
        apply_advice(TuneOptions(apply=folder))
    with pytest.raises(RunError, match="nowhere"):
        apply_advice(TuneOptions(apply=str(tmp_path / "nowhere")))
    damaged = {**record(run)}
    del damaged["settings"]
    (tmp_path / "result.json").write_text(json.dumps(damaged))
    with pytest.raises(RunError, match="holds no advice that could be applied"):
        apply_advice(TuneOptions(apply=str(tmp_path)))


@pytest.mark.slow
def test_the_command_of_the_next_step_works_as_it_is_printed(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run.parents[1])
    step = record(run)["next"]
    assert record(run)["verdict"].endswith(f"Next: {step['says']}.")
    monkeypatch.setattr(sys, "argv", shlex.split(step["command"]))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    printed = capsys.readouterr().out
    followed = sorted(set(Path("runs").iterdir()) - {Path("runs/first")})
    assert len(followed) == 1
    again = record(followed[0])
    assert again["data"]["horizon"] == 2
    assert again["best"]["value"] <= record(run)["best"]["value"]
    assert "--apply" in again["study"]["command"]
    if again["next"]:
        assert again["next"]["command"] in printed.splitlines()
