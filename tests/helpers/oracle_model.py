"""The saved network in NumPy: `config.json` and the weights read by hand, and the forward pass in float64.

Nothing of the package is imported, so that a mistake there cannot repeat itself here. Letters: B windows, X rows that a
member looks back on, L lookback, H horizon, C target columns, P and F covariates.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import oracle_pretrained

Array = np.ndarray[Any, Any]
State = dict[str, Array]

_TINY = float(np.finfo(np.float32).tiny)
_SPREAD_FLOOR = 1e-2  # of a window's standard deviation, in scaled units


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One network of the ensemble: its configuration, its tensors, its share of the mean."""

    params: dict[str, Any]
    state: State
    weight: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedModel:
    """What the `model` folder holds."""

    members: tuple[Member, ...]
    horizon: int
    channels: int
    n_past: int
    period: int
    series: int  # S
    smoothing: int  # rows that exponential smoothing looks back on
    origin: Array  # (C,) subtracted from the targets before anything else
    sd: Array  # (C,) of the train rows, in the targets' own units
    mean: Array  # (C,) of the train rows, minus the origin
    categories: tuple[int, ...]  # codes of each covariate, 0: a number; (): all are
    own_sd: Array  # (C · S,) of the train rows of each series; empty if there is one

    def context_of(self, params: dict[str, Any]) -> int:
        """Return the rows that a member looks back on."""
        beforehand = min(self.smoothing, max(96, min(4 * self.period, 192)))
        rows = {"seasonal": self.period, "ets": self.smoothing, "pretrained": beforehand}.get(params["skip"], 1)
        return max(params["lookback"], rows) + lag_of(params, self.period)

    def of(self, *members: Member) -> SavedModel:
        """Return the same with other members."""
        return dataclasses.replace(self, members=members)


def load_model(folder: Path) -> SavedModel:
    """Read a saved model without the package that wrote it."""
    config = json.loads((folder / "config.json").read_text())
    tensors = read_tensors(folder / "weights.safetensors")
    shape, scale = config["shape"], config["scale"]
    members = []
    for i, (params, weight) in enumerate(zip(config["members"], config["weights"], strict=True)):
        prefix = f"members.{i}."
        state = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        members.append(Member(params=params, state=state, weight=weight))
    return SavedModel(
        members=tuple(members),
        horizon=shape["horizon"],
        channels=shape["channels"],
        n_past=shape["past"],
        period=shape["period"],
        series=shape["series"],
        smoothing=shape["smoothing"],
        origin=np.array(config["data"]["origin"]),
        sd=np.array(scale["sd"]),
        mean=np.array(scale["mean"]),
        categories=tuple(shape["categories"]),
        own_sd=np.array(scale.get("own_sd", [])),
    )


def read_tensors(path: Path) -> State:
    """Read a safetensors file: eight bytes of length, a JSON head, raw little-endian float32."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    head, body = json.loads(content[8 : 8 + size]), content[8 + size :]
    return {
        name: np.frombuffer(body[slice(*entry["data_offsets"])], dtype="<f4").reshape(entry["shape"]).astype(np.float64)
        for name, entry in head.items()
        if name != "__metadata__"
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What a member sees of some windows: levels, windows, their location and spread."""

    level: Array  # (B, X)
    window: Array  # (B, X - lag)
    location: Array  # (B, 1)
    spread: Array  # (B, 1)
    unit: Array  # (B, 1) that errors are divided by in training, in units of the level


def lag_of(params: dict[str, Any], period: int) -> int:
    """Return the rows over which a member takes differences."""
    return {"none": 0, "first": 1, "seasonal": period}[params["difference"]]


def to_level(raw: Array, member: Member, group: int) -> Array:
    """Map raw values of a group, see `Table.group`, to the scaled level that the network works on."""
    level = np.log(np.maximum(raw, _TINY)) if member.params["transform"] == "log" else raw
    return (level - member.state["center"][group]) / member.state["scale"][group]


