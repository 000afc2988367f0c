"""The waterfall: real trainings, one change at a time, from the plain LSTM to the tuned one."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shutil
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from series import daily, run_study, wave

from lstm_tune.ablation import path, trainings
from lstm_tune.ablation import steps as waterfall
from lstm_tune.ablation.steps import STAGES, Group, Step
from lstm_tune.cli import app as cli
from lstm_tune.cli import waterfall_table as explain_screen
from lstm_tune.config import PLAIN, RULES, Config
from lstm_tune.data.load import load_series
from lstm_tune.data.split import make_split
from lstm_tune.errors import RunError, StudyError, UsageError
from lstm_tune.evaluation.score import quick_mse_scaled
from lstm_tune.models.forecaster import MeanForecaster
from lstm_tune.pipeline import saved_run
from lstm_tune.pipeline import tune as api
from lstm_tune.report.page import write_report
from lstm_tune.training.fitting import fit
from lstm_tune.training.task import build_task, make_trainer
from lstm_tune.training.trainer import Diverged

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("short_epochs")]

WATERFALL = ("rule", "steps", "test", "finished")
BEST = {"lookback": 8, "hidden_units": 4, "dropout": 0.0, "window_norm": "last"}
SPACE: dict[str, Any] = {
    "lookback": [8, 20],
    "hidden_units": [4, 50],
    "dropout": [0.0, 0.2],
    "window_norm": ["none", "last"],
    "epochs": 30,
    "patience": 5,
    "epoch_samples": 32,
    "first": [BEST, BEST | {"lookback": 20}],
}
ROWS, TEST_FROM = 160, 128  # split .7, .1, .2


def climb(seed: int = 0) -> pd.DataFrame:
    """A season on a level that moves out of what was trained on."""
    return daily(wave(ROWS, seed=seed) + 0.05 * np.arange(ROWS))


def tuned(folder: Path, frame: pd.DataFrame) -> Path:
    frame.to_csv(folder / "data.csv", index=False)
    data = folder / "data.csv"
    api.tune(data, target="y", space=SPACE, n_trials=3, folds=2, retrain_seeds=2, pruner="none", out=folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def run(short_epochs: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing may write to: take a copy."""
    return tuned(tmp_path_factory.mktemp("explain"), climb())


