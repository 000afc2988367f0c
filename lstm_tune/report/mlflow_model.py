"""A saved model as MLflow loads it: nothing is pickled, the files are those of `ForecastModel.save`."""

from __future__ import annotations

from typing import Any

import pandas as pd

from lstm_tune.training.saved_model import ForecastModel


class MlflowModel:
    """What `mlflow.pyfunc.load_model` wraps."""

    def __init__(self, model: ForecastModel) -> None:
        self._model = model

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return what `ForecastModel.predict` does; `params` are its further arguments, such as `level`."""
        return self._model.predict(data, **(params or {}))


def _load_pyfunc(path: str) -> MlflowModel:
    """Load a model; MLflow asks for this name."""
    return MlflowModel(ForecastModel.load(path))
