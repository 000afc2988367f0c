"""The checks of the data: which there are, and what they find in all series together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Split
from lstm_tune.diagnosis import (
    dataset_checks,
    level_checks,
    outlier_checks,
    scale_checks,
    shift_checks,
    signal_checks,
    value_checks,
)
from lstm_tune.diagnosis.channel import Channel, channels_of, evenly_chosen
from lstm_tune.diagnosis.check import Check, run_checks
from lstm_tune.diagnosis.dataset_checks import DataSet
from lstm_tune.diagnosis.finding import SEVERITIES, Finding, by_severity, milder, most_severe
from lstm_tune.training.task import Task

_CONCERNED = 0.25  # share of the channels; if fewer are concerned, the finding is one severity lower
_CHANCE = 0.1  # … and below this share a statistical test may be wrong by chance
_NAMED = 10  # of the channels that a finding concerns

CHANNEL_CHECKS: tuple[Check[Channel], ...] = (
    *value_checks.CHECKS,
    *outlier_checks.CHECKS,
    *level_checks.CHECKS,
    *shift_checks.CHECKS,
    *signal_checks.CHECKS,
    *scale_checks.CHECKS,
)
DATA_CHECKS: tuple[Check[Any], ...] = (*CHANNEL_CHECKS, *scale_checks.SERIES_CHECKS, *dataset_checks.CHECKS)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CheckResults:
    """What each check found in the columns of the series, up to 200 of them.

    This compares test rows with the others, so a study may call it only after its end.
    """

    channels: Sequence[Channel]
    found: Sequence[tuple[Check[Channel], Sequence[Channel], Mapping[int, Finding]]]  # check, its channels, {number: …}
    of_all: Sequence[Finding]  # findings on all series together

    @classmethod
    def of(cls, series: SeriesSet, parts: Split, task: Task) -> CheckResults:
        """Apply all checks.

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
