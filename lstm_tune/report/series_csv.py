"""`series.csv`: the test scores of each of several series, one line for each column of a series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lstm_tune.evaluation.series_scores import SeriesScores
from lstm_tune.utils.atomic_files import atomic_write
from lstm_tune.utils.escaping import cell

SERIES = "series.csv"


def write_series(scores: SeriesScores | None, file: Path) -> None:
    """Write the file; None: there is one series alone, and a file of an earlier result is removed."""
    if scores is None:
        file.unlink(missing_ok=True)
        return
    columns: dict[str, object] = {
        "series": [cell(name) for name in scores.series],
        "target": [cell(name) for name in scores.target],
        "rows": scores.rows,
        "test_mse": scores.mse,
        "test_mse_scaled": scores.scaled,
        "mase": scores.mase,
    }
    columns |= {f"skill_{name}": skill for name, skill in scores.skill.items()}
    columns["first_finding"] = [scores.first.get(key) for key in zip(scores.series, scores.target, strict=True)]
    frame = pd.DataFrame(columns).replace([np.inf, -np.inf], np.nan)
    with atomic_write(file) as beside:
        frame.to_csv(beside, index=False)
