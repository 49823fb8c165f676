"""What a worker leaves behind becomes the driver's child, also processes that made themselves independent of it.

This is Linux's: elsewhere only the worker's own process group ends with it.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # option of Linux's prctl: orphaned descendants become children of this process


@contextmanager
def adopted_children() -> Iterator[None]:
    """Make this process the parent of what its children leave behind, inside the block."""
    if sys.platform != "linux":
        yield
        return

    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0)


def list_children() -> set[int]:
    """The children of this process; empty where the system does not list them."""
    lists = Path("/proc/self/task").glob("*/children")
    return {int(pid) for path in lists for pid in path.read_text().split()}
