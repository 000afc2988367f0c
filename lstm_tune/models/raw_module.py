"""The model as a plain `nn.Module`: raw values in, raw values out, one sample a window.

Letters: B windows in a batch, X context (rows that a forecast looks at), H horizon, C targets, P past and F future
covariates.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstm_tune.data.calendar_features import YEAR_DAYS, cycle_names
from lstm_tune.data.frequency import DAY, Step, parse_freq
from lstm_tune.data.holidays import holiday_names
from lstm_tune.data.windows import Batch
from lstm_tune.models.data_spec import DataSpec
from lstm_tune.models.forecaster import MeanForecaster
from lstm_tune.models.own_series import has_own_scale
from lstm_tune.models.preprocessing import Shape


class RawForecaster(nn.Module):
    """The weighted mean forecast with all its statistics, in the units of the data; see `forward`.

    `torch.export` takes it: no operation depends on the values.

    Attributes:
        inputs: {name: (rows, columns)} of the inputs of `forward` that this model needs, without the batch.
    """

    origin: Tensor
    past_origin: Tensor
    future_origin: Tensor

    def __init__(self, network: MeanForecaster, shape: Shape, spec: DataSpec) -> None:
        super().__init__()
        self.network = network
        self.horizon, self.channels, self.n_series = shape.horizon, shape.channels, shape.series
        self.calendar = parse_freq(spec.freq) if spec.calendar and spec.freq is not None else None
        free = holiday_names(spec.holidays)
        known = [*spec.future, *spec.static, *free]
        own = [*spec.covariate_origin, *[0.0] * len(free)]
        own = own if spec.covariate_origin else [0.0] * (len(spec.past) + len(known))
        for name, origin in {
            "origin": spec.origin,
            "past_origin": own[: len(spec.past)],
            "future_origin": own[len(spec.past) :],
        }.items():
            self.register_buffer(name, torch.tensor(origin, dtype=torch.float64))
        context = network.context
        self.inputs: dict[str, tuple[int, ...]] = {"history": (context, self.channels)}
        if spec.past:
            self.inputs["past"] = (context, len(spec.past))
        if known:
            self.inputs["future"] = (context + self.horizon, len(known))
        if self.calendar is not None:
            self.inputs["time"] = (context + self.horizon,)
        if has_own_scale(network):
            self.inputs["series"] = ()

    def forward(
        self,
        history: Tensor,
        past: Tensor | None = None,
        future: Tensor | None = None,
        time: Tensor | None = None,
        series: Tensor | None = None,
    ) -> Tensor:
        """Forecast the H rows that follow the history. What `inputs` does not name may be left out.

        Args:
            history: (B, X, C) float64, the targets, the newest row last; gaps are filled.
            past: (B, X, P) float64, covariates known up to now.
            future: (B, X + H, F) float64, covariates known in advance, those of the horizon included, then the static
                ones, then 0 or 1 for holidays, the days before and the days after one. A category is its place, from
                1, among the words of the model's `spec.categories`; 0: unknown.
            time: (B, X + H) int64, nanoseconds since 1970 of these rows, if the calendar is a covariate.
            series: (B,) int64, the number of each window's series among those that the model was trained on, if each
                has a scale of its own.

        Returns:
            (B, H, C) float64.
        """
        size, context, channels = history.shape[0], self.network.context, self.channels
        channel = torch.arange(channels)[None].expand(size, channels).reshape(-1)
        group = channel
        if series is not None:
            group = channel * self.n_series + series[:, None].expand(size, channels).reshape(-1)
        levels = (history - self.origin).float().transpose(1, 2).reshape(-1, context)
        known = self._covariates(history, future, self.future_origin, context + self.horizon)
        if self.calendar is not None and time is not None:
            known = torch.cat([known, calendar_features(time, self.calendar)], dim=2)
        batch = Batch(
            history=levels,
            target=levels.new_zeros(levels.shape[0], self.horizon),
            observed=None,
            past=self._each_channel(self._covariates(history, past, self.past_origin, context)),
            future=self._each_channel(known),
            channel=channel,
            group=group,
        )
        forecast = self.network(batch).reshape(size, channels, self.horizon)
        raw: Tensor = forecast.transpose(1, 2).double() + self.origin
        return raw

    def _covariates(self, history: Tensor, given: Tensor | None, origin: Tensor, rows: int) -> Tensor:
        """Return covariates (B, rows, n) in working units; n is 0 if none are given."""
        if given is None:
            return history.new_zeros(history.shape[0], rows, 0, dtype=torch.float32)
        return (given - origin).float()

    def _each_channel(self, x: Tensor) -> Tensor:
        """Repeat covariates (B, rows, n) for each target: (B · C, rows, n)."""
        if self.channels == 1:
            return x
        return x[:, None].expand(-1, self.channels, -1, -1).flatten(0, 1)


def calendar_features(time: Tensor, step: Step) -> Tensor:
    """Return what `data.calendar_features` does, of times (B, n) in nanoseconds since 1970: (B, n, K) float32."""
    day = _floor_divide(time, DAY)
    month, new_year = _civil(day)
    turns = {
        "month": (month - 1).double() / 12,
        "hour": (time - day * DAY).double() / DAY,
        "weekday": (day + 3 - 7 * _floor_divide(day + 3, 7)).double() / 7,
        "yearday": (day - new_year).double() / YEAR_DAYS,
    }
    angles = 2 * torch.pi * torch.stack([turns[name] for name in cycle_names(step)], dim=2)
    return torch.stack([angles.sin(), angles.cos()], dim=3).flatten(2).float()


def _floor_divide(x: Tensor, by: int) -> Tensor:
    """Divide whole numbers, rounded down; what is left divides evenly, so that float64 is exact enough."""
    return ((x - x.remainder(by)).double() / by).round().long()


def _civil(day: Tensor) -> tuple[Tensor, Tensor]:
    """Return month (1 to 12) and the day of the year's beginning, of days since 1970.

    In years that begin in March the leap day is the last one: Hinnant, "chrono-compatible low-level date algorithms".
    """
    shifted = day + 719_468  # since 0000-03-01
    era = _floor_divide(shifted, 146_097)  # of 400 years
    of_era = shifted - era * 146_097
    year = _floor_divide(
        of_era - _floor_divide(of_era, 1_460) + _floor_divide(of_era, 36_524) - _floor_divide(of_era, 146_096), 365
    )
    of_year = of_era - (365 * year + _floor_divide(year, 4) - _floor_divide(year, 100))
    place = _floor_divide(5 * of_year + 2, 153)  # 0: March
    month = torch.where(place < 10, place + 3, place - 9)
    before = year + 400 * era + (month <= 2).long() - 1  # the year before the calendar's
    leap_days = _floor_divide(before, 4) - _floor_divide(before, 100) + _floor_divide(before, 400)
    return month, 365 * before + leap_days - 719_162
