"""The best LSTM for your time series in the time you have, an honest test MSE, and the reason why it was high."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_tune.config import Config
    from lstm_tune.diagnosis.data_findings import Diagnosis, diagnose
    from lstm_tune.errors import DataError, LstmTuneError, RunError, SpaceError, StudyError, UsageError
    from lstm_tune.pipeline.finish import finish
    from lstm_tune.pipeline.options import TuneOptions
    from lstm_tune.pipeline.saved_run import explain, load, load_result
    from lstm_tune.pipeline.tune import tune
    from lstm_tune.pipeline.worker import worker
    from lstm_tune.report.result import Result
    from lstm_tune.search.objective import Objective
    from lstm_tune.search.space import Space
    from lstm_tune.training.saved_model import ForecastModel

    __version__: str

# Where each public name is defined; nothing is imported before it is asked for.
_HOMES = {
    "Config": "config",
    "DataError": "errors",
    "Diagnosis": "diagnosis.data_findings",
    "ForecastModel": "training.saved_model",
    "LstmTuneError": "errors",
    "Objective": "search.objective",
    "Result": "report.result",
    "RunError": "errors",
    "Space": "search.space",
    "SpaceError": "errors",
    "StudyError": "errors",
    "TuneOptions": "pipeline.options",
    "UsageError": "errors",
    "diagnose": "diagnosis.data_findings",
    "explain": "pipeline.saved_run",
    "finish": "pipeline.finish",
    "load": "pipeline.saved_run",
    "load_result": "pipeline.saved_run",
    "tune": "pipeline.tune",
    "worker": "pipeline.worker",
}

__all__ = [
    "Config",
    "DataError",
    "Diagnosis",
    "ForecastModel",
    "LstmTuneError",
    "Objective",
    "Result",
    "RunError",
    "Space",
    "SpaceError",
    "StudyError",
    "TuneOptions",
    "UsageError",
    "diagnose",
    "explain",
    "finish",
    "load",
    "load_result",
    "tune",
    "worker",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `import lstm_tune` loads no torch."""
    if name == "__version__":
        from importlib.metadata import version

        return version("lstm-tune")  # that pyproject.toml names
    if name not in _HOMES:
        raise AttributeError(f"module 'lstm_tune' has no attribute {name!r}")
    with warnings.catch_warnings():
        # In a kernel without ipywidgets tqdm, which Optuna imports, warns of a bar that is not used here.
        warnings.filterwarnings("ignore", message="IProgress not found")
        return getattr(import_module(f"lstm_tune.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
