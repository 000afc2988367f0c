"""The commands that hand a run to other programs: `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstm_tune.cli import options as shared
from lstm_tune.cli.console import print_line
from lstm_tune.errors import UsageError


def export(
    run: shared.Run,
    onnx: Annotated[
        Path | None, typer.Option("--onnx", metavar="FILE", help="Write an ONNX file there.", show_default=False)
    ] = None,
) -> None:
    """Write the model of a run as a file that runs without torch.

    It takes raw values and gives raw values.
    """
    if onnx is None:
        raise UsageError("export needs to know what to write: lstm-tune export RUN --onnx FILE")
    from lstm_tune.pipeline import saved_run

    model = saved_run.load(run)
    model.to_onnx(onnx)
    inputs = ", ".join(f"{name} (batch{''.join(f', {n}' for n in size)})" for name, size in model.module.inputs.items())
    print_line(f"written to {onnx}; its inputs are {inputs}, its output is forecast (batch, {model.horizon}, "
               f"{len(model.spec.targets)})")  # fmt: skip
