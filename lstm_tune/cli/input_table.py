"""What each input is worth, as a table with bars, in 80 columns or more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lstm_tune.cli.result_table import show_findings
from lstm_tune.cli.waterfall_table import draw_bar
from lstm_tune.utils.text import counted, number, signed_percent

_BAR = (10, 40)  # columns of the bars, at least and at most
_CHANCE = 0.05  # p values from which on a bar is faint
_BESIDE = 64  # columns of the rest of the table


def show_inputs(console: Console, record: Mapping[str, Any]) -> None:
    """Print what `explain --inputs` found.

    Args:
        console: to print on.
        record: what `inputs.json` holds.
    """
    rows = record["inputs"]
    console.print()
    console.print(Text("What each input is worth: how much higher the MSE is without it", style="bold"))
    width = min(_BAR[1], max(_BAR[0], console.width - _BESIDE))
    most = max([*(row["importance"] for row in rows), 1e-9])
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("input", overflow="ellipsis")
    for name in ("MSE", "99% interval", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, min_width=width)
    kinds = [row["kind"] == "lookback" for row in rows]
    for i, row in enumerate(rows):
        if i and kinds[i] and not kinds[i - 1]:
            table.add_section()
        low, high, p = row["p99_low"], row["p99_high"], row["p_value"]
        sure = p is not None and p < _CHANCE
        bar = draw_bar(None, row["importance"], most, width, faint=not sure) if row["importance"] > 0 else ""
        interval = "–" if low is None else f"{_percent(low)} to {_percent(high)}"
        style = "" if sure else "dim"
        table.add_row(
            Text(str(row["input"]), style=style),
            Text(_percent(row["importance"]), style=style),
            Text(interval, style=style),
            Text("–" if p is None else "<.001" if p < 0.001 else number(round(p, 3)), style=style),
            Text(bar, style="green"),
        )
    console.print(table)
    blocks, n = counted(record["blocks"], "validation block"), rows[0]["n"]
    how = "one input at a time comes from other times of the same series; of the lookback its pattern, not its level"
    console.print(Text(f"Measured on {blocks} (cut into {n} by time), not fitted on; {how}.", style="dim"))
    if record["blocks"] < record["of"]:
        console.print(f"Time was up after {record['blocks']} of {record['of']} blocks; --timeout allows more.")
    if record["findings"]:
        console.print()
        show_findings(console, record["findings"], rest="inputs.json")


def _percent(share: float) -> str:
    return signed_percent(share) if abs(share) < 10 else f"{1 + share:,.0f} times"
