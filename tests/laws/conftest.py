"""Each kind of study is carried out once and looked at by all tests."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from law_studies import KINDS, run_kind
from oracle import Finished


@pytest.fixture(scope="session")
def study_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Finished]:
    """Return the finished study of a kind of data (`KINDS`), run when it is first asked for."""
    done: dict[str, Finished] = {}

    def run(name: str) -> Finished:
        if name not in done:
            done[name] = run_kind(KINDS[name], tmp_path_factory.mktemp(name.replace(os.sep, " ")))
        return done[name]

    return run
