"""`bench perf sample`: network calls and seconds of sampling.

Weights are random, since neither calls nor seconds depend on training. Compared ways of sampling alternate, so that
other load on the machine slows all of them alike, and medians are reported. Tables are Markdown.
"""

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from bench.engine.environment import Execution, resolve_device
from bench.engine.model.method_with_network import Model
from bench.engine.model.network import PRESETS
from bench.engine.rng import Stream
from bench.engine.sample.autoregressive import left_to_right
from bench.engine.sample.policies.ancestral import Ancestral
from bench.engine.sample.sampler import SamplerSettings, sample, sample_long
from bench.engine.sample.state import Prompt
from methods import build

LIMIT = 3.0  # required speed-up of a causal method by its cache of keys and values
VOCABULARY = 27  # the letters and the space

Way = Callable[[], int]  # draws samples and returns the number of network calls
Names = tuple[str, ...]  # of a way of sampling: the first cells of its row


@dataclass(frozen=True)
class Sizes:
    """The sizes of the measurement; lengths and strides are in tokens."""

    length: int = 256  # of a sample, and of a window of a long one
    steps: int = 1000  # of ancestral sampling with cached hidden states
    batches: tuple[int, ...] = (1, 4)
    long: int = 1024
    stride: int = 128
    calls: tuple[int, ...] = (64, 256)  # per window of a long sample
    repetitions: int = 3
    timed: bool = True  # whether sizes are large enough to judge seconds


FULL, QUICK = Sizes(), Sizes(8, 20, (1, 2), 24, 4, (2, 4), 1, timed=False)


@dataclass(frozen=True)
class SamplingCost:
    """The cost of one way of sampling."""

    calls: int  # network calls for the whole batch, in the last repetition
    seconds: tuple[float, ...]  # of each repetition

    @property
    def typical(self) -> float:
        """The median of the seconds."""
        return median(self.seconds)


def speed(presets: Sequence[str], sizes: Sizes, device: str) -> bool:
    """Print three tables, and return whether the caches meet their requirements.

    The first table measures every preset, the others the first preset. Raises RuntimeError if the device is missing.
    """
    print(_machine(presets, device), end="\n\n")
    met = [_keys_and_values(presets, sizes, device), _hidden_states(presets[0], sizes, device)]
    _long_texts(presets[0], sizes, device)
    return all(met)


def _keys_and_values(presets: Sequence[str], sizes: Sizes, device: str) -> bool:
    """Sample left to right with and without a cache; True if the cache is `LIMIT` times faster in every preset."""
    table, met = Table(2, "network", "cache", "network calls", "seconds per sample", "times faster"), True
    for preset in presets:
        model = random_model("ar", preset, device)
        ways: dict[Names, Way] = {(preset, word): _writing(model, sizes, word == "yes") for word in ("no", "yes")}
        costs = measure_in_turns(ways, sizes.repetitions)
        without, with_it = costs.values()
        ratio = without.typical / with_it.typical
        met = met and (ratio >= LIMIT or not sizes.timed)
        table.add(costs, 1, f"{ratio:.1f}")
    table.print(f"ar, {sizes.length} tokens from left to right, batch 1")
    print(f"required: {LIMIT:g} times faster; {_format_verdict(met, sizes.timed)}", end="\n\n")
    return met


def _writing(model: Model, sizes: Sizes, cache: bool) -> Way:
    prompt = Prompt.empty(1, sizes.length)

    def way() -> int:
        rng = Stream(0, next(model.parameters()).device)
        return left_to_right(model, prompt.ids.to(rng.device), prompt.fixed.to(rng.device), rng, cache=cache)[1]

    return way


def _hidden_states(preset: str, sizes: Sizes, device: str) -> bool:
    """Sample in ancestral steps, with and without reusing the previous call's hidden states.

    True if a single sample takes at most one call per token with reuse.
    """
    columns = ("batch size", "reused", "network calls", "seconds per sample", "fewer calls", "times faster")
    table, model, met = Table(2, *columns), random_model("mdlm", preset, device), True
    for batch in sizes.batches:
        ways: dict[Names, Way] = {
            (f"{batch}", word): _stepping(model, sizes, batch, word == "yes") for word in ("no", "yes")
        }
        costs = measure_in_turns(ways, sizes.repetitions)
        without, with_them = costs.values()
        met = met and (batch > 1 or with_them.calls <= sizes.length)
        saved = (f"{without.calls / with_them.calls:.1f}", f"{without.typical / with_them.typical:.1f}")
        table.add(costs, batch, *saved)
    what = f"{sizes.steps:,} ancestral steps, {sizes.length} tokens, hidden states of unchanged texts reused or not"
    table.print(f"mdlm on {preset}, {what}")
    print(f"required: at most {sizes.length} calls for a single sample; {_format_verdict(met)}", end="\n\n")
    return met


