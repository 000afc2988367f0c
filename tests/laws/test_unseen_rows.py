"""Law 4: whatever the test rows contain, it changes no trial, no choice, no weight and no forecast before it."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from law_studies import KINDS, Kind, run_kind
from oracle import Finished

from lstm_tune.data.windows import Windows
from lstm_tune.pipeline import conclusion
from lstm_tune.pipeline.options import TuneOptions
from lstm_tune.pipeline.prepare import load_dataset, make_task
from lstm_tune.search.progress import Silent

pytestmark = [pytest.mark.laws, pytest.mark.slow]

VALUES = ("y", "z", "p", "f")
NOT_OF_THE_DATA = {"seconds", "setup_seconds", "history", "run"}  # user attributes that hold times or processes


def later_rows(kind: Kind, finished: Finished) -> np.ndarray[Any, Any]:
    """Return which rows of the frame are test rows or later; none of them is absent from the frame."""
    id = kind.columns.get("id")
    names = kind.frame[id].astype(str).to_numpy() if id else np.full(len(kind.frame), "")
    later = np.zeros(len(kind.frame), dtype=bool)
    for series, (start, _) in zip(finished.table.series, finished.parts["test"], strict=True):
        rows = np.flatnonzero(names == series.name)
        later[rows[len(rows) - (len(series) - start) :]] = True
    return later


def noise_and_holes(frame: pd.DataFrame, later: np.ndarray[Any, Any]) -> pd.DataFrame:
    """Put noise around a negative level, and holes, into targets and covariates."""
    rng = np.random.default_rng(7)
    frame = frame.copy()
    for i, name in enumerate(name for name in VALUES if name in frame):
        values = rng.normal(-50, 400, size=len(frame))
        values[(np.arange(len(frame)) + i) % 5 == 0] = np.nan
        frame[name] = np.where(later, values, frame[name])
    for name in (name for name in ("weather", "holiday") if name in frame):
        frame[name] = np.where(later, "hail", frame[name])  # a word that no train row holds
    return frame


def higher_and_uneven(frame: pd.DataFrame, later: np.ndarray[Any, Any]) -> pd.DataFrame:
    """Raise the level a thousandfold, leave out some rows and repeat as many, move one stamp off the grid."""
    frame = frame.copy()
    for name in (name for name in VALUES if name in frame):
        frame[name] = np.where(later, 1000 * frame[name].ffill() + 1e5, frame[name])
    if "date" not in frame:
        return frame
    at = np.flatnonzero(later & (np.append(later[1:], False)) & np.insert(later[:-1], 0, False))
    frame.loc[frame.index[at[4]], "date"] += pd.Timedelta(hours=2)
    frame = pd.concat([frame, frame.iloc[at[8:11]]])
    return frame.drop(index=frame.index[at[[6, 7, 12]]])


def what_must_stay(run: Finished) -> dict[str, Any]:
    """Return all that no test row may have a part in."""
    record = run.record
    trials = [[t.number, t.state, t.params, t.value, t.intermediate_values] for t in run.study.trials]
    attrs = [{k: v for k, v in t.user_attrs.items() if k not in NOT_OF_THE_DATA} for t in run.study.trials]
    curves = [[row[:4] for row in t.user_attrs.get("history", [])] for t in run.study.trials]
    found: dict[str, Any] = {
        f"model/{name}": (run.folder / "model" / name).read_bytes() for name in ("weights.safetensors", "config.json")
    }
    found |= {"trials": trials, "attributes": attrs, "curves": curves, "settings": record["settings"] | {"data": None}}
    found |= {"best": record["best"], "ensemble": record["ensemble"], "epochs": record["retrain"]["epochs"]}
    found |= {f"data.{key}": record["data"][key] for key in ("period", "freq", "horizon", "rows", "series")}
    found |= {f"split.{name}": record["data"]["split"][name] for name in ("train", "val")}
    for name, entry in record["baselines"].items():
        found |= {f"{name}.{key}": entry[key] for key in ("val_mse", "val_mse_scaled")}
    found["in_sample"] = record["in_sample"]
    return found


def forecasts_before(run: Finished) -> np.ndarray[Any, Any]:
    """Return the forecasts of the first test window of each target column and series: no test row lies before them."""
    csv = pd.read_csv(run.folder / "forecast.csv", dtype={"time": str, "series": str})
    first = [i for i, w in enumerate(run.test) if w.row == run.parts["test"][w.series][0]]
    return csv["forecast"].to_numpy().reshape(-1, run.horizon)[first]


CHANGES = (noise_and_holes, higher_and_uneven)
# One of the changes for each kind, by turns, and both for some.
PAIRS = [(name, CHANGES[i % 2]) for i, name in enumerate(sorted(KINDS))]
PAIRS += [("all at once", higher_and_uneven), ("large numbers", noise_and_holes), ("panel", noise_and_holes)]


@pytest.mark.parametrize(("name", "change"), PAIRS, ids=lambda value: getattr(value, "__name__", value))
def test_content_of_the_test_rows_changes_nothing_but_the_test_score(
    study_of: Callable[[str], Finished], name: str, change: Any, tmp_path: Path
) -> None:
    kind, before = KINDS[name], study_of(name)
    after = run_kind(kind, tmp_path, frame=change(kind.frame, later_rows(kind, before)))
    expected, found = what_must_stay(before), what_must_stay(after)
    assert {key for key in expected if expected[key] != found[key]} == set()
    assert before.record["test"]["mse"] != after.record["test"]["mse"]
    if not kind.columns.get("future"):  # which are known ahead
        ends = forecasts_before(after)
        assert ends.tolist() == forecasts_before(before)[: len(ends)].tolist()


@pytest.mark.study("panel")
def test_a_forecast_knows_no_row_from_its_first_target_on(study_of: Callable[[str], Finished], tmp_path: Path) -> None:
    kind, before = KINDS["panel"], study_of("panel")
    later = later_rows(kind, before)
    middle = later & np.roll(later, 11)
    changed = kind.frame.assign(y=np.where(middle, -7.0, kind.frame["y"]))
    after = run_kind(kind, tmp_path, frame=changed)
    ahead = [pd.read_csv(run.folder / "forecast.csv")["forecast"].to_numpy() for run in (before, after)]
    same = (ahead[0] == ahead[1]).reshape(-1, before.horizon)
    known = [w.row <= before.parts["test"][w.series][0] + 11 for w in before.test]
    assert same.all(axis=1).tolist() == known


@pytest.mark.study("one series, split by rows")
def test_rows_past_a_split_by_rows_change_nothing_at_all(study_of: Callable[[str], Finished], tmp_path: Path) -> None:
    kind, before = KINDS["one series, split by rows"], study_of("one series, split by rows")
    more = pd.DataFrame({"date": pd.date_range("2024-06-12", periods=90), "y": np.linspace(-1e6, 1e6, 90)})
    after = run_kind(kind, tmp_path, frame=pd.concat([kind.frame, more]))
    expected, found = what_must_stay(before), what_must_stay(after)
    assert {key for key in expected if expected[key] != found[key]} == {"data.rows"}
    for key in ("test", "skill", "skill_ci95", "baselines", "decomposition", "retrain"):
        assert before.record[key] == after.record[key]
    assert (before.folder / "forecast.csv").read_bytes() == (after.folder / "forecast.csv").read_bytes()


def test_most_rows_may_be_test_rows(tmp_path: Path) -> None:
    kind = Kind(frame=KINDS["large numbers"].frame, split=(48, 12, 100), trials=2)
    runs = []
    for shift in (0.0, -1e7, 3e9):
        y = kind.frame["y"].to_numpy().copy()
        y[60:] += shift
        runs.append(what_must_stay(run_kind(kind, tmp_path / str(shift), frame=kind.frame.assign(y=y))))
    for other in runs[1:]:
        assert {key for key in other if other[key] != runs[0][key]} == set()


@pytest.mark.parametrize("name", sorted(KINDS))
def test_the_record_of_a_study_can_be_read_by_any_program(study_of: Callable[[str], Finished], name: str) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    json.loads((study_of(name).folder / "result.json").read_text(), parse_constant=refuse)


# ---- by construction


def task_bytes(kind: Kind, frame: pd.DataFrame) -> bytes:
    """Return the task that trials and workers are given, as it is sent to another process."""
    columns: dict[str, Any] = {"target": "y", "calendar": False} | dict(kind.columns)
    options = TuneOptions(
        **columns,
        split=kind.split,
        horizon=kind.horizon,
        folds=kind.folds,
        space=dict(kind.space),
    )
    dataset = load_dataset(frame, options, "cpu")
    task, _ = make_task(dataset, options, "cpu", Silent())
    content = io.BytesIO()
    _Plain(content).dump(task)
    return content.getvalue()


class _Plain(pickle.Pickler):
    """Writes a tensor as its numbers alone, without the address of its memory."""

    def reducer_override(self, value: Any) -> Any:
        return (bytes, (value.numpy().tobytes(),)) if isinstance(value, torch.Tensor) else NotImplemented


@pytest.mark.parametrize("name", sorted(KINDS))
def test_what_trials_are_given_is_the_same_to_the_byte_whatever_the_test_rows_hold(
    study_of: Callable[[str], Finished], name: str
) -> None:
    kind = KINDS[name]
    later = later_rows(kind, study_of(name))
    one, other = (
        task_bytes(kind, noise_and_holes(kind.frame, later).assign(**changed))
        for changed in ({}, {"y": kind.frame["y"].where(~later, 1e6 * np.arange(len(later)) % 977)})
    )
    assert one == other


@pytest.mark.parametrize(
    "name",
    ["one series, split by rows", "one series, split by shares, folds", "panel, rows at the end", "panel, dates"],
)
def test_no_step_before_the_test_touches_a_window_that_holds_test_rows(
    study_of: Callable[[str], Finished], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The windows of all rows raise an error until the retrain and the intervals are done, whoever asks them."""
    tested: list[bool] = []
    whole: list[int] = []
    original, gather, positions = conclusion.score_test_rows, Windows.gather, Windows.positions

    def test(*args: Any, **options: Any) -> Any:
        tested.append(True)
        return original(*args, **options)

    def refuse(self: Windows) -> None:
        if whole and self.rows >= whole[0] and not tested:
            raise AssertionError("the windows of all rows were asked before the test")

    def guarded_gather(self: Windows, *args: Any) -> Any:
        refuse(self)
        return gather(self, *args)

    def guarded_positions(self: Windows, *args: Any, **options: Any) -> Any:
        refuse(self)
        return positions(self, *args, **options)

    monkeypatch.setattr(conclusion, "score_test_rows", test)
    monkeypatch.setattr(Windows, "gather", guarded_gather)
    monkeypatch.setattr(Windows, "positions", guarded_positions)
    before = study_of(name)
    whole.append(sum(len(series) for series in before.table.series))
    after = run_kind(KINDS[name], tmp_path)
    assert tested == [True]
    assert after.record["test"] == before.record["test"]


@pytest.mark.study("panel, rows at the end")
def test_test_rows_of_one_series_change_no_score_of_another(
    study_of: Callable[[str], Finished], tmp_path: Path
) -> None:
    kind, before = KINDS["panel, rows at the end"], study_of("panel, rows at the end")
    changed = later_rows(kind, before) & (kind.frame["shop"] == "a").to_numpy()
    after = run_kind(kind, tmp_path, frame=kind.frame.assign(y=np.where(changed, 1e4, kind.frame["y"])))
    for file, column in (("series.csv", "series"), ("forecast.csv", "series")):
        one, other = (pd.read_csv(run.folder / file, dtype=str) for run in (before, after))
        same = (one[one[column] != "a"], other[other[column] != "a"])
        pd.testing.assert_frame_equal(*same)
        assert not one.equals(other)
