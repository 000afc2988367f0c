"""The figures of `Result.plot`: those of the report, as plotly figures of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_tune.data.windows import Positions
from lstm_tune.errors import UsageError
from lstm_tune.evaluation.interval_score import Bands
from lstm_tune.evaluation.score import Forecaster
from lstm_tune.report import error_figures, search_figures
from lstm_tune.report.last_rows import forecast_figure, interval_figure, last_rows, residual_figure, title_of
from lstm_tune.report.page import DETAILS, EXPLAINED
from lstm_tune.report.palette import painted
from lstm_tune.report.plot import Figure
from lstm_tune.report.result_parts import Parts, SavedParts
from lstm_tune.report.search_figures import DrawnTrial
from lstm_tune.utils.atomic_files import read_json, refuse_damage
from lstm_tune.utils.text import did_you_mean

if TYPE_CHECKING:
    import plotly.graph_objects

_FILES = {"learning_curves": DETAILS, "history": DETAILS, "importances": DETAILS, "waterfall": EXPLAINED}  # drawn of


def result_figure(
    kind: str,
    *,
    parts: Parts,
    positions: Callable[[], Positions],
    network: Forecaster,
    bands: Callable[[], Bands | None],
    folder: Path | None,
) -> plotly.graph_objects.Figure:
    """Return one figure of a result.

    Args:
        kind: as `Result.plot` lists them.
        parts: of the result.
        positions: returns the test windows.
        network: the saved model.
        bands: returns its prediction intervals; None: there are none.
        folder: of the run; None: it was not written.

    Raises:
        UsageError: there is no such figure, or what it shows is not there.
        RunError: the record of `explain` is damaged, or the run folder lacks what is drawn.
    """

    def of_rows(draw: Callable[..., Figure]) -> tuple[Figure, str]:
        rows = last_rows(parts.windows, positions(), [("forecast", network)], bands())
        return draw(rows), title_of(rows)

    def of_intervals() -> tuple[Figure, str]:
        if bands() is None:
            raise UsageError("the model has no prediction intervals; tune with level=[80, 95]")
        return of_rows(interval_figure)

    def of_curves() -> tuple[Figure, str]:
        kept = parts.drawn("curves")
        if not kept["kept"]:
            raise UsageError("no trial has kept its learning curve, so there is none to draw")
        return search_figures.learning_curves(kept), "Learning curves"

    def of_importances() -> tuple[Figure, str]:
        found = parts.drawn("importances")
        if found is None:
            raise UsageError("importances need more completed trials with different parameters; tune with more trials")
        return search_figures.importances(found), "Importance of each parameter"

    def of_history() -> tuple[Figure, str]:
        return search_figures.history([DrawnTrial(**trial) for trial in parts.drawn("trials")]), "Score of each trial"

    def of_steps() -> tuple[Figure, str]:
        if folder is None:
            raise UsageError("the waterfall needs a run folder; save the result, then call lstm_tune.explain(folder)")
        explained = read_json(folder / EXPLAINED, 1) if (folder / EXPLAINED).exists() else {"steps": []}
        if not explained["steps"]:
            raise UsageError(f"the run is not explained yet; call lstm_tune.explain({str(folder)!r}), then plot again")
        return error_figures.waterfall(explained), "From the plain LSTM to the saved model"

    kinds: dict[str, Callable[[], tuple[Figure, str]]] = {
        "forecast": lambda: of_rows(forecast_figure),
        "intervals": of_intervals,
        "residuals": lambda: of_rows(residual_figure),
        "learning_curves": of_curves,
        "history": of_history,
        "importances": of_importances,
        "waterfall": of_steps,
    }
    if kind not in kinds:
        raise UsageError(f"kind must be one of {', '.join(kinds)}, but is {kind!r}{did_you_mean(kind, kinds)}")
    file = _FILES.get(kind) if isinstance(parts, SavedParts) or kind == "waterfall" else None
    with contextlib.nullcontext() if file is None or folder is None else refuse_damage(folder / file):
        return _plotly(*kinds[kind]())


def _plotly(drawn: Figure, title: str) -> plotly.graph_objects.Figure:
    import plotly.graph_objects

    layout = drawn["layout"] | {"title": {"text": title}, "template": "plotly_white", "height": drawn["height"]}
    return plotly.graph_objects.Figure(data=painted(drawn["data"]), layout=painted(layout))
