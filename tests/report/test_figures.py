"""The figures: what is drawn for given records."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_page import open_page

from lstm_tune.report import error_figures, search_figures
from lstm_tune.report import page as report
from lstm_tune.report.search_figures import DrawnTrial


def test_errors_on_the_page_are_those_of_the_record(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    steps = open_page(run).payload["figures"]["steps"]["data"]
    assert steps[0]["y"] == pytest.approx(result["test"]["per_step_mse"], rel=1e-5)
    baselines = result["baselines"]
    assert steps[1]["y"] == pytest.approx(baselines["persistence"]["per_step_mse"], rel=1e-5)
    assert np.mean(baselines["ridge"]["per_step_mse"]) == pytest.approx(baselines["ridge"]["test_mse"], rel=0.1)


def test_a_baseline_far_above_does_not_flatten_the_error_per_step() -> None:
    baselines = {"persistence": [1.0, 9.0], "ridge": [1.0, 1.3], "a_new_one": [1.0, 2.0]}
    drawn = error_figures.error_per_step([0.9, 1.2], baselines, "y²", None)["data"]
    assert [trace.get("visible") for trace in drawn] == [None, "legendonly", None, None]
    assert drawn[1]["name"] == "persistence (last value), up to 9: click to show"
    assert drawn[3]["name"] == "a new one"  # a baseline without a label of its own
    far = error_figures.error_per_step([0.1, 0.1], {"ridge": [5.0, 5.0]}, "y²", None)["data"]
    assert far[1].get("visible") is None  # the best one is always shown


def test_waterfall_joins_its_bars_and_greys_what_is_noise() -> None:
    def step(name: str, value: float, delta: float | None, noise: bool) -> dict[str, Any]:
        return {"name": name, "val_mse_scaled": value, "sd": 0.1, "delta": delta, "within_noise": noise, "values": [1]}

    steps = [step("plain", 1.0, None, False), step("<b>x", 0.5, -0.5, False), step("y", 0.51, 0.01, True)]
    bars = error_figures.waterfall({"steps": steps})["data"][0]
    assert bars["base"] == [0, 1.0, 0.5, 0]
    assert bars["x"] == pytest.approx([1.0, -0.5, 0.01, 0.51])
    assert bars["marker"]["color"] == ["@muted", "@better", "@muted", "@forecast"]
    assert "&lt;b&gt;x" in bars["y"][1]


def test_waterfall_shows_where_explain_has_run(copy: Path) -> None:
    step = {"name": "plain", "changes": {}, "values": [1.0, 1.1], "val_mse_scaled": 1.05, "sd": 0.07, "delta": None}
    step |= {"within_noise": False, "says": "The start."}
    end = {"mse": 2.0, "mse_scaled": 0.25}
    explained = {
        "schema": 1,
        "rule": "By size.",
        "seeds": [0, 1],
        "unit": "validation score (scaled MSE)",
        "finished": True,
    }
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
    trials = [DrawnTrial(number=i, state="COMPLETE", value=1.0 + i, params=p) for i, p in enumerate(params)]
    drawn = {t["name"]: t for t in search_figures.parallel(trials, bounds, best=0)["data"]}
    assert drawn["best trial (0)"]["x"][:3] == [0.0, 0.5, 0.5]
    assert drawn["best fifth"]["x"][:3] == [1.0, 1.0, 1.0]


def test_diverged_step_of_the_waterfall_is_drawn_without_a_bar() -> None:
    start = {"name": "plain", "val_mse_scaled": 1.0, "sd": 0.1, "delta": None, "within_noise": False, "values": [1.0]}
    lost = {"name": "x", "val_mse_scaled": None, "sd": None, "delta": None, "within_noise": False, "values": [None]}
    bars, whiskers, seeds = error_figures.waterfall({"steps": [start, lost]})["data"]
    assert bars["x"] == [1.0, 0.0, 1.0]
    assert "diverged" in bars["y"][1]
    assert len(whiskers["x"]) == len(seeds["x"]) == 1
