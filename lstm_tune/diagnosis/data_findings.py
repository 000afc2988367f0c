"""`diagnose`: possible causes of a high MSE that the data show before any training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lstm_tune.data.adapted_split import load_and_split
from lstm_tune.data.load import load_series
from lstm_tune.data.readers import Data
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Split
from lstm_tune.data.split_rule import SplitRule, read_split
from lstm_tune.data.summary import data_facts, overlap_facts, split_facts
from lstm_tune.diagnosis import (
    dataset_checks,
    level_checks,
    outlier_checks,
    scale_checks,
    shift_checks,
    signal_checks,
    value_checks,
)
from lstm_tune.diagnosis.baseline_scores import score_baselines
from lstm_tune.diagnosis.channel import Channel, channels_of, evenly_chosen
from lstm_tune.diagnosis.check import Check, run_checks
from lstm_tune.diagnosis.dataset_checks import DataSet
from lstm_tune.diagnosis.finding import SEVERITIES, SHOWN, Finding, by_severity, milder, most_severe
from lstm_tune.diagnosis.gate import Circumstances, gate
from lstm_tune.diagnosis.mse_scale import explain_scale, mse_scale
from lstm_tune.diagnosis.own_mse import OwnMse, judge_mse, read_own_mse
from lstm_tune.errors import DataError
from lstm_tune.evaluation.baseline_labels import table_label
from lstm_tune.training.parallel import single_threaded_torch
from lstm_tune.training.task import Task, build_task
from lstm_tune.utils import arguments
from lstm_tune.utils.notebook import card, lines, listing, paragraph, table
from lstm_tune.utils.notes import warn
from lstm_tune.utils.text import counted, number

_CONCERNED = 0.25  # share of the channels; if fewer are concerned, the finding is one severity lower
_CHANCE = 0.1  # … and below this share a statistical test may be wrong by chance
_NAMED = 10  # of the channels that a finding concerns
_FOLDS = 3  # as in `tune`, so that the baselines are the same

CHANNEL_CHECKS: tuple[Check[Channel], ...] = (
    *value_checks.CHECKS,
    *outlier_checks.CHECKS,
    *level_checks.CHECKS,
    *shift_checks.CHECKS,
    *signal_checks.CHECKS,
    *scale_checks.CHECKS,
)
DATA_CHECKS: tuple[Check[Any], ...] = (*CHANNEL_CHECKS, *scale_checks.SERIES_CHECKS, *dataset_checks.CHECKS)


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
        """Return what was looked at, in a line; short where the data were refused."""
        data = self.data
        what = [
            ", ".join(data.get("target") or ["no target"]),
            f"{counted(data['horizon'], 'row')} ahead",
            *([counted(data["rows"], "row")] if "rows" in data else []),
            *([f"{data['series']:,} series"] if data.get("series", 1) > 1 else []),
        ]
        return {"data": "; ".join(what), "healthy": "yes" if self.healthy else "no"}


@single_threaded_torch()  # the matrices are small: threads would wait for each other for most of their time
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
    target, id = arguments.columns_or_none("target", target), arguments.columns_or_none("id", id)
    past, future = arguments.columns("past", past), arguments.columns("future", future)
    static = arguments.columns("static", static)
    given = read_own_mse(mse, rmse, scaled)
    loaded: list[SeriesSet] = []

    def load(rule: SplitRule) -> SeriesSet:
        loaded.append(
            load_series(
                data,
                target=target,
                time=time,
                id=id,
                past=past,
                future=future,
                static=static,
                decimal=decimal,
                thousands=thousands,
                split=rule,
            )
        )
        return loaded[-1]

    try:
        cut = load_and_split(load, rule, horizon)
        series, parts = cut.series, cut.split
        task = build_task(series, parts, horizon, folds=_FOLDS, seasons=seasons)
    except DataError as error:
        facts = data_facts(loaded[-1], horizon) if loaded else {"path": _path(data), "horizon": horizon}
        return _refused(error, facts)
    facts = data_facts(series, horizon)
    facts["split"] = split_facts(series, parts)
    facts["time_overlap"] = overlap_facts(parts)
    facts["period"] = task.period
    facts["seasons"] = list(task.seasons)
    notes = [*series.notes, *parts.notes]
    facts["notes"] = notes
    warn(notes)
    looked = LookedAt.at(series, parts, task)
    channels = looked.channels
    facts["series_looked_at"] = len(channels)
    baselines = score_baselines(series, parts, task)
    scale = mse_scale(evenly_chosen(channels, signal_checks.MOST), task, series.targets, baselines)
    findings = gate(looked.findings(), Circumstances.of(task))
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
    from lstm_tune.diagnosis.catalogue import cause_of  # which reads the checks of this module

    return [cause for f in findings if f.severity != "info" and (cause := cause_of(f.to_dict()))]


def _span(channel: Channel) -> float:
    """Return the largest minus the smallest train value."""
    values = channel.seen(channel.values, "train")
    return float(np.ptp(values)) if len(values) else 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LookedAt:
    """The columns of series that were looked at, and what each check found in them.

    This compares test rows with the others, so a study may call it only after its end.
    """

    channels: Sequence[Channel]
    found: Sequence[tuple[Check[Channel], Sequence[Channel], Mapping[int, Finding]]]  # check, its channels, {number: …}
    of_all: Sequence[Finding]  # findings on all series together

    @classmethod
    def at(cls, series: SeriesSet, parts: Split, task: Task) -> LookedAt:
        """Look at the data.

        Args:
            series: all rows.
            parts: train, validation and test rows.
            task: what was built of both.
        """
        channels = channels_of(series, parts, task)
        found = []
        for check in CHANNEL_CHECKS:
            some = channels if check.most is None else evenly_chosen(channels, check.most)
            found.append((check, some, {i: f for i, c in enumerate(some) if (f := check.find(c)) is not None}))
        of_all = run_checks(scale_checks.SERIES_CHECKS, channels)
        of_all += run_checks(dataset_checks.CHECKS, DataSet(series=series, parts=parts, task=task))
        return cls(channels=channels, found=found, of_all=of_all)

    def findings(self) -> list[Finding]:
        """Return the worst finding of each code, most severe first."""
        every = [*(_of_all_channels(*one) for one in self.found), *self.of_all]
        worst: dict[str, Finding] = {}
        for finding in by_severity(f for f in every if f is not None):
            worst.setdefault(finding.code, finding)
        return list(worst.values())

    def first(self) -> dict[tuple[str, str], str]:
        """Return {(series, target): code of its most severe finding}, of those that have one."""
        own: dict[tuple[str, str], list[Finding]] = {}
        for _, channels, found in self.found:
            for i, finding in found.items():
                own.setdefault((channels[i].series, channels[i].target), []).append(finding)
        return {key: worst.code for key, findings in own.items() if (worst := most_severe(findings)) is not None}


def data_findings(series: SeriesSet, parts: Split, task: Task) -> list[Finding]:
    """Return the findings on the data, most severe first; see `LookedAt`."""
    return LookedAt.at(series, parts, task).findings()


def _of_all_channels(
    check: Check[Channel], channels: Sequence[Channel], found: Mapping[int, Finding]
) -> Finding | None:
    """Return the most severe finding of one check, with the number of channels that it concerns and the worst ones."""
    worst = most_severe(found.values())
    if worst is None or len(channels) == 1:
        return worst
    channel = channels[next(i for i, finding in found.items() if finding is worst)]
    alike = sum(finding.severity == worst.severity for finding in found.values()) / len(channels)
    severity = worst.severity
    if alike < _CONCERNED:
        severity = milder(severity)
    if alike < _CHANCE and check.may_be_chance:
        severity = milder(severity)
    name = f"series {channel.series!r}" if channel.series else f"column {channel.target!r}"
    if channel.series and len({c.target for c in channels}) > 1:
        name += f", column {channel.target!r}"
    kind = "series" if any(c.series for c in channels) else "columns"
    share = f"{len(found):,} of {len(channels):,} {kind} ({len(found) / len(channels):.0%})"
    most = "the clearest is" if check.cause is None else "the worst is"
    concerned = f"{share} have this finding; {most} {name}" if len(found) > 1 else f"{share} has this finding, {name}"
    ranked = sorted(found, key=lambda i: (SEVERITIES.index(found[i].severity), -found[i].rank))[:_NAMED]
    return replace(
        worst,
        severity=severity,
        evidence={
            **worst.evidence,
            "target": channel.target,
            "series": channel.series,
            f"{kind}_concerned": len(found),
            f"{kind}_looked_at": len(channels),
            "worst": [channels[i].series or channels[i].target for i in ranked],
        },
        says=f"{concerned}: {worst.says}",
    )


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
