"""The tables that `tune` and `evaluate` end with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lstm_tune.cli.score_table import Column, Row, baseline_rows, print_scores
from lstm_tune.diagnosis.finding import SEVERITY_WORDS, most_shown
from lstm_tune.diagnosis.interval_checks import judges
from lstm_tune.evaluation.baseline_labels import given_label, label_of
from lstm_tune.evaluation.metrics import IN_UNITS, TITLES
from lstm_tune.evaluation.model_labels import adds_little, alone_label, model_label, weight_of_best
from lstm_tune.report.study_text import ends, levels_option, members, on_untrained, score_digits, trial_states
from lstm_tune.utils.escaping import printable, shell
from lstm_tune.utils.text import counted, error_against, joined, number, percent, signed_percent

_STYLES = {"high": "bold red", "warn": "yellow", "info": "cyan"}


def show_result(console: Console, record: Mapping[str, Any], folder: str | None) -> None:
    """Print what `tune` found: scores beside the baselines, the parameters, the files, what to do next.

    Args:
        console: to print on.
        record: the content of `result.json`.
        folder: the run folder; None: nothing was written.
    """
    _show_test(console, record)
    _show_series(console, record.get("over_series"))
    study, best = record["study"], record["best"]
    ended = f"{counted(study['n_trials'], 'trial')} ({trial_states(study)})"
    console.print()
    console.print(Text("Best parameters", style="bold") + Text(f"  trial {best['trial']} of {ended}", style="dim"))
    if beside := weight_of_best(best, record["ensemble"]):
        console.print(Text(f"Trial {best['trial']} has the best validation score; {beside}.", style="yellow"))
    console.print(show_params(best["params"]))
    console.print(Text(_trained(record), style="dim"))
    console.print()
    console.print(Text("Verdict  ", style="bold") + Text(printable(record["verdict"])))
    step = record.get("next") or {}
    if step.get("command"):  # on one line, so that it can be pasted
        console.print(Text(step["command"], style="cyan"), soft_wrap=True)
    if record["findings"]:
        show_findings(console, record["findings"], rest="result.json", named=step.get("code"))
    if folder is not None:
        _show_files(console, record, folder)


def _show_test(console: Console, record: Mapping[str, Any]) -> None:
    """Print the test scores of the model and the baselines, and how certain they are."""
    data, test, retrain = record["data"], record["test"], record["retrain"]
    single = len(data["target"]) == 1
    what = printable(data["target"][0], 60) if single else f"{len(data['target'])} columns"
    rows = data["split"]["test"]
    console.print()
    console.print(
        Text(
            f"Test MSE of {what}, {counted(data['horizon'], 'row')} ahead, over {counted(test['windows'], 'window')}",
            "bold",
        )
        + Text(f" ({rows['start']} to {rows['end']}, seen by no trial)", style="dim")
    )
    own = {
        "test_mse": test["mse"],
        "test_mse_scaled": test["mse_scaled"],
        "val_mse_scaled": record["best"]["val_mse_scaled"],
        "test_score": record["metric"]["test_score"],
        "val_score": record["best"]["val_score"],
    }
    baselines = {name: {**scores, "skill": record["skill"][name]} for name, scores in record["baselines"].items()}
    digits = score_digits(test)
    columns = _score_columns(record["metric"]["name"], digits, single=single)
    ensemble = record["ensemble"]
    rows = [Row(model_label(ensemble), own, "bold green"), Row(alone_label(ensemble), _alone(record))]
    given = [Row(given_label(name, one), one) for name, one in record["against"].items()]
    mean = baseline_rows({"train_mean": record["train_mean"]}, None)
    print_scores(console, "forecast", [*rows, *baseline_rows(baselines, data["period"]), *mean, *given], columns)
    console.print(f"95% interval of the {'' if single else 'scaled '}test MSE: {ends(test['ci95'], digits)}")
    _show_metrics(console, test.get("metrics") or {})
    for line in interval_lines(record):
        console.print(line)
    if single and test["r2"] is not None and test["r2"] < 0:
        console.print(
            f"R² is {test['r2']:.2f}: a constant at the mean of the test rows would have less error. Nobody knows that "
            f"mean beforehand; the table has the mean of the train rows."
        )
    if retrain["sd"] is not None:
        console.print(f"one seed alone, scaled: {number(retrain['mean'], 4)} ± {number(retrain['sd'], 2)}")
    console.print(
        Text(
            "scaled: divided by the variance of the train rows; 1.0 is what forecasting their mean costs\n"
            "model's error: the test MSE of the saved model against that of the forecast in the line\n"
            f"{alone_label(ensemble)}: the mean of the saved model's trained members",
            "dim",
        )
    )


def _score_columns(metric: str, digits: int, *, single: bool) -> list[Column]:
    """Return the columns of the table of scores: of one target its own unit, too; what a metric beside the MSE says."""
    columns = [
        Column.of("scaled\nMSE", "test_mse_scaled", digits=digits),
        Column("validation\nMSE, scaled", lambda scores: _validated(scores, digits), optional=True),
        Column("model's\nerror", _against),
    ]
    if metric != "mse":
        title = ("scaled\n" if metric in IN_UNITS else "test\n") + TITLES[metric]
        columns[1:2] = [
            Column(title, lambda scores: number(scores.get("test_score"), 4)),
            Column("validation\nscore", lambda scores: number(scores.get("val_score"), 4), optional=True),
        ]
    if single:
        rmse = Column("RMSE", lambda scores: _rmse(scores, digits), optional=True)
        columns = [Column.of("test\nMSE", "test_mse", digits=digits), rmse, *columns]
    return columns


def _show_series(console: Console, over: Mapping[str, Any] | None) -> None:
    """Print how the skill is spread over several series."""
    if not over or not over["scored"]:
        return
    share = f"{over['better']:,} of {over['scored']:,} series ({percent(over['better'] / over['scored'])})"
    medians = f"median skill {over['median_skill']:z.1%}, median MASE {number(over['median_mase'], 4)}"
    several = len({one["target"] for one in over["worst"]}) > 1
    console.print()
    console.print(Text("Each series  ", "bold") + Text(f"better than the seasonal naive forecast: {share}; {medians}"))
    names = [f"{one['series']} {one['target']}" if several else one["series"] for one in over["worst"]]
    worst = [f"{printable(n, 24)} {signed_percent(-w['skill'], 0)}" for n, w in zip(names, over["worst"], strict=True)]
    console.print(Text("worst, model's error against it:  ", "dim") + Text(",  ".join(worst)))


def _show_metrics(console: Console, metrics: Mapping[str, Any]) -> None:
    """Print the metrics without unit of the one target."""
    shown = [(title, metrics.get(name)) for name, title in TITLES.items() if name not in IN_UNITS]
    parts = [f"{t} {number(value, 4)}" for t, value in shown if isinstance(value, float)]
    if parts:
        console.print("  ".join(parts))


def interval_lines(record: Mapping[str, Any]) -> list[str]:
    """Return a line for each level of the prediction intervals: what they cover, and how wide they are."""
    lines = []
    for level, own in (record["test"]["intervals"] or {}).get("model", {}).items():
        low, high = own["coverage_ci95"]
        few = "" if judges(own["coverage_ci95"]) else "too few windows to judge"
        parts = ["" if low is None else f"95% interval: {low:.0%} to {high:.0%}", few]
        sure = f" ({', '.join(filter(None, parts))})"
        others = [scores[level]["width"] for name, scores in record["test"]["intervals"].items() if name != "model"]
        narrow = f"; the narrowest without an LSTM {number(min(others), 4)}" if others else ""
        covers = "–" if own["coverage"] is None else f"{own['coverage']:.1%}"
        width = f"mean width {number(own['width'], 4)}{narrow}"
        lines.append(f"{level}% intervals cover {covers} of the test values{sure}, {width}")
    return lines


def _alone(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scores of the trained members' mean; it has no validation value of its own."""
    alone = record["network_alone"]
    other = alone["test_mse_scaled"]
    return {**alone, "skill": 1 - record["test"]["mse_scaled"] / other if other else None}


