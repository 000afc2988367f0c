"""Checks of a channel's regularity: its season, and how much its own past says about the next values."""

from __future__ import annotations

import numpy as np

from lstm_tune.config import Config
from lstm_tune.diagnosis import stationarity
from lstm_tune.diagnosis.action import Action, at_least, each, options
from lstm_tune.diagnosis.channel import NEWEST, Channel
from lstm_tune.diagnosis.check import Check, Evidence, Params, first_setting
from lstm_tune.diagnosis.finding import Finding, Severity
from lstm_tune.diagnosis.predictability import Signal
from lstm_tune.utils.text import number, rounded

MOST = 20  # channels: the estimate takes a tenth of a second
_PLAIN_LOOKBACK = Config().lookback
_SEASON = 0.3  # strength of a season that is worth a word
_YEAR = 0.15  # … and share of the variance of that of a year
_EXPLAINED: tuple[tuple[float, Severity], ...] = ((0.06, "warn"), (0.12, "info"))  # below: severity
_WHITE_NOISE = 0.05  # explained share below which a series may be white noise
_NO_GAIN = 0.01  # of the error of the last value


def seasonality(channel: Channel) -> Finding | None:
    """Find how strong the season is."""
    x = channel.values[channel.development]
    evidence: dict[str, float | None] = {}
    says: list[str] = []
    actions: list[Action] = []
    period, year = channel.period, channel.year
    strength = stationarity.season_strength(x[-NEWEST:], period) if period else 0.0
    if period and strength >= _SEASON:
        evidence |= {"period": period, "strength": rounded(strength)}
        beyond = f", which is longer than the usual lookback of {_PLAIN_LOOKBACK}" if period > _PLAIN_LOOKBACK else ""
        says.append(f"the series has a season of {period} rows (strength {strength:.2f} of 1){beyond}")
        actions += (*at_least(lookback=2 * period), *each(skip="seasonal", difference="seasonal"))
    yearly = stationarity.year_share(x, year) if year else 0.0
    if year and yearly >= _YEAR and not (period and evidence and abs(period - year) < 2):
        evidence |= {"rows_a_year": rounded(year), "year_share": rounded(yearly)}
        says.append(f"a season of one year explains {yearly:.0%} of the variance")
    if not evidence:
        return None
    actions.append(options(calendar=True))
    sentence = ", and ".join(says)
    return Finding(
        code="seasonality",
        severity="info",
        rank=max(strength, yearly),
        evidence=evidence,
        says=f"{sentence[0].upper()}{sentence[1:]}.",
        actions=tuple(actions),
    )


def low_signal(channel: Channel) -> Finding | None:
    """Find a series whose own past says little about it, or nothing beyond its last value."""
    signal = channel.signal
    if signal is None:
        return None
    evidence: dict[str, float | str | None] = {
        "explained_share": rounded(signal.explained),
        "noise_floor_mse": rounded(signal.floor),
        "explained_beyond_last_value": rounded(signal.beyond_last),
        "ljung_box_p": rounded(signal.white),
        "method": signal.method,
    }
    if signal.explained < _EXPLAINED[-1][0]:
        return _little(channel, signal, evidence)
    if signal.beyond_last >= _NO_GAIN or signal.white_changes <= 0.01:
        return None
    return Finding(
        code="low_signal",
        severity="warn",
        rank=0.5,
        evidence=evidence | {"ljung_box_p_of_changes": rounded(signal.white_changes)},
        says="The changes from row to row look like noise, so no forecast from the past alone is likely to be better "
        "than repeating the last value (an estimate).",
        by_hand="Compare with persistence; add covariates that know more (--past, --future), or choose another target.",
    )


def _little(channel: Channel, signal: Signal, evidence: Evidence) -> Finding:
    white = signal.white > 0.05 / channel.channels and signal.explained < _WHITE_NOISE
    severity: Severity = "high" if white else next(s for limit, s in _EXPLAINED if signal.explained < limit)
    share = "None" if signal.explained < 0.005 else f"Only {signal.explained:.0%}"
    noise = "; it looks like white noise" if white else ""
    return Finding(
        code="low_signal",
        severity=severity,
        rank=1 - signal.explained,
        evidence=evidence,
        says=f"{share} of the variance can be forecast from the series' own past (an estimate){noise}; no model gets a "
        f"scaled MSE much below {number(max(0.0, 1 - signal.explained), 2)}.",
        by_hand="Add covariates that know more (--past, --future), or take a coarser time step; tuning alone will not "
        "help.",
    )


def _season_setting(evidence: Evidence, params: Params) -> str:
    if "model_over_seasonal_naive" in evidence:
        return ""
    if params.get("lookback", 0) >= evidence.get("period", np.inf):
        return f"lookback = {params['lookback']}"
    return first_setting(params, {"difference": ("seasonal",), "skip": ("seasonal",)})


CHECKS: tuple[Check[Channel], ...] = (
    Check(
        code="low_signal",
        look=low_signal,
        most=MOST,
        cause="the past values say little about the next ones",
        may_be_chance=True,
    ),
    Check(code="seasonality", look=seasonality, cause=None, handled_by=_season_setting),
)
