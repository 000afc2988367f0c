"""The commands that hand a run to other programs: `export` and `log`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstm_tune.cli import options as shared
from lstm_tune.cli.console import print_line
from lstm_tune.errors import UsageError
from lstm_tune.utils.text import counted


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
    print_line(f"writing {counted(len(model.network.members), 'network')}, up to three seconds each")
    model.to_onnx(onnx)
    inputs = ", ".join(f"{name} (batch{''.join(f', {n}' for n in size)})" for name, size in model.module.inputs.items())
    print_line(f"written to {onnx}; its inputs are {inputs}, its output is forecast (batch, {model.horizon}, "
               f"{len(model.spec.targets)})")  # fmt: skip


def log(
    run: shared.Run,
    mlflow: Annotated[
        str | None,
        typer.Option("--mlflow", metavar="URI", help="Log it to this MLflow tracking server.", show_default=False),
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option("--tensorboard", metavar="DIR", help="Write learning curves for TensorBoard.", show_default=False),
    ] = None,
) -> None:
    """Log a run to MLflow, or its learning curves to TensorBoard."""
    if mlflow is None and tensorboard is None:
        raise UsageError("log needs to know where to: --mlflow URI, --tensorboard DIR, or both")
    from lstm_tune.report import experiment_log
    from lstm_tune.storage.urls import mask_password

    if mlflow is not None:
        number = experiment_log.log_to_mlflow(run, mlflow)
        print_line(f"logged to {mask_password(mlflow)} as run {number}")
    if tensorboard is not None:
        count = experiment_log.log_to_tensorboard(run, tensorboard)
        print_line(f"{count} learning curves written; see them with: tensorboard --logdir {tensorboard}")
