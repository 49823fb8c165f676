"""Device, precision, software and hardware of a process, recorded with every result."""

import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

from bench.engine.code_hash import ROOT
from bench.engine.model.attention import attention
from bench.engine.model.method_with_network import Precision
from bench.engine.settings import Settings


class Execution(Settings):
    """How cells are run: recorded with every result, but not part of a cell's identity."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 autocast on a GPU, float32 on a CPU
    attention: Literal["sdpa", "flash"] = "sdpa"
    compile: bool = False
    accumulate: int = Field(1, ge=1)  # micro-batches per optimizer step
    evaluation_batch: int = Field(64, ge=1)  # sequences per forward pass; changes no number
    checkpoint_seconds: float = Field(60.0, ge=0)


def resolve_device(execution: Execution) -> tuple[torch.device, Precision]:
    """Resolve `auto` to a device and a precision.

    Raises RuntimeError if the device is missing or cannot run the attention backend, ImportError if the backend is not
    installed.
    """
    kind, precision = resolve_names(execution)
    if kind == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("execution.device is cuda, but torch sees no GPU; use device: auto or cpu")

    device = torch.device(kind)
    attention(execution.attention)
    if execution.attention == "flash" and (device.type, precision) != ("cuda", "bfloat16"):
        raise RuntimeError(
            f"execution.attention is flash, which needs a GPU and bfloat16, not {device.type} and {precision}; "
            "use attention: sdpa"
        )
    return device, precision


def resolve_names(execution: Execution) -> tuple[str, Precision]:
    """The kind of device and the precision that `auto` stands for here, whether or not that device is available."""
    has_gpu = torch.cuda.is_available()
    kind = execution.device if execution.device != "auto" else "cuda" if has_gpu else "cpu"
    automatic: Precision = "bfloat16" if kind == "cuda" else "float32"
    return kind, automatic if execution.precision == "auto" else execution.precision


def make_deterministic(device: torch.device) -> None:
    """Make equal runs on a CPU equal bit for bit: otherwise the order in which threads accumulate gradients varies."""
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def describe_environment(device: torch.device, precision: str, execution: Execution, code: str) -> dict[str, str]:
    """Software, hardware, execution settings and code version of this process, as text."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        **describe_hardware(device, precision, execution),
        "commit": _commit(),
        "code": code,
    }


def describe_hardware(device: torch.device, precision: str, execution: Execution) -> dict[str, str]:
    """The hardware and settings that determine the speed of this process, as text."""
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": str(torch.get_num_threads()),
        "precision": precision,
        "attention": execution.attention,
        "compile": "yes" if execution.compile else "no",
        "accumulate": str(execution.accumulate),
        "tf32": describe_tf32(),
        "deterministic": "yes" if torch.are_deterministic_algorithms_enabled() else "no",
    }


def describe_tf32() -> str:
    """How far this process may round products of float32: "no", or torch's word for it, such as "high" for TF32."""
    precision = torch.get_float32_matmul_precision()
    return "no" if precision == "highest" else precision


def merge_environments(environments: list[dict[str, str]]) -> dict[str, str]:
    """One environment for a run of several processes: distinct values in order, joined by ", then ".

    A value that an earlier version did not record is left out.
    """
    names = dict.fromkeys(name for environment in environments for name in environment)
    values = {name: [environment[name] for environment in environments if name in environment] for name in names}
    return {name: ", then ".join(dict.fromkeys(recorded)) for name, recorded in values.items()}


def _commit() -> str:
    """The commit of this checkout, with a plus if files differ from it; "unknown" outside of a checkout."""
    try:
        command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def peak_memory(device: torch.device) -> int | None:
    """Peak memory of this process in bytes; None if the system does not report it.

    On a GPU, the memory that torch allocated; otherwise the resident memory, including Python and torch.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "linux":  # here getrusage includes the peak of the process that started this one
        lines = Path("/proc/self/status").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
