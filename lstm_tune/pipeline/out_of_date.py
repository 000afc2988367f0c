"""Whether a saved model is out of date: the newest rows beside the trained ones, the newest errors beside the test's.

Both judgements are careful: a level that wanders by itself is no sign, and neither are errors that the test explains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lstm_tune.data.readers import names_data
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges
from lstm_tune.data.time_labels import TimeStyle, series_name
from lstm_tune.data.windows import Windows
from lstm_tune.diagnosis.autocorrelated_tests import compare_means
from lstm_tune.diagnosis.channel import NEWEST, Channel, evenly_chosen, without_outliers
from lstm_tune.diagnosis.finding import Finding
from lstm_tune.diagnosis.shift_checks import train_test_shift
from lstm_tune.errors import LstmTuneError
from lstm_tune.evaluation.score import score
from lstm_tune.evaluation.significance import TimeBlocks, interval
from lstm_tune.report.run_folder import RESULT, SCHEMA
from lstm_tune.training.saved_model import ForecastModel
from lstm_tune.utils.atomic_files import read_json
from lstm_tune.utils.escaping import shell

_CHANNELS = 8  # targets of series that are looked at, evenly spaced
_FEWEST = 8  # rows before and after, to compare
_MOST_WINDOWS = 4_096  # the newest ones
_CLEAR, _P = 1.0, 0.02  # standard deviations between the means, and the chance of as many, divided by the channels
_LARGER = 1.5  # times the test error, from which errors are worth a word


class TestError(NamedTuple):
    """How far a model was off on the test rows of its run."""

    mse: float  # scaled
    high: float  # upper end of its 95% interval
    rows: int  # test rows of each series that it was not trained on
    every: int  # of all series
    series: int  # that the run has


def watch(model: ForecastModel, record: Mapping[str, Any] | None, folder: Path | None) -> None:
    """Let a model say when it is out of date, whenever it forecasts or scores data.

    Args:
        model: of a run.
        record: `result.json` of the run; None: there is none.
        folder: of the run; None: it has none.
    """
    model.watch = _Watch(model, error_of_test(record), folder)


@dataclass(frozen=True)
class _Watch:
    """What a model says of the data that it is given; a class, since a model can be pickled."""

    model: ForecastModel
    test: TestError | None
    folder: Path | None

    def __call__(self, data: SeriesSet) -> tuple[str, ...]:
        reasons = out_of_date(self.model, self.test, data)
        if not reasons:
            return ()
        known = self.folder is not None and names_data(data.path)
        remedy = f"lstm-tune refit {shell(str(self.folder))} {shell(data.path)}" if known else "model.refit(frame)"
        return (f"the model may be out of date: {'; '.join(reasons)}; to train it on the newest rows: {remedy}",)


def read_result(folder: Path) -> Mapping[str, Any] | None:
    """Return `result.json` of a run folder; None: there is none that can be read, for instance a model alone."""
    try:
        return read_json(folder / RESULT, SCHEMA)
    except LstmTuneError:
        return None


def out_of_date(model: ForecastModel, test: TestError | None, data: SeriesSet) -> tuple[str, ...]:
    """Return why a model seems to be out of date, in sentences; none: it does not, or the data cannot tell.

    The rows after those that it was trained on are compared with these, if the data hold both and rows after the test
    rows, too, by the rule of `train_test_shift`; and its errors on rows after the test rows with its test error.

    Args:
        model: of the run.
        test: its error on the test rows; None: not known.
        data: read by the model.
    """
    new = _new_rows(model, data)
    if new is None or (test is not None and _tested(data, new, test)):
        return ()  # what they show is told by the findings of the run
    reasons = [*_shifts(model, data, new, 0 if test is None else test.rows)][:3]
    errors = "" if test is None else _errors(model, data, new, test)
    return (*reasons, *([errors] if errors else []))


def _tested(data: SeriesSet, new: Ranges, test: TestError) -> bool:
    """Return whether the new rows are no more than those that the run has tested, of as many series as are here."""
    rows = sum(int(data.observed[:, a:b].any(0).sum()) for a, b in new)
    return rows * test.series <= test.every * min(data.n_series, test.series)


def _new_rows(model: ForecastModel, data: SeriesSet) -> Ranges | None:
    """Return the rows of each series that are newer than all trained ones; None: the data do not hold these."""
    if model.trained is None or not model.trained.holds(data, model.scale):
        return None
    ranges = []
    for start, end in zip(data.offsets, data.offsets[1:], strict=False):
        ranges.append((start + model.trained.count(data, start, end), end))
    return tuple(ranges)


def _shifts(model: ForecastModel, data: SeriesSet, new: Ranges, between: int) -> Iterator[str]:
    """Yield a sentence for each target of a series whose new rows differ from the trained ones by more than chance.

    The test rows, `between` of each series, and the rows after them are compared one by one: else a shift that is newer
    than the test rows would be diluted by these.
    """
    every = [(c, s) for s in range(data.n_series) for c in range(data.n_channels)]
    chosen = evenly_chosen(every, _CHANNELS)
    for c, s in chosen:
        start, (border, end) = max(data.offsets[s], new[s][0] - NEWEST), new[s]
        newest = border + between if end - border - between >= 2 * _FEWEST else border
        observed = data.observed[c]
        if min(int(observed[start:border].sum()), int(observed[newest:end].sum())) < _FEWEST:
            continue
        channel = Channel.cut(
            data,
            c,
            s,
            (start, border, newest, end),
            horizon=model.horizon,
            period=model.shape.period if model.shape.period > 1 else None,
            channels=len(chosen),
        )
        name = series_name(data.series[s], data.targets[c], data.n_channels)
        found = train_test_shift(channel)
        if found is None and (moved := _level_shift(channel)):
            yield f"on the newest {end - newest:,} rows {_moved(name, moved)}"
        if found is not None:
            row = border if found.evidence.get("part") == "validation" else newest
            since = TimeStyle.of(data.times, data.zone).labels(np.asarray(data.times[row : row + 1]))[0]
            yield f"since {since} {_shift(name, found)}"


def _shift(name: str, found: Finding) -> str:
    """Return what has changed, as the end of a sentence."""
    moved, ratio = found.evidence.get("mean_shift_in_sd"), found.evidence.get("variance_ratio")
    if moved is not None and abs(moved) >= 0.5:
        return _moved(name, moved)
    if "ks_distance" in found.evidence or ratio is None:
        return f"the values of {name} are distributed otherwise than in the rows that the model was trained on"
    return f"the variance of {name} is {ratio:.2g} times that of the rows that the model was trained on"


def _moved(name: str, moved: float) -> str:
    way = "higher" if moved > 0 else "lower"
    return f"{name} lies {abs(moved):.1f} standard deviations {way} than in the rows that the model was trained on"


def _level_shift(channel: Channel) -> float:
    """Return by how many standard deviations the newest rows lie higher, if by one or more and beyond chance; else 0.

    A few dozen rows that depend on each other cannot pass the test of `train_test_shift`, which looks for smaller
    shifts in many series at once.
    """
    before, after = (without_outliers(channel.seen(channel.seasonless, part)) for part in ("train", "test"))
    found = compare_means(before, after, channel.period or 0)
    return found.effect if abs(found.effect) >= _CLEAR and found.p < _P / channel.channels else 0.0


def _errors(model: ForecastModel, data: SeriesSet, new: Ranges, test: TestError) -> str:
    """Return a sentence if the newest errors are larger than the test error explains; "": they are not."""
    recent = tuple((min(border + test.rows, end), end) for border, end in new)
    windows = Windows(data, model.horizon, period=model.shape.period)
    positions = windows.positions(recent, model.lookback, reach_back=True)
    if len(positions) < _FEWEST:
        return ""
    newest = positions[max(0, len(positions) - _MOST_WINDOWS) :] if data.n_series == 1 else positions[:]
    network, scale = model.for_data(data)
    found = score(network, windows, newest, scale)
    low, _ = interval(found, TimeBlocks.of(windows, newest, recent, model.shape.period), scale)
    if not (low > test.high and found.mse_scaled > _LARGER * test.mse):
        return ""
    times = found.mse_scaled / test.mse
    return f"its squared errors on the newest {len(newest):,} windows are {times:.1f} times those on the test rows"


def error_of_test(record: Mapping[str, Any] | None) -> TestError | None:
    """Return the test error of a run, from its `result.json`; None: it has none that tells anything."""
    if record is None:
        return None
    try:
        test, data = record["test"], record["data"]
        unit = test["mse_scaled"] / test["mse"] if isinstance(test["mse"], float) else 1.0  # `ci95` is that of `mse`
        # After a refit the test rows are among those trained on, so there are none.
        every = 0 if "refit" in record else int(data["split"]["test"]["rows"])
        mse, high = float(test["mse_scaled"]), float(test["ci95"][1]) * unit
        series = int(data["series"])
        return TestError(mse=mse, high=high, rows=every // series, every=every, series=series)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
