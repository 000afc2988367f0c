"""Notes and figures in the attributes of a study, in the format that optuna-dashboard reads.

The format is that of `optuna_dashboard.save_note` and `save_plotly_graph_object`. It is written here because importing
optuna-dashboard takes two seconds, most of it for scikit-learn, and because a note that a person wrote must stay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import optuna

from lstm_tune.storage.optuna_private import id_of_study, storage_of

SIGNATURE = "*Written by lstm-tune; a note without this line is left alone.*"
_PIECE = 2045  # characters of an attribute: what every database holds


def save_note(study: optuna.Study, trial: int | None, body: str) -> None:
    """Save a note in Markdown, unless a person has written one.

    Args:
        study: that holds the trial.
        trial: its number; None: the note is that of the study.
        body: of the note.
    """
    storage, study_id = storage_of(study), id_of_study(study)
    owner = "dashboard:"
    if trial is not None:
        owner += f"{storage.get_trial_id_from_study_id_trial_number(study_id, trial)}:"
    attrs = storage.get_study_system_attrs(study_id)
    pieces = [key for key in attrs if key.startswith(f"{owner}note_str:")]
    before = "".join(attrs[f"{owner}note_str:{i}"] for i in range(len(pieces)))
    text = f"{body}\n\n{SIGNATURE}\n"
    if before == text or (before.strip() and SIGNATURE not in before):
        return
    _save(study, f"{owner}note_ver", attrs.get(f"{owner}note_ver", 0) + 1)
    _save_pieces(study, f"{owner}note_str:", text, len(pieces))


def save_figure(study: optuna.Study, name: str, figure: Mapping[str, Any]) -> None:
    """Save a figure.

    Args:
        study: that shows it.
        name: letters, digits and "-".
        figure: `data` and `layout`, as plotly.js reads them.
    """
    prefix = f"dashboard:plot_data:{name}:"
    attrs = storage_of(study).get_study_system_attrs(id_of_study(study))
    text = json.dumps(figure, separators=(",", ":"), allow_nan=False)
    _save_pieces(study, prefix, text, sum(key.startswith(prefix) for key in attrs))


def _save_pieces(study: optuna.Study, prefix: str, text: str, before: int) -> None:
    pieces = [text[i : i + _PIECE] for i in range(0, len(text), _PIECE)]
    for i, piece in enumerate(pieces + [""] * (before - len(pieces))):
        _save(study, f"{prefix}{i}", piece)


def _save(study: optuna.Study, key: str, value: Any) -> None:
    storage_of(study).set_study_system_attr(id_of_study(study), key, value)
