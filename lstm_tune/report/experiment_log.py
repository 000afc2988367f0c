"""A finished run in the books of others: an experiment of MLflow, event files of TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lstm_tune.errors import RunError, UsageError
from lstm_tune.report.page import DETAILS
from lstm_tune.report.page import SCHEMA as DETAILS_SCHEMA
from lstm_tune.report.run_folder import RESULT, SCHEMA
from lstm_tune.utils.atomic_files import read_json, refuse_damage

_LOADER = "lstm_tune.report.mlflow_model"
_FILES = (RESULT, "trials.csv", "forecast.csv", "series.csv", "report.html", "run.toml", "explain.json")


def log_to_mlflow(folder: Path, uri: str) -> str:
    """Log parameters, metrics, learning curves, tables, report and model as a run of MLflow, and return the run's id.

    The experiment is called as the study. The model is a `pyfunc` that `mlflow.pyfunc.load_model` loads back; the
    packages `lstm_tune` and mlflow must be there.

    Args:
        folder: the run folder.
        uri: of the tracking server, such as http://localhost:5000 or sqlite:///mlflow.db.

    Raises:
        UsageError: the package for it is not installed.
        RunError: the folder holds no result, or MLflow refused it.
    """
    _need("mlflow")
    import mlflow

    record = _result(folder)
    with refuse_damage(folder / RESULT):
        name, parameters, metrics = str(record["study"]["name"]), _parameters(record), _metrics(record)
    with refuse_damage(folder / DETAILS):
        points = [point for curve in _curves(folder)[:1] for point in _points(curve)]
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        experiment = mlflow.set_experiment(name)
        with mlflow.start_run(experiment_id=experiment.experiment_id, run_name=folder.resolve().name) as run:
            mlflow.log_params(parameters)
            mlflow.log_metrics(metrics)
            for epoch, values in points:
                mlflow.log_metrics(values, step=epoch)
            for file in _FILES:
                if (folder / file).exists():
                    mlflow.log_artifact(str(folder / file))
            if (folder / "model").is_dir():
                mlflow.pyfunc.log_model(
                    name="model", loader_module=_LOADER, data_path=str(folder / "model"), pip_requirements=["lstm-tune"]
                )
        return str(run.info.run_id)
    except mlflow.exceptions.MlflowException as error:
        raise RunError(f"MLflow refused the run: {' '.join(str(error).split())}; check the URI") from None
    finally:
        mlflow.set_tracking_uri(before)


def log_to_tensorboard(run: Path, folder: Path) -> int:
    """Write the learning curves of the trials, each as a run of TensorBoard, and return how many there are.

    Raises:
        UsageError: the package for it is not installed.
        RunError: the run folder holds no learning curves, or the files could not be written.
    """
    _need("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    with refuse_damage(run / DETAILS):
        kept = {str(curve["trial"]): list(_points(curve)) for curve in _curves(run)}
    if not kept:
        raise RunError(f"{run / DETAILS} holds no learning curve; it is written where tune ends with a result")
    try:
        for trial, points in kept.items():
            with SummaryWriter(log_dir=str(folder / f"trial-{trial}")) as writer:
                for epoch, values in points:
                    for name, value in values.items():
                        writer.add_scalar(name, value, epoch)
    except OSError as error:
        raise RunError(f"{folder} could not be written ({error.strerror or error}); name another folder") from None
    return len(kept)


def _need(package: str) -> None:
    if find_spec(package) is None:
        raise UsageError(f"this needs the package {package}: pip install 'lstm-tune[{package}]'")


def _result(folder: Path) -> dict[str, Any]:
    if not (folder / RESULT).exists():
        raise RunError(f"{str(folder)!r} holds no {RESULT}; give the run folder that tune wrote")
    return read_json(folder / RESULT, SCHEMA)


def _parameters(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the best trial's parameters, and the options of the study as `option.NAME`."""
    options = {f"option.{name}": value for name, value in record["options"].items() if value not in (None, [])}
    return {**record["best"]["params"], **options}


def _metrics(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores on the test rows, those of the forecasts without an LSTM, and that of the best trial."""
    found = {f"test.{name}": record["test"][name] for name in ("mse", "rmse", "mae", "r2", "mse_scaled")}
    found |= {f"test.{name}": value for name, value in record["test"]["metrics"].items()}
    for name, scores in record["baselines"].items():
        found[f"baseline.{name}.test_mse_scaled"] = scores["test_mse_scaled"]
        found[f"skill.{name}"] = record["skill"][name]
    found["best.val_mse_scaled"] = record["best"]["val_mse_scaled"]
    # Of several targets some scores are lists, one number for each: their names are in result.json.
    return {
        name: float(value) for name, value in found.items() if isinstance(value, int | float) and math.isfinite(value)
    }


def _curves(folder: Path) -> list[dict[str, Any]]:
    """Return the learning curves that the report draws, the best trial's first."""
    if not (folder / DETAILS).exists():
        return []
    curves: list[dict[str, Any]] = read_json(folder / DETAILS, DETAILS_SCHEMA)["curves"]["kept"]
    return curves


def _points(curve: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield each epoch with the validation score and, if it was kept, the training loss."""
    train = curve.get("train") or [None] * len(curve["epochs"])
    for epoch, val, loss in zip(curve["epochs"], curve["val"], train, strict=True):
        both = {"validation_score": val, "training_loss": loss}
        if values := {name: value for name, value in both.items() if value is not None}:
            yield epoch, values
