"""What the commands read: several ids, marks of numbers, plans, other columns, other data."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from series import daily, wave

SPACE = """
lookback = 8
hidden_units = 4
dropout = 0.0
batch_size = 64
learning_rate = 0.01
epochs = 1
window_norm = "last"
"""


pytestmark = pytest.mark.usefixtures("short_epochs")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command_line: Any) -> Any:
    """Run the command line in this process, in an empty folder; return (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    return command_line


@pytest.fixture
def tuned(run: Any, tmp_path: Path) -> Any:
    """Tune on a frame, written as text; return what was printed on stderr."""

    def call(text: str, *options: str) -> str:
        (tmp_path / "data.csv").write_text(text, encoding="utf-8")
        (tmp_path / "space.toml").write_text(SPACE)
        quick = ("--space", "space.toml", "--trials", "1", "--retrain-seeds", "1", "--seed", "0", "--out", "run")
        status, _, err = run("tune", "data.csv", *options, *quick)
        assert status == 0, err
        return str(err)

    return call


def german(values: np.ndarray, digits: int) -> str:
    rows = zip(pd.date_range("2024-01-01", periods=len(values)), values, strict=True)
    return "Datum;Verbrauch\n" + "\n".join(
        f"{d:%d.%m.%Y};{v:.{digits}f}".replace(".", ",", 3).replace(f"{d:%d,%m,%Y}", f"{d:%d.%m.%Y}") for d, v in rows
    )


def test_decimal_commas_keep_their_reading_and_can_be_overruled(run: Any, tuned: Any, tmp_path: Path) -> None:
    err = tuned(german(2 + 0.1 * wave(), 2), "--horizon", "2")
    assert "commas were read as decimal commas" in err
    (tmp_path / "new.csv").write_text(german(2.001 + 0.1 * wave(), 3))
    status, out, err = run("predict", "run", "new.csv")
    assert status == 0
    assert pd.read_csv(io.StringIO(out))["Verbrauch"].between(1, 4).all()
    status, out, err = run("predict", "run", "new.csv", "--thousands", ",")
    assert pd.read_csv(io.StringIO(out))["Verbrauch"].gt(100).all()
    assert run("predict", "run", "new.csv", "--decimal", ";")[0] == 2


def test_several_ids_and_their_zeros_are_kept(run: Any, tuned: Any) -> None:
    rows = [daily(wave(60, seed=i)).assign(store=s, item=i) for s in ("001", "NA") for i in (7, 8)]
    tuned(pd.concat(rows).to_csv(index=False), "--target", "y", "--id", "store", "--id", "item")
    status, out, err = run("predict", "run", "data.csv")
    assert (status, err) == (0, "")
    assert pd.read_csv(io.StringIO(out), dtype=str)["series"].tolist() == ["001/7", "001/8", "NA/7", "NA/8"]


def test_renamed_columns_are_named_to_predict_and_evaluate(run: Any, tuned: Any, tmp_path: Path) -> None:
    frame = pd.concat([daily(wave(60, seed=i)).assign(shop=i) for i in (1, 2)])
    tuned(frame.to_csv(index=False), "--target", "y", "--id", "shop")
    frame.rename(columns={"date": "when", "shop": "store"}).to_csv(tmp_path / "other.csv", index=False)
    assert run("predict", "run", "other.csv")[0] == 2
    for command in ("predict", "evaluate"):
        status, _, err = run(command, "run", "other.csv", "--id", "store", "--time", "when")
        assert status == 0, err


def test_target_without_a_scored_value_is_null_and_named(run: Any, tuned: Any, tmp_path: Path) -> None:
    frame = daily(wave(), z=wave(seed=1))
    tuned(frame.to_csv(index=False), "--target", "y,z")
    frame.assign(z=[1.0, 2.0] + [np.nan] * 158).to_csv(tmp_path / "new.csv", index=False)
    status, out, err = run("evaluate", "run", "new.csv", "--json")
    scores = json.loads(out)
    assert status == 0
    assert scores["model"]["mse"]["z"] is None
    assert scores["model"]["mse_scaled"] > 0
    assert "target 'z' has no value in the scored rows" in err
    status, out, err = run("evaluate", "run", "new.csv")
    assert status == 0


def test_short_series_and_new_shops_are_forecast(run: Any, tuned: Any, tmp_path: Path) -> None:
    frame = pd.concat([daily(wave(n, seed=n)).assign(shop=f"{n:03}") for n in (90, 80, 70)])
    text = pd.concat([frame, daily(wave(5)).assign(shop="005")]).to_csv(index=False)
    tuned(text, "--id", "shop", "--target", "y", "--horizon", "3")
    status, out, err = run("predict", "run", "data.csv")
    assert status == 0
    assert pd.read_csv(io.StringIO(out), dtype=str)["series"].unique().tolist() == ["005", "070", "080", "090"]
    assert "series '005' has 5 rows, but the model looks back on" in err


def test_plan_with_a_hole_ends_in_one_line(run: Any, tuned: Any, tmp_path: Path) -> None:
    frame = daily(wave(120), promo=np.arange(120) % 2)
    tuned(frame.to_csv(index=False), "--target", "y", "--future", "promo", "--horizon", "3")
    plan = daily([np.nan] * 3, start="2024-04-30", promo=[1.0, np.nan, 0.0])
    pd.concat([frame, plan]).to_csv(tmp_path / "plan.csv", index=False)
    status, out, err = run("predict", "run", "plan.csv")
    assert (status, out) == (2, "")
    assert "promo is missing at 2024-05-01" in err
    pd.concat([frame, plan.assign(promo=0)]).to_csv(tmp_path / "plan.csv", index=False)
    status, out, err = run("predict", "run", "plan.csv")
    assert (status, err) == (0, "")