def _validated(scores: Mapping[str, Any], digits: int) -> str:
    return number(scores["val_mse_scaled"], digits) if "val_mse_scaled" in scores else ""


def _rmse(scores: Mapping[str, Any], digits: int) -> str:
    mse = scores["test_mse"]
    return number(None if mse is None else mse**0.5, digits)


def _against(scores: Mapping[str, Any]) -> str:
    if "skill" not in scores:
        return ""
    return error_against(scores["skill"])


def _show_files(console: Console, record: Mapping[str, Any], folder: str) -> None:
    """Print what was written, and the commands that use it."""
    each = "series.csv, " if record.get("over_series") else ""
    console.print()
    console.print(
        Text("Written to ")
        + Text(printable(folder), style="bold")
        + Text(f": report.html, result.json, forecast.csv, {each}trials.csv, model/")
    )
    path = record["data"]["path"]
    predict = Text(f"lstm-tune predict {shell(folder)} {shell(path)}{levels_option(record)}", style="cyan")
    console.print(Text("Next: ") + predict, soft_wrap=True)  # a line break of ours would be pasted with a command
    if "***" not in str(record["study"]["storage"]):  # its password is not kept
        console.print(Text("      ") + Text(f"lstm-tune dashboard {shell(folder)}", style="cyan"), soft_wrap=True)


