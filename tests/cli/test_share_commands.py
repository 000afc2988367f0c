"""The commands that hand a run to other programs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from series import TINY

import lstm_tune
from lstm_tune.data.examples import find_example
from lstm_tune.utils.escaping import toml_value

README = Path(lstm_tune.__file__).parent / "training" / "README.md"
SPACE = "\n".join(f"{name} = {toml_value(value)}" for name, value in TINY.items())


@pytest.fixture
def sunspots(command_line: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command line, in a folder with the run `runs/sunspots`."""
    monkeypatch.chdir(tmp_path)
    Path("space.toml").write_text(SPACE)
    options = "--trials", "1", "--retrain-seeds", "1", "--space", "space.toml", "--quiet", "--out", "runs/sunspots"
    assert command_line("tune", "example:sunspots", *options)[0] == 0
    return command_line


@pytest.mark.slow
def test_the_example_of_the_readme_forecasts_without_torch_what_predict_does(sunspots: Any) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    status, out, err = sunspots("export", "runs/sunspots", "--onnx", "sunspots.onnx")
    assert (status, out) == (0, "")
    count = len(json.loads(Path("runs/sunspots/model/config.json").read_text())["members"])
    assert err == (
        f"writing {count} network{'s' * (count > 1)}, up to three seconds each\n"
        "written to sunspots.onnx; its inputs are history (batch, 8, 1), its output is forecast (batch, 1, 1)\n"
    )
    section = README.read_text(encoding="utf-8").partition("## Without torch")[2].partition("\n## ")[0]
    (example,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len([line for line in example.splitlines() if line]) <= 12
    blocked = f"import sys\nsys.modules['torch'] = sys.modules['lstm_tune'] = None\n{example}"
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, check=True)
    _, out, _ = sunspots("predict", "runs/sunspots", "example:sunspots")
    forecast = float(out.splitlines()[1].split(",")[-1])
    assert float(done.stdout.strip("[]\n ")) == pytest.approx(forecast, rel=1e-5)


def test_export_asks_what_to_write(command_line: Any, tmp_path: Path) -> None:
    status, _, err = command_line("export", str(tmp_path))
    assert status == 2
    assert err == "lstm-tune: export needs to know what to write: lstm-tune export RUN --onnx FILE\n"


def test_log_asks_where_to(command_line: Any, tmp_path: Path) -> None:
    status, _, err = command_line("log", str(tmp_path))
    assert (status, err) == (
        2,
        "lstm-tune: log needs to know where to: --mlflow URI, --tensorboard DIR, or both\n",
    )
    status, _, err = command_line("log", str(tmp_path), "--mlflow", "sqlite:///x.db")
    assert status == 1
    assert "holds no result.json; give the run folder that tune wrote" in err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::Warning:mlflow")
def test_mlflow_holds_the_run_and_its_model_predicts_the_same(sunspots: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("GIT_PYTHON_REFRESH", "quiet")
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    uri = "sqlite:///mlflow.db"
    status, _, err = sunspots("log", "runs/sunspots", "--mlflow", uri)
    assert status == 0, err
    logged = re.findall(r"logged to sqlite:///mlflow.db as run (\w+)", err)[0]
    mlflow.set_tracking_uri(uri)
    run = mlflow.get_run(logged)
    record = json.loads(Path("runs/sunspots/result.json").read_text(encoding="utf-8"))
    assert run.data.metrics["test.mse"] == record["test"]["mse"]
    assert run.data.metrics["baseline.ridge.test_mse_scaled"] == record["baselines"]["ridge"]["test_mse_scaled"]
    assert run.data.params["lookback"] == str(record["best"]["params"]["lookback"])
    assert run.data.params["option.horizon"] == "1"
    client = mlflow.MlflowClient(uri)
    assert len(client.get_metric_history(logged, "validation_score")) > 1
    assert {f.path for f in client.list_artifacts(logged)} >= {"result.json", "trials.csv", "report.html", "run.toml"}
    model = mlflow.pyfunc.load_model(f"runs:/{logged}/model")
    frame = find_example("sunspots").read()
    pd.testing.assert_frame_equal(model.predict(frame), lstm_tune.load("runs/sunspots").predict(frame))


@pytest.mark.slow
def test_tensorboard_shows_the_learning_curves(sunspots: Any) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    status, _, err = sunspots("log", "runs/sunspots", "--tensorboard", "curves")
    assert (status, err) == (0, "1 learning curves written; see them with: tensorboard --logdir curves\n")
    events = accumulator.EventAccumulator("curves/trial-0").Reload()
    (curve,) = json.loads(Path("runs/sunspots/report.json").read_text(encoding="utf-8"))["curves"]["kept"]
    shown = [(e.step, e.value) for e in events.Scalars("validation_score")]
    assert [step for step, _ in shown] == curve["epochs"]
    assert [value for _, value in shown] == pytest.approx(curve["val"])


def test_damaged_curves_are_refused_in_one_line(command_line: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "report.json").write_text('{"schema": 1, "curves": [{}]}')
    status, _, err = command_line("log", str(tmp_path), "--tensorboard", str(tmp_path / "curves"))
    assert status == 1
    assert re.search(r"report\.json is damaged \(TypeError: .*\); restore it from a copy, or run tune again\n$", err)


def test_without_the_packages_one_line_names_the_extra(
    command_line: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstm_tune.report.experiment_log.find_spec", lambda name: None)
    for option, value in {"mlflow": "sqlite:///x.db", "tensorboard": "curves"}.items():
        status, _, err = command_line("log", str(tmp_path), f"--{option}", value)
        assert (status, err) == (
            2,
            f"lstm-tune: this needs the package {option}: pip install 'lstm-tune[{option}]'\n",
        )
