"""The tables that commands end with, readable by a stranger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lstm_tune.diagnosis.finding import SHOWN
from lstm_tune.evaluation.baseline_labels import table_label
from lstm_tune.report.study_text import UNTRAINED, members, trial_states
from lstm_tune.utils.escaping import printable, shell
from lstm_tune.utils.text import number

_STYLES = {"high": "bold red", "warn": "yellow", "info": "cyan"}


def show_result(console: Console, record: Mapping[str, Any], folder: str | None) -> None:
    """Print what `tune` found: scores beside the baselines, the parameters, the files, what to do next."""
    data, test, best = record["data"], record["test"], record["best"]
    targets = data["target"]
    single = len(targets) == 1
    console.print()
    what = printable(targets[0], 60) if single else f"{len(targets)} columns"
    ahead = "1 row" if data["horizon"] == 1 else f"{data['horizon']} rows"
    rows = data["split"]["test"]
    console.print(
        Text(f"Test MSE of {what}, {ahead} ahead, over {test['windows']:,} windows", style="bold")
        + Text(f" ({rows['start']} to {rows['end']}, seen by no trial)", style="dim")
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("forecast")
    if single:
        table.add_column("test MSE", justify="right")
        table.add_column("RMSE", justify="right")
    table.add_column("scaled MSE", justify="right")
    table.add_column("validation, scaled", justify="right")
    table.add_column("LSTM's error vs. it", justify="right")
    own = [number(test["mse"]), number(test["rmse"])] if single else []
    table.add_row(
        "tuned LSTM", *own, number(test["mse_scaled"]), number(best["val_mse_scaled"]), "", style="bold green"
    )
    for name, scores in record["baselines"].items():
        own = [number(scores["test_mse"]), number(scores["test_mse"] ** 0.5)] if single else []
        skill = record["skill"][name]
        table.add_row(
            table_label(name, data["period"]),
            *own,
            number(scores["test_mse_scaled"]),
            number(scores["val_mse_scaled"]),
            "–" if skill is None else f"{-skill:+.1%}",
        )
    console.print(table)
    low, high = test["ci95"]
    retrain = record["retrain"]
    spread = (
        "" if retrain["sd"] is None else f"; one seed alone: {number(retrain['mean'])} ± {number(retrain['sd'])} scaled"
    )
    console.print(f"95% interval of the {'' if single else 'scaled '}test MSE: {number(low)} to {number(high)}{spread}")
    console.print(
        Text(
            "scaled: divided by the variance of the train rows, so that 1.0 is what forecasting their mean costs", "dim"
        )
    )
    console.print()
    study = record["study"]
    ended = f"{study['n_trials']} trials ({trial_states(study)})"
    console.print(Text("Best parameters", style="bold") + Text(f"  trial {best['trial']} of {ended}", style="dim"))
    console.print(show_params(best["params"]))
    console.print(Text(_trained(record), style="dim"))
    console.print()
    console.print(Text("Verdict  ", style="bold") + Text(printable(record["verdict"])))
    if record["findings"]:
        show_findings(console, record["findings"], rest="result.json")
    if folder is not None:
        console.print()
        console.print(
            Text("Written to ")
            + Text(printable(folder), style="bold")
            + Text(": report.html, result.json, forecast.csv, trials.csv, model/")
        )
        console.print(Text("Next: ") + Text(f"lstm-tune predict {shell(folder)} {shell(data['path'])}", style="cyan"))
        if "***" not in str(study["storage"]):  # its password is not kept
            console.print(Text("      ") + Text(f"lstm-tune dashboard {shell(folder)}", style="cyan"))


def show_findings(
    console: Console, findings: Sequence[Mapping[str, Any]], *, rest: str, evidence: bool = False
) -> None:
    """Print the gravest findings: severity and code, what is the matter, what to do.

    Args:
        console: to print to.
        findings: the gravest first.
        rest: where those stand that are not shown.
        evidence: whether the numbers behind each are shown, too.
    """
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings[:SHOWN]:
        style = _STYLES[finding["severity"]]
        says = Text(finding["code"], style="bold") + Text(f"  {printable(finding['says'])}", style="not bold")
        table.add_row(Text(finding["severity"].upper(), style=style), says)
        table.add_row("", Text.assemble(("→ ", style), printable(finding["advice"])))
        numbers = _numbers(finding["evidence"]) if evidence else ""
        if numbers:
            table.add_row("", Text(numbers, style="dim"))
    console.print()
    console.print(table)
    if len(findings) > SHOWN:
        console.print(Text(f"and {len(findings) - SHOWN} more, less grave, in {rest}", style="dim"))


def _numbers(evidence: Mapping[str, Any]) -> str:
    shown = {k: v for k, v in evidence.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return "  ".join(f"{k} {number(v)}" for k, v in shown.items())


def _trained(record: Mapping[str, Any]) -> str:
    """Return how the saved model came about, in one sentence."""
    ensemble, retrain = record["ensemble"], record["retrain"]
    who = f"the mean of {members(ensemble)}" if len(ensemble) > 1 else f"trial {ensemble[0]['trial']}"
    seeds = len(retrain["seeds"])
    times = f", {seeds} seeds each" if seeds > 1 else ""
    seconds = record["timing"]["seconds"]["total"]
    text = f"The saved model is {who}{times}, trained on {retrain['rows']} rows; {seconds:.0f} s in all."
    if len(ensemble) > 1 and any(m["epochs"] == 0 for m in ensemble):
        text += f"\n{UNTRAINED}"
    if all(m["epochs"] == 0 for m in ensemble):
        text += "\nTraining made no trial better than its start: the LSTM adds nothing to what it corrects."
    return text


def show_params(params: Mapping[str, Any]) -> Table:
    """Return the parameters as a grid of name and value, three pairs to a line."""
    grid = Table.grid(padding=(0, 2))
    cells = [
        (Text(name, style="dim"), Text(number(v) if isinstance(v, float) else str(v))) for name, v in params.items()
    ]
    for i in range(0, len(cells), 3):
        grid.add_row(*[part for pair in cells[i : i + 3] for part in pair])
    return grid


def show_scores(console: Console, scores: Mapping[str, Any], targets: tuple[str, ...], period: int) -> None:
    """Print what `evaluate` found."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("forecast")
    single = len(targets) == 1
    columns = {"MSE": "mse", "RMSE": "rmse", "MAE": "mae", "R²": "r2"} if single else {"scaled MSE": "mse_scaled"}
    for column in columns:
        table.add_column(column, justify="right")
    for name, s in scores.items():
        table.add_row(
            "this model" if name == "model" else table_label(name, period),
            *(number(s[key]) for key in columns.values()),
        )
    console.print(table)
    console.print(f"over {scores['model']['windows']:,} windows, all scored by the same code")
