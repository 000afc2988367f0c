"""Options that several commands share, and parsers of their values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from lstm_tune.errors import UsageError

Data = Annotated[
    str,
    typer.Argument(metavar="DATA", help="A CSV, Parquet, Feather or Excel file, or example:NAME.", show_default=False),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="The run folder that tune wrote.", show_default=False)]
Against = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Forecasts of other models, scored on the same windows; its format is shown below.",
        show_default=False,
    ),
]
Level = Annotated[
    str | None,
    typer.Option(metavar="PERCENT", help="Prediction intervals, such as 80,95.", show_default=False),
]
Target = Annotated[
    list[str] | None, typer.Option(metavar="COLS", help="Columns to forecast, comma-separated.", show_default=False)
]
Time = Annotated[str | None, typer.Option(metavar="COL", help="Time column; found if it is obvious.")]
Id = Annotated[
    list[str] | None,
    typer.Option("--id", metavar="COLS", help="Columns that name the series (long format).", show_default=False),
]
Decimal = Annotated[str | None, typer.Option(metavar="MARK", help="Decimal mark in text: . or , [default: found]")]
Thousands = Annotated[str | None, typer.Option(metavar="MARK", help="Separator of thousands. [default: found]")]
Horizon = Annotated[int, typer.Option(metavar="H", help="Rows to forecast at once.")]
Past = Annotated[list[str] | None, typer.Option(metavar="COLS", help="Past covariates, comma-separated.")]
Future = Annotated[list[str] | None, typer.Option(metavar="COLS", help="Covariates known into the future.")]
Static = Annotated[list[str] | None, typer.Option(metavar="COLS", help="Covariates that are constant in a series.")]
SplitText = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="PARTS",
        help="Rows or fractions TRAIN,VAL,TEST; last:VAL,TEST rows of each series; or DATE,DATE at which validation "
        "and test begin. [default: 0.7,0.1,0.2; few rows: what leaves room for the horizon]",
    ),
]
Season = Annotated[
    list[int] | None,
    typer.Option(metavar="N", help="Rows in a season; repeat it for several. [default: found]", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]


def completed(*words: str) -> Callable[[str], list[str]]:
    """Return what a shell completes an option by."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


def word(*words: str) -> Any:
    """Return an option that takes one of some words."""
    return typer.Option(help=f"{', '.join(words[:-1])} or {words[-1]}.", autocompletion=completed(*words))


def complete_preset(incomplete: str) -> list[str]:
    """Return the presets that begin so."""
    from lstm_tune.search.space import presets

    return completed(*presets())(incomplete)


def parse_levels(text: str | None) -> tuple[float, ...]:
    """Return levels of intervals, such as 80,95.

    Raises:
        UsageError: they are no numbers between 0 and 100.
    """
    from lstm_tune.utils.arguments import levels

    return levels("level", None if text is None else text.split(","))


def parse_workers(text: str, *, repeatable: bool) -> int | str:
    """Return a number of workers, or "auto".

    Args:
        text: of the option.
        repeatable: whether a seed was given: only one worker repeats a study to the bit, so auto means one.

    Raises:
        UsageError: it is neither.
    """
    if text == "auto":
        return 1 if repeatable else "auto"
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"workers must be auto or a number of processes, but is {text!r}") from None
