"""`diagnose`: possible causes of a high MSE that the data show before any training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lstm_tune.data.adapted_split import CutSeries, load_and_split
from lstm_tune.data.load import load_series
from lstm_tune.data.readers import Data
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split_rule import SplitRule, read_split
from lstm_tune.data.summary import data_facts, overlap_facts, split_facts
from lstm_tune.diagnosis import signal_checks
from lstm_tune.diagnosis.baseline_scores import score_baselines
from lstm_tune.diagnosis.channel import Channel, evenly_chosen
from lstm_tune.diagnosis.data_checks import CheckResults
from lstm_tune.diagnosis.finding import SHOWN, Finding
from lstm_tune.diagnosis.gate import Circumstances, gate
from lstm_tune.diagnosis.mse_scale import explain_scale, mse_scale
from lstm_tune.diagnosis.own_mse import OwnMse, judge_mse, read_own_mse
from lstm_tune.errors import DataError
from lstm_tune.evaluation.baseline_labels import table_label
from lstm_tune.training.parallel import single_threaded
from lstm_tune.training.task import Task, build_task
from lstm_tune.utils import arguments
from lstm_tune.utils.notebook import card, lines, listing, paragraph, table
from lstm_tune.utils.notes import warn
from lstm_tune.utils.text import counted, number

_FOLDS = 3  # as in `tune`, so that the baselines are the same


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Diagnosis:
    """What the data show before any training; see `diagnose`."""

    findings: tuple[Finding, ...]  # most severe first
    data: Mapping[str, Any]  # facts: path, rows, freq, target, series, horizon, split, period, missing, repaired, notes
    baselines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # as in result.json, and `train_mean`
    scale: Mapping[str, Any] = field(default_factory=dict)  # what an MSE means here: unit, noise floor, its method
    meaning: tuple[str, ...] = ()  # the same in sentences
    own: OwnMse | None = None  # what the MSE that was given is worth; None: none was given

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong with the data: every finding is for information only."""
        return all(f.severity == "info" for f in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "schema": 1,
            "data": dict(self.data),
            "healthy": self.healthy,
            "findings": [f.to_dict() for f in self.findings],
            "baselines": {name: dict(b) for name, b in self.baselines.items()},
            "scale": dict(self.scale),
            "meaning": list(self.meaning),
            "own": None if self.own is None else self.own.to_dict(),
        }

    def __repr__(self) -> str:
        """Return the data in a line, and what was found."""
        return lines("Diagnosis", self._facts() | {f.code: f"{f.severity}: {f.says}" for f in self.findings[:SHOWN]})

    def _repr_html_(self) -> str:
        scores = [
            [
                table_label(name, self.data["period"]),
                *(number(b[key], 4) for key in ("test_mse_scaled", "val_mse_scaled")),
            ]
            for name, b in self.baselines.items()
        ]
        found = [(f"{f.severity} · {f.code}", f"{f.says} {f.advice}") for f in self.findings[:SHOWN]]
        data, *meaning = [paragraph(text) for text in (self._facts()["data"], *self.meaning)]
        header = ["forecast without an LSTM", "test MSE, scaled", "validation MSE, scaled"]
        return card("Diagnosis", data, listing(found), table(header, scores), *meaning)

    def _facts(self) -> dict[str, str]:
        """Return what was looked at, in a line; short if the data were refused."""
        data = self.data
        what = [
            ", ".join(data.get("target") or ["no target"]),
            f"{counted(data['horizon'], 'row')} ahead",
            *([counted(data["rows"], "row")] if "rows" in data else []),
            *([f"{data['series']:,} series"] if data.get("series", 1) > 1 else []),
        ]
        return {"data": "; ".join(what), "healthy": "yes" if self.healthy else "no"}


