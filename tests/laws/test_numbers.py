"""Every number of a run folder equals that of a second program, for all kinds of data that a study takes."""

from __future__ import annotations

from collections.abc import Callable

import oracle_checks
import oracle_statistics
import oracle_trials
import pytest
from law_studies import KINDS
from oracle import Finished

pytestmark = [pytest.mark.laws, pytest.mark.slow]

CHECKS = {
    name.removeprefix("check_"): check
    for module in (oracle_checks, oracle_trials, oracle_statistics)
    for name, check in vars(module).items()
    if name.startswith("check_")
}


@pytest.mark.parametrize("check", sorted(CHECKS))
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_number_is_that_of_the_oracle(study_of: Callable[[str], Finished], kind: str, check: str) -> None:
    CHECKS[check](study_of(kind))
