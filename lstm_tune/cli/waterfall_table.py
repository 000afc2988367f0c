"""What `explain` prints: the waterfall, with a bar for each step in 80 columns or more, and what came of the advice."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lstm_tune.utils.spelling import as_typed
from lstm_tune.utils.text import number, signed_percent

_BAR = (10, 40)  # columns of the bars, at least and at most
_BESIDE = 68  # columns of the rest of the table
_TIME_UP = "Time was up. What was trained is kept: the same command goes on from there."


def show_waterfall(console: Console, record: Mapping[str, Any]) -> None:
    """Print what `explain` found: the steps, the test MSE at both ends, how to read them.

    Args:
        console: to print on.
        record: what `explain.json` holds.
    """
    steps, seeds = record["steps"], record["seeds"]
    console.print()
    console.print(
        Text("From the plain LSTM to the saved model, one change at a time", style="bold")
        + Text("" if record["finished"] else " (not finished)", style="bold yellow")
    )
    known = [s["val_mse_scaled"] for s in steps if s["val_mse_scaled"] is not None]
    digits = _digits(known)
    width = min(_BAR[1], max(_BAR[0], console.width - _BESIDE))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("step")
    table.add_column("validation score", justify="right", no_wrap=True)
    table.add_column("change", justify="right", no_wrap=True)
    table.add_column("0" + number(max(known)).rjust(width - 1), no_wrap=True, min_width=width)
    before: float | None = None
    for i, step in enumerate(steps):
        value = step["val_mse_scaled"]
        style = _style(step)
        spread = "diverged" if value is None else f"{value:.{digits}f} ± {step['sd'] or 0:.{digits}f}"
        cell = Text(step["name"], style="bold" if not i else style)
        cell.append("".join(f"\n{line}" for line in _changes(step)), style="dim")
        bar = "" if value is None else draw_bar(before, value, max(known), width, faint=bool(step["within_noise"]))
        table.add_row(cell, Text(spread), Text(_change(step, before), style=style), Text(bar, style=style))
        before = before if value is None else value
    console.print(table)
    changed = [step for step in steps[1:] if step["delta"] is not None and not step["within_noise"]]
    if changed:
        best = min(changed, key=lambda step: step["delta"])
        if best["delta"] < 0:
            whole = f"{known[0]:.{digits}f} to {known[-1]:.{digits}f}"
            off = f", which takes off {-best['delta']:.{digits}f}; all steps: {whole}."
            console.print(Text("Largest step: ") + Text(best["name"], style="bold") + Text(off))
    spread = f"mean ± standard deviation over {len(seeds)} seeds; scaled: 1.0 is what forecasting the mean costs"
    console.print(Text(f"Validation score: {spread}", style="dim"))
    console.print(Text(record["rule"], style="dim"))
    console.print()
    test = record["test"]
    if test is not None and test["start"] is not None:
        start, end = test["start"], test["end"]
        console.print(Text("Test MSE", style="bold") + Text(" (test rows were read at these two ends alone)", "dim"))
        for name, one in ((steps[0]["name"], start), ("the saved model", end)):
            own = f"{number(one['mse'])}, " if isinstance(one["mse"], (int, float)) else ""
            console.print(f"  {name + ':':20} {own}scaled {number(one['mse_scaled'])}")
    if not record["finished"]:
        console.print(_TIME_UP)


def show_advice(console: Console, record: Mapping[str, Any], step: Mapping[str, Any] | None = None) -> None:
    """Print what came of the changes that the findings advise, each made alone on the best trial.

    Args:
        console: to print on.
        record: what `explain.json` holds.
        step: the next step that the run advises, as `result.json` holds it; None: none.
    """
    tried, seeds = record["advice"], len(record["seeds"])
    console.print()
    console.print(
        Text("What the findings advise, tried", style="bold") + Text(" (one change of the best trial each)", "dim")
    )
    for step in tried:
        before = None if step["delta"] is None else step["val_mse_scaled"] - step["delta"]
        change = "diverged" if step["val_mse_scaled"] is None else f"validation score {_change(step, before)}"
        console.print(Text(f"  {step['name']}: ") + Text(change, style=_style(step)))
    if not tried and step and step["options"]:
        console.print(
            Text(f"  The run advises to {step['says']}. This option cannot be tried on the validation blocks.")
        )
        if step["command"]:  # on one line, so that it can be pasted
            console.print(Text("  To follow it: ") + Text(step["command"], style="cyan"), soft_wrap=True)
    elif not tried:
        console.print("  no change of the search space is advised")
    else:
        rule = f"each trained with {seeds} seeds as a trial is; within noise: the 95% interval of its change contains 0"
        console.print(Text(rule, style="dim"))
    if not record["advice_finished"]:
        console.print(_TIME_UP)


@contextlib.contextmanager
def telling(console: Console, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Yield what says how far the training is: on a terminal a line that stays in place, else lines on stderr.

    Args:
        console: that the result is printed on.
        quiet: say nothing.
    """
    if quiet:
        yield lambda text: None
    elif console.is_terminal:
        with console.status("reading the run") as status:
            yield lambda text: status.update(Text(text))
    else:
        yield lambda text: print(as_typed(text) + "\n", end="", file=sys.stderr, flush=True)


def draw_bar(before: float | None, after: float, most: float, width: int, *, faint: bool) -> str:
    """Return a bar of at most `width` characters: from 0 for the first step, else from the value before to the new one.

    Args:
        before: the value before; None: there is none.
        after: the new value.
        most: what the whole width stands for.
        width: in characters.
        faint: whether it is within noise.
    """
    unit = width / most if most > 0 else 0.0
    low, high = (0.0, after) if before is None else sorted((before, after))
    start = min(width - 1, round(low * unit))
    length = max(1, round(high * unit) - start)
    thin = (high - low) * unit < 0.5 or faint
    return " " * start + ("▏" if thin else "█") * (1 if thin else length)


def _digits(values: Sequence[float]) -> int:
    """Return the decimals that show three digits of the least value, eight at most."""
    least = min((v for v in values if v > 0), default=1.0)
    return min(8, max(0, 2 - math.floor(math.log10(least))))


def _style(step: Mapping[str, Any]) -> str:
    if step["delta"] is None or step["within_noise"]:
        return "dim" if step["within_noise"] else ""
    return "green" if step["delta"] < 0 else "red"


def _change(step: Mapping[str, Any], before: float | None) -> str:
    """Return the change in percent. A change within noise has no size that could be read as a gain or a loss."""
    if step["delta"] is None or not before:
        return ""
    return "within noise" if step["within_noise"] else signed_percent(step["delta"] / before)


def _changes(step: Mapping[str, Any]) -> list[str]:
    """Return 'lookback 20 → 336' for each parameter."""
    return [f"{name} {_value(old)} → {_value(new)}" for name, (old, new) in step["changes"].items()]


def _value(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)