def show_findings(
    console: Console,
    findings: Sequence[Mapping[str, Any]],
    *,
    rest: str,
    evidence: bool = False,
    named: str | None = None,
) -> None:
    """Print the most severe findings: severity and code, what is wrong, what to do.

    Args:
        console: to print on.
        findings: the most severe first.
        rest: where to find those that are not shown.
        evidence: whether to show the numbers behind each, too.
        named: code of a finding that is shown however mild it is.
    """
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    shown = most_shown(findings, named)
    for finding in shown:
        style = _STYLES[finding["severity"]]
        says = Text(finding["code"], style="bold") + Text(f"  {printable(finding['says'])}", style="not bold")
        table.add_row(Text(finding["severity"], style=style), says)
        table.add_row("", Text.assemble(("→ ", style), printable(finding["advice"])))
        numbers = _numbers(finding["evidence"]) if evidence else ""
        if numbers:
            table.add_row("", Text(numbers, style="dim"))
    console.print()
    console.print(table)
    console.print(Text(SEVERITY_WORDS, style="dim"))
    if len(findings) > len(shown):
        console.print(Text(f"and {len(findings) - len(shown)} more, less severe, in {rest}", style="dim"))


def _numbers(evidence: Mapping[str, Any]) -> str:
    shown = {k: v for k, v in evidence.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return "  ".join(f"{k} {number(v, 4)}" for k, v in shown.items())


def _trained(record: Mapping[str, Any]) -> str:
    """Return how the saved model came about, in one sentence."""
    ensemble, retrain = record["ensemble"], record["retrain"]
    who = f"the mean of {members(ensemble)}" if len(ensemble) > 1 else f"trial {ensemble[0]['trial']}"
    seeds = len(retrain["seeds"])
    times = f", {seeds} seeds each" if seeds > 1 else ""
    seconds = record["timing"]["seconds"]["total"]
    text = f"The saved model is {who}{times}, trained on {retrain['rows']} rows; this call took {seconds:.0f} s."
    if len(ensemble) > 1 and (untrained := on_untrained(ensemble)):
        text += f"\n{untrained}"
    if little := adds_little(ensemble):
        text += f"\n{little}"
    return text


def show_params(params: Mapping[str, Any]) -> Table:
    """Return the parameters as a grid of name and value, three pairs to a line."""
    grid = Table.grid(padding=(0, 2))
    cells = [
        (Text(name, style="dim"), Text(number(v, 4) if isinstance(v, float) else str(v))) for name, v in params.items()
    ]
    for i in range(0, len(cells), 3):
        grid.add_row(*[part for pair in cells[i : i + 3] for part in pair])
    return grid


def show_scores(
    console: Console, label: str, scores: Mapping[str, Any], targets: tuple[str, ...], period: int, *, unfitted: str
) -> None:
    """Print what `evaluate` found.

    Args:
        console: to print on.
        label: of the model.
        scores: of the model, the simple forecasts and those that were given.
        targets: names of the columns.
        period: rows in a season.
        unfitted: why the simple forecasts that are fitted are not among them; "": they are.
    """
    digits = score_digits(scores["model"])
    if len(targets) == 1:
        shown = (("MSE", "mse"), ("RMSE", "rmse"), ("MAE", "mae"), ("R²", "r2"))
        columns = [Column.of(title, key, optional=key in ("mae", "r2"), digits=digits) for title, key in shown]
    else:
        columns = [Column.of("scaled MSE", "mse_scaled", digits=digits)]
    columns += [Column("model's\nerror", _against), Column("95% interval\nof that", _interval)]
    baselines = {name: one for name, one in scores.items() if name != "model"}
    own = {name: value for name, value in scores["model"].items() if name != "skill"}
    print_scores(console, "forecast", [Row(label, own), *baseline_rows(baselines, period)], columns)
    console.print(f"over {counted(scores['model']['windows'], 'window')}, all scored by the same code")
    _show_metrics(console, own.get("metrics") or {})
    if unfitted:
        names = joined([label_of(name).table for name in ("ridge", "ets", "combination")])
        console.print(f"Not scored: {names}; {unfitted}.")
    console.print(Text("model's error: its MSE against that of the forecast in the line", "dim"))


def _interval(scores: Mapping[str, Any]) -> str:
    """Return the interval of the model's error against that of a forecast."""
    if "skill" not in scores:
        return ""
    low, high = scores["skill_ci95"]
    return "–" if low is None or high is None else f"{signed_percent(-high)} to {signed_percent(-low)}"
