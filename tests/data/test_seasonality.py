"""The seasonal period, found in series of which it is known."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter
from series import panel, series_of, wave

from lstm_tune.data.calendar_periods import calendar_periods
from lstm_tune.data.load import load_series
from lstm_tune.data.seasonality import best_season, find_seasons
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges


def find_period(data: SeriesSet, rows: Ranges) -> int | None:
    return best_season(data, rows, find_seasons(data, rows))


def period_of(y: np.ndarray, freq: str = "D") -> int | None:
    frame = pd.DataFrame({"date": pd.date_range("2020-01-01", periods=len(y), freq=freq), "y": y})
    return find_period(series_of(frame), ((0, len(y)),))


@pytest.mark.parametrize(
    ("freq", "periods"),
    [
        ("h", (24, 168)),
        ("30min", (2, 48, 336)),
        ("15min", (4, 96, 672)),
        ("D", (7, 365)),
        ("W-SUN", (52,)),
        ("MS", (12,)),
        ("ME", (12,)),
        ("QS-OCT", (4,)),
        ("YS", ()),
        ("5D", (73,)),
        (None, ()),
    ],
)
def test_calendar_suggests_periods(freq: str | None, periods: tuple[int, ...]) -> None:
    assert calendar_periods(freq) == periods


def test_a_few_spikes_do_not_hide_a_season() -> None:
    y = 10 * wave(630, period=24, noise=0.05)
    y[[70, 75, 333]] += 60.0
    assert period_of(y, "h") == 24


@pytest.mark.parametrize(
    ("period", "freq", "rows"), [(24, "h", 500), (7, "D", 300), (12, "MS", 240), (48, "30min", 700), (11, "YS", 200)]
)
@pytest.mark.parametrize("trend", [0.0, 0.002])
def test_season_is_found(period: int, freq: str, rows: int, trend: float) -> None:
    y = wave(rows, period=period, noise=0.02) + trend * np.arange(rows)
    found = period_of(y, freq)
    assert found is not None
    assert found % period == 0  # see below: a multiple is found at times


def test_season_of_sharp_shape_is_found() -> None:
    rng = np.random.default_rng(0)
    y = np.tile([0, 0, 0, 0, 0, 5, 3], 60) + rng.normal(size=420)
    assert period_of(y) == 7


def test_weekly_pattern_of_hourly_rows_is_found_where_days_differ() -> None:
    hour, day = np.arange(24 * 7 * 8) % 24, np.arange(24 * 7 * 8) // 24 % 7
    y = np.sin(2 * np.pi * hour / 24) * np.where(day < 5, 1.0, 0.1) + 2.0 * (day < 5)
    assert period_of(y + 0.05 * np.random.default_rng(0).normal(size=len(y)), "h") == 168


def half_years(rows: int, seed: int, first: float) -> np.ndarray:
    """A wandering level and a season: `first` of 12 rows, and three times that of 6 rows."""
    t, draw = np.arange(rows), np.random.default_rng(seed)
    level = np.cumsum(draw.normal(size=rows))
    return np.asarray(first * np.sin(2 * np.pi * t / 12) + 6 * np.sin(2 * np.pi * t / 6 + 1) + level)


@pytest.mark.parametrize("rows", [120, 180, 400])
def test_year_whose_half_years_are_alike_is_distinguished_from_a_half_year(rows: int) -> None:
    assert [period_of(half_years(rows, seed, 6.0), "MS") for seed in range(20)] == [12] * 20
    assert [period_of(half_years(rows, seed, 0.0), "MS") for seed in range(20)] == [6] * 20


def test_turnover_of_months_has_a_season_of_a_year() -> None:
    data = load_series("example:elec_equip")
    assert find_period(data, ((0, 180),)) == 12


@pytest.mark.parametrize("share", [0.5, 0.6, 0.7, 0.8])
def test_weeks_have_a_season_of_a_year_though_a_smooth_series_resembles_itself_a_few_rows_on(share: float) -> None:
    data = load_series("example:co2")
    assert find_period(data, ((0, int(share * 2284)),)) == 52


@pytest.mark.parametrize("period", [6, 7, 24])
@pytest.mark.parametrize("freq", ["h", "MS"])
def test_multiple_of_a_period_is_not_found_in_noise_around_it(period: int, freq: str) -> None:
    found = []
    for seed in range(40):
        draw = np.random.default_rng(seed)
        y = np.tile(3 * draw.normal(size=period), 30)[: min(30 * period, 400)]
        found.append(period_of(y + draw.normal(size=len(y)), freq))
    assert found.count(period) >= 39, found


@pytest.mark.parametrize("seed", [0, 2, 3, 4, 5, 6, 7])
def test_random_walk_has_no_season(seed: int) -> None:
    assert period_of(np.cumsum(np.random.default_rng(seed).normal(size=400))) is None


def test_white_noise_has_no_season() -> None:
    assert [period_of(np.random.default_rng(seed).normal(size=400)) for seed in range(8)] == [None] * 8


def test_period_itself_is_found_and_no_multiple_of_it() -> None:
    assert [period_of(wave(300, noise=0.02, seed=seed)) for seed in range(8)] == [7] * 8


@pytest.mark.parametrize("y", [np.arange(100.0), np.arange(6.0), np.r_[np.zeros(50), np.ones(50)]], ids=["t", "s", "l"])
def test_trend_short_series_and_level_shift_have_no_season(y: np.ndarray) -> None:
    assert period_of(y) is None


def test_one_outlier_hides_no_season() -> None:
    y = wave(2000, period=7)
    y[1000] = 1e6
    assert period_of(y) == 7


def test_rows_outside_are_not_looked_at() -> None:
    y = np.concatenate([np.random.default_rng(0).normal(size=300), 50 * wave(300, noise=0.02)])
    assert find_period(series_of(y), ((0, 300),)) is None
    assert find_period(series_of(y), ((300, 600),)) in range(7, 100, 7)


def test_several_series_vote() -> None:
    noise = np.random.default_rng(0).normal(size=200)
    data = series_of(panel(wave(200), wave(200, seed=1), noise), target="y", id="shop")
    assert find_period(data, ((0, 200), (200, 400), (400, 600))) == 7
    assert find_period(data, ((0, 0), (200, 200), (400, 600))) is None


# ---- several seasons, and seasons that are hard to see


def seasons_of(y: np.ndarray, freq: str | None = None) -> tuple[int, ...]:
    frame = pd.DataFrame({"y": y})
    if freq is not None:
        frame.insert(0, "date", pd.date_range("2020-01-01", periods=len(y), freq=freq))
    return find_seasons(series_of(frame, target="y"), ((0, len(y)),))


def autoregression(rows: int, phi: float, seed: int) -> np.ndarray:
    return np.asarray(lfilter([1], [1, -phi], np.random.default_rng(seed).normal(size=rows + 200))[200:])


@pytest.mark.parametrize(("rows", "day", "freq"), [(2400, 24, "h"), (5000, 48, "30min")])
@pytest.mark.parametrize("weekend", [0.0, 1.0])
def test_a_week_is_found_beside_the_day_if_there_is_one(rows: int, day: int, freq: str, weekend: float) -> None:
    t = np.arange(rows)
    y = np.sin(2 * np.pi * t / day) * (1 - 0.5 * weekend * (t // day % 7 > 4)) - weekend * (t // day % 7 > 4)
    found = seasons_of(y + 0.3 * autoregression(rows, 0.6, 0), freq)
    assert found == ((day, 7 * day) if weekend else (day,))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("phi", [0.0, 0.8])
@pytest.mark.parametrize("freq", ["h", None])
def test_smooth_day_is_found_however_noisy_its_steps_are(seed: int, phi: float, freq: str | None) -> None:
    y = 5 * np.sin(2 * np.pi * np.arange(3000) / 24) + autoregression(3000, phi, seed)
    assert seasons_of(y, freq) == (24,)


@pytest.mark.parametrize("seed", range(3))
def test_week_of_days_is_found_on_a_wandering_level(seed: int) -> None:
    draw = np.random.default_rng(seed)
    days = np.tile(2 * draw.normal(size=7), 150)[:1000]
    assert seasons_of(days + np.cumsum(0.15 * draw.normal(size=1000)) + 0.8 * draw.normal(size=1000), "D") == (7,)


def test_swing_that_grows_with_the_level_hides_no_quarters() -> None:
    t, draw = np.arange(84), np.random.default_rng(0)
    level = 0.03 * t + np.array([0.1, 0.05, 0.15, -0.3])[t % 4] + 0.05 * draw.normal(size=84)
    assert seasons_of(np.exp(level)[:59]) == (4,)


def test_year_is_found_in_months_without_time_stamps_whose_level_wanders() -> None:
    t = np.arange(195)
    months = np.array([2.0, 0, 4, -1, 0, 4, -6, -9, 3, 1, 2, 5])[t % 12]
    assert seasons_of(months + np.cumsum(np.random.default_rng(1).normal(size=195))) == (12,)


def test_cycle_of_uneven_length_is_found() -> None:
    draw = np.random.default_rng(3)
    phase = np.cumsum(2 * np.pi / 10 * (1 + 0.15 * draw.normal(size=114)))
    found = seasons_of(np.exp(2 * np.sin(phase)) + 0.3 * draw.normal(size=114), "YS")
    assert found
    assert found[0] in (9, 10, 11)


def test_seldom_is_a_season_found_where_there_is_none() -> None:
    found = [
        seasons_of(autoregression(200 + 4 * seed, phi, seed), freq)
        for seed in range(20)
        for phi in (0.5, 0.95, 1.0)
        for freq in ("D", None)
    ]
    assert sum(map(bool, found)) <= 4, found


def test_season_that_forecasts_best_is_taken() -> None:
    t = np.arange(2000)
    y = np.sin(2 * np.pi * t / 24) + 2.0 * (t // 24 % 7 > 4) + 0.1 * np.random.default_rng(0).normal(size=2000)
    data, rows = series_of(y), ((0, 2000),)
    assert best_season(data, rows, (24, 168)) == 168
    assert best_season(data, rows, ()) is None
    plain = series_of(np.sin(2 * np.pi * t / 24) + 0.1 * np.random.default_rng(0).normal(size=2000))
    assert best_season(plain, rows, (24, 168)) == 24
    assert best_season(series_of(wave(400)), ((0, 400),), (21, 7, 14)) == 7  # all repeat alike: the shortest


def test_short_series_of_a_panel_hide_no_season_of_the_long_ones() -> None:
    frame = panel(wave(400, period=30), wave(400, period=30, seed=1), wave(40, period=30, seed=2))
    rows = ((0, 400), (400, 800), (800, 840))
    assert find_period(series_of(frame, target="y", id="shop"), rows) == 30


def quarters(seasonal: int, walks: int) -> tuple[int, ...]:
    """The seasons of a panel of 60 quarters a series, some of them with a season."""
    rng, t = np.random.default_rng(0), np.arange(60)
    parts = [rng.normal(size=60).cumsum() + 4 * (i < seasonal) * (t % 4 == i % 4) for i in range(seasonal + walks)]
    dates = pd.date_range("2001-01-01", periods=60, freq="QS")
    frame = pd.concat([pd.DataFrame({"date": dates, "y": y, "shop": f"{i:02}"}) for i, y in enumerate(parts)])
    ends = np.arange(0, 60 * (len(parts) + 1), 60)
    return find_seasons(series_of(frame, target="y", id="shop"), tuple(itertools.pairwise(ends.tolist())))


def test_season_of_the_calendar_that_a_quarter_of_many_series_show_is_found() -> None:
    assert quarters(seasonal=10, walks=30) == (4,)
    assert quarters(seasonal=0, walks=40) == ()
    assert quarters(seasonal=2, walks=4) == ()  # too few to tell


@pytest.mark.parametrize("share", [0.2, 0.1])
def test_demand_on_a_few_days_has_no_season(share: float) -> None:
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        demand = np.where(rng.random(420) < share, rng.poisson(3, 420) + 1, 0).astype(float)
        found += period_of(demand) is not None
    assert found <= 1
