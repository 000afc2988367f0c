"""Findings and scores as `diagnose` prints them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lstm_tune.cli.result_table import show_findings
from lstm_tune.cli.score_table import Column, baseline_rows, print_scores
from lstm_tune.utils.escaping import printable
from lstm_tune.utils.text import counted


def show_diagnosis(console: Console, diagnosis: Mapping[str, Any]) -> None:
    """Print what `diagnose` found: the data in a line, the findings, the scores without an LSTM, what an MSE means."""
    console.print()
    _show_data(console, diagnosis["data"])
    findings = diagnosis["findings"]
    if diagnosis["healthy"]:
        console.print(Text("Nothing is wrong with these data.", style="bold green"))
    if findings:
        show_findings(console, findings, rest="--json", evidence=True)
    if diagnosis["baselines"]:
        scores = diagnosis["baselines"]
        single = not isinstance(next(iter(scores.values()))["test_mse"], Mapping)
        columns = [Column.of("test MSE", "test_mse")] if single else []
        columns += [Column.of("scaled", "test_mse_scaled"), Column.of("validation\nMSE, scaled", "val_mse_scaled")]
        rows = baseline_rows(scores, diagnosis["data"]["period"])
        print_scores(console, "forecast without an LSTM", rows, columns)
    lines = Table.grid(padding=(0, 1, 0, 0))
    for sentence in diagnosis["meaning"]:
        lines.add_row(Text("·", style="dim"), Text(sentence))
    method = diagnosis["scale"].get("noise_floor_method")
    if method:
        lines.add_row("", Text(f"Method of the estimate: {method}.", style="dim"))
    if diagnosis["meaning"]:
        console.print(lines)
    if diagnosis["own"]:
        _show_own(console, diagnosis["own"])


def _show_own(console: Console, own: Mapping[str, Any]) -> None:
    """Print what the MSE that was given is worth, and which causes fit."""
    console.print()
    console.print(Text("What your MSE is worth", style="bold"))
    lines = Table.grid(padding=(0, 1, 0, 0))
    for sentence in own["says"]:
        lines.add_row(Text("·", style="dim"), Text(sentence))
    for cause in own["causes"]:
        lines.add_row(Text("→", style="yellow"), Text(f"possible cause: {cause}"))
    console.print(lines)


def _show_data(console: Console, data: Mapping[str, Any]) -> None:
    targets = data.get("target")
    if not targets:
        return
    what = printable(targets[0]) if len(targets) == 1 else f"{len(targets)} columns"
    many = f", {data['series']} series" if data["series"] > 1 else ""
    parts = data.get("split")
    rows = f"{data['rows']:,} rows{many}"
    if data["freq"]:
        rows += f", every {data['freq']}"
    ahead = f"{counted(data['horizon'], 'row')} ahead"
    console.print(Text.assemble((f"{what}, {ahead}", "bold"), (f"  {printable(data['path'])}: {rows}", "dim")))
    if parts:
        names = {"train": "train", "val": "validation", "test": "test"}
        said = "; ".join(
            f"{names[k]} {p['rows']:,} ({p['start']} to {p['end']})" if data["freq"] else f"{names[k]} {p['rows']:,}"
            for k, p in parts.items()
        )
        console.print(Text(said, style="dim"))
    looked = data.get("series_looked_at", 1)
    if looked < data["series"] * len(targets):
        console.print(
            Text(f"{looked} of {data['series'] * len(targets)} series were looked at one by one", style="dim")
        )
