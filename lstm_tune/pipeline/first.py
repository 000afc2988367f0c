"""The configurations that another run has found best, for a new study to begin with."""

from __future__ import annotations

from pathlib import Path

from lstm_tune.config import Config
from lstm_tune.errors import LstmTuneError
from lstm_tune.evaluation.model_labels import is_beforehand
from lstm_tune.report.run_folder import RESULT, SCHEMA
from lstm_tune.search.parameter import Value
from lstm_tune.utils.atomic_files import read_json, refuse_damage


def best_configurations(folder: Path) -> tuple[dict[str, Value], ...]:
    """Return the configurations of a run's best trial and of the members of its model, the best one first.

    Args:
        folder: that `tune` wrote.

    Raises:
        RunError: it holds no run, or a damaged one.
    """
    record = read_json(folder / RESULT, SCHEMA)
    with refuse_damage(folder / RESULT, LstmTuneError, remedy="restore it or name another run"):
        found = [record["best"]["params"], *(m["params"] for m in record["ensemble"] if not is_beforehand(m))]
        configs = dict.fromkeys(Config.from_params(params) for params in found)
    return tuple(config.params() for config in configs)