def _stepping(model: Model, sizes: Sizes, batch: int, cached: bool) -> Way:
    policy = Ancestral(cached=cached)
    return lambda: sample(model, batch, sizes.length, sizes.steps, 0, policy).network_calls


def _long_texts(preset: str, sizes: Sizes, device: str) -> None:
    """Draw samples longer than the window, by masked diffusion in few or many calls, and from left to right."""
    masked, causal = (random_model(name, preset, device) for name in ("mdlm", "ar"))
    ways: dict[Names, Way] = {("mdlm", f"{calls}"): _windows(masked, sizes, calls) for calls in sizes.calls}
    ways[("ar", "one per token")] = _windows(causal, sizes, 1)
    table = Table(2, "method", "calls per window", "network calls", "seconds per sample")
    table.add(measure_in_turns(ways, sizes.repetitions), 1)
    what = f"{sizes.long:,} tokens in windows of {sizes.length}, {sizes.stride} new ones each"
    table.print(f"{what}, on {preset}, batch 1")


def _windows(model: Model, sizes: Sizes, calls: int) -> Way:
    return lambda: (
        sample_long(model, 1, sizes.length, sizes.long, sizes.stride, 0, SamplerSettings(calls)).network_calls
    )


class Table:
    """A table in Markdown; the first `words` columns hold words, the others numbers."""

    def __init__(self, words: int, *columns: str):
        self.words, self.columns, self.rows = words, columns, list[tuple[str, ...]]()

    def add(self, costs: Mapping[Names, SamplingCost], batch: int, *saved: str) -> None:
        """Add a row for each way of sampling; the last row shows its savings."""
        for number, (names, cost) in enumerate(costs.items(), 1):
            middle, least, most = (value / batch for value in (cost.typical, min(cost.seconds), max(cost.seconds)))
            row = (*names, f"{cost.calls:,}", f"{middle:.3g} ({least:.3g} to {most:.3g})")
            self.rows.append(row + (saved if number == len(costs) else ("",) * len(saved)))

    def print(self, title: str) -> None:
        """Print the table under a title."""
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        line = ["-" * width if number < self.words else "-" * (width - 1) + ":" for number, width in enumerate(widths)]
        print(title, end="\n\n")
        for row in (self.columns, tuple(line), *self.rows):
            print("|", " | ".join(self._cell(number, row[number], width) for number, width in enumerate(widths)), "|")
        print()

    def _cell(self, number: int, text: str, width: int) -> str:
        return text.ljust(width) if number < self.words else text.rjust(width)


def measure_in_turns(ways: Mapping[Names, Way], repetitions: int) -> dict[Names, SamplingCost]:
    """Measure each way of sampling once per repetition, in turns."""
    calls, seconds = dict.fromkeys(ways, 0), {names: list[float]() for names in ways}
    for _ in range(repetitions):
        for names, way in ways.items():
            start = time.perf_counter()
            calls[names] = way()
            seconds[names].append(time.perf_counter() - start)
    return {names: SamplingCost(calls[names], tuple(seconds[names])) for names in ways}


def random_model(name: str, preset: str, device: str) -> Model:
    """Build a method with a network of random weights, including its head."""
    torch.manual_seed(0)
    where, precision = resolve_device(Execution.model_validate({"device": device}))
    shape = PRESETS[preset]
    model = Model(build(name, VOCABULARY), shape, VOCABULARY, "sdpa", precision)
    torch.nn.init.normal_(model.network.output.weight, std=shape.width**-0.5)
    return model.to(where).eval()


def _format_verdict(met: bool, judged: bool = True) -> str:
    if not judged:
        return "not judged: these sizes are too small"
    return "met" if met else "NOT met"


def _machine(presets: Sequence[str], device: str) -> str:
    """Describe the machine and the networks."""
    where, precision = resolve_device(Execution.model_validate({"device": device}))
    name = torch.cuda.get_device_name() if where.type == "cuda" else _cpu()
    threads = f"{torch.get_num_threads()} threads, torch {torch.__version__}, Python {platform.python_version()}"
    return f"{name}, {threads}, {precision}; networks: {', '.join(presets)} with random weights, V = {VOCABULARY}"


def _cpu() -> str:
    """The name of the processor, if Linux reports it, and its number of cores."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"
