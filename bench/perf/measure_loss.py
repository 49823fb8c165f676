"""`bench perf loss`: memory and time of the loss at a large vocabulary."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bench.engine.model import method_with_network as packing
from bench.engine.model.method_with_network import Model, times
from bench.engine.model.network import Shape
from bench.engine.model.positions import in_sequences
from bench.engine.rng import Stream
from methods import PLUGINS, build, plug
from methods.method import Latent

LIMIT = 0.25  # largest peak memory of the loss, relative to the full logits in float32
TOLERANCE = 1e-4  # relative to a gradient's largest entry, for the order of sums in float32
COMPARED = (2, 128)  # sequences and tokens for comparing chunked with unchunked gradients
MIB = 2**20


@dataclass(frozen=True)
class Sizes:
    """A loss on `batch` sequences of `length` hidden states of `width`, over `vocabulary` tokens."""

    vocabulary: int
    length: int
    batch: int
    width: int
    device: str

    @property
    def full(self) -> int:
        """The size of all logits in float32, in bytes."""
        return 4 * self.batch * self.length * self.vocabulary


class FixedHidden(Model):
    """A model with fixed hidden states, which computes only the head and the method's loss."""

    hidden_states: Tensor

    def hidden(self, z: Latent, t: Tensor, guess: Tensor | None = None) -> Tensor:
        return self.hidden_states


def measure(name: str, sizes: Sizes) -> dict[str, float]:
    """Peak bytes and seconds of one loss with its gradients, and their distance from unchunked gradients."""
    torch.manual_seed(0)
    shape = Shape(layers=0, width=sizes.width, heads=1)
    model = FixedHidden(build(name, sizes.vocabulary), shape, sizes.vocabulary, "sdpa").to(sizes.device)
    torch.nn.init.normal_(model.network.output.weight, std=sizes.width**-0.5)
    gradients = []
    for at_once in (packing.SCORES_AT_ONCE, 2**62):
        model.zero_grad()
        packing.SCORES_AT_ONCE, usual = at_once, packing.SCORES_AT_ONCE
        _loss(model, *COMPARED)
        packing.SCORES_AT_ONCE = usual
        weight = model.network.output.weight.grad
        assert weight is not None
        gradients.append((model.hidden_states.grad, weight.clone()))
    before, start = _memory(sizes.device, reset=True), time.monotonic()
    scored = _loss(model, sizes.batch, sizes.length)
    peak, seconds = _memory(sizes.device, reset=False) - before, time.monotonic() - start
    differences = [float((a - b).abs().max() / b.abs().max()) for a, b in zip(*gradients, strict=True)]
    return {"peak": peak, "seconds": seconds, "scored": scored, "difference": max(differences)}


def _loss(model: FixedHidden, batch: int, length: int) -> int:
    """One training loss and its gradients on random text; returns the number of scored positions."""
    method, device = model.method, model.network.output.weight.device
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(model.vocab_size, (batch, length), generator=generator).to(device)
    shape = (batch, length, model.network.shape.width)
    model.hidden_states = torch.randn(shape, generator=generator).to(device).requires_grad_()
    t = times(method, (torch.arange(batch, dtype=torch.float64, device=device) + 0.5) / batch)
    with in_sequences(method, x):
        z = method.corrupt(x, t, Stream(0, device))
    guess = model.guess(z, t, t > 0) if method.needs.self_condition else None
    model.costs(method.objective, x, z, t, guess).mean().backward()
    return sum(len(rows[0]) for rows in model.chunks(z))


def _memory(device: str, reset: bool) -> int:
    """Peak memory in bytes since the last reset; at a reset, the memory in use.

    On a CPU, this is the resident set of the process, as reported by Linux.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated()
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def loss(names: Sequence[str], sizes: Sizes) -> bool:
    """Measure each method in its own process and print a table; True if all are within the limits."""
    table = Table(title=f"One loss and its gradients, {_describe(sizes)}")
    for column in ("method", "scored positions", "peak MiB", "of full logits", "seconds", "gradients differ by"):
        table.add_column(column, justify="left" if column == "method" else "right")
    within_limits = True
    for name in names:
        result = _measure_in_subprocess(name, sizes)
        share = result["peak"] / sizes.full
        within_limits = within_limits and share < LIMIT and result["difference"] < TOLERANCE
        cells = (
            f"{int(result['scored']):,}",
            f"{result['peak'] / MIB:.0f}",
            f"{share:.1%}",
            f"{result['seconds']:.1f}",
        )
        table.add_row(name, *cells, f"{result['difference']:.0e}")
    Console().print(table)
    print(f"full logits in float32: {sizes.full / MIB:.0f} MiB; the loss may take {LIMIT:.0%} of that")
    return within_limits


def _describe(sizes: Sizes) -> str:
    return (
        f"V = {sizes.vocabulary:,}, L = {sizes.length}, B = {sizes.batch}, width {sizes.width}, on {sizes.device}, "
        f"torch {torch.__version__}"
    )


def _measure_in_subprocess(name: str, sizes: Sizes) -> dict[str, Any]:
    plugin = PLUGINS.get(name)
    plugin_arguments = [str(plugin.path)] if plugin and plugin.path else []
    command = [
        sys.executable,
        "-P",
        "-m",
        "bench.perf.measure_loss",
        name,
        json.dumps(asdict(sizes)),
        *plugin_arguments,
    ]
    environment = {
        **os.environ,
        "MALLOC_MMAP_THRESHOLD_": str(MIB),  # freed memory leaves the process
        "PYTHONPATH": os.pathsep.join(sys.path),  # the code of this process
    }
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if process.returncode != 0:
        raise RuntimeError(f"the measurement of {name} failed:\n{process.stderr}")
    return json.loads(process.stdout.splitlines()[-1])


if __name__ == "__main__":
    for path in sys.argv[3:]:
        plug(Path(path))
    print(json.dumps(measure(sys.argv[1], Sizes(**json.loads(sys.argv[2])))))
