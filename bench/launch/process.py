"""What a worker asks of its own process: to end with the driver, and how much memory it has held."""

import ctypes
import resource
import signal
import sys
from pathlib import Path

import torch

PR_SET_PDEATHSIG = 1  # of Linux's prctl: the signal that a process is sent when its parent dies


def stop_with_parent() -> None:
    """Asks Linux to send SIGTERM when the driver dies, so that no worker goes on unseen; elsewhere it does nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def peak_memory(device: torch.device) -> int | None:
    """The most bytes that this process has held so far: those that torch allocated on a GPU; else all that were
    resident in memory, Python and torch themselves included. None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "linux":  # where getrusage still knows the size of the process that started this one
        lines = Path("/proc/self/status").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
