"""The model as an ONNX file: raw values in, raw values out, any number of windows at once."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import torch

from lstm_tune.data.holidays import holiday_names
from lstm_tune.errors import RunError, UsageError
from lstm_tune.models.data_spec import DataSpec
from lstm_tune.models.raw_module import RawForecaster
from lstm_tune.utils.atomic_files import atomic_write

METADATA = "lstm_tune"  # the key of the file's metadata that holds names and sizes as JSON
_PACKAGES = ("onnx", "onnxscript")


def write_onnx(module: RawForecaster, spec: DataSpec, path: Path) -> None:
    """Write the module, with the names of columns and series as metadata.

    The inputs are those that `module.inputs` names; the output is `forecast` (batch, H, C).

    Raises:
        UsageError: the packages for it are not installed, or the file's folder is missing.
        RunError: the file could not be written.
    """
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise UsageError(f"ONNX files need the package {missing[0]}: pip install 'lstm-tune[onnx]'")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {str(path.parent)!r} for {path.name}; make it first")
    whole = {"time": torch.int64, "series": torch.int64}
    # Two windows: the exporter would take a single one for the only number there is.
    example = {n: torch.zeros(2, *size, dtype=whole.get(n, torch.float64)) for n, size in module.inputs.items()}
    example["history"] += 1.0  # a value with a logarithm
    size = torch.export.Dim("batch")
    try:
        with torch.no_grad(), _quiet(), atomic_write(path) as beside:
            program = torch.onnx.export(
                module,
                (),
                kwargs=example,
                dynamo=True,
                dynamic_shapes={name: {0: size} for name in example},
                output_names=["forecast"],
                verbose=False,
            )
            assert program is not None
            program.model.metadata_props[METADATA] = json.dumps(_facts(module, spec), ensure_ascii=False)
            program.save(beside)
    except OSError as error:
        raise RunError(f"{path} could not be written ({error.strerror or error}); name another file") from None


def _facts(module: RawForecaster, spec: DataSpec) -> dict[str, object]:
    return {
        "targets": spec.targets,
        "past": spec.past,
        "future": [*spec.future, *spec.static, *holiday_names(spec.holidays)],
        "categories": {name: list(words) for name, words in spec.categories.items()},
        "freq": spec.freq,
        "series": spec.series if "series" in module.inputs else (),
        "lookback": module.network.context,
        "horizon": module.horizon,
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's warnings of torch's deprecations and of packages that are not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
