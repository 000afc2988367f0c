"""What the dashboard is fed: notes, figures and words, read back by the dashboard's own functions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import optuna_dashboard
import pandas as pd
import pytest
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
from optuna_dashboard._note import get_note_from_system_attrs
from series import daily, panel, wave

import lstm_tune
from lstm_tune.config import PLAIN, Config
from lstm_tune.dashboard import notes
from lstm_tune.dashboard.attributes import SIGNATURE, save_figure, save_note
from lstm_tune.dashboard.figures import curves_figure, forecast_figure
from lstm_tune.dashboard.notes import study_note, trial_notes
from lstm_tune.diagnosis.finding import Finding
from lstm_tune.report.result import Result
from lstm_tune.report.study_text import UNTRAINED, members, on_untrained, score_digits, trial_states
from lstm_tune.search.progress import Progress
from lstm_tune.search.trials import read_trials
from lstm_tune.utils.text import number

SPACE: dict[str, Any] = {
    "lookback": [8, 12],
    "hidden_units": 4,
    "dropout": 0.0,
    "batch_size": 64,
    "epochs": 2,
    "patience": 2,
    "skip": ["none", "linear"],
    "first": [{"skip": "linear"}],
}
FINDING = Finding(code="overfit", severity="warn", evidence={}, says="It <b>overfits</b>.", by_hand="Raise `dropout`.")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, short_epochs: None) -> Result:
    out = tmp_path_factory.mktemp("notes") / "run"
    return lstm_tune.tune(
        daily(wave(120)), target="y", horizon=3, space=SPACE, n_trials=4, retrain_seeds=2, folds=1, out=out
    )


@pytest.fixture
def study() -> optuna.Study:
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    return study


def attrs_of(study: optuna.Study) -> dict[str, Any]:
    return study._storage.get_study_system_attrs(study._study_id)


def test_tune_leaves_notes_and_figures_that_the_dashboard_reads(result: Result) -> None:
    note = optuna_dashboard.get_note(result.study)
    test = result.record["test"]
    assert note.startswith(f"## The test MSE of `y` is {number(test['mse'], score_digits(test))}\n")  # as on the screen
    rows = ("LSTM alone", "persistence", "seasonal naive", "ridge regression", "mean of the train rows")
    for name in (*rows, SIGNATURE):
        assert name in note
    attrs = attrs_of(result.study)
    best = result.study.trials[result.record["best"]["trial"]]
    own = get_note_from_system_attrs(attrs, best._trial_id)["body"]
    assert own.startswith("**The best trial**")
    assert "of the saved model" in own
    figures = get_plotly_graph_objects(attrs)
    assert set(figures) == {"forecast", "learning-curves"}
    assert all(json.loads(figure)["data"] for figure in figures.values())
    assert optuna_dashboard._custom_plot_data.is_valid_graph_object_id("learning-curves")


def test_trials_tell_their_model_in_words_and_their_metric_has_a_unit(result: Result) -> None:
    for trial in result.study.trials:
        assert trial.user_attrs["model"] == Config.from_params(trial.user_attrs["config"]).describe()
    assert result.study.metric_names == ["validation score (scaled MSE)"]


def test_the_plain_lstm_and_known_configurations_are_named(result: Result) -> None:
    bodies = [get_note_from_system_attrs(attrs_of(result.study), i)["body"] for i in range(4)]
    assert "The plain LSTM" in bodies[0]
    assert "Known from other series" in bodies[1]
    assert not any("before the search began" in body for body in bodies[2:])


def test_findings_are_in_the_note_as_plain_text(result: Result) -> None:
    data = replace(result.summary.data, target=("`<script>alert(1)</script>\n# y`",))
    note = study_note(replace(result.summary, findings=(FINDING,) * 9, data=data))
    assert note.count("overfit`: It &lt;b&gt;overfits&lt;/b&gt;. *Raise \\`dropout\\`.*") == 5
    assert note.splitlines()[0].startswith("## The test MSE of `'<script>alert(1)</script> # y'` is ")
    assert "<script>" not in note.replace("`'<script>alert(1)</script> # y'`", "")


def test_note_of_the_study_begins_with_the_verdict(result: Result) -> None:
    note = study_note(replace(result.summary, verdict="Ridge is 25% better, <b>use</b> that."))
    assert "Ridge is 25% better, &lt;b&gt;use&lt;/b&gt; that." in note
    assert note.index("Ridge is") < note.index("| forecast |")


def test_untrained_members_are_explained(result: Result) -> None:
    member = result.summary.ensemble[0]
    trained = replace(result.summary, ensemble=(replace(member, epochs=3),))
    assert UNTRAINED not in study_note(trained)
    assert UNTRAINED in study_note(replace(trained, ensemble=(replace(member, epochs=0),)))


def test_pruned_trial_tells_the_reason(result: Result, study: optuna.Study) -> None:
    trial = study.ask()
    trial.set_user_attr("config", PLAIN.params())
    trial.set_user_attr("pruned_because", "diverged: <nan>")
    study._storage.set_trial_system_attr(trial._trial_id, "fixed_params", {"x": 1})
    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    summary = replace(result.summary, ensemble=(), best=replace(result.summary.best, trial=0))
    [(_, note)] = trial_notes(summary, read_trials(study), [{"x": 1}])
    assert "Pruned: diverged\\: &lt;nan&gt;." in note


# ---- saving


def test_note_of_a_person_is_left_alone_and_our_own_is_replaced(study: optuna.Study) -> None:
    save_note(study, None, "long " * 2000)
    assert len(optuna_dashboard.get_note(study)) > 10_000
    save_note(study, None, "short")
    assert optuna_dashboard.get_note(study) == f"short\n\n{SIGNATURE}\n"
    version = get_note_from_system_attrs(attrs_of(study), None)["version"]
    save_note(study, None, "short")
    assert get_note_from_system_attrs(attrs_of(study), None)["version"] == version == 2
    optuna_dashboard.save_note(study, "my own words")
    save_note(study, None, "ours again")
    assert optuna_dashboard.get_note(study) == "my own words"


def test_figure_is_replaced_by_a_shorter_one(study: optuna.Study) -> None:
    for size in (5000, 3):
        save_figure(study, "forecast", {"data": [{"y": list(range(size))}], "layout": {}})
        saved = json.loads(get_plotly_graph_objects(attrs_of(study))["forecast"])
        assert saved["data"][0]["y"] == list(range(size))


def test_failure_to_write_notes_fails_no_result(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, short_epochs: None
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("the storage is gone")

    said: list[str] = []

    class Listener(Progress):
        def info(self, text: str) -> None:
            said.append(text)

    monkeypatch.setattr("lstm_tune.pipeline.conclusion.write_notes", fail)
    result = lstm_tune.tune(
        daily(wave(120)), target="y", space=SPACE, n_trials=1, retrain_seeds=1, out=tmp_path, progress=Listener()
    )
    assert result.test.windows
    assert (tmp_path / "result.json").exists()
    assert "the notes for the dashboard could not be written: RuntimeError: the storage is gone" in said


# ---- figures


def test_forecast_figure_shows_the_last_test_rows_and_what_forecast_csv_holds(result: Result, tmp_path: Path) -> None:
    figure = forecast_figure(result)
    actual, forecast, *alone = figure["data"]
    result.save(tmp_path / "run")
    table = pd.read_csv(tmp_path / "run" / "forecast.csv")
    assert actual["x"][-1] == table["time"].iloc[-1]
    np.testing.assert_allclose(actual["y"][-3:], table["actual"].tail(3), rtol=1e-4)
    np.testing.assert_allclose(forecast["y"][-3:], table["forecast"].tail(3), rtol=1e-4)
    assert len(actual["x"]) == len(actual["y"]) == len(forecast["y"]) <= 240
    assert [trace["visible"] for trace in alone] == ["legendonly"] * (len(result.record["ensemble"]) > 1)


@pytest.mark.parametrize("horizon", [1, 7])
def test_forecast_figure_of_many_series_and_targets(horizon: int, short_epochs: None) -> None:
    frame = panel(wave(60), wave(90, seed=1)).assign(**{"<z>": lambda f: f["y"] * 2})
    space = {k: v for k, v in SPACE.items() if k != "first"}
    result = lstm_tune.tune(
        frame, target=["<z>", "y"], id="shop", horizon=horizon, space=space, n_trials=1, retrain_seeds=1, folds=1
    )
    figure = forecast_figure(result)
    assert figure["layout"]["title"]["text"].startswith("&lt;z&gt;, ")
    assert all(value is not None for value in figure["data"][1]["y"])
    assert len(json.dumps(figure)) < 20_000


def test_learning_curves_are_of_the_best_trials_and_of_few_points() -> None:
    history = [[e, None if not e else 0.5 / e, 0.4, 1e-3, 0.1] for e in range(1000)]
    study = optuna.create_study()
    for value in range(9):
        trial = optuna.trial.create_trial(value=float(value), user_attrs={"history": history})
        study.add_trial(trial)
    figure = curves_figure(read_trials(study)[: notes._CURVES])
    assert [t["name"] for t in figure["data"][:2]] == ["trial 0", "trial 0, training"]
    assert len(figure["data"]) == 10
    assert max(len(t["x"]) for t in figure["data"]) <= 125
    assert figure["data"][1]["y"][0] is None
    assert len(json.dumps(figure)) < 30_000


# ---- words


def test_members_are_named_with_their_parts_and_the_untrained_as_such() -> None:
    ensemble = [{"trial": 3, "epochs": 4, "weight": 0.6}, {"trial": 5, "epochs": 0, "weight": 0.4}]
    assert members(ensemble) == "trials 3 (60%), 5 untrained (40%)"
    assert members(ensemble[:1]) == "trial 3 (60%)"
    own = {"trial": 5, "epochs": 0, "weight": 0.4, "params": {"skip": "pretrained"}}
    assert members([ensemble[0], own]) == "trial 3 (60%) and the LSTM trained beforehand (40%)"
    assert UNTRAINED in on_untrained(ensemble)
    assert on_untrained([own]).startswith("The LSTM trained beforehand comes with the package")


@pytest.mark.parametrize(
    ("failed", "not_counted", "words"),
    [
        (0, 0, "5 completed, 1 pruned"),
        (3, 3, "5 completed, 1 pruned, 3 interrupted"),
        (3, 1, "5 completed, 1 pruned, 2 failed, 1 interrupted"),
    ],
)
def test_interrupted_trials_are_distinguished_from_failed_ones(failed: int, not_counted: int, words: str) -> None:
    states = {"COMPLETE": 5, "PRUNED": 1, "FAIL": failed, "RUNNING": 0}
    assert trial_states({"states": states, "not_counted": not_counted}) == words
