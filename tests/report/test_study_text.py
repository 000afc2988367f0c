"""What trials and the members of the model are called in words."""

from __future__ import annotations

import math

from lstm_tune.report.study_text import ends, members


def member(trial: int, epochs: int, weight: float) -> dict[str, float]:
    return {"trial": trial, "epochs": epochs, "weight": weight}


def test_members_are_named_with_their_shares() -> None:
    assert members([member(10, 3, 0.153), member(6, 0, 0.847)]) == "trials 10 (15%), 6 untrained (85%)"
    assert members([member(3, 1, 1.0)]) == "trial 3 (100%)"


def test_member_of_little_weight_does_not_read_as_weighing_nothing() -> None:
    assert members([member(1, 3, 0.997), member(5, 0, 0.003)]) == "trials 1 (100%), 5 untrained (under 1%)"


def test_an_interval_that_is_not_known_is_no_pair_of_dashes() -> None:
    assert ends((1.25, 2.5), 3) == "1.25 to 2.5"
    for unknown in ((None, None), (math.nan, math.nan), (-math.inf, math.inf)):
        assert ends(unknown, 3) == "unknown, the windows cover too short a time"