@pytest.fixture(scope="module")
def explained(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, explained; to be read alone."""
    folder = shutil.copytree(run, tmp_path_factory.mktemp("explained") / "run")
    saved_run.explain(folder)
    return folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(run, tmp_path / "run")


@pytest.fixture
def done(explained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(explained, tmp_path / "done")


def record_of(folder: Path, name: str = "explain.json") -> Any:
    return json.loads((folder / name).read_text())


def untimed(record: Any) -> Any:
    return {key: value for key, value in record.items() if key not in ("seconds", "basis", "trainings")}


def counted(monkeypatch: pytest.MonkeyPatch, most: int | None = None) -> list[Config]:
    """Count the trainings; those after the first `most` are cut short as a time limit does."""
    seen: list[Config] = []
    lock = threading.Lock()

    def counting(trainers: Any, *args: Any, **options: Any) -> Any:
        with lock:
            seen.append(trainers[0].config)
            number = len(seen)
        result = fit(trainers, *args, **options)
        return result if most is None or number <= most else dataclasses.replace(result, stopped="time")

    monkeypatch.setattr(trainings, "fit", counting)
    return seen


# ---- what the findings advise


def test_what_the_findings_advise_is_tried_on_request_from_the_tuned_configuration(done: Path) -> None:
    result, kept = record_of(done, "result.json"), record_of(done)
    units = result["best"]["params"]["hidden_units"]
    change = {"options": {}, "space": {"hidden_units": 6}, "gain": 0.1, "tried": None}
    advice = [change, change | {"options": {"calendar": True}}, change]
    result["findings"] = [{**result["findings"][0], "actions": advice}]
    (done / "result.json").write_text(json.dumps(result))
    assert saved_run.explain(done)["advice"] is None
    record = saved_run.explain(done, advice=True)
    (step,) = record["advice"]
    assert record["advice_finished"]
    assert [record[name] for name in WATERFALL] == [kept[name] for name in WATERFALL]  # the file keeps both
    assert saved_run.explain(done)["advice"] == record["advice"]
    assert (step["name"], step["changes"]) == ("hidden_units = 6", {"hidden_units": [units, 6]})
    end = [s for s in kept["steps"] if "ensemble" not in s["changes"]][-1]
    differences = [after - before for after, before in zip(step["values"], end["values"], strict=False)]
    assert step["delta"] == pytest.approx(np.mean(differences))
    text = printed(record, 80, explain_screen.show_advice)
    assert text.count("hidden_units = 6: validation score") == 1
    assert "From the plain LSTM" not in text
    assert "What was advised, tried" in write_report(done).read_text()


def test_advice_that_no_trial_can_try_is_named_with_its_command() -> None:
    record = {"advice": [], "advice_finished": True, "seeds": [0, 1, 2]}
    command = f"lstm-tune tune a.csv --apply {'long' * 30}:more_trials"
    step = {"says": "try --trials 30 with --resume (for more_trials)", "options": {"n_trials": 30}, "command": command}
    show = partial(explain_screen.show_advice, step=step)
    text = printed(record, 80, show)
    assert "try --trials 30 with --resume (for more_trials)" in " ".join(text.split())
    assert command in text  # on one line
    assert "no change of the search space is advised" not in text
    for none in (None, step | {"options": {}}):
        assert "no change of the search space is advised" in printed(
            record, 80, partial(explain_screen.show_advice, step=none)
        )


def test_trying_advice_trains_no_step_of_the_waterfall(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = record_of(copy, "result.json")
    changes = [{"options": {}, "space": {"hidden_units": n}, "gain": n / 100, "tried": None} for n in (5, 6)]
    result["findings"] = [{**result["findings"][0], "actions": changes}]
    (copy / "result.json").write_text(json.dumps(result))
    seen = counted(monkeypatch)
    record = saved_run.explain(copy, advice=True)
    assert {config.hidden_units for config in seen} == {5, 6, result["best"]["params"]["hidden_units"]}
    assert len(seen) == 3 * 3
    assert [step["name"] for step in record["advice"]] == ["hidden_units = 6", "hidden_units = 5"]  # more gain first
    assert record["steps"] == []
    assert "Not measured yet" in write_report(copy).read_text()


def test_inputs_and_advice_are_not_asked_for_at_once(
    copy: Path, command_line: Callable[..., tuple[int, str, str]]
) -> None:
    status, _, err = command_line("explain", str(copy), "--inputs", "--advice")
    assert (status, err.count("\n")) == (2, 1)
    assert "one at a time" in err


# ---- the way


def test_both_ends_are_what_the_study_found_with_the_same_seed(explained: Path) -> None:
    record, trials = (
        record_of(explained),
        pd.read_csv(explained / "trials.csv", float_precision="round_trip").set_index("number"),
    )
    best = record_of(explained, "result.json")["best"]
    assert record["finished"]
    assert record["steps"][0]["values"][0] == trials.value[0]  # the plain LSTM is always tried first
    assert record["steps"][-2]["values"][0] == best["value"] == trials.value[best["trial"]]


def test_changes_are_made_one_group_at_a_time_and_lead_to_the_winner(explained: Path) -> None:
    *steps, mean = record_of(explained)["steps"]
    best = record_of(explained, "result.json")["best"]["params"]
    groups = {group.name: group.parameters for stage in STAGES for group in stage}
    at = PLAIN.params()
    assert steps[0]["changes"] == {}
    for step in steps[1:]:
        assert step["changes"]
        for name, (before, after) in step["changes"].items():
            assert name in [p for group in step["name"].split(" + ") for p in groups[group]]
            assert (at[name], best[name]) == (before, after)
            at[name] = after
    assert at == best
    assert [*mean["changes"]] == ["ensemble"]


def test_a_moving_level_makes_the_window_normalisation_the_largest_step(explained: Path) -> None:
    steps = record_of(explained)["steps"][1:]
    largest = min(steps, key=lambda step: step["delta"])
    assert largest["name"] == "window normalisation"
    assert not largest["within_noise"]
    assert largest["says"].startswith("Takes off")


def test_values_and_their_statistics_agree(explained: Path) -> None:
    record = record_of(explained)
    assert record["seeds"] == [0, 1, 2]
    before = np.array([])
    for step in record["steps"]:
        values = np.array(step["values"])
        assert 2 <= len(values) <= 3
        assert step["val_mse_scaled"] == pytest.approx(values.mean())
        assert step["sd"] == pytest.approx(values.std(ddof=1))
        if len(before):
            count = min(len(values), len(before))
            differences = values[:count] - before[:count]
            assert step["delta"] == pytest.approx(differences.mean())
            low, high = step["delta_ci95"]
            assert (low + high) / 2 == pytest.approx(step["delta"])
            assert step["within_noise"] or not low <= 0 <= high
        before = values


def test_the_last_step_is_the_weighted_mean_of_members_trained_as_trials(explained: Path) -> None:
    result, step = record_of(explained, "result.json"), record_of(explained)["steps"][-1]
    series = load_series(climb(), target="y")
    parts = make_split(series, (0.7, 0.1, 0.2), 1)
    task = build_task(series, parts, 1, folds=2, epoch_samples=SPACE["epoch_samples"])
    members = result["ensemble"]
    assert step["name"] == f"mean of {len(members)} forecasts"
    assert len(members) > 1
    models: list[Any] = []
    for member in members:
        if member["epochs"]:
            run_study(task, member["params"], on_trained=lambda trained: models.append(trained.models))
        else:
            config = Config.from_params(member["params"])
            models.append([make_trainer(task, fold, config, 0).result for fold in range(len(task.folds))])
    weights = [member["weight"] for member in members]
    values = []
    for i, fold in enumerate(task.folds):
        mean = MeanForecaster([of_trial[i] for of_trial in models], weights)
        values.append(task.normalised(i, quick_mse_scaled(mean, task.windows, fold.epoch_windows, task.scale)))
    assert step["values"][0] == pytest.approx(np.mean(values), rel=1e-12)


def test_what_takes_most_off_alone_comes_first_and_of_equals_the_first() -> None:
    a, b, c = (Group(name=name, parameters=()) for name in "abc")
    assert waterfall.ordered([a, b, c], {"a": 3.0, "b": 1.0, "c": 2.0}) == [b, c, a]
    assert waterfall.ordered([a, b, c], {"a": 3.0, "b": 1.0, "c": 1.0}) == [b, c, a]
    assert waterfall.ordered([a, b, c], {"a": None, "c": 2.0}) == [c, a, b]
    assert waterfall.ordered([a, b, c], {}) == [a, b, c]


def test_every_parameter_is_in_one_group() -> None:
    names = [name for stage in STAGES for group in stage for name in group.parameters]
    assert sorted(names) == sorted(RULES)


def test_changes_that_diverge_alone_are_made_together(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverging(trainers: Any, *args: Any, **options: Any) -> Any:
        config = trainers[0].config
        if (config.window_norm, config.lookback) == ("last", 20) and config.hidden_units == 4:
            raise Diverged("as asked")
        if config.window_norm == "last" and config.lookback == 8 and config.hidden_units == 50:
            raise Diverged("as asked")
        return fit(trainers, *args, **options)

    best = record_of(copy, "result.json")
    best["best"]["params"] |= {"lookback": 8, "dropout": 0.2}
    best["ensemble"] = best["ensemble"][:1]
    (copy / "result.json").write_text(json.dumps(best))
    monkeypatch.setattr(trainings, "fit", diverging)
    steps = saved_run.explain(copy)["steps"]
    assert [step["name"] for step in steps] == [waterfall.START, "window normalisation", "lookback + capacity"]
    assert set(steps[-1]["changes"]) == {"lookback", "hidden_units"}
    assert all(value is not None for value in steps[-1]["values"])


# ---- what counts


@pytest.mark.parametrize(
    ("differences", "noise"),
    [
        ([-1.0, -1.1, -0.9], False),
        ([1.0, 1.1, 0.9], False),
        ([-1.0, 1.0, 0.1], True),
        ([-1.0, -3.0, -0.1], True),
        ([0.0, 0.0, 0.0], True),
        ([-0.2, -0.2, -0.2], False),
        ([-1.0], True),
        ([], True),
    ],
)
def test_noise_is_what_the_seeds_do_not_agree_on(differences: list[float], noise: bool) -> None:
    assert waterfall.within_noise(differences) is noise


def test_the_interval_is_that_of_students_t() -> None:
    from scipy import stats

    rng = np.random.default_rng(0)
    for _ in range(50):
        x = rng.normal(1.0, 0.6, size=4)
        low, high = stats.t.interval(0.95, 3, loc=x.mean(), scale=stats.sem(x))
        assert waterfall.within_noise(x.tolist()) is bool(low <= 0 <= high)


@pytest.mark.parametrize("seeds", [3, 4, 6])
def test_a_step_stays_noise_only_if_no_further_seed_can_make_it_count(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    for _ in range(100):
        known = rng.normal(rng.uniform(-1, 1), 0.5, size=2).tolist()
        best = sum(d * d for d in known) / sum(known)  # of the further differences
        further = [known + [x] * (seeds - 2) for x in [best, *rng.normal(0, 4, size=20)]]
        counts = [not waterfall.within_noise(d) for d in further]
        assert waterfall.stays_noise(known, seeds) is not any(counts)
        assert counts[0] is any(counts)
    assert waterfall.stays_noise([1.0, -0.1], 3)
    assert not waterfall.stays_noise([1.0, 0.9], 3)


def test_changes_that_are_smaller_than_the_seeds_are_one_step(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path, "_seed_spread", lambda steps: 1e9)
    names = [step["name"] for step in saved_run.explain(copy)["steps"]]
    differing = waterfall.differing(PLAIN, Config.from_params(record_of(copy, "result.json")["best"]["params"]))
    (stage,) = [stage for stage in differing if len(stage) > 1]
    (together,) = [name for name in names if " + " in name]
    assert set(together.split(" + ")) == {group.name for group in stage}


def test_a_seed_that_cannot_make_a_step_count_is_not_trained(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path, "stays_noise", lambda differences, seeds: True)
    monkeypatch.setattr(path, "_seed_spread", lambda steps: 0.0)
    seen = counted(monkeypatch)
    first, *between, end, mean = saved_run.explain(copy)["steps"]
    assert [len(step["values"]) for step in (first, end, mean)] == [3, 3, 3]
    assert between
    assert {len(step["values"]) for step in between} == {2}
    monkeypatch.setattr(path, "stays_noise", lambda differences, seeds: False)
    before = len(seen)
    again = saved_run.explain(copy)["steps"]
    assert {len(step["values"]) for step in again} == {3}
    assert len(seen) - before == len(between)


def test_a_step_says_what_it_did() -> None:
    def says(before: Any, *values: float | None) -> str:
        text: str = Step(name="log", changes={}, values=values, before=before).to_dict()["says"]
        return text

    assert says((0.4, 0.4, 0.4), 0.2, 0.2, 0.2) == "Takes off 50.0% of the score before."
    assert says((0.4, 0.4, 0.4), 0.5, 0.5, 0.5) == "Adds 25.0% of the MSE before."
    assert says((0.4, 0.4, 0.4), 0.3, 0.6, 0.4) == "Within noise: not distinguishable from zero over 3 seeds."
    assert says((0.4, 0.4, 0.4), 0.4001, 0.4001, 0.4001) == "Within noise: the change is too small to count."
    assert says((0.4, 0.4, 0.4), 0.4, 0.4, 0.4).startswith("Changes nothing")
    assert says((0.4, 0.4, 0.4), None, None, None) == "Training diverged with every seed."


# ---- what is kept


def test_the_second_time_nothing_is_trained(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any, **options: Any) -> Any:
        raise AssertionError("trained again")

    before = record_of(done)
    monkeypatch.setattr(trainings, "fit", never)
    monkeypatch.setattr(trainings, "retrain", never)
    assert untimed(saved_run.explain(done)) == untimed(before)
    assert untimed(record_of(done)) == untimed(before)


def test_a_further_seed_trains_that_seed_alone(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = record_of(done)
    seen = counted(monkeypatch)
    after = saved_run.explain(done, seeds=4)
    members = len(record_of(done, "result.json")["ensemble"])
    assert len(seen) == len(before["steps"]) - 1 + members
    assert [s["values"][:3] for s in after["steps"]] == [s["values"] for s in before["steps"]]


def test_time_that_runs_out_keeps_what_is_done_and_the_next_call_goes_on(
    copy: Path, explained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted(monkeypatch, 10)
    cut = saved_run.explain(copy)
    whole = untimed(record_of(explained))
    assert not cut["finished"]
    assert cut["test"] is None
    assert untimed(record_of(copy)) == untimed(cut)
    *first, rest = cut["steps"]
    assert first == whole["steps"][: len(first)]
    assert rest["name"].startswith("remaining changes together: ")
    assert rest["values"] == whole["steps"][-2]["values"]  # the best trial is known even so
    kept = record_of(copy)["trainings"]
    assert len(kept) == 10
    counted(monkeypatch)
    assert untimed(saved_run.explain(copy)) == whole
    assert {key: entry for key, entry in record_of(copy)["trainings"].items() if key in kept} == kept


def test_time_for_no_step_at_all_is_reported_in_one_line(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted(monkeypatch, 0)
    said = r"^time was up before the first step was .* takes 3 trainings; .* --timeout that is at least 50 s longer$"
    with pytest.raises(StudyError, match=said):
        saved_run.explain(copy, timeout=50)


def test_short_of_time_the_order_is_fixed_and_this_is_reported(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path, "_time_to_try", lambda *args: False)
    record = saved_run.explain(copy)
    listed = [group.name for stage in STAGES for group in stage]
    names = [step["name"] for step in record["steps"][1:-1]]
    assert names == [name for name in listed if name in names]
    assert f"from {names[1]!r} on" in record["rule"]
    assert record["finished"]


def test_test_rows_change_nothing_but_the_test_score(tmp_path: Path, explained: Path) -> None:
    frame = climb()
    frame.loc[TEST_FROM:, "y"] = np.random.default_rng(1).normal(1e3, 50, size=ROWS - TEST_FROM)
    other = saved_run.explain(tuned(tmp_path, frame))
    record = record_of(explained)
    assert other["steps"] == record["steps"]
    assert other["test"]["start"]["mse"] > 10 * record["test"]["start"]["mse"]


def test_the_test_score_at_the_end_is_that_of_the_run(explained: Path) -> None:
    test, result = record_of(explained)["test"], record_of(explained, "result.json")["test"]
    assert (test["end"]["mse"], test["end"]["mse_scaled"]) == (result["mse"], result["mse_scaled"])
    assert test["start"]["windows"] == test["end"]["windows"] == result["windows"]
    assert test["start"]["mse"] > test["end"]["mse"]


def test_trainings_of_another_set_up_are_not_taken_up(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = record_of(done)
    kept["basis"] = "another"
    (done / "explain.json").write_text(json.dumps(kept))
    seen = counted(monkeypatch, 0)
    with pytest.raises(StudyError):
        saved_run.explain(done)
    assert seen


# ---- what is refused


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", '{"schema": 1}', '{"schema": 2}', '{"schema": 1, "basis": "x", "seconds": 0, "trainings": [1]}',
     '{"schema": 1, "basis": "x", "seconds": 0, "trainings": {"a": {"value": "high", "seconds": 1}}}',
     '{"schema": 1, "basis": "x", "seconds": 0, "trainings": {"trial:0:a": {"value": 1, "seconds": 1}}}',
     '{"schema": 1, "basis": "x", "seconds": 0, "trainings": {"a": 3}}'],
)  # fmt: skip
def test_a_damaged_file_is_reported_in_one_line(copy: Path, content: str) -> None:
    (copy / "explain.json").write_text(content)
    with pytest.raises(
        RunError, match=r"explain\.json cannot be continued \(.*\); delete it to start again$"
    ) as caught:
        saved_run.explain(copy)
    assert "\n" not in str(caught.value)
    assert (copy / "explain.json").read_text() == content


def test_other_data_are_refused_and_moved_data_are_found(copy: Path, done: Path, run: Path, tmp_path: Path) -> None:
    climb(seed=3).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(UsageError, match="does not hold the data that"):
        saved_run.explain(copy, data=tmp_path / "other.csv")
    result = record_of(done, "result.json")
    result["data"]["path"] = "gone.csv"
    (done / "result.json").write_text(json.dumps(result))
    with pytest.raises(UsageError, match=r"no longer at 'gone\.csv'; name their new path with data="):
        saved_run.explain(done)
    assert saved_run.explain(done, data=climb())["finished"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda r: r.pop("settings"), "was written by an earlier version and lacks the settings"),
        (lambda r: r.pop("ensemble"), "is damaged"),
        (lambda r: r["settings"].pop("split"), "is damaged"),
        (lambda r: r["best"].update(params={"lookback": 0}), "is damaged"),
    ],
)
def test_a_result_that_lacks_something_is_refused(copy: Path, change: Any, match: str) -> None:
    result = record_of(copy, "result.json")
    change(result)
    (copy / "result.json").write_text(json.dumps(result))
    with pytest.raises(RunError, match=match):
        saved_run.explain(copy)


def test_wrong_arguments_are_refused(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="seeds must be at least 3"):
        saved_run.explain(copy, seeds=2)
    with pytest.raises(UsageError, match="timeout must be above 0"):
        saved_run.explain(copy, timeout=0)
    with pytest.raises(RunError, match="is no folder"):
        saved_run.explain(tmp_path / "nothing")
    with pytest.raises(RunError, match=r"result\.json is missing"):
        saved_run.explain(tmp_path)


# ---- what is shown


def printed(record: Any, width: int, show: Any = explain_screen.show_waterfall, **options: Any) -> str:
    stream = io.StringIO()
    show(Console(file=stream, width=width, highlight=False, **options), record)
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_screen_and_names_every_step(explained: Path, width: int) -> None:
    record = record_of(explained)
    text = printed(record, width)
    assert max(map(len, text.splitlines())) <= width
    for step in record["steps"]:
        assert step["name"][:12] in text
    assert "\x1b" not in text
    assert text.count("█") > 10


def test_colours_follow_the_terminal_and_no_color(explained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = record_of(explained)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32m" in printed(record, 80, force_terminal=True, color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in printed(record, 80, force_terminal=True, color_system="standard")


def test_the_largest_step_is_never_smaller_than_a_change_that_is_shown(explained: Path) -> None:
    """A change within noise may be large by chance: it is shown without a size."""
    record = record_of(explained)
    start, clear, noise = record["steps"][:3]
    clear |= {"name": "clear", "delta": -0.1, "within_noise": False}
    noise |= {"name": "chance", "delta": -0.5, "within_noise": True}
    text = printed(record | {"steps": [start, clear, noise]}, 100)
    assert "Largest step: clear, which takes off 0.1" in text
    assert "within noise" in text
    shown = [float(percent) for percent in re.findall(r"([-+][0-9.]+)%", text)]
    assert min(shown) == pytest.approx(-100 * 0.1 / start["val_mse_scaled"], abs=0.06)


def test_noise_and_what_is_unfinished_are_marked(explained: Path) -> None:
    record = record_of(explained) | {"finished": False, "test": None}
    record["steps"][1] |= {"within_noise": True}
    text = printed(record, 100)
    assert "noise" in text
    assert "not finished" in text
    assert "goes on from there" in text
    assert "Test MSE" not in text


def test_a_bar_reaches_from_the_value_before_to_the_new_one() -> None:
    draw = explain_screen.draw_bar
    assert draw(None, 1.0, 1.0, 10, faint=False) == "█" * 10
    assert draw(1.0, 0.4, 1.0, 10, faint=False) == " " * 4 + "█" * 6
    assert draw(0.4, 0.6, 1.0, 10, faint=False) == " " * 4 + "█" * 2
    assert draw(0.4, 0.401, 1.0, 10, faint=False) == " " * 4 + "▏"
    assert draw(1.0, 1.0, 1.0, 10, faint=True) == " " * 9 + "▏"


def test_the_command_prints_json_alone(
    done: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lstm-tune", "explain", str(done), "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert not ended.value.code
    assert err == ""
    assert untimed(json.loads(out)) == untimed(record_of(done))
