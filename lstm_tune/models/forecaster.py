"""The network: recurrent layers and head between the two halves of the preprocessing, and the mean of several.

Letters: B windows in a batch, L lookback, H horizon, U hidden units, C channels, P past and F future covariates.

    inputs of the target (B, L) → clipped
    + past covariates, known future covariates, categories embedded (B, L, 1 + P + F) → patched → + channel embedding
      → recurrent layers (B, U) → dropout → hidden layer → activation → output (B, H)
                                                           + what the horizon's own covariates add
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lstm_tune.config import Config
from lstm_tune.data.windows import Batch
from lstm_tune.models.categories import covariate_widths, embedding_of
from lstm_tune.models.cells import CELLS, Dropout, RecurrentLayers
from lstm_tune.models.located import Located
from lstm_tune.models.preprocessing import Preprocessing, Shape

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}
_FUTURE_UNITS = 16  # width of what the horizon's known covariates are mixed with


def embedding_width(shape: Shape) -> int:
    """Return how many numbers tell the network which channel it sees; 0 if there is one channel alone."""
    return min(8, shape.channels) if shape.channels > 1 else 0


def recurrent_work(config: Config, shape: Shape) -> int:
    """Return the multiplications of the recurrent layers' matrices over one window, forward."""
    patch = min(config.patch, config.lookback)
    steps, units = -(-config.lookback // patch), config.hidden_units
    inputs = patch * (1 + sum(covariate_widths(shape))) + embedding_width(shape)
    gates = CELLS[config.cell].gates
    return steps * gates * units * (inputs + units + (config.layers - 1) * 2 * units)


class LSTMForecaster(Preprocessing):
    """One network with its preprocessing; `forward` maps a batch to (B, H) in raw units.

    Build it, `fit_statistics` on the rows to fit on, then train its parameters on `level` and `scale_level`.
    """

    def __init__(self, config: Config, shape: Shape) -> None:
        super().__init__(config, shape)
        self.patch = min(config.patch, config.lookback)
        self.steps = -(-config.lookback // self.patch)
        embedding = embedding_width(shape)
        self.channel_embedding = nn.Embedding(shape.channels, embedding) if embedding else None
        past_width, future_width = covariate_widths(shape)
        self.past_categories = embedding_of(shape.categories[: shape.past])
        self.future_categories = embedding_of(shape.categories[shape.past :])
        # Whatever the cell is, its layers are called `lstm` in the files of saved models.
        self.lstm = RecurrentLayers(
            CELLS[config.cell],
            self.patch * (1 + past_width + future_width) + embedding,
            config.hidden_units,
            layers=config.layers,
            dropout=config.dropout,
            activation=config.cell_activation,
        )
        self.dropout = Dropout(config.dropout)
        width = config.head_units or config.hidden_units
        self.hidden = nn.Linear(config.hidden_units, config.head_units) if config.head_units else nn.Identity()
        self.activation = ACTIVATIONS[config.activation]()
        self.output = nn.Linear(width, shape.horizon)
        self.future_context = nn.Linear(width, _FUTURE_UNITS) if shape.future else None
        self.future_output = (
            nn.Sequential(nn.Linear(future_width + _FUTURE_UNITS, 2 * _FUTURE_UNITS), nn.GELU(),
                          nn.Linear(2 * _FUTURE_UNITS, 1))
            if shape.future
            else None
        )  # fmt: skip
        if config.starts_from_simple_forecast:
            self._forecast_nothing()

    def _forecast_nothing(self) -> None:
        """Let the network begin with 0: training starts from the simple forecast, and is kept only if it betters it."""
        last = None if self.future_output is None else self.future_output[-1]
        for layer in (self.output, last):
            if isinstance(layer, nn.Linear):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def take_statistics(self, other: LSTMForecaster) -> None:
        """Take over what another model of the same configuration has fitted."""
        kept = dict(other.named_buffers())
        if other.pretrained is not None:
            kept |= {f"pretrained.{name}": tensor for name, tensor in other.pretrained.state_dict().items()}
        self.load_state_dict(kept, strict=False)

    @property
    def is_untrained(self) -> bool:
        """Whether the network adds nothing, as before training, to the forecast that it corrects."""
        moved = bool(self.output.weight.any() or self.output.bias.any())
        return self.config.starts_from_simple_forecast and not moved

    def _network(self, inputs: Tensor, batch: Batch) -> Tensor:
        """Run patches, recurrent layers and head: inputs (B, L) → (B, H)."""
        lookback, horizon = self.config.lookback, self.shape.horizon
        if self.config.outlier_clip:
            inputs = inputs.clamp(self.clip_low, self.clip_high)
        inputs = inputs[:, :, None]
        future = batch.future
        if self.covariate_mean.shape[0]:
            n_past = self.shape.past
            past = (batch.past - self.covariate_mean[:n_past]) / self.covariate_scale[:n_past]
            future = (future - self.covariate_mean[n_past:]) / self.covariate_scale[n_past:]
            past, future = past[:, -lookback:], future[:, -lookback - horizon :]
            if self.past_categories is not None:
                past = self.past_categories(past)
            if self.future_categories is not None:
                future = self.future_categories(future)
            inputs = torch.cat([inputs, past, future[:, :-horizon]], dim=2)
        missing = self.steps * self.patch - lookback
        if missing:  # the oldest patch is filled up with the oldest row
            inputs = torch.cat([inputs[:, :1].expand(-1, missing, -1), inputs], dim=1)
        inputs = inputs.reshape(inputs.shape[0], self.steps, -1)
        if self.channel_embedding is not None:
            embedded = self.channel_embedding(batch.channel)[:, None].expand(-1, self.steps, -1)
            inputs = torch.cat([inputs, embedded], dim=2)
        head = self.activation(self.hidden(self.dropout(self.lstm(inputs))))
        forecast: Tensor = self.output(head)
        if self.future_context is not None and self.future_output is not None:
            context = self.future_context(head)[:, None].expand(-1, horizon, -1)
            forecast = forecast + self.future_output(torch.cat([future[:, -horizon:], context], dim=2)).squeeze(2)
        return forecast

    def forecast_and_target(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return forecast and target, (B, H) each, in the units that the loss is taken in."""
        at = self.locate(batch)
        forecast, target = self._level(batch, at), self.scale_level(batch.target, self.group(batch))
        return (forecast, target) if at.unit is None else (forecast / at.unit, target / at.unit)

    def level(self, batch: Batch) -> Tensor:
        """Forecast the scaled level, (B, H): compare with `scale_level(target, channel)`."""
        return self._level(batch, self.locate(batch))

    def _level(self, batch: Batch, at: Located) -> Tensor:
        forecast = self._network(self.inputs(at), batch)
        if at.spread is not None:
            forecast = forecast * at.spread
        for part in (self.skip_forecast(at), at.location):
            if part is not None:
                forecast = forecast + part
        return self.undifference(forecast, at)

    def forward(self, batch: Batch) -> Tensor:
        """Forecast in raw units, (B, H)."""
        return self.unscale(self.level(batch), batch)


class MeanForecaster(nn.Module):
    """The weighted mean forecast of several models of one shape: same batch in, (B, H) out.

    Args:
        members: the models.
        weights: how much each counts; divided by their sum. None: all alike.
    """

    def __init__(self, members: Sequence[LSTMForecaster], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.context = max(m.context for m in members)
        given = [1.0] * len(members) if weights is None else weights
        self.weights = tuple(w / sum(given) for w in given)

    def forward(self, batch: Batch) -> Tensor:
        """Forecast in raw units, (B, H)."""
        total = torch.zeros_like(batch.target)
        for member, weight in zip(self.members, self.weights, strict=True):
            assert isinstance(member, LSTMForecaster)
            total += weight * member(batch.newest(member.context))
        return total
