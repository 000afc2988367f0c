"""What a notebook and a Python prompt show of a result, a model, a diagnosis and a space; figures of a result."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from report_page import Page
from series import daily, wave

import lstm_tune
from lstm_tune.diagnosis.data_findings import diagnose
from lstm_tune.errors import UsageError
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
    with pytest.raises(UsageError, match=r"one of forecast, residuals, .*but is 'forcast'; did you mean forecast\?"):
        result.plot("forcast")


def test_public_objects_have_a_form_for_notebooks() -> None:
    for public in (lstm_tune.Result, lstm_tune.Diagnosis, lstm_tune.ForecastModel, lstm_tune.Space):
        assert callable(public._repr_html_)
