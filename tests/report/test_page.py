"""report.html: what it shows, that it shows the run's own numbers, and that nothing can get out of its place."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from series import TINY, daily, panel, wave

from lstm_tune.cli.app import main
from lstm_tune.errors import RunError
from lstm_tune.pipeline import tune as api
from lstm_tune.report import figures
from lstm_tune.report import page as report
from lstm_tune.report import report_json as details
from lstm_tune.report.encoding import decode_times, encode_times, envelope, evenly, pack, unpack
from lstm_tune.report.forecast_csv import read_forecast
from lstm_tune.report.study_text import UNTRAINED
from lstm_tune.search.trials import read_trials

SPACE = TINY | {"lookback": [4, 8, 12], "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}}
HOSTILE = '</script><script>alert("x")</script> <img src=http://evil.example/x onerror=alert(1)> & \'"'
SECTIONS = ["verdict", "findings", "forecast", "residuals", "waterfall", "learning", "search", "data", "configuration"]


class Page(HTMLParser):
    """What a browser would find on the page: elements, their ids, addresses, and the text outside of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._inside = tag
        if tag == "script":
            self.scripts.append("")
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in ("src", "href", "srcset", "action", "data", "poster"):
                self.addresses.append(str(value))
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data

    @property
    def payload(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.scripts[0])
        return value


