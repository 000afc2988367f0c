"""Prediction intervals: order statistics of honest errors, kept with the model, scored by a second program."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from law_studies import LEARNED, unequal
from oracle_model import read_tensors
from series import daily, panel, series_of, wave
from utilsforecast.losses import coverage, winkler_score

import lstm_tune
from lstm_tune.data.own_scale import SeriesStatistics, own_scale
from lstm_tune.data.windows import Windows
from lstm_tune.errors import RunError, UsageError
from lstm_tune.evaluation.conformal import (
    ErrorPool,
    Intervals,
    Placed,
    check_levels,
    level_name,
    pooled_scales,
    scales_of,
    series_scales,
    weighted_quantiles,
    windows_needed,
)
from lstm_tune.evaluation.recent_change import RecentChange
from lstm_tune.models.baselines import Persistence
from lstm_tune.models.model_files import write_model
from lstm_tune.report.encoding import unpack
from lstm_tune.training.refit import refit_network
from lstm_tune.training.saved_model import ForecastModel

pytestmark = pytest.mark.usefixtures("short_epochs")
H, LEVELS = 3, (80, 95)
FRAME = daily(wave(220))
OPTIONS: dict[str, Any] = {"target": "y", "horizon": H, "n_trials": 3, "space": LEARNED, "retrain_seeds": 2}
OPTIONS |= {"sampler": "random", "pruner": "none", "split": (140, 30, 50), "folds": 2, "level": LEVELS}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return lstm_tune.tune(FRAME, out=tmp_path_factory.mktemp("study") / "run", **OPTIONS)


def run_folder(study: Any) -> Path:
    return Path(study.summary.study.storage).parent


def change_before(values: np.ndarray, row: int, period: int) -> float:
    """The mean change over a season in the rows before one: 24 changes, or two seasons."""
    lag = period if row > 2 * period else 1
    rows = range(max(lag, row - max(24, 2 * period)), row)
    return float(np.nanmean([abs(values[t] - values[t - lag]) for t in rows]))


def growth(change: Any, usual: float) -> Any:
    """What a width is multiplied by."""
    return np.maximum(np.asarray(change) / usual, 0.1) ** 0.5


def pooled(windows: Windows, *blocks: tuple[int, int]) -> Intervals:
    """Intervals of persistence from its errors on some blocks of rows."""
    pool = ErrorPool(own_scale=False, folds=len(blocks), share=0.2)
    change = RecentChange(windows.data, 7)
    for block in blocks:
        positions = windows.positions((block,), 0, reach_back=True)
        pool.add(Persistence(horizon=H), windows, positions, torch.ones(1, 1, dtype=torch.float64), change)
    return pool.intervals()


# ---- the rule


def test_the_width_is_the_order_statistic_of_rank_n_plus_1_times_level() -> None:
    windows = Windows(series_of(wave(200)), H)
    found = pooled(windows, (100, 140))
    values = windows.data.values[0].double().numpy()
    assert found.windows == 38
    changes = [change_before(values, r, 7) for r in range(100, 138)]
    assert found.usual == pytest.approx((np.mean(changes),))
    unit = growth(changes, np.mean(changes))
    for step in range(H):
        errors = sorted(np.array([abs(values[r + step] - values[r - 1]) for r in range(100, 138)]) / unit)
        for level in (50, 80, 90, 95):
            rank = math.ceil(39 * level / 100)
            assert float(found.half_width(level)[0, step]) == pytest.approx(errors[rank - 1], rel=1e-6)
    assert windows_needed(80) == 4
    assert windows_needed(95) == 19
    assert windows_needed(99) == 99
    with pytest.raises(UsageError, match="level 99 needs 99 windows to be calibrated on, but there are 38"):
        found.half_width(99)
    # Between two levels that are kept, the wider one counts.
    assert torch.equal(found.half_width(80.5), found.half_width(81))


def test_values_that_were_not_observed_count_for_no_width() -> None:
    y = wave(200)
    y[110:120] = np.nan
    windows = Windows(series_of(y), H)
    found = pooled(windows, (100, 140))
    values = windows.data.values[0].double().numpy()
    scored = [r for r in range(100, 138) if not np.isnan(y[r : r + H]).all()]
    changes = {r: change_before(y, r, 7) for r in scored}
    unit = {r: growth(changes[r], np.mean(list(changes.values()))) for r in scored}
    errors = sorted(abs(values[r] - values[r - 1]) / unit[r] for r in scored if not np.isnan(y[r]))
    assert found.windows == len(errors) == 28
    assert float(found.half_width(80)[0, 0]) == pytest.approx(errors[math.ceil(29 * 0.8) - 1], rel=1e-6)


def test_errors_of_older_blocks_weigh_less() -> None:
    rng = np.random.default_rng(0)
    errors, weights = rng.exponential(size=(60, 2)), np.repeat([1.0, 0.5, 0.25], 20)
    found = weighted_quantiles(torch.from_numpy(errors), torch.from_numpy(weights), (0.5, 0.8, 0.99))
    for h in range(2):
        order = np.argsort(errors[:, h])
        for i, level in enumerate((0.5, 0.8)):
            reached = np.flatnonzero(np.cumsum(weights[order]) >= level * (weights.sum() + 1))
            assert float(found[h, i]) == errors[order[reached[0]], h]
        assert float(found[h, 2]) == errors[:, h].max()  # 35 of 36 are less than 99%
    equal = weighted_quantiles(torch.from_numpy(errors), torch.full((60,), 0.3).double(), (0.8,))
    assert float(equal[0, 0]) == np.sort(errors[:, 0])[math.ceil(61 * 0.8) - 1]


def test_a_louder_newest_block_makes_wider_intervals_than_a_louder_old_one() -> None:
    y = np.random.default_rng(0).normal(size=300)
    y[200:250] *= 3
    windows = Windows(series_of(y), H)
    newest, oldest = pooled(windows, (200, 250), (100, 150)), pooled(windows, (100, 150), (200, 250))
    assert newest.usual == pytest.approx(oldest.usual)
    assert (newest.half_width(80) > oldest.half_width(80)).all()


@pytest.mark.laws
def test_the_change_before_a_window_depends_on_no_row_from_its_first_target_on() -> None:
    one, other = wave(120), wave(120)
    other[60:] = 1e6
    row, start = torch.tensor([60]), torch.tensor([0])
    found = [RecentChange(series_of(y), 7).before(torch.tensor([0]), row, start) for y in (one, other)]
    assert found[0].tolist() == found[1].tolist() == pytest.approx([change_before(one, 60, 7)], rel=1e-5)


def test_the_change_before_a_window_stays_within_its_series() -> None:
    data = series_of(panel(wave(40), 1000 + wave(40, seed=1)), id="shop", target="y")
    change = RecentChange(data, 7)
    channel, row, start = torch.tensor([0, 0, 0]), torch.tensor([41, 43, 80]), torch.tensor([40, 40, 40])
    found = change.before(channel, row, start).tolist()
    second = data.values[0, 40:].double().numpy()
    assert math.isnan(found[0])  # one row tells of no change
    assert found[1:] == pytest.approx([change_before(second, 3, 7), change_before(second, 40, 7)], rel=1e-5)


def test_small_changes_keep_their_digits_beside_large_ones() -> None:
    """Of an earlier series of the file, or of the same one long before."""
    grown = np.concatenate([1e11 * wave(30), 1e-5 * wave(90, seed=2)])
    data = series_of(panel(1e12 * wave(100), 1e-4 * wave(150, seed=1), grown), id="shop", target="y")
    change, values = RecentChange(data, 7), data.values[0].double().numpy()
    for start, end, rows in ((0, 100, range(1, 101)), (100, 250, range(1, 151)), (250, 370, range(60, 121))):
        row = torch.tensor([start + r for r in rows])
        channel, first = torch.zeros_like(row), torch.full_like(row, start)
        found = change.before(channel, row, first).numpy()
        expected = np.array([change_before(values[start:end], r, 7) if r > 1 else math.nan for r in rows])
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_flat_stretch_makes_no_interval_of_no_width() -> None:
    y = wave(200)
    y[150:] = y[150]
    windows = Windows(series_of(y), H)
    found = pooled(windows, (100, 140))
    change = RecentChange(windows.data, 7).before(torch.tensor([0]), torch.tensor([199]), torch.tensor([0]))
    unit = found.units(Placed(torch.tensor([0]), torch.ones(1).double(), change))
    assert float(change) == 0
    assert float(unit) == pytest.approx(0.1**0.5)
    unknown = Placed(torch.tensor([0]), torch.ones(1).double(), torch.tensor([math.nan]))
    assert found.units(unknown).tolist() == [1.0]


def test_series_count_in_their_own_scale() -> None:
    small, large = wave(120), 5 + 1000 * (wave(120, seed=1) - 5)
    data = series_of(panel(small, large), id="shop", target="y")
    scales = series_scales(data, ((0, 100), (120, 220)), 7)
    expected = [np.abs(x[7:100] - x[:93]).mean() for x in (small, large)]
    assert scales[0].tolist() == pytest.approx(expected, rel=1e-4)
    assert scales_of(series_of(small), ((0, 100),), 7).tolist() == [[1.0]]


def test_a_series_without_change_counts_in_its_own_spread_and_is_not_pooled() -> None:
    rows = ((0, 100), (120, 220), (240, 340))
    frame = panel(wave(120), np.full(120, 3.0), 1e6 * wave(120, seed=1))
    data, alone = (series_of(f, id="shop", target="y") for f in (frame, frame[frame["shop"] != "c"]))
    assert series_scales(data, rows, 7)[0].isnan().tolist() == [False, True, False]
    spread = own_scale(SeriesStatistics.of(data, rows)).spread
    assert float(scales_of(data, rows, 7)[0, 1]) == spread[0, 1]
    given = np.array([[1.0, 0.25, 1.0]])
    found = [scales_of(d, rows[:n], 7, given[:, :n]) for d, n in ((data, 3), (alone, 2))]
    assert [float(one[0, 1]) for one in found] == [0.25, 0.25]
    assert pooled_scales(data, rows, 7)[0].isnan().tolist() == [False, True, False]
    flat = series_of(panel(np.full(120, 3.0), np.full(120, 5.0)), id="shop", target="y")
    assert pooled_scales(flat, rows[:2], 7).isfinite().all()  # if no series changes, all are pooled


def test_errors_of_series_without_change_make_no_interval_narrower() -> None:
    both, one = (
        series_of(panel(*some), id="shop", target="y") for some in ((wave(120), np.full(120, 3.0)), (wave(120),))
    )
    pools = []
    for data in (both, one):
        windows, rows, block = Windows(data, H), ((0, 80), (120, 200)), ((80, 110), (200, 230))
        pool, n = ErrorPool(own_scale=True, folds=1, share=0.2), data.n_series
        scales = pooled_scales(data, rows[:n], 7) if n > 1 else series_scales(data, rows[:1], 7)
        positions = windows.positions(block[:n], 0, reach_back=True)
        pool.add(Persistence(horizon=H), windows, positions, scales, RecentChange(data, 7))
        pools.append(pool.intervals())
    assert pools[0].windows == pools[1].windows == 28
    assert torch.allclose(pools[0].widths, pools[1].widths, rtol=1e-5)
    assert pools[0].usual == pytest.approx(pools[1].usual)


# ---- the model


def test_errors_are_those_of_networks_that_have_not_seen_the_block(study: Any) -> None:
    """Computed again: the networks of the first seed, refitted on the rows before each of the two blocks."""
    model: ForecastModel = study.model
    recipe = model.known_recipe()
    first = [i for i, one in enumerate(recipe.networks) if one.seed == recipe.networks[0].seed]
    alone = lstm_tune.models.forecaster.MeanForecaster(
        [model.network.members[i] for i in first], [model.network.weights[i] for i in first]
    )
    recipe = dataclasses.replace(recipe, networks=tuple(recipe.networks[i] for i in first))
    series = model.read(FRAME)
    values, errors = series.values[0].double().numpy(), []
    changes: list[float] = []
    for start, end in ((140, 170), (110, 140)):
        windows = Windows(series.head([start]), H)
        network = refit_network(alone, recipe, model.shape, windows, ((0, start),)).network
        every = Windows(series, H)
        for row in range(start, end - H + 1):
            with torch.inference_mode():
                forecast = network(every.gather(torch.tensor([row]), network.context))[0].double().numpy()
            errors.append(np.abs(forecast - values[row : row + H]))
            changes.append(change_before(values, row, model.shape.period))
    found = model.known_intervals()
    assert found.windows == len(errors) == 56
    scaled = np.array(errors) / growth(changes, np.mean(changes))[:, None]
    weights = torch.tensor([1.0, 0.5], dtype=torch.float64).repeat_interleave(28)
    expected = weighted_quantiles(torch.from_numpy(scaled), weights, [level / 100 for level in LEVELS])
    for i, level in enumerate(LEVELS):
        np.testing.assert_allclose(found.half_width(level)[0].numpy(), expected[:, i], rtol=1e-4)


def test_predict_adds_bounds_that_contain_the_forecast_and_each_other(study: Any, tmp_path: Path) -> None:
    found = study.model.predict(FRAME, level=[95, 80])
    assert [*found.columns] == ["time", "series", "step", "y", "y-lo-80", "y-hi-80", "y-lo-95", "y-hi-95"]
    assert found["y"].tolist() == study.model.predict(FRAME)["y"].tolist()
    assert (found["y-lo-95"] <= found["y-lo-80"]).all()
    assert (found["y-lo-80"] < found["y"]).all()
    assert (found["y-hi-80"] - found["y"]).tolist() == pytest.approx((found["y"] - found["y-lo-80"]).tolist())
    kept, values = study.model.known_intervals(), FRAME["y"].to_numpy()
    widths = kept.half_width(80)[0].numpy() * growth(change_before(values, 220, study.model.shape.period), *kept.usual)
    assert (found["y-hi-80"] - found["y"]).tolist() == pytest.approx(widths.tolist(), rel=1e-5)
    study.model.save(tmp_path)
    pd.testing.assert_frame_equal(ForecastModel.load(tmp_path).predict(FRAME, level=(80, 95)), found)
    assert study.model.predict(FRAME, level=97.5).columns[-1] == "y-hi-97.5"


def test_a_panel_is_scaled_by_the_rows_that_predict_is_given() -> None:
    small, large = wave(200), 5 + 1000 * (wave(200, seed=1) - 5)
    frame = panel(small, large)
    model = lstm_tune.tune(frame, id="shop", **(OPTIONS | {"split": (120, 30, 50), "n_trials": 2})).model
    found = model.predict(frame, level=80)
    widths = (found["y-hi-80"] - found["y"]).to_numpy().reshape(2, H)
    ratio = np.abs(np.diff(large, n=1)).mean() / np.abs(np.diff(small, n=1)).mean()
    lag, (usual,) = model.shape.period, model.known_intervals().usual
    scale = [np.abs(x[lag:] - x[:-lag]).mean() for x in (small, large)]
    expected = [s * growth(change_before(x, 200, lag) / s, usual) for s, x in zip(scale, (small, large), strict=True)]
    assert ratio > 100
    np.testing.assert_allclose(widths[1] / widths[0], expected[1] / expected[0], rtol=1e-3)


def test_a_refit_calibrates_anew(study: Any) -> None:
    again = study.model.refit(FRAME)
    before, after = study.model.known_intervals(), again.known_intervals()
    assert not torch.equal(before.widths, after.widths)
    assert after.folds == before.folds
    assert after.share == pytest.approx(before.share, rel=0.05)
    same = study.model.refit(FRAME[:170])
    assert torch.equal(same.known_intervals().widths, before.widths)


def test_test_rows_calibrate_nothing(study: Any) -> None:
    other = FRAME.assign(y=FRAME["y"].where(FRAME.index < 170, 50 + 3 * FRAME["y"]))
    again = lstm_tune.tune(other, **OPTIONS)
    assert torch.equal(again.model.known_intervals().widths, study.model.known_intervals().widths)
    assert again.test.intervals["model"]["80"].coverage < study.test.intervals["model"]["80"].coverage


# ---- the scores


def test_scores_are_those_of_a_second_program(study: Any) -> None:
    """From forecast.csv and the saved widths, in pandas, and by the losses of utilsforecast."""
    folder = run_folder(study)
    table = pd.read_csv(folder / "forecast.csv")
    widths = read_tensors(folder / "model/weights.safetensors")["intervals"]
    kept = json.loads((folder / "model/config.json").read_text())["intervals"]["levels"]
    record = json.loads((folder / "result.json").read_text())["test"]["intervals"]
    frame = table.rename(columns={"actual": "y"}).assign(unique_id="a", ds=range(len(table)))
    usual = json.loads((folder / "model/config.json").read_text())["intervals"]["usual"][0]
    row = pd.Index(FRAME["date"].astype(str)).get_indexer(table["time"].astype(str)) - table["step"].to_numpy() + 1
    grown = growth([change_before(FRAME["y"].to_numpy(), r, study.model.shape.period) for r in row], usual)
    for level in LEVELS:
        half = widths[0, :, kept.index(level / 100)][table["step"].to_numpy() - 1] * grown
        frame[f"forecast-lo-{level}"] = table["forecast"] - half
        frame[f"forecast-hi-{level}"] = table["forecast"] + half
        own = record["model"][str(level)]
        error = (table["forecast"] - table["actual"]).abs()
        assert own["coverage"] == pytest.approx((error <= half).mean(), abs=1e-9)
        assert own["width"] == pytest.approx(2 * half.mean(), rel=1e-5)
        miss = np.maximum(error - half, 0)
        assert own["winkler"] == pytest.approx((2 * half + 2 / (1 - level / 100) * miss).mean(), rel=1e-5)
        columns = ["unique_id", "ds", "y", f"forecast-lo-{level}", f"forecast-hi-{level}", "forecast"]
        assert own["coverage"] == pytest.approx(coverage(frame[columns], ["forecast"], level)["forecast"][0])
        assert own["winkler"] == pytest.approx(
            winkler_score(frame[columns], ["forecast"], level)["forecast"][0], rel=1e-5
        )
    assert set(record) == {"model", *study.summary.baselines}
    low, high = record["model"]["80"]["coverage_ci95"]
    assert 0 <= low < record["model"]["80"]["coverage"] < high <= 1


def test_report_and_screen_show_what_the_intervals_cover(study: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from lstm_tune.cli.result_table import interval_lines

    lines = interval_lines(study.to_dict())
    assert len(lines) == 2
    assert lines[0].startswith("80% intervals cover ")
    assert "Winkler score" in (run_folder(study) / "report.html").read_text()
    plain = dataclasses.replace(study.summary.test, intervals=None)
    assert interval_lines({"test": {"intervals": plain.intervals}}) == []


def test_figures_draw_the_intervals_that_the_record_scores(study: Any) -> None:
    drawn = {trace.name: trace for trace in study.plot("intervals").data}
    lower = [trace for trace in study.plot("intervals").data if trace.name == ""]
    assert [*drawn][:2] == ["", "95% interval"]
    middle = np.array(drawn["forecast"].y, dtype=float)
    widths = {}
    for low, level in zip(lower, (95, 80), strict=True):
        high = np.array(drawn[f"{level}% interval"].y, dtype=float)
        np.testing.assert_allclose(high + np.array(low.y, dtype=float), 2 * middle, rtol=1e-5)
        widths[level] = high - middle
    values, kept, period = FRAME["y"].to_numpy(), study.model.known_intervals(), study.model.shape.period
    last = kept.half_width(80)[0].numpy() * growth(change_before(values, 220 - H, period), *kept.usual)
    np.testing.assert_allclose(widths[80][-H:], last, rtol=1e-4)
    assert (widths[95] > widths[80]).all()


def test_the_report_holds_the_intervals_of_each_window_and_of_what_follows(study: Any) -> None:
    view = json.loads((run_folder(study) / "report.json").read_text())["forecasts"]["series"][0]
    kept, values, period = study.model.known_intervals(), FRAME["y"].to_numpy(), study.model.shape.period
    rows = [int(row) for row in study.test_positions[:]]
    expected = [growth(change_before(values, row, period), *kept.usual) for row in rows]
    np.testing.assert_allclose(unpack(view["width"]), expected, rtol=1e-5)
    np.testing.assert_allclose(unpack(view["reach"]["95"]), kept.half_width(95)[0].numpy(), rtol=1e-6)
    ahead = study.model.predict(FRAME, level=80)
    np.testing.assert_allclose(unpack(view["ahead"]["reach"]["80"]), ahead["y-hi-80"] - ahead["y"], rtol=1e-5)


def test_several_targets_are_scored_by_the_mean_over_them() -> None:
    options = OPTIONS | {"target": ["y", "z"], "id": "shop", "past": ["p"], "future": ["f"], "split": (90, 25, 30)}
    result = lstm_tune.tune(unequal(160, 150), **(options | {"n_trials": 2, "retrain_seeds": 1}))
    scores = result.test.intervals["model"]["80"]
    assert 0.4 < scores.coverage <= 1
    assert scores.width < scores.winkler


# ---- what is refused


def test_levels_that_cannot_be_given_are_refused_in_one_line(study: Any) -> None:
    with pytest.raises(
        UsageError, match=r"level 99 needs 99 windows .* but there are 56; give \d+ validation rows or more"
    ):
        lstm_tune.tune(FRAME, **(OPTIONS | {"level": 99}))
    for wrong in (0, 100, "x", [80, -1], True):
        with pytest.raises(UsageError, match="level must be numbers between 0 and 100, such as 80,95"):
            study.model.predict(FRAME, level=wrong)
    with pytest.raises(UsageError, match="level 99 needs 99 windows"):
        study.model.predict(FRAME, level=99)
    with pytest.raises(UsageError, match=r"level 99\.99999 needs 9999999 windows"):
        check_levels([99.99999], 56)
    assert [level_name(level) for level in (80.0, 97.5, 100 * 0.29, 99.99999)] == ["80", "97.5", "29", "99.99999"]
    model = study.model
    plain = ForecastModel(model.network, model.shape, model.spec, model.scale)
    with pytest.raises(UsageError, match="no prediction intervals; run tune with a level, such as 80,95"):
        plain.predict(FRAME, level=80)


def test_the_rows_that_are_asked_for_suffice() -> None:
    with pytest.raises(UsageError, match=r"give 52 validation rows or more \(there are 30\)"):
        lstm_tune.tune(FRAME, **(OPTIONS | {"level": 99}))
    enough = OPTIONS | {"level": 99, "split": (130, 52, 38), "n_trials": 1, "retrain_seeds": 1}
    assert lstm_tune.tune(FRAME, **enough).model.known_intervals().windows >= 99


def edited_model(model: ForecastModel, folder: Path, edit: Any) -> Path:
    """Save a model whose record of the intervals `edit` has changed."""
    model.save(folder)
    config = json.loads((folder / "config.json").read_text())
    del config["schema"]
    edit(config["intervals"])
    write_model(folder, config, model.network.state_dict() | {"intervals": model.known_intervals().widths})
    return folder


def test_a_model_saved_before_widths_adapted_keeps_its_fixed_widths(study: Any, tmp_path: Path) -> None:
    old = ForecastModel.load(edited_model(study.model, tmp_path, lambda record: record.pop("usual")))
    assert old.known_intervals().usual == ()
    expected = study.model.known_intervals().half_width(80)[0].numpy()
    for rows in (200, 220):
        found = old.predict(FRAME[:rows], level=80)
        np.testing.assert_allclose((found["y-hi-80"] - found["y"]).to_numpy(), expected, rtol=1e-5)
    again = old.refit(FRAME[:170])  # calibrated by this version
    assert again.known_intervals().usual == study.model.known_intervals().usual


@pytest.mark.parametrize("key", ["windows", "levels", "own_scale", "share"])
def test_a_record_that_lacks_what_it_never_lacked_is_refused_in_one_line(study: Any, tmp_path: Path, key: str) -> None:
    folder = edited_model(study.model, tmp_path, lambda record: record.pop(key))
    with pytest.raises(RunError, match=rf"^[^\n]*damaged \([^\n]*{key}[^\n]*\); restore it or run tune again$"):
        ForecastModel.load(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("levels", [0.5]),
        ("windows", 0),
        ("share", 2.0),
        ("own_scale", 1),
        ("levels", []),
        ("usual", [1, 2]),
        ("usual", [0]),
    ],
)
def test_a_damaged_record_of_intervals_is_refused(study: Any, tmp_path: Path, key: str, value: Any) -> None:
    folder = edited_model(study.model, tmp_path, lambda record: record.update({key: value}))
    with pytest.raises(RunError):
        ForecastModel.load(folder)


def test_widths_without_a_level_are_no_intervals() -> None:
    with pytest.raises(ValueError, match="a width for each level"):
        Intervals(windows=3, levels=(0.5,), widths=torch.ones(1, 3, 2), own_scale=False, folds=1, share=0.1)


def test_commands_take_levels(study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command_line: Any) -> None:
    monkeypatch.chdir(tmp_path)
    FRAME.to_csv("data.csv", index=False)
    study.model.save("run")
    status, out, _ = command_line("predict", "run", "data.csv", "--level", "80,95")
    assert status == 0
    assert out.splitlines()[0] == "time,step,y,y-lo-80,y-hi-80,y-lo-95,y-hi-95"
    assert command_line("predict", "run", "data.csv", "--level", "80,much")[0] == 2
