"""Names of the saved model that promise no more network than there is."""

from __future__ import annotations

from typing import Any

import pytest

from lstm_tune.evaluation.model_labels import (
    adds_little,
    alone_label,
    is_untrained,
    member_name,
    model_label,
    trained_share,
    weight_of_best,
)


def members(*parts: tuple[int, int, float]) -> list[dict[str, Any]]:
    """Return members (trial, epochs, weight) as `result.json` lists them."""
    return [{"trial": t, "epochs": e, "weight": w, "params": {"layers": 1, "skip": "last"}} for t, e, w in parts]


@pytest.mark.parametrize(
    ("trained", "label"), [(1.0, "saved model"), (0.5, "saved model"), (0.09, "saved model (9% LSTM)")]
)
def test_label_says_how_little_of_the_model_is_a_network(trained: float, label: str) -> None:
    ensemble = members((3, 5, trained), (3, 0, 1 - trained))
    assert trained_share(ensemble) == pytest.approx(trained)
    assert model_label(ensemble) == label
    assert bool(adds_little(ensemble)) == (trained < 0.5)


def test_labels_follow_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lstm_tune.evaluation.model_labels.CELL_LABELS", {"lstm": "LSTM", "gru": "GRU"})
    gru = [member | {"params": {"cell": "gru", "skip": "last"}} for member in members((3, 5, 0.2), (3, 0, 0.8))]
    assert alone_label(gru) == "GRU alone"
    assert model_label(gru) == "saved model (20% GRU)"
    assert adds_little(gru) == "The GRU adds little here: 80% of the saved model are untrained forecasts."
    assert alone_label([*gru, *members((1, 2, 0.1))]) == "GRU and LSTM alone"


def test_best_trial_that_hardly_counts_is_told_from_one_that_does() -> None:
    ensemble = members((3, 0, 0.6), (7, 4, 0.39), (2, 6, 0.01))
    assert weight_of_best({"trial": 7, "epochs": 4}, ensemble) == ""
    told = "of the saved model, of which trial 3 untrained is 60%"
    assert weight_of_best({"trial": 2, "epochs": 6}, ensemble) == f"it is only 1.0% {told}"
    assert weight_of_best({"trial": 3, "epochs": 8}, ensemble) == f"it is no part {told}"


def test_network_of_random_weights_is_no_simple_forecast() -> None:
    ensemble = [member | {"params": {"skip": "none"}} for member in members((0, 0, 1.0))]
    assert model_label(ensemble) == "saved model"
    assert adds_little(ensemble) == ""
    assert member_name(ensemble[0]) == "trial 0"
    assert is_untrained(members((0, 0, 1.0))[0])
