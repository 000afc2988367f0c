"""What a saved network was given before any training: scale, clip bounds and linear skip, from the rows to fit on."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
import oracle_baselines as simple
import oracle_smoothing as smoothing
import pytest
from oracle import Finished, same
from oracle_data import Array, Rows, Window, history_of, observed_values, own_values, target_of, windows_of
from oracle_model import Member, inputs_of, lag_of, to_level, view_of
from safetensors.numpy import load


def check_statistics(run: Finished) -> None:
    """Every fitted statistic of every member is that of the observed train and validation rows, and of no other."""
    model, fit = run.model, run.parts["fit"]
    for c in range(run.channels):
        train = observed_values(run.table, run.parts["train"], c) - model.origin[c]
        same(model.mean[c], train.mean(), "scale.mean", 1e-5, 1e-6 * run.sd[c])
        same(model.sd[c], train.std(), "scale.sd", 1e-4)
    if len(run.table.series) > 1:
        same(model.own_sd.tolist(), run.own[1].tolist(), "scale.own_sd", 1e-4)
    for i, member in enumerate(model.members):
        state, what = member.state, f"members[{i}]."
        for g in range(run.channels * len(run.table.series)):
            seen = own_values(run.table, fit, g) - model.origin[g // len(run.table.series)]
            level = np.log(seen) if member.params["transform"] == "log" else seen
            same(state["center"][g], level.mean(), what + "center", 1e-5, 1e-6 * level.std())
            same(state["scale"][g], level.std(), what + "scale", 1e-4)
            if member.params["transform"] == "log":
                top = level.max() + max(3.0, level.max() - level.min())
                same(state["log_ceiling"][g], top, what + "log_ceiling", 1e-5)
            else:
                assert np.isinf(state["log_ceiling"][g])
        rows = [
            np.concatenate([s.past[a:b], s.future[a:b]], 1) for s, (a, b) in zip(run.table.series, fit, strict=True)
        ]
        covariates = np.concatenate(rows)
        coded = np.array(model.categories or (0,) * covariates.shape[1]) > 0  # a code stays as it is
        mean, spread = np.where(coded, 0, covariates.mean(axis=0)), np.where(coded, 1, covariates.std(axis=0))
        same(state["covariate_mean"], mean, what + "covariate_mean", 1e-4, 1e-5)
        same(state["covariate_scale"], np.where(spread > 1e-12, spread, 1), what + "covariate_scale", 1e-4)
        windows = list(windows_of(run.table, fit, run.horizon, model.context_of(member.params), reach_back=False))
        _check_clip(run, member, windows, what)
        _check_skip(run, member, windows, what)


def _check_clip(run: Finished, member: Member, windows: list[Window], what: str) -> None:
    state, width = member.state, member.params["outlier_clip"]
    if not width:
        assert (state["clip_low"], state["clip_high"]) == (-np.inf, np.inf)
        return
    inputs = np.concatenate([inputs_of(_view(run, member, w), member).ravel() for w in windows])
    middle = _lower_median(inputs)
    reach = width * 1.4826 * _lower_median(np.abs(inputs - middle))
    same((state["clip_low"], state["clip_high"]), (middle - reach, middle + reach), what + "clip", 1e-4, 1e-4)


def _check_skip(run: Finished, member: Member, windows: list[Window], what: str) -> None:
    if member.params["skip"] not in ("linear", "ets"):
        return
    units = [_view(run, member, w).unit for w in windows]
    seen = np.concatenate([_skip_window(run, member, w) / unit for w, unit in zip(windows, units, strict=True)])
    weight, bias = fit_skip(run, member, run.parts["fit"])
    # Nearly collinear columns leave single weights undetermined to float32: what they forecast is compared.
    expected = seen @ weight.T + bias
    found = seen @ member.state["skip_weight"].T + (member.state["skip_bias"] if len(member.state["skip_bias"]) else 0)
    assert found == pytest.approx(expected, abs=5e-3 * max(1e-3, float(expected.std()))), what + "skip_weight"


def _skip_window(run: Finished, member: Member, window: Window) -> Array:
    """Return the rows (1, L) that the skip forecast is a linear map of."""
    view = _view(run, member, window)
    rows = run.model.smoothing if member.params["skip"] == "ets" else member.params["lookback"]
    return view.window[:, -rows:] - view.location


def fit_skip(run: Finished, member: Member, fit: Sequence[Rows]) -> tuple[Array, Array]:
    """Return the map (H, L) of a linear or smoothing skip, and what it adds (H,), from the rows `fit`."""
    lag = lag_of(member.params, run.model.period)
    if member.params["skip"] == "ets":
        levels = []
        for s, (series, (a, b)) in enumerate(zip(run.table.series, fit, strict=True)):
            for c in range(run.channels):
                values = np.where(series.seen[c, a:b], series.values[c, a:b] - run.model.origin[c], np.nan)
                level = to_level(values[None], member, c * len(run.table.series) + s)[0]
                levels.append(level[lag:] - level[: len(level) - lag] if lag else level)
        models = smoothing.fit(levels, run.period)
        rows = run.model.smoothing
        return smoothing.forecast(models, np.eye(rows), run.horizon).T, np.zeros(run.horizon)
    x, y, usable = [], [], []
    context = run.model.context_of(member.params)
    for w in windows_of(run.table, fit, run.horizon, context, reach_back=False):
        view = _view(run, member, w)
        target, seen = target_of(run.table, w, run.horizon)
        ahead = to_level(target[None] - run.model.origin[w.channel], member, run.table.group(w))
        if lag:
            both = np.concatenate([view.level[:, -lag:], ahead], axis=1)
            ahead = both[:, lag:] - both[:, :-lag]
        x.append((_skip_window(run, member, w) / view.unit)[0])
        y.append(((ahead - view.location) / view.unit)[0])
        usable.append(seen.all())
    return simple.fit_ridge(np.array(x), np.array(y), np.array(usable))


def untrained(run: Finished, params: dict[str, Any], fit: Sequence[Rows]) -> Member:
    """Return the member that a network of these parameters starts from, fitted on the rows `fit`."""
    groups = run.channels * len(run.table.series)
    state: dict[str, Array] = {"center": np.zeros(groups), "scale": np.ones(groups)}
    state["log_ceiling"] = np.full(groups, np.inf)
    log = params["transform"] == "log"
    for g in range(groups):
        seen = own_values(run.table, fit, g) - run.model.origin[g // len(run.table.series)]
        level = np.log(seen) if log else seen
        state["center"][g], state["scale"][g] = level.mean(), level.std()
        if log:
            state["log_ceiling"][g] = level.max() + max(3.0, level.max() - level.min())
    member = Member(params=params, state=state, weight=1.0)
    if params["skip"] in ("linear", "ets"):
        state["skip_weight"], state["skip_bias"] = fit_skip(run, member, fit)
    if params["skip"] == "pretrained":
        shipped = load(resources.files("lstm_tune.models").joinpath("pretrained.safetensors").read_bytes())
        state |= {f"pretrained.{name}": tensor.astype(np.float64) for name, tensor in shipped.items()}
    return member


def _view(run: Finished, member: Member, window: Window) -> Any:
    context = run.model.context_of(member.params)
    history = history_of(run.table, window, context) - run.model.origin[window.channel]
    return view_of(history[None], member, run.table.group(window), run.model)


def _lower_median(x: Array) -> float:
    return float(np.sort(x)[(len(x) - 1) // 2])