def view_of(history: Array, member: Member, group: int, model: SavedModel) -> View:
    """Prepare raw histories (B, at least X) of one target column as the network sees them."""
    params = member.params
    lag, lookback = lag_of(params, model.period), params["lookback"]
    level = to_level(history[:, -model.context_of(params) :], member, group)
    window = level[:, lag:] - level[:, : level.shape[1] - lag] if lag else level
    location, spread = np.zeros((len(level), 1)), np.ones((len(level), 1))
    if params["window_norm"] == "last":
        location = window[:, -1:]
    elif params["window_norm"] == "standard":
        location = window[:, -lookback:].mean(axis=1, keepdims=True)
        spread = np.sqrt(window[:, -lookback:].var(axis=1, keepdims=True) + _SPREAD_FLOOR**2)
    unit = np.ones((len(level), 1))
    if params["loss_scale"] == "window":
        unit = np.sqrt(level[:, -lookback:].var(axis=1, keepdims=True) + _SPREAD_FLOOR**2)
    return View(level=level, window=window, location=location, spread=spread, unit=unit)


def inputs_of(view: View, member: Member) -> Array:
    """Return the target's part of what enters the LSTM, (B, L), before any clipping."""
    return (view.window[:, -member.params["lookback"] :] - view.location) / view.spread


def forecast(model: SavedModel, history: Array, past: Array, future: Array, group: int) -> Array:
    """Return the ensemble's forecast (B, H) in the targets' own units.

    Args:
        model: the saved one.
        history: (B, X) in the target's own units, X at least what the longest member needs.
        past: (B, X, P).
        future: (B, X + H, F).
        group: of target column and series, see `Table.group`.
    """
    total = np.zeros((len(history), model.horizon))
    channel = group // model.series
    working = history - model.origin[channel]
    for member in model.members:
        total += member.weight * member_forecast(model, member, working, past, future, group)
    return total / sum(member.weight for member in model.members) + model.origin[channel]


