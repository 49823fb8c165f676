"""Where a cell ran: recorded beside every result, so that a table can tell what it mixes."""

import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Literal, cast

import torch
from pydantic import Field

from bench.engine.code_hash import ROOT
from bench.engine.model.attention import attention
from bench.engine.model.model import Precision
from bench.engine.settings import Settings


class Execution(Settings):
    """How cells are run: recorded with every result, but not part of what a cell is."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 autocast on a GPU, float32 on a CPU
    attention: Literal["sdpa", "flash"] = "sdpa"
    compile: bool = False
    accumulate: int = Field(1, ge=1)  # parts in which a step's batch goes through the network
    evaluation_batch: int = Field(64, ge=1)  # sequences that are evaluated at once; changes no number
    checkpoint_seconds: float = Field(60.0, ge=0)


def settle(execution: Execution) -> tuple[torch.device, Precision]:
    """The device and the precision that `auto` stands for.

    Raises RuntimeError when the asked device is not there, ImportError when the attention backend is not installed.
    """
    has_gpu = torch.cuda.is_available()
    if execution.device == "cuda" and not has_gpu:
        raise RuntimeError("execution.device is cuda, but torch sees no GPU; use device: auto or cpu")
    device = torch.device("cuda" if has_gpu and execution.device != "cpu" else "cpu")
    automatic = "bfloat16" if device.type == "cuda" else "float32"
    precision = automatic if execution.precision == "auto" else execution.precision
    attention(execution.attention)
    if execution.attention == "flash" and (device.type, precision) != ("cuda", "bfloat16"):
        raise RuntimeError(
            f"execution.attention is flash, which needs a GPU and bfloat16, not {device.type} and {precision}; "
            "use attention: sdpa"
        )
    return device, cast(Precision, precision)


def environment(device: torch.device, precision: str, execution: Execution, code: str) -> dict[str, str]:
    """Software, hardware and settings of this process, in words, and the code that it runs."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        **hardware(device, precision, execution),
        "commit": _commit(),
        "code": code,
    }


def hardware(device: torch.device, precision: str, execution: Execution) -> dict[str, str]:
    """What decides how fast this process is, in words."""
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": str(torch.get_num_threads()),
        "precision": precision,
        "attention": execution.attention,
        "compile": "yes" if execution.compile else "no",
    }


def joined(environments: list[dict[str, str]]) -> dict[str, str]:
    """One environment in place of several: where they differ, each value once, in their order."""
    return {key: ", then ".join(dict.fromkeys(each[key] for each in environments)) for key in environments[-1]}


def _commit() -> str:
    """The commit of this checkout, with a plus when files differ from it; "unknown" outside of one."""
    try:
        run = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        return subprocess.run(run, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def peak_memory(device: torch.device) -> int | None:
    """The most bytes that this process has held so far: those that torch allocated on a GPU; else all that were
    resident in memory, Python and torch themselves included. None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "linux":  # where getrusage still knows the size of the process that started this one
        lines = Path("/proc/self/status").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
