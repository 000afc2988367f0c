"""What `predict` and `evaluate` say on stderr if the model seems to be out of date."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lstm_tune.cli.console import print_line
from lstm_tune.utils.escaping import shell

if TYPE_CHECKING:
    from lstm_tune.data.series import SeriesSet
    from lstm_tune.training.saved_model import ForecastModel


def say_out_of_date(model: ForecastModel, run: Path, series: SeriesSet, data: str) -> None:
    """Say why the model of a run seems to be out of date, with the command that trains it again; nothing: it does not.

    Args:
        model: of the run.
        run: its folder.
        series: the data, read by the model.
        data: what the user calls them.
    """
    from lstm_tune.pipeline.out_of_date import out_of_date

    reasons = out_of_date(model, run, series)
    for reason in reasons:
        print_line(f"note: the model may be out of date: {reason}")
    if reasons:
        print_line(f"      to train it on the newest rows: lstm-tune refit {shell(str(run))} {shell(data)}")
