"""The best LSTM for your time series in the time you have, an honest test MSE, and the reason why it was high."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_tune.config import Config
    from lstm_tune.diagnosis.data_findings import diagnose
    from lstm_tune.errors import DataError, LstmTuneError, RunError, StudyError, UsageError
    from lstm_tune.models.saved_model import ForecastModel
    from lstm_tune.pipeline.tune import load, tune
    from lstm_tune.report.result import Result
    from lstm_tune.search.objective import Objective

__all__ = [
    "Config",
    "DataError",
    "ForecastModel",
    "LstmTuneError",
    "Objective",
    "Result",
    "RunError",
    "StudyError",
    "UsageError",
    "diagnose",
    "load",
    "tune",
]

_HOMES = {
    "tune": "pipeline.tune",
    "load": "pipeline.tune",
    "diagnose": "diagnosis.data_findings",
    "Config": "config",
    "ForecastModel": "models.saved_model",
    "Objective": "search.objective",
    "Result": "report.result",
    "SpaceError": "errors",  # a UsageError: the public names are twelve
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `import lstm_tune` loads no torch."""
    if name not in __all__ and name not in _HOMES:
        raise AttributeError(f"module 'lstm_tune' has no attribute {name!r}")
    return getattr(import_module(f"lstm_tune.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return __all__
