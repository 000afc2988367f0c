"""This process and its neighbours: cores, names, whether another one lives, and the memory allocator."""

from __future__ import annotations

import ctypes
import os
import platform
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Tell glibc to serve every request from its heap and to keep freed memory; return whether it could be told.

    Training frees and takes the same large blocks at every step. By default glibc returns each block to the kernel and
    asks for it again, page by page.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return all(
        mallopt(option, value) == 1
        for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 256 * 2**20))
    )


def available_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def this_run() -> str:
    """Return a name for this process that no other has, even after its number was given to another: HOST/PID/START."""
    pid = os.getpid()
    return f"{platform.node()}/{pid}/{_start_of(pid)}"


def is_alive(run: str | None) -> bool:
    """Return whether a process of that name (`this_run`) lives beside this one, on this machine."""
    if run is None or run.count("/") != 2 or run == this_run():
        return False
    host, pid, start = run.split("/")
    return host == platform.node() and pid.isdigit() and start != "" and _start_of(int(pid)) == start


def is_local(run: str | None) -> bool:
    """Return whether a process of that name (`this_run`) is, or was, one of this machine."""
    return run is not None and run.partition("/")[0] == platform.node()


def process_in_words(run: str | None) -> str:
    """Return "process 12", or "process 12 on HOST" of another machine, of a name that `this_run` gave."""
    host, _, rest = (run or "?/?").partition("/")
    return f"process {rest.partition('/')[0]}" + ("" if is_local(run) else f" on {host}")


def _start_of(pid: int) -> str:
    """Return when a living process began, as the system counts it; "": it is none, or the system does not say."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            state, *rest = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else rest[18]
