"""Every number of a run folder equals that of a second program, for all kinds of data that a study takes."""

from __future__ import annotations

import oracle_checks
import oracle_statistics
import oracle_trials
import pytest
from law_studies import KINDS, run_kind
from oracle import Finished

pytestmark = pytest.mark.laws

CHECKS = {
    name.removeprefix("check_"): check
    for module in (oracle_checks, oracle_trials, oracle_statistics)
    for name, check in vars(module).items()
    if name.startswith("check_")
}


@pytest.fixture(scope="module", params=sorted(KINDS))
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A small study of each kind of data, its run folder and the oracle's own reading of the frame."""
    return run_kind(KINDS[request.param], tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("check", sorted(CHECKS))
def test_every_number_is_that_of_the_oracle(finished: Finished, check: str) -> None:
    CHECKS[check](finished)
