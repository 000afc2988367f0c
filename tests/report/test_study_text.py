"""What trials and the members of the model are called in words."""

from __future__ import annotations

from lstm_tune.report.study_text import members


def member(trial: int, epochs: int, weight: float) -> dict[str, float]:
    return {"trial": trial, "epochs": epochs, "weight": weight}


def test_members_are_named_with_their_shares() -> None:
    assert members([member(10, 3, 0.153), member(6, 0, 0.847)]) == "trials 10 (15%), 6 untrained (85%)"
    assert members([member(3, 1, 1.0)]) == "trial 3 (100%)"


def test_member_of_little_weight_does_not_read_as_weighing_nothing() -> None:
    assert members([member(1, 3, 0.997), member(5, 0, 0.003)]) == "trials 1 (100%), 5 untrained (under 1%)"
