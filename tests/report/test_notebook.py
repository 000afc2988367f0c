"""What a notebook and a Python prompt show of a result, a model, a diagnosis and a space; figures of a result."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_page import Page
from series import daily, wave
from utilsforecast.evaluation import evaluate
from utilsforecast.losses import mse

import lstm_tune
from lstm_tune.diagnosis.data_findings import diagnose
from lstm_tune.errors import UsageError
from lstm_tune.report.notebook import result_html, result_text
from lstm_tune.report.result import Result
from lstm_tune.search.space import load_space
from lstm_tune.utils.notebook import listing, paragraph, table
from lstm_tune.utils.text import number

HOSTILE = "<script>alert(1)</script>"


def test_a_result_shows_its_test_mse_and_its_verdict(result: Result) -> None:
    mse = result.test.mse
    assert isinstance(mse, float)
    assert number(mse, 4) in repr(result)
    page = Page(result._repr_html_())
    assert result.summary.verdict in page.text
    assert number(mse, 4) in page.text
    assert all(finding.code in page.text for finding in result.summary.findings[:7])


def test_a_result_that_is_mostly_untrained_says_so(result: Result) -> None:
    record = copy.deepcopy(result.record)
    member = record["ensemble"][0]
    record["ensemble"] = [
        member | {"weight": 0.8, "epochs": 0, "params": member["params"] | {"skip": "last"}},
        member | {"weight": 0.2, "epochs": 3},
    ]
    assert "saved model (20% LSTM)" in result_text(record)
    assert "saved model (20% LSTM)" in Page(result_html(record)).text


def test_text_at_a_prompt_is_short_and_fits_a_screen(result: Result) -> None:
    for shown in (result, result.model, load_space("default"), load_space("thorough"), diagnose(daily(wave()))):
        text = repr(shown).splitlines()
        assert len(text) <= 15
        assert max(map(len, text)) <= 100


def test_a_model_says_what_it_must_be_given(result: Result) -> None:
    text = repr(result.model)
    assert "3 rows" in text
    assert f"{result.model.lookback} rows" in text
    assert f"{result.model.lookback} rows" in Page(result.model._repr_html_()).text


def test_a_diagnosis_of_refused_data_shows_why() -> None:
    found = diagnose(pd.DataFrame({"y": np.ones(50)}))
    assert "constant_series" in repr(found)
    assert "constant_series" in Page(found._repr_html_()).text


def test_names_are_never_read_as_html() -> None:
    for block in (paragraph(HOSTILE), table([HOSTILE], [[HOSTILE]]), listing([(HOSTILE, HOSTILE)])):
        assert "script" not in Page(block).tags
        assert HOSTILE in Page(block).text
    shown = diagnose(daily(wave()).rename(columns={"y": HOSTILE}), target=HOSTILE)
    assert "script" not in Page(shown._repr_html_()).tags


@pytest.mark.parametrize("kind", ["forecast", "residuals", "learning_curves", "history"])
def test_a_result_draws_plotly_figures_without_names_of_colours(result: Result, kind: str) -> None:
    drawn = json.loads(result.plot(kind).to_json())
    assert drawn["data"]
    assert '"@' not in json.dumps(drawn)


def test_the_drawn_residuals_are_actual_minus_forecast(result: Result) -> None:
    actual, forecast = result.plot("forecast").data
    (missed,) = result.plot("residuals").data
    pairs = [(a, f, m) for a, f, m in zip(actual.y, forecast.y, missed.y, strict=True) if m is not None]
    assert len(pairs) > 10
    assert all(m == pytest.approx(a - f, rel=1e-4, abs=1e-5) for a, f, m in pairs)


def test_an_unknown_figure_is_refused_with_the_known_ones(result: Result) -> None:
    with pytest.raises(UsageError, match=r"one of forecast, intervals, .*but is 'forcast'; did you mean forecast\?"):
        result.plot("forcast")


def test_a_figure_of_what_is_not_there_says_how_to_get_it(result: Result, folder: Path) -> None:
    with pytest.raises(UsageError, match=r"no prediction intervals; tune with level=\[80, 95\]"):
        result.plot("intervals")
    with pytest.raises(UsageError, match=rf"not explained yet; call lstm_tune.explain\('{folder}'\)"):
        result.plot("waterfall")
    with pytest.raises(UsageError, match="save the result, then call"):
        dataclasses.replace(result, folders=[]).plot("waterfall")


def test_the_waterfall_of_a_saved_and_explained_result_can_be_drawn(result: Result, tmp_path: Path) -> None:
    other = dataclasses.replace(result, folders=[])
    other.save(tmp_path / "run")
    step = {"name": "plain LSTM", "val_mse_scaled": 1.0, "values": [0.9, 1.1], "sd": 0.1, "delta": None}
    (tmp_path / "run" / "explain.json").write_text(json.dumps({"schema": 1, "steps": [step]}))
    bars = other.plot("waterfall").data[0]
    assert bars.x == (1.0, 1.0)
    assert "plain LSTM" in bars.y[0]


def test_public_objects_have_a_form_for_notebooks() -> None:
    for public in (lstm_tune.Result, lstm_tune.Diagnosis, lstm_tune.ForecastModel, lstm_tune.Space):
        assert callable(public._repr_html_)


def test_forecasts_of_the_test_windows_are_a_frame_that_utilsforecast_scores(result: Result) -> None:
    frame = result.to_frame()
    assert list(frame.columns)[:5] == ["unique_id", "ds", "cutoff", "y", "LSTM"]
    assert len(frame) == len(result.test_positions) * 3
    models = [name for name in frame.columns if name not in ("unique_id", "ds", "cutoff", "y")]
    assert len(models) == 1 + len(result.baselines)
    seen = frame.dropna()
    assert len(seen) == len(frame) - 3  # the missing value is a target three times
    scores = evaluate(seen.drop(columns="cutoff"), metrics=[mse], models=models).iloc[0]
    assert scores["LSTM"] == pytest.approx(result.test.mse, rel=1e-5)
    assert scores["Ridge"] == pytest.approx(result.summary.baselines["ridge"].test_mse, rel=1e-5)


def test_plots_of_utilsforecast_take_the_frame(result: Result) -> None:
    from utilsforecast.plotting import plot_series

    frame = result.to_frame()
    last = frame[frame["cutoff"] == frame["cutoff"].max()]
    plot_series(frame[["unique_id", "ds", "y"]].drop_duplicates(), last.drop(columns=["cutoff", "y"]), engine="plotly")


@pytest.mark.slow
def test_a_notebook_shows_progress_result_and_figures(tmp_path: Path) -> None:
    """In a real kernel: one line of progress, then the result's card and a figure."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    import nbformat

    notebook = nbformat.read(Path(__file__).with_name("notebook.ipynb"), as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    progress, shown, figure = (cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    printed = "".join(o.text for o in progress if o.output_type == "stream" and o.name == "stdout")
    assert printed.split("\r")[-1].startswith("2/2 trials")
    assert printed.count("\n") == 1
    assert "Verdict" in shown[0].data["text/html"] or "<table" in shown[0].data["text/html"]
    assert not [o for o in progress if o.output_type == "stream" and o.name == "stderr"]  # of Optuna or tqdm
    assert "application/vnd.plotly.v1+json" in figure[-1].data
