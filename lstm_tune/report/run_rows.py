"""The rows of a finished run, read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstm_tune.data.readers import names_data
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Split, make_split
from lstm_tune.data.split_rule import DEFAULT_SPLIT, read_split
from lstm_tune.errors import UsageError
from lstm_tune.report.run_folder import RESULT
from lstm_tune.training.saved_model import ForecastModel
from lstm_tune.utils import arguments
from lstm_tune.utils.atomic_files import refuse_damage


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RunRows:
    """All rows of a run, and how it divided them."""

    series: SeriesSet
    split: Split
    folds: int  # validation blocks that were asked for
    seasons: tuple[int, ...]  # that were asked for; (): none


def read_rows(folder: Path, model: ForecastModel, record: Mapping[str, Any], data: Any, remedy: str) -> RunRows:
    """Read the data of a run, and split them as it did.

    Args:
        folder: of the run.
        model: of the run.
        record: what `result.json` holds.
        data: of the run; None: they are where they were.
        remedy: how to name the data, for the error.

    Raises:
        RunError: the record is damaged.
        UsageError: the data are no longer there, or others than those of the run.
        DataError: they cannot be read.
    """
    with refuse_damage(folder / RESULT, UsageError):
        settings, source = record["settings"], str(record["data"]["path"])
        fingerprint, rule = str(settings["data"]), read_split("split", settings["split"])
        folds = arguments.whole("folds", settings["folds"], 1)
        seasons = tuple(arguments.whole("season", rows, 2) for rows in settings.get("season") or ())
    if data is None and not names_data(source):
        raise UsageError(f"the data of the run are no longer at {source!r}; {remedy}")
    series = model.read(source if data is None else data, split=rule)
    if not series.has_fingerprint(fingerprint):
        raise UsageError(
            f"{series.path!r} does not hold the data that {str(folder)!r} was tuned on; {remedy}, or run tune again"
        )
    split = make_split(series, rule or DEFAULT_SPLIT, model.horizon)
    return RunRows(series=series, split=split, folds=folds, seasons=seasons)
