"""Threads: a library that shares small pieces of work among cores waits for most of its time."""

from __future__ import annotations

import numpy as np
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from lstm_tune.training.parallel import single_threaded


def _threads() -> tuple[int, list[int]]:
    """Return the threads of torch and of each BLAS, in a fixed order."""
    found = sorted((lib["filepath"], lib["num_threads"]) for lib in threadpool_info() if lib["user_api"] == "blas")
    return torch.get_num_threads(), [n for _, n in found]


def test_torch_and_the_blas_of_numpy_use_one_core_inside_and_afterwards_what_they_had() -> None:
    own = torch.get_num_threads()
    try:
        with threadpool_limits(2, user_api="blas"):
            torch.set_num_threads(2)
            np.eye(2) @ np.eye(2)
            before = _threads()
            assert before[1], "numpy has no BLAS that could be found"
            with single_threaded():
                assert {_threads()[0], *_threads()[1]} == {1}
            assert _threads() == before
    finally:
        torch.set_num_threads(own)
