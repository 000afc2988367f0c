"""What `backtest` prints: a score for each forecast, and what refitting takes off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from lstm_tune.cli.score_table import Column, Row, print_scores
from lstm_tune.evaluation.baseline_labels import table_label
from lstm_tune.evaluation.model_labels import MODEL
from lstm_tune.evaluation.score import per_target
from lstm_tune.report.plain import to_plain
from lstm_tune.training.backtest import COLUMNS, LSTM, NEVER, Backtest
from lstm_tune.utils.text import counted, number, signed_percent

_FEWEST = 5  # cutoffs that judge whether refitting pays: of fewer all may be better by chance, one time in 16 or more


def to_record(found: Backtest, targets: tuple[str, ...]) -> dict[str, Any]:
    """Return the scores of a backtest as JSON takes them.

    Args:
        found: the backtest.
        targets: names of the columns.
    """
    gain = found.gain
    record: dict[str, Any] = to_plain(
        {
            "scores": {
                name: {
                    "mse": per_target(score.mse, targets),
                    "mae": per_target(score.mae, targets),
                    "mse_scaled": score.mse_scaled,
                    "per_cutoff_mse_scaled": found.per_cutoff[name],
                }
                for name, score in found.scores.items()
            },
            "windows": found.scores[LSTM].windows,
            "cutoffs": len(found.per_cutoff[LSTM]),
            "refits": found.refits,
            "refit_gain": None if gain is None else 1 - gain.ratio,
            "refit_gain_ci95": None if gain is None else (1 - gain.high, 1 - gain.low),
            "refit_better": found.better,
        }
    )
    return record


def show_backtest(console: Console, record: Mapping[str, Any], period: float | None) -> None:
    """Print the table of a backtest and the sentence on refitting.

    Args:
        console: to print on.
        record: what `to_record` returns.
        period: rows in a season, as `table_label` takes it.
    """
    scores, cutoffs = record["scores"], record["cutoffs"]
    single = not isinstance(scores[LSTM]["mse"], dict)
    columns = [Column.of("scaled\nMSE", "mse_scaled")]
    if single:
        columns = [Column.of("MSE", "mse"), Column("RMSE", _rmse), Column.of("MAE", "mae", optional=True), *columns]
    columns.append(Column("model\nbetter in", lambda s: s["better"]))
    own = scores[LSTM]["per_cutoff_mse_scaled"]
    rows = [
        Row(
            _label(name, record, period),
            {**one, "better": _better(own, one["per_cutoff_mse_scaled"]) if name != LSTM else ""},
        )
        for name, one in scores.items()
    ]
    print_scores(console, "forecast", rows, columns)
    console.print(
        f"{counted(record['windows'], 'window')} from {counted(cutoffs, 'cutoff')}, all scored by the same code"
    )
    if record["refits"]:
        console.print(Text(refit_sentence(record)))


def refit_sentence(record: Mapping[str, Any]) -> str:
    """Return what refitting takes off the MSE, with its interval, and how often it pays."""
    gain, (low, high) = record["refit_gain"], record["refit_gain_ci95"]
    if gain is None:
        return "Whether refitting pays cannot be told: an error is 0 or no number."
    often = f"it is better at {record['refit_better']} of {counted(record['cutoffs'], 'cutoff')}"
    says = f"Refitting takes {gain:.1%} off the MSE" if gain >= 0 else f"Refitting adds {-gain:.1%} to the MSE"
    if low is None or high is None:
        return f"{says}; {often}. The windows are too few for an interval: ask for more --windows."
    says += f" (95% interval: {signed_percent(low)} to {signed_percent(high)} off); {often}."
    if record["cutoffs"] < _FEWEST:
        return f"{says} So few cutoffs are too few to judge: ask for {_FEWEST} --windows or more."
    if low > 0:
        return f"{says} It pays."
    return f"{says} It does harm." if high < 0 else f"{says} That may be chance."


def _label(name: str, record: Mapping[str, Any], period: float | None) -> str:
    if name == LSTM and record["refits"]:
        return f"{MODEL}, refitted {counted(record['refits'], 'time')}"
    if name in (LSTM, NEVER):
        return f"{MODEL}, never refitted"
    known = {column: label for label, column in COLUMNS.items()}
    return table_label(known[name], period) if name in known else name


def _better(own: list[float | None], other: list[float | None]) -> str:
    pairs = [(a, b) for a, b in zip(own, other, strict=True) if a is not None and b is not None]
    return f"{sum(a < b for a, b in pairs)} of {len(pairs)}"


def _rmse(scores: Mapping[str, Any]) -> str:
    return number(None if scores["mse"] is None else scores["mse"] ** 0.5, 4)