@single_threaded()  # the matrices are small: threads would wait for each other for most of their time
def diagnose(
    data: Data,
    *,
    target: str | Sequence[str] | None = None,
    horizon: int = 1,
    time: str | None = None,
    id: str | Sequence[str] | None = None,
    past: Sequence[str] = (),
    future: Sequence[str] = (),
    static: Sequence[str] = (),
    decimal: str | None = None,
    thousands: str | None = None,
    split: Sequence[Any] | str | None = None,
    season: int | Sequence[int] = (),
    mse: float | None = None,
    rmse: float | None = None,
    scaled: str | None = None,
) -> Diagnosis:
    """Find what in the data makes an LSTM's MSE high, without training one.

    Unlike a study this reads the test rows: to compare them with the others, and to score the forecasts that need no
    training.

    Args:
        data: DataFrame, Series, array, path of a CSV, Parquet, Feather or Excel file, or "example:NAME".
        target: column, or columns, to forecast; by default the only one there is.
        horizon: rows to forecast at once.
        time: the time column; by default an obvious one is found.
        id: column that names the series, if the data hold many series in long format; several columns are joined.
        past: covariates that are known up to now.
        future: covariates that are known into the future, too.
        static: covariates that do not change within a series.
        decimal: decimal mark of numbers in text, "." or ","; by default it is found.
        thousands: separator of thousands in text; by default it is found.
        split: train, validation and test rows, as `lstm_tune.tune` takes them.
        season: rows in a season, or in each of several; by default they are found.
        mse: that a model of yours has on the test rows: `own` says what it is worth.
        rmse: its root, in place of it.
        scaled: how the values were scaled on which it was computed, "minmax" (to 0 and 1) or "standard"; None: not at
            all.

    Returns:
        Findings, and what an MSE of a given size means for these data. If the data are refused because they are
        constant, too few or contradict themselves, the only finding says so.

    Raises:
        DataError: the data cannot be read.
        UsageError: an argument is wrong.
    """
    horizon = arguments.whole("horizon", horizon, 1)
    rule, seasons = read_split("split", split), arguments.wholes("season", season, 2)
    reading = arguments.reading(target=target, time=time, id=id, past=past, future=future, static=static)
    reading |= arguments.reading(decimal=decimal, thousands=thousands)
    given = read_own_mse(mse, rmse, scaled)
    loaded: list[SeriesSet] = []

    def load(rule: SplitRule) -> SeriesSet:
        loaded.append(load_series(data, **reading, split=rule))
        return loaded[-1]

    try:
        cut = load_and_split(load, rule, horizon)
        task = build_task(cut.series, cut.split, horizon, folds=_FOLDS, seasons=seasons)
    except DataError as error:
        facts = data_facts(loaded[-1], horizon) if loaded else {"path": _path(data), "horizon": horizon}
        return _refused(error, facts)
    return _diagnosis(cut, task, horizon, given, scaled)


def _diagnosis(cut: CutSeries, task: Task, horizon: int, given: float | None, scaled: str | None) -> Diagnosis:
    """Return what the data show, and what a given MSE is worth on them."""
    series, parts = cut.series, cut.split
    facts = data_facts(series, horizon) | {
        "split": split_facts(series, parts),
        "time_overlap": overlap_facts(parts),
        "period": task.period,
        "seasons": list(task.seasons),
        "notes": [*series.notes, *parts.notes],
    }
    warn(facts["notes"])
    results = CheckResults.of(series, parts, task)
    channels = results.channels
    facts["series_looked_at"] = len(channels)
    baselines = score_baselines(series, parts, task)
    scale = mse_scale(evenly_chosen(channels, signal_checks.MOST), task, series.targets, baselines)
    findings = gate(results.findings(), Circumstances.of(task))
    own = None
    if given is not None:
        span = max(_span(channel) for channel in channels)
        own = judge_mse(given, scaled, span=span, scale=scale, baselines=baselines, causes=_causes(findings))
    return Diagnosis(
        findings=tuple(findings),
        data=facts,
        baselines=baselines,
        scale=scale,
        meaning=explain_scale(scale, baselines),
        own=own,
    )


def _causes(findings: Sequence[Finding]) -> list[str]:
    """Return the causes of error that the findings are, the most severe first."""
    from lstm_tune.diagnosis.catalogue import cause_of  # which loads Optuna; few ask for it

    return [cause for f in findings if f.severity != "info" and (cause := cause_of(f.to_dict()))]


def _span(channel: Channel) -> float:
    """Return the largest minus the smallest train value."""
    values = channel.seen(channel.values, "train")
    return float(np.ptp(values)) if len(values) else 0.0


def _refused(error: DataError, facts: Mapping[str, Any]) -> Diagnosis:
    """Return the diagnosis of data that cannot be trained on, if the reason has a finding code.

    Raises:
        DataError: the reason has no code.
    """
    if error.code is None:
        raise error
    text = str(error)
    says, _, advice = text.rpartition("; ") if "; " in text else (text, "", "use other data")
    finding = Finding(
        code=error.code,
        severity="high",
        evidence={"refused": True},
        says=f"{says[0].upper()}{says[1:]}, so nothing can be trained on these data.",
        by_hand=f"{advice[0].upper()}{advice[1:].rstrip('.')}.",
    )
    return Diagnosis(findings=(finding,), data=facts)


def _path(data: Data) -> str:
    return str(data) if isinstance(data, (str, bytes)) or hasattr(data, "__fspath__") else type(data).__name__
