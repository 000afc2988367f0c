"""The commands that hand a run to other programs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from series import TINY

import lstm_tune
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
    assert err == (
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
