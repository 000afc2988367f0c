"""What optuna-dashboard shows beside its own charts: a note on the study, notes on its main trials, two figures.

The dashboard sends all of it again at every refresh, so it stays small: a few notes and some kilobytes of figures,
whatever the number of trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lstm_tune.config import Config
from lstm_tune.dashboard.attributes import save_figure, save_note
from lstm_tune.dashboard.figures import curves_figure, forecast_figure
from lstm_tune.evaluation.baseline_labels import table_label
from lstm_tune.evaluation.model_labels import adds_little, alone_label, is_beforehand, model_label, weight_of_best
from lstm_tune.report.plain import to_plain
from lstm_tune.report.result import Result
from lstm_tune.report.result_json import ResultRecord
from lstm_tune.report.study_text import members, on_untrained, score_digits
from lstm_tune.search.trials import Trial, completed
from lstm_tune.utils.escaping import markdown, printable
from lstm_tune.utils.text import counted, error_against, number, signed_percent

_FINDINGS = 5
_CURVES = 5  # trials


def write_notes(result: Result, known: Sequence[Mapping[str, Any]]) -> None:
    """Write the notes and figures of a finished study.

    Args:
        result: of the study.
        known: the configurations that were tried first: the plain LSTM, then all others.
    """
    study = result.study
    save_note(study, None, study_note(result.summary))
    for trial, note in trial_notes(result.summary, result.trials, known):
        save_note(study, trial, note)
    save_figure(study, "forecast", forecast_figure(result))
    save_figure(study, "learning-curves", curves_figure(completed(result.trials)[:_CURVES]))


def study_note(summary: ResultRecord) -> str:
    """Return the note of the study: test MSE and verdict, scores of the baselines, findings, the saved model."""
    lines = [*_score_lines(summary), *_finding_lines(summary), "", "### The saved model", "", _model_line(summary)]
    return "\n".join(lines)


def _score_lines(summary: ResultRecord) -> list[str]:
    data, test = summary.data, summary.test
    single, ensemble = len(data.target) == 1, to_plain(summary.ensemble)
    what = f"`{_code(data.target[0])}`" if single else f"{len(data.target)} columns, scaled,"
    mse = test.mse if isinstance(test.mse, float) else test.mse_scaled
    low, high = test.ci95
    digits = score_digits(to_plain(test))
    rows = data.split["test"]
    lines = [
        f"## The test MSE of {what} is {number(mse, digits)}",
        "",
        f"{counted(data.horizon, 'row')} ahead, over {counted(test.windows, 'window')} from "
        f"{rows.start} to {rows.end} that no trial has seen; 95% interval {number(low, digits)} to "
        f"{number(high, digits)}.",
        "",
        markdown(summary.verdict, 1000),
        "",
        "| forecast | test MSE, scaled | the model's error against it |",
        "| --- | ---: | ---: |",
        f"| **{model_label(ensemble)}** | **{number(test.mse_scaled, digits)}** | |",
    ]
    alone = summary.network_alone.test_mse_scaled
    against = signed_percent(test.mse_scaled / alone - 1) if alone else "–"
    lines.append(f"| {alone_label(ensemble)} | {number(alone, digits)} | {against} |")
    for name, scored in summary.baselines.items():
        row = f"| {table_label(name, data.period)} | {number(scored.test_mse_scaled, digits)} "
        lines.append(f"{row}| {error_against(summary.skill[name])} |")
    mean = summary.train_mean
    row = f"| {table_label('train_mean', data.period)} | {number(mean.test_mse_scaled, digits)} "
    return [*lines, f"{row}| {error_against(mean.skill)} |"]


def _finding_lines(summary: ResultRecord) -> list[str]:
    findings = summary.findings[:_FINDINGS]
    heading = ["", "### What was found", ""] if findings else []
    return heading + [
        f"- **{markdown(f.severity)}** `{_code(f.code)}`: {markdown(f.says, 400)} *{markdown(f.advice, 400).strip()}*"
        for f in findings
    ]


def _model_line(summary: ResultRecord) -> str:
    best, ensemble = summary.best, to_plain(summary.ensemble)
    seeds = len(summary.retrain.seeds)
    beside = weight_of_best(to_plain(best), ensemble)
    text = (
        f"Best trial: **{best.trial}**, {markdown(Config.from_params(best.params).describe())}"
        f"{'; ' if beside else ''}{beside}.\n\n"
        f"Saved: {'the weighted mean of ' if len(ensemble) > 1 else ''}{members(ensemble)}, "
        f"{seeds} {'seed' if seeds == 1 else 'seeds each'}, trained on {markdown(summary.retrain.rows)} rows."
    )
    return " ".join(note for note in (text, on_untrained(ensemble), adds_little(ensemble)) if note)


def trial_notes(
    summary: ResultRecord, trials: Sequence[Trial], known: Sequence[Mapping[str, Any]]
) -> list[tuple[int, str]]:
    """Return the numbers and notes of the main trials: the best, those of the saved model, those tried first."""
    best = summary.best
    weights: dict[int, float] = {}
    for member in to_plain(summary.ensemble):  # a trial may be in it twice, trained and untrained
        if not is_beforehand(member):
            weights[member["trial"]] = weights.get(member["trial"], 0.0) + member["weight"]
    notes = []
    for trial in trials:
        if not trial.finished or trial.config is None:
            continue
        lines = []
        if trial.number == best.trial:
            lines.append("**The best trial** by its validation score.")
        if trial.number in weights:
            share = f"{weights[trial.number]:.0%}"
            lines.append(f"**{share} of the saved model**, retrained on {summary.retrain.rows} rows.")
        if trial.queued_params is not None and trial.queued_params in known:
            place = known.index(trial.queued_params)
            source = "The plain LSTM, as far as the space admits it" if not place else "Known from other series"
            lines.append(f"**{source}**: tried before the search began.")
        if lines:
            notes.append((trial.number, "\n\n".join([*lines, *_outcome_lines(trial, trial.config, best.value)])))
    return notes


def _outcome_lines(trial: Trial, config: Config, best: float | None) -> list[str]:
    lines = [markdown(config.describe(), 400)]
    if (done := trial.outcome) is not None:
        times = f", {done.value / best:.2f} times the best trial's" if best and 0 < best < done.value else ""
        lines.append(
            f"Validation score {number(done.value)}{times}; validation MSE, scaled, "
            f"{number(done.val_mse_scaled)}; best epoch {done.best_epoch} of {done.epochs}."
        )
    if trial.pruned_because is not None:
        lines.append(f"Pruned: {markdown(trial.pruned_because)}.")
    return lines


def _code(text: str) -> str:
    return printable(text, 60).replace("`", "'")