def member_forecast(model: SavedModel, member: Member, working: Array, past: Array, future: Array, group: int) -> Array:
    """Return one member's forecast (B, H) in working units: the target's own minus the origin."""
    view = view_of(working, member, group, model)
    ahead = _network(model, member, inputs_of(view, member), past, future, group // model.series) * view.spread
    ahead = ahead + _skip(model, member, view) + view.location
    ahead = _undo_difference(ahead, view.level, lag_of(member.params, model.period))
    ahead = ahead * member.state["scale"][group] + member.state["center"][group]
    if member.params["transform"] == "log":
        return np.exp(np.minimum(ahead, member.state["log_ceiling"][group]))
    return ahead


def _skip(model: SavedModel, member: Member, view: View) -> Array:
    """Return what the network corrects, minus the location."""
    kind, lookback, state = member.params["skip"], member.params["lookback"], member.state
    if kind == "last":
        return view.window[:, -1:] - view.location
    if kind == "linear":
        window = view.window[:, -lookback:] - view.location
        return window @ state["skip_weight"].T + view.unit * state["skip_bias"]
    if kind == "ets":
        window = view.window[:, -state["skip_weight"].shape[1] :] - view.location
        return window @ state["skip_weight"].T
    if kind == "pretrained":
        rows = min(model.smoothing, max(96, min(4 * model.period, 192)))
        own = {name.removeprefix("pretrained."): t for name, t in state.items() if name.startswith("pretrained.")}
        return oracle_pretrained.forecast(own, view.window[:, -rows:], model.period, model.horizon) - view.location
    if kind == "seasonal":
        m = model.period
        steps = [view.window[:, view.window.shape[1] - m + h % m] for h in range(model.horizon)]
        return np.stack(steps, axis=1) - view.location
    return np.zeros((len(view.window), model.horizon))


def _undo_difference(ahead: Array, level: Array, lag: int) -> Array:
    if not lag:
        return ahead
    known = [level[:, level.shape[1] - lag + i] for i in range(lag)]
    for h in range(ahead.shape[1]):
        known.append(known[-lag] + ahead[:, h])
    return np.stack(known[lag:], axis=1)


def _network(model: SavedModel, member: Member, inputs: Array, past: Array, future: Array, channel: int) -> Array:
    """Run clipping, patches, LSTM and head: (B, L) → (B, H); a network that is not there adds nothing."""
    if "output.weight" not in member.state:
        return np.zeros((len(inputs), model.horizon))
    params, state = member.params, member.state
    lookback, horizon = params["lookback"], model.horizon
    if params["outlier_clip"]:
        inputs = np.clip(inputs, state["clip_low"], state["clip_high"])
    columns = [inputs[:, :, None]]
    mean, scale = state["covariate_mean"], state["covariate_scale"]
    scaled_past = (past - mean[: model.n_past]) / scale[: model.n_past]
    scaled_future = (future - mean[model.n_past :]) / scale[model.n_past :]
    scaled_past = _embedded(scaled_past, model.categories[: model.n_past], state, "past_categories")
    scaled_future = _embedded(scaled_future, model.categories[model.n_past :], state, "future_categories")
    until_now = scaled_future[:, : scaled_future.shape[1] - horizon]
    columns += [scaled_past[:, -lookback:], until_now[:, -lookback:]]
    steps = np.concatenate(columns, axis=2)
    patch = min(params["patch"], lookback)
    lacking = -lookback % patch
    steps = np.concatenate([np.repeat(steps[:, :1], lacking, axis=1), steps], axis=1)
    steps = steps.reshape(len(steps), -1, patch * steps.shape[2])
    if "channel_embedding.weight" in state:
        own = np.broadcast_to(state["channel_embedding.weight"][channel], (*steps.shape[:2], min(8, model.channels)))
        steps = np.concatenate([steps, own], axis=2)
    for layer in range(params["layers"]):
        steps = _lstm_layer(steps, state, f"lstm.layers.{layer}.", params["cell_activation"])
    head = steps[:, -1]
    if params["head_units"]:
        head = head @ state["hidden.weight"].T + state["hidden.bias"]
    head = _activation(params["activation"], head)
    ahead = head @ state["output.weight"].T + state["output.bias"]
    if "future_context.weight" in state:
        context = head @ state["future_context.weight"].T + state["future_context.bias"]
        mixed = [scaled_future[:, -horizon:], np.repeat(context[:, None], horizon, axis=1)]
        hidden = np.concatenate(mixed, axis=2) @ state["future_output.0.weight"].T + state["future_output.0.bias"]
        hidden = _activation("gelu", hidden)
        ahead = ahead + (hidden @ state["future_output.2.weight"].T + state["future_output.2.bias"])[:, :, 0]
    return ahead


def _embedded(rows: Array, sizes: tuple[int, ...], state: State, prefix: str) -> Array:
    """Put the vector of its category in the place of each code; those of categories follow the numbers."""
    if not any(sizes):
        return rows
    coded = [k for k, size in enumerate(sizes) if size]
    parts = [rows[:, :, [k for k, size in enumerate(sizes) if not size]]]
    for i, k in enumerate(coded):
        parts.append(state[f"{prefix}.tables.{i}.weight"][rows[:, :, k].round().astype(int)])
    return np.concatenate(parts, axis=2)


def _lstm_layer(x: Array, state: State, prefix: str, activation: str) -> Array:
    """Run one LSTM layer over (B, T, I); gates in PyTorch's order: input, forget, candidate, output."""
    weight_in, weight_own = state[prefix + "weight_ih_l0"], state[prefix + "weight_hh_l0"]
    bias = state[prefix + "bias_ih_l0"] + state[prefix + "bias_hh_l0"]
    h = c = np.zeros((len(x), weight_own.shape[1]))
    outputs = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ weight_in.T + h @ weight_own.T + bias, 4, axis=1)
        c = _sigmoid(f) * c + _sigmoid(i) * _activation(activation, g)
        h = _sigmoid(o) * _activation(activation, c)
        outputs.append(h)
    return np.stack(outputs, axis=1)


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def _activation(name: str, x: Array) -> Array:
    if name == "gelu":
        from scipy.special import erf

        return np.asarray(0.5 * x * (1 + erf(x / np.sqrt(2))))
    simple = {
        "none": lambda: x,
        "tanh": lambda: np.tanh(x),
        "relu": lambda: np.maximum(x, 0),
        "leaky_relu": lambda: np.where(x > 0, x, 0.01 * x),
        "sigmoid": lambda: _sigmoid(x),
        "elu": lambda: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        "silu": lambda: x * _sigmoid(x),
    }
    return np.asarray(simple[name]())