def open_page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, short_epochs: None) -> Path:
    """A finished study of one series, three steps ahead, with a missing value among the test rows."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    y = wave()
    y[-3] = np.nan
    api.tune(daily(y), space=SPACE, horizon=3, n_trials=9, retrain_seeds=1, out=folder)
    return folder


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory, short_epochs: None) -> Path:
    """Two series, one of a hostile name, and one trial alone."""
    folder = tmp_path_factory.mktemp("runs") / "many"
    frame = panel(wave(), wave(seed=1)).replace({"shop": {"a": HOSTILE}})
    api.tune(frame, target="y", id="shop", space=TINY, n_trials=1, retrain_seeds=1, out=folder)
    return folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """The files of `run`, without the page."""
    for name in ("result.json", "report.json", "trials.csv", "forecast.csv"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    return tmp_path


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# ---- the page


def test_page_has_every_section_and_stays_small(run: Path) -> None:
    page = open_page(run)
    assert set(SECTIONS) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert (run / "report.html").stat().st_size < 6_000_000
    drawn = {"steps", "curves", "history", "parallel", "slice-lookback", "slice-learning_rate"}
    assert drawn <= set(page.payload["figures"])
    for name in page.payload["figures"]:
        assert f"plot-{name}" in page.ids


def test_page_needs_no_network(run: Path, shops: Path) -> None:
    for folder in (run, shops):
        page = open_page(folder)
        assert {a.split(":")[0] for a in page.addresses if not a.startswith("#")} <= {"data"}
        assert not set(page.tags) & {"iframe", "object", "embed", "form", "img"}
        assert "default-src 'none'" in (folder / "report.html").read_text()


def test_names_of_the_data_cannot_leave_their_place(run: Path, shops: Path) -> None:
    usual, hostile = open_page(run), open_page(shops)
    assert len(hostile.scripts) == len(usual.scripts) == 3
    assert hostile.handlers == []
    assert "alert" not in hostile.scripts[2]
    names = [s["name"] for s in hostile.payload["forecast"]["series"]]
    assert names[0].startswith("</script><script>")
    bars = hostile.payload["figures"]["series"]["data"][0]["y"]
    assert not any("<" in name for name in bars)  # plotly would read tags


def test_findings_are_shown_as_text_the_gravest_first(copy: Path) -> None:
    finding = {"code": "outliers", "severity": "info", "says": HOSTILE, "advice": "Clip."}
    finding |= {"evidence": {"share": 0.25, "near_bound": {}, "seed_sd": None}}
    grave = finding | {"code": "overfit", "severity": "high", "says": "It learned noise."}
    edit(copy / "result.json", findings=[finding, grave], verdict="Good. Better. Best.")
    report.write_report(copy)
    page = open_page(copy)
    assert HOSTILE in page.text
    assert page.handlers == []
    assert page.text.index("It learned noise.") < page.text.index(HOSTILE)
    assert "share: 0.25" in page.text
    assert not {"near bound", "seed sd"} & set(re.findall(r"near bound|seed sd", page.text))  # nothing to tell
    assert page.text.index("Good. Better. Best.") < page.text.index("persistence")


def test_report_again_gives_the_same_page(run: Path, copy: Path) -> None:
    report.write_report(copy)
    pages = [(f / "report.html").read_text().replace(str(f), "RUN") for f in (run, copy)]
    assert pages[0] == pages[1]


def test_command_prints_the_path_and_needs_no_storage(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["lstm-tune", "report", str(copy)])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code in (0, None)
    assert capsys.readouterr().out.strip() == str(copy / "report.html")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("result.json", None, "is missing"),
        ("result.json", "{", "is damaged"),
        ("result.json", '{"schema": 1}', "do not fit together"),
        ("report.json", '{"schema": 9}', "schema 9"),
        ("explain.json", "[]", "is damaged"),
        ("trials.csv", None, "is missing"),
        ("trials.csv", "", "holds no trials"),
        ("forecast.csv", None, "is missing"),
        ("forecast.csv", "", "is damaged"),
        ("forecast.csv", "time,series,step,actual,forecast\n2024-01-01,y,1,a,2\n", "is damaged"),
        ("forecast.csv", "time,series,step,actual,forecast\n2024-01-01,y,2,1,2\n", "is damaged"),
    ],
)
def test_damaged_folder_is_refused_in_one_line(copy: Path, name: str, text: str | None, says: str) -> None:
    if text is None:
        (copy / name).unlink()
    else:
        (copy / name).write_text(text)
    with pytest.raises(RunError, match=says) as error:
        report.write_report(copy)
    assert "\n" not in str(error.value)


def test_untrained_parts_and_a_missing_season_are_explained(copy: Path) -> None:
    path = copy / "result.json"
    result = json.loads(path.read_text())
    member = result["ensemble"][0]
    result["ensemble"] = [member | {"epochs": 0, "weight": 0.7}, member | {"epochs": 3, "weight": 0.3}]
    result["data"]["period"] = None
    path.write_text(json.dumps(result))
    report.write_report(copy)
    page = open_page(copy).text
    assert UNTRAINED in page
    assert "seasonal naive (no season)" in page
    result["ensemble"][0]["epochs"] = 1
    del result["data"]["period"]  # as earlier versions wrote it
    path.write_text(json.dumps(result))
    report.write_report(copy)
    page = open_page(copy).text
    assert UNTRAINED not in page
    assert "seasonal naive (last season)" in page


def test_missing_windows_are_noticed(copy: Path) -> None:
    lines = (copy / "forecast.csv").read_text().splitlines(keepends=True)
    (copy / "forecast.csv").write_text("".join(lines[:-3]))
    with pytest.raises(RunError, match="test windows, but"):
        report.write_report(copy)


def test_run_without_report_json_still_has_a_page(copy: Path) -> None:
    (copy / "report.json").unlink()
    report.write_report(copy)
    assert "No learning curves are recorded" in open_page(copy).text


def test_failing_report_loses_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_epochs: None, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any) -> None:
        raise ValueError("no such figure")

    result = api.tune(wave(), space=TINY, n_trials=1, retrain_seeds=1)
    monkeypatch.setattr("lstm_tune.report.result.write_report", fail)
    result.save(tmp_path / "run")
    assert (tmp_path / "run" / "result.json").exists()
    assert "no report was written (ValueError: no such figure)" in caplog.text


def test_study_of_one_trial_has_a_page(shops: Path) -> None:
    text = open_page(shops).text
    assert "nothing to compare" in text
    assert "1 trial:" in text


# ---- the numbers


def test_forecasts_on_the_page_are_those_of_the_file(run: Path) -> None:
    frame = pd.read_csv(run / "forecast.csv")
    view = open_page(run).payload["forecast"]
    (series,), horizon = view["series"], view["horizon"]
    starts, shown = unpack(series["starts"]), unpack(series["forecast"]).reshape(-1, horizon)
    assert len(starts) == len(frame) // horizon
    np.testing.assert_allclose(shown.reshape(-1), frame["forecast"], rtol=1e-6)
    actual = unpack(series["actual"])[starts[:, None] + np.arange(horizon)].reshape(-1)
    np.testing.assert_allclose(actual, frame["actual"], rtol=1e-6)
    assert np.isnan(actual).any()
    times = decode_times(view["axes"][series["axis"]])[starts[:, None] + np.arange(horizon)].reshape(-1)
    assert (times == pd.to_datetime(frame["time"]).to_numpy().astype("datetime64[ms]").astype(int)).all()


def test_errors_on_the_page_are_those_of_the_record(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    (series,) = read_forecast(run / "forecast.csv", 3, result["test"]["windows"], 10**6)
    assert series.mse == pytest.approx(result["test"]["mse"], rel=1e-5)
    assert 1 - series.mse / series.mse_of_mean == pytest.approx(result["test"]["r2"], rel=1e-4)
    steps = open_page(run).payload["figures"]["steps"]["data"]
    assert steps[0]["y"] == pytest.approx(result["test"]["per_step_mse"], rel=1e-5)
    baselines = result["baselines"]
    assert steps[1]["y"] == pytest.approx(baselines["persistence"]["per_step_mse"], rel=1e-5)
    assert np.mean(baselines["ridge"]["per_step_mse"]) == pytest.approx(baselines["ridge"]["test_mse"], rel=0.1)


def test_few_windows_of_a_long_file_are_kept_evenly_and_some_of_each_series(tmp_path: Path) -> None:
    path, rows = tmp_path / "forecast.csv", []
    for name, windows in (("long", 500), ("short", 2)):
        for w in range(windows):
            rows += [f"{w + h},{name},{h + 1},{w + h}.5,{w}\n" for h in range(4)]
    path.write_text("time,series,step,actual,forecast\n" + "".join(rows))
    long, short = read_forecast(path, 4, 502, most=80)
    assert (long.windows, short.windows) == (500, 2)
    assert len(long.index) + len(short.index) <= 22
    assert short.index[0] == 0
    assert set(np.diff(long.index)) <= {25, 26, 27}
    np.testing.assert_array_equal(long.forecast[:, 0], long.index)
    np.testing.assert_array_equal(long.first_residual, np.full(500, 0.5))
    view = figures.forecast_view([long, short], 4, None)
    assert len(view["series"][0]["breaks"]) == len(long.index) - 1


def test_full_page_of_a_large_run_stays_below_its_limit() -> None:
    """100 series, 3,000 windows of 96 steps: what is kept of them, packed, leaves room for plotly.js."""
    rng, kept = np.random.default_rng(0), report._FORECAST_VALUES[1] // 96 // 100
    times = [[str(k * 400 + h) for h in range(96)] for k in range(kept)]
    values = rng.normal(size=(kept, 96))
    series = [
        figures.SeriesForecast(
            name=f"series {i}",
            windows=3000,
            index=np.arange(kept) * 400,
            times=times,
            actual=values,
            forecast=rng.normal(size=(kept, 96)),
            first_residual=rng.normal(size=3000),
            mse=1.0,
            mse_of_mean=1.0,
            bias=1.0,
        )
        for i in range(100)
    ]
    size = len(json.dumps(figures.forecast_view(series, 96, 168)))
    assert size + len(report.plotly_source().encode()) < 5_750_000


def test_page_that_would_be_too_large_shows_fewer_windows(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "LARGEST", 0)
    monkeypatch.setattr(report, "_FORECAST_VALUES", (10**6, 30))
    report.write_report(copy)
    page = open_page(copy)
    assert len(unpack(page.payload["forecast"]["series"][0]["starts"])) == 10
    assert "Shown are 10 of" in page.text


def test_autocorrelation_against_numpy_and_with_holes() -> None:
    residuals = np.random.default_rng(0).normal(size=200)
    centred = residuals - residuals.mean()
    found = figures.autocorrelation(residuals, 5)
    assert found is not None
    oracle = [float(centred[:-k] @ centred[k:] / (centred @ centred)) for k in range(1, 6)]
    assert found["values"] == pytest.approx(oracle, abs=1e-4)
    wavy = np.sin(np.arange(200) * np.pi / 6)
    wavy[::17] = np.nan
    seasonal = figures.autocorrelation(wavy, 12)
    assert seasonal is not None
    assert seasonal["values"][11] > 0.8
    assert seasonal["values"][5] < -0.8
    assert figures.autocorrelation(np.zeros(50), 5) is None


def test_distribution_counts_every_residual() -> None:
    residuals = np.append(np.random.default_rng(0).normal(size=500), [np.nan, 40.0])
    found = figures.distribution(residuals)
    assert found is not None
    assert sum(found["counts"]) == 501
    assert found["high"] == 40
    assert figures.distribution(np.full(9, 2.0)) is None
    assert figures.distribution(1 + 1e-16 * np.random.default_rng(0).normal(size=99)) is None


def test_waterfall_joins_its_bars_and_greys_what_is_noise() -> None:
    def step(name: str, value: float, delta: float | None, noise: bool) -> dict[str, Any]:
        return {"name": name, "val_mse_scaled": value, "sd": 0.1, "delta": delta, "within_noise": noise, "values": [1]}

    steps = [step("plain", 1.0, None, False), step("<b>x", 0.5, -0.5, False), step("y", 0.51, 0.01, True)]
    bars = figures.waterfall({"steps": steps})["data"][0]
    assert bars["base"] == [0, 1.0, 0.5, 0]
    assert bars["x"] == pytest.approx([1.0, -0.5, 0.01, 0.51])
    assert bars["marker"]["color"] == ["@muted", "@better", "@muted", "@forecast"]
    assert "&lt;b&gt;x" in bars["y"][1]


def test_waterfall_shows_where_explain_has_run(copy: Path) -> None:
    step = {"name": "plain", "changes": {}, "values": [1.0, 1.1], "val_mse_scaled": 1.05, "sd": 0.07, "delta": None}
    step |= {"within_noise": False, "says": "The start."}
    end = {"mse": 2.0, "mse_scaled": 0.25}
    explained = {"schema": 1, "rule": "By size.", "seeds": [0, 1], "unit": "validation MSE, scaled", "finished": True}
    worse = step | {"name": "wider", "val_mse_scaled": 1.3, "delta": 0.25, "says": "Adds."}
    explained |= {"seconds": 1.0, "steps": [step, worse], "test": {"start": end | {"mse_scaled": 0.75}, "end": end}}
    assert "lstm-tune explain" in report.render(copy, json.loads((copy / "result.json").read_text()))
    (copy / "explain.json").write_text(json.dumps(explained))
    report.write_report(copy)
    page = open_page(copy)
    assert "waterfall" in page.payload["figures"]
    assert "+0.25" in page.text
    assert re.search(r"scaled MSE of 0\.75, and the end of this waterfall\s+0\.25", page.text)


def test_parallel_coordinates_place_values_between_their_bounds() -> None:
    bounds = {"rate": {"low": 0.001, "high": 0.1, "log": True}, "kind": {"choices": ["a", "b", "c"]}}
    params = [{"rate": 0.01, "kind": "b"}, {"rate": 0.1, "kind": "c"}]
    trials = [{"number": i, "state": "COMPLETE", "value": 1.0 + i, "params": p} for i, p in enumerate(params)]
    drawn = {t["name"]: t for t in figures.parallel(trials, bounds, best=0)["data"]}
    assert drawn["best trial (0)"]["x"][:3] == [0.0, 0.5, 0.5]
    assert drawn["best fifth"]["x"][:3] == [1.0, 1.0, 1.0]


# ---- what tune records


def test_curves_put_the_best_trial_first_and_keep_its_training_loss(run: Path) -> None:
    result, kept = (json.loads((run / name).read_text()) for name in ("result.json", "report.json"))
    curves = kept["curves"]["kept"]
    assert curves[0]["trial"] == result["best"]["trial"]
    assert min(curves[0]["val"]) == pytest.approx(result["best"]["value"], rel=1e-3)
    assert [c["trial"] for c in curves if "train" in c] == [curves[0]["trial"]]
    assert sum(result["study"]["states"].values()) == 9
    assert any(c["state"] == "PRUNED" for c in curves) == bool(result["study"]["states"]["PRUNED"])


def test_drawn_series_marks_its_parts_and_leaves_holes(run: Path) -> None:
    (line,) = json.loads((run / "report.json").read_text())["drawn"]["lines"]
    assert line["rows"] == 160
    assert line["values"].count(None) == 1
    times = decode_times(line["times"])
    first, last = decode_times(line["parts"]["test"])
    assert (first, last) == (times[128], times[159])


def studied(n: int, **fixed: float) -> optuna.Study:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda t: fixed.get("value", 9 * t.suggest_float("a", 0, 1)) + t.suggest_int("b", 1, 3), n_trials=n)
    return study


def test_importances_find_what_matters_and_keep_quiet_about_few_trials() -> None:
    found = details.importances(studied(30))
    assert found is not None
    assert (found["method"], found["trials"]) == ("fANOVA", 30)
    assert found["shares"]["a"] > 0.7
    assert sum(found["shares"].values()) == pytest.approx(1, abs=1e-3)
    assert details.importances(studied(details.LEAST_TRIALS - 1)) is None


def test_importances_of_very_many_trials_take_the_quick_way() -> None:
    found = details.importances(studied(details._FOREST_TRIALS + 1))
    assert found is not None
    assert found["method"] == "PED-ANOVA"
    assert found["shares"]["a"] > found["shares"]["b"]


def test_curves_of_a_thousand_trials_are_bounded() -> None:
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.report(x, 0)
        return x

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=400)
    found = details.curves(read_trials(study), by_fold=False)
    assert found["of"] == 400
    assert len(found["kept"]) <= 100
    assert found["kept"][0]["trial"] == study.best_trial.number


# ---- numbers in little text


@pytest.mark.parametrize(
    "labels",
    [
        ["2024-01-01", "2024-01-02", "2024-01-05"],
        ["2024-01-31 23:00:00", "2024-02-01 00:00:00"],
        ["1700-01-01", "1701-01-01", "1702-01-01"],
        ["5", "6", "9"],
        ["7"],
    ],
)
def test_times_survive_their_encoding(labels: list[str]) -> None:
    encoded = encode_times(labels)
    kind = "datetime64[ms]" if encoded["dated"] else "int64"
    assert decode_times(encoded).tolist() == np.array(labels).astype(kind).astype(np.int64).tolist()
    assert encoded["dated"] == ("-" in labels[0])


def test_packed_numbers_keep_seven_digits_and_holes() -> None:
    values = np.array([1.234567, -9876543.0, np.nan])
    np.testing.assert_allclose(unpack(pack(values)), values, rtol=1e-7)


def test_envelope_keeps_every_spike() -> None:
    values = np.zeros(10_001)
    values[[17, 9_999]] = 5.0, -3.0
    values[4_000:4_400] = np.nan
    rows, line = envelope(values, 200)
    assert len(rows) == len(line) <= 202
    assert (np.nanmax(line), np.nanmin(line)) == (5.0, -3.0)
    assert np.isnan(line).any()
    assert (np.diff(rows) > 0).all()


def test_even_indices_keep_both_ends() -> None:
    assert evenly(3, 5).tolist() == [0, 1, 2]
    assert evenly(100, 3).tolist() == [0, 50, 99]
    assert evenly(7, 1).tolist() == [0]
