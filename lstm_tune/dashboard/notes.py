"""What optuna-dashboard shows beside its own charts: notes in Markdown, and figures.

All of it stands in attributes of the study, in the format that `optuna_dashboard.save_note` and
`save_plotly_graph_object` write. It is written here, because importing the dashboard takes a second, most of it for
scikit-learn, and the figures are plain enough to do without plotly. The dashboard sends all of it again at every
refresh: a few notes and two figures of some kilobytes, whatever the number of trials.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import optuna

from lstm_tune.config import Config
from lstm_tune.data.time_labels import time_labels
from lstm_tune.evaluation.baseline_labels import table_label
from lstm_tune.evaluation.score import forecast_all
from lstm_tune.report.result import Result
from lstm_tune.report.study_text import UNTRAINED, members
from lstm_tune.search.trials import Trial, completed, read_trials
from lstm_tune.storage.optuna_private import id_of_study, storage_of
from lstm_tune.utils.escaping import markdown, printable
from lstm_tune.utils.text import number

SIGNATURE = "*Written by lstm-tune; a note without this line is left alone.*"
_PIECE = 2045  # characters of an attribute: what every database holds
_FINDINGS = 5
_CURVES = 5  # trials
_ROWS = 240  # of the forecast figure, at least two horizons
_POINTS = 120  # of a learning curve


def write_notes(result: Result, known: Sequence[Mapping[str, Any]]) -> None:
    """Write the notes and figures of a finished study.

    Args:
        result: with all of its record.
        known: what was tried first: the plain LSTM, then the preset's.
    """
    study = result.study
    trials = read_trials(study)
    save_note(study, None, study_note(result.record))
    for trial, note in trial_notes(result.record, trials, known):
        save_note(study, trial, note)
    save_figure(study, "forecast", forecast_figure(result))
    save_figure(study, "learning-curves", curves_figure(completed(trials)[:_CURVES]))


def save_note(study: optuna.Study, trial: int | None, body: str) -> None:
    """Save the note of a study or of a trial, unless a person has written one."""
    storage, study_id = storage_of(study), id_of_study(study)
    owner = "dashboard:"
    if trial is not None:
        owner += f"{storage.get_trial_id_from_study_id_trial_number(study_id, trial)}:"
    attrs = storage.get_study_system_attrs(study_id)
    pieces = [key for key in attrs if key.startswith(f"{owner}note_str:")]
    before = "".join(attrs[f"{owner}note_str:{i}"] for i in range(len(pieces)))
    text = f"{body}\n\n{SIGNATURE}\n"
    if before == text or (before.strip() and SIGNATURE not in before):
        return
    _save(study, f"{owner}note_ver", attrs.get(f"{owner}note_ver", 0) + 1)
    _save_pieces(study, f"{owner}note_str:", text, len(pieces))


def save_figure(study: optuna.Study, name: str, figure: Mapping[str, Any]) -> None:
    """Save a figure in the words of Plotly; `name`: letters, digits and '-'."""
    prefix = f"dashboard:plot_data:{name}:"
    attrs = storage_of(study).get_study_system_attrs(id_of_study(study))
    text = json.dumps(figure, separators=(",", ":"), allow_nan=False)
    _save_pieces(study, prefix, text, sum(key.startswith(prefix) for key in attrs))


def _save_pieces(study: optuna.Study, prefix: str, text: str, before: int) -> None:
    pieces = [text[i : i + _PIECE] for i in range(0, len(text), _PIECE)]
    for i, piece in enumerate(pieces + [""] * (before - len(pieces))):
        _save(study, f"{prefix}{i}", piece)


def _save(study: optuna.Study, key: str, value: Any) -> None:
    storage_of(study).set_study_system_attr(id_of_study(study), key, value)


# ---- notes


def study_note(record: Mapping[str, Any]) -> str:
    """Return the verdict: the test MSE beside what needs no LSTM, the findings, the model."""
    data, test, best = record["data"], record["test"], record["best"]
    single = len(data["target"]) == 1
    what = f"`{_code(data['target'][0])}`" if single else f"{len(data['target'])} columns, scaled,"
    shown = test["mse"] if single else test["mse_scaled"]
    low, high = test["ci95"]
    rows = data["split"]["test"]
    lines = [
        f"## The test MSE of {what} is {number(shown)}",
        "",
        f"{data['horizon']} {'row' if data['horizon'] == 1 else 'rows'} ahead, over {test['windows']:,} windows from "
        f"{rows['start']} to {rows['end']} that no trial has seen; 95% interval {number(low)} to {number(high)}.",
        "",
        markdown(record["verdict"], 1000),
        "",
        "| forecast | test MSE, scaled | the LSTM's error against it |",
        "| --- | ---: | ---: |",
        f"| **tuned LSTM** | **{number(test['mse_scaled'])}** | |",
    ]
    for name, scored in record["baselines"].items():
        skill = record["skill"][name]
        against = "–" if skill is None else f"{-skill:+.1%}"
        called = table_label(name, data["period"])
        lines.append(f"| {called} | {number(scored['test_mse_scaled'])} | {against} |")
    findings = record["findings"][:_FINDINGS]
    if findings:
        lines += ["", "### What was found", ""]
        lines += [
            f"- **{markdown(f['severity'])}** `{_code(f['code'])}`: {markdown(f['says'], 400)} "
            f"*{markdown(f['advice'], 400).strip()}*"
            for f in findings
        ]
    seeds = len(record["retrain"]["seeds"])
    lines += [
        "",
        "### The model",
        "",
        f"Best trial: **{best['trial']}**, {markdown(Config.from_params(best['params']).describe())}.",
        "",
        f"Saved: {'the weighted mean of ' if len(record['ensemble']) > 1 else ''}{members(record['ensemble'])}, "
        f"{seeds} {'seed' if seeds == 1 else 'seeds each'}, trained on {markdown(record['retrain']['rows'])} rows.",
    ]
    if any(not member["epochs"] for member in record["ensemble"]):
        lines[-1] += f" {UNTRAINED}"
    return "\n".join(lines)


def trial_notes(
    record: Mapping[str, Any], trials: Sequence[Trial], known: Sequence[Mapping[str, Any]]
) -> list[tuple[int, str]]:
    """Return the notable trials (the best, those of the model, those tried first) by number, each with its note."""
    best = record["best"]
    weights: dict[int, float] = {}
    for member in record["ensemble"]:  # a trial may be in it twice, trained and untrained
        weights[member["trial"]] = weights.get(member["trial"], 0.0) + member["weight"]
    notes = []
    for trial in trials:
        if not trial.finished or trial.config is None:
            continue
        lines = []
        if trial.number == best["trial"]:
            lines.append("**The best trial** by its validation score.")
        if trial.number in weights:
            lines.append(
                f"**{weights[trial.number]:.0%} of the saved model**, retrained on {record['retrain']['rows']} rows."
            )
        if trial.queued_params is not None and trial.queued_params in known:
            place = known.index(trial.queued_params)
            source = "The plain LSTM, as far as the space admits it" if not place else "Known from other series"
            lines.append(f"**{source}**: tried before the search began.")
        if lines:
            notes.append((trial.number, "\n\n".join([*lines, *_fate(trial, trial.config, best["value"])])))
    return notes


def _fate(trial: Trial, config: Config, best: float) -> list[str]:
    lines = [markdown(config.describe(), 400)]
    if (done := trial.outcome) is not None:
        times = f", {done.value / best:.2f} times the best trial's" if best > 0 and done.value > best else ""
        lines.append(
            f"Validation score {number(done.value)}{times}; scaled MSE on the validation rows "
            f"{number(done.val_mse_scaled)}; best epoch {done.best_epoch} of {done.epochs}."
        )
    if trial.pruned_because is not None:
        lines.append(f"Pruned: {markdown(trial.pruned_because)}.")
    return lines


def _code(text: str) -> str:
    return printable(text, 60).replace("`", "'")


# ---- figures


def forecast_figure(result: Result) -> dict[str, Any]:
    """Draw the last test rows of the first target and series, with forecasts side by side over them."""
    windows, data = result.windows, result.windows.data
    horizon = windows.horizon
    positions = result.test_positions[:].cpu()
    channel, row = divmod(int(positions[0]), windows.rows)
    series = int(np.searchsorted(data.offsets, row, side="right")) - 1
    own = positions[positions < channel * windows.rows + data.offsets[series + 1]]
    count = max(2, _ROWS // horizon)
    chosen = own.flip(0)[::horizon][:count].flip(0)
    first = int(chosen[0]) % windows.rows
    last = int(chosen[-1]) % windows.rows + horizon
    values = data.values[channel, first:last].double().numpy() + data.origin[channel]
    actual = np.where(data.observed[channel, first:last].numpy(), values, np.nan)
    labels = time_labels(data.times[first:last]).tolist()
    sources: dict[str, Any] = {"forecast": result.model.network}
    if len(result.record["ensemble"]) > 1:
        untrained = result.record["best"]["epochs"] == 0
        alone = (
            m for m in result.model.network.members if _params(m) == result.best_params and m.is_untrained == untrained
        )
        sources |= {f"trial {result.record['best']['trial']} alone": m for m in alone}  # of the last seed
    traces = [_line(labels, actual, "actual", "#888888")]
    for (name, network), color in zip(sources.items(), ("#d62728", "#1f77b4"), strict=False):
        forecast = forecast_all(network, windows, chosen).double().numpy() + data.origin[channel]
        rows = (chosen.numpy()[:, None] % windows.rows + np.arange(horizon)).reshape(-1)
        placed = np.full(last - first, np.nan)
        placed[rows - first] = forecast.reshape(-1)
        traces.append(_line(labels, placed, name, color) | ({} if name == "forecast" else {"visible": "legendonly"}))
    target = escape(printable(data.targets[channel], 60))
    name = escape(printable(data.series[series], 60))
    title = f"{target}{f', {name}' if name else ''}: the last test rows, forecast {horizon} at a time"
    return {"data": traces, "layout": _layout(title, "", target)}


def _params(member: Any) -> dict[str, Any]:
    params: dict[str, Any] = member.config.params()
    return params


def curves_figure(trials: Sequence[Trial]) -> dict[str, Any]:
    """Draw the validation score and the training loss of trials, the best first, epoch by epoch."""
    traces = []
    colors = ("#d62728", "#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd")
    for trial, color in zip(trials, colors, strict=False):
        history = trial.history[:: -(-len(trial.history) // _POINTS) or 1]
        epochs = [row.epoch for row in history]
        group = {"legendgroup": str(trial.number)}
        traces.append(_line(epochs, [row.val for row in history], f"trial {trial.number}", color) | group)
        training = _line(epochs, [row.loss for row in history], f"trial {trial.number}, training", color) | group
        traces.append(training | {"showlegend": False, "line": {"color": color, "width": 1.5, "dash": "dot"}})
    layout = _layout("Best trials by epoch: validation score, and dotted the training loss", "", "")
    layout["yaxis"]["type"] = "log"
    return {"data": traces, "layout": layout}


def _line(x: Sequence[Any], y: Any, name: str, color: str) -> dict[str, Any]:
    plain = [None if v is None or not math.isfinite(v) else float(f"{v:.5g}") for v in y]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(x),
        "y": plain,
        "name": name,
        "line": {"color": color, "width": 1.5},
    }


def _layout(title: str, x: str, y: str) -> dict[str, Any]:
    return {
        "title": {"text": title, "font": {"size": 15}},
        "xaxis": {"title": {"text": x}},
        "yaxis": {"title": {"text": y}},
        "legend": {"orientation": "h", "y": -0.15},
        "margin": {"l": 60, "r": 20, "t": 50, "b": 40},
        "height": 420,
    }
