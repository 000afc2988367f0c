"""Several trainings side by side in threads, each with models and random numbers of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

T = TypeVar("T")

_stop = threading.Event()


def must_stop() -> bool:
    """Return whether the threads of `side_by_side` are to end early; a training asks at every step."""
    return _stop.is_set()


def side_by_side(work: Callable[[int], T], count: int, threads: int) -> list[T]:
    """Return [work(0), …, work(count - 1)], run in as many threads of one core each.

    The results do not depend on the number of threads, if the pieces of work share no model and no generator.
    """
    if min(count, threads) <= 1:
        return [work(i) for i in range(count)]
    with ThreadPoolExecutor(min(count, threads), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            return list(pool.map(work, range(count)))
        except BaseException:
            _stop.set()  # the pool waits for its threads; let them end at their next step
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        finally:
            _stop.clear()


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Let torch, and the BLAS of numpy and scipy, use one core for each operation inside the `with`.

    The steps of an LSTM are too short to share: a second core gains about a tenth, and costs many times that if another
    process wants it. So are the matrices of the simple forecasts and of the findings, whose threads would wait for each
    other for most of their time. Cores go to folds and seeds instead, which share nothing.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
