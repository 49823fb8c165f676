"""`bench perf sample`: what it takes to draw texts, in network calls and seconds.

The weights are random: neither the seconds nor the calls depend on what was learned. The ways that are compared take
turns, so that other work on the machine slows all of them alike, and their medians are told. Tables are Markdown.
"""

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from bench.engine.environment import Execution, settle
from bench.engine.model.model import Model
from bench.engine.model.network import PRESETS
from bench.engine.rng import Stream
from bench.engine.sample.autoregressive import left_to_right
from bench.engine.sample.policies.ancestral import Ancestral
from bench.engine.sample.sampler import SamplerSettings, sample, sample_long
from bench.engine.sample.state import Prompt
from methods import build

LIMIT = 3.0  # how many times faster the cache of keys and values has to make a causal method
VOCABULARY = 27  # the letters and the space

Way = Callable[[], int]  # draws texts and returns the network calls that it made
Names = tuple[str, ...]  # of a way: the first cells of its row


@dataclass(frozen=True)
class Sizes:
    """What is measured; lengths and strides are in tokens."""

    length: int = 256  # of a text, and of a window of long ones
    steps: int = 1000  # of ancestral sampling with kept hidden states
    batches: tuple[int, ...] = (1, 4)
    long: int = 1024
    stride: int = 128
    calls: tuple[int, ...] = (64, 256)  # a window of long texts
    repetitions: int = 3
    timed: bool = True  # whether the seconds mean anything


FULL, QUICK = Sizes(), Sizes(8, 20, (1, 2), 24, 4, (2, 4), 1, timed=False)


@dataclass(frozen=True)
class Found:
    """What one way took in each repetition."""

    calls: int  # network calls for all texts together, those of the last repetition
    seconds: tuple[float, ...]

    @property
    def typical(self) -> float:
        """The median of the seconds."""
        return median(self.seconds)


def speed(presets: Sequence[str], sizes: Sizes, device: str) -> bool:
    """Prints three tables; True when the caches keep what they promise.

    The first measures every preset, the others the first one. Raises RuntimeError when the device is not there.
    """
    print(_machine(presets, device), end="\n\n")
    kept = [_keys_and_values(presets, sizes, device), _hidden_states(presets[0], sizes, device)]
    _long_texts(presets[0], sizes, device)
    return all(kept)


def _keys_and_values(presets: Sequence[str], sizes: Sizes, device: str) -> bool:
    """Left to right with and without a cache; True when it is `LIMIT` times faster with it in every preset."""
    table, kept = Table(2, "network", "cache", "network calls", "seconds a sequence", "times faster"), True
    for preset in presets:
        model = random_model("ar", preset, device)
        ways: dict[Names, Way] = {(preset, word): _writing(model, sizes, word == "yes") for word in ("no", "yes")}
        found = take_turns(ways, sizes.repetitions)
        without, with_it = found.values()
        ratio = without.typical / with_it.typical
        kept = kept and (ratio >= LIMIT or not sizes.timed)
        table.add(found, 1, f"{ratio:.1f}")
    table.print(f"ar, {sizes.length} tokens from left to right, batch 1")
    print(f"required: {LIMIT:g} times faster; {_word(kept, sizes.timed)}", end="\n\n")
    return kept


def _writing(model: Model, sizes: Sizes, cache: bool) -> Way:
    given = Prompt.empty(1, sizes.length)

    def way() -> int:
        rng = Stream(0, next(model.parameters()).device)
        return left_to_right(model, given.ids.to(rng.device), given.fixed.to(rng.device), rng, cache=cache)[1]

    return way


def _hidden_states(preset: str, sizes: Sizes, device: str) -> bool:
    """Ancestral steps with and without the hidden states of the call before; True when one text takes at most as many
    calls with them as it has tokens."""
    columns = ("texts at once", "reused", "network calls", "seconds a sequence", "fewer calls", "times faster")
    table, model, kept = Table(2, *columns), random_model("mdlm", preset, device), True
    for batch in sizes.batches:
        ways: dict[Names, Way] = {
            (f"{batch}", word): _stepping(model, sizes, batch, word == "yes") for word in ("no", "yes")
        }
        found = take_turns(ways, sizes.repetitions)
        without, with_them = found.values()
        kept = kept and (batch > 1 or with_them.calls <= sizes.length)
        saved = (f"{without.calls / with_them.calls:.1f}", f"{without.typical / with_them.typical:.1f}")
        table.add(found, batch, *saved)
    what = f"{sizes.steps:,} ancestral steps, {sizes.length} tokens, hidden states of unchanged texts reused or not"
    table.print(f"mdlm on {preset}, {what}")
    print(f"required: at most {sizes.length} calls for a text by itself; {_word(kept)}", end="\n\n")
    return kept


def _stepping(model: Model, sizes: Sizes, batch: int, cached: bool) -> Way:
    policy = Ancestral(cached=cached)
    return lambda: sample(model, batch, sizes.length, sizes.steps, 0, policy).network_calls


def _long_texts(preset: str, sizes: Sizes, device: str) -> None:
    """Texts beyond the window, by masked diffusion in few or many calls and from left to right."""
    masked, causal = (random_model(name, preset, device) for name in ("mdlm", "ar"))
    ways: dict[Names, Way] = {("mdlm", f"{calls}"): _windows(masked, sizes, calls) for calls in sizes.calls}
    ways[("ar", "one a token")] = _windows(causal, sizes, 1)
    table = Table(2, "method", "calls a window", "network calls", "seconds a sequence")
    table.add(take_turns(ways, sizes.repetitions), 1)
    what = f"{sizes.long:,} tokens in windows of {sizes.length}, {sizes.stride} new ones each"
    table.print(f"{what}, on {preset}, batch 1")


def _windows(model: Model, sizes: Sizes, calls: int) -> Way:
    return lambda: (
        sample_long(model, 1, sizes.length, sizes.long, sizes.stride, 0, SamplerSettings(calls)).network_calls
    )


class Table:
    """A table in Markdown; `words` columns are words, the others numbers."""

    def __init__(self, words: int, *columns: str):
        self.words, self.columns, self.rows = words, columns, list[tuple[str, ...]]()

    def add(self, found: Mapping[Names, Found], batch: int, *saved: str) -> None:
        """A row for each way; what the last one saves stands in its row."""
        for number, (names, each) in enumerate(found.items(), 1):
            middle, least, most = (value / batch for value in (each.typical, min(each.seconds), max(each.seconds)))
            row = (*names, f"{each.calls:,}", f"{middle:.3g} ({least:.3g} to {most:.3g})")
            self.rows.append(row + (saved if number == len(found) else ("",) * len(saved)))

    def print(self, title: str) -> None:
        """Prints it under a title."""
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        line = ["-" * width if number < self.words else "-" * (width - 1) + ":" for number, width in enumerate(widths)]
        print(title, end="\n\n")
        for row in (self.columns, tuple(line), *self.rows):
            print("|", " | ".join(self._cell(number, row[number], width) for number, width in enumerate(widths)), "|")
        print()

    def _cell(self, number: int, text: str, width: int) -> str:
        return text.ljust(width) if number < self.words else text.rjust(width)


def take_turns(ways: Mapping[Names, Way], repetitions: int) -> dict[Names, Found]:
    """What each way took, once in each round."""
    calls, seconds = dict.fromkeys(ways, 0), {names: list[float]() for names in ways}
    for _ in range(repetitions):
        for names, way in ways.items():
            began = time.perf_counter()
            calls[names] = way()
            seconds[names].append(time.perf_counter() - began)
    return {names: Found(calls[names], tuple(seconds[names])) for names in ways}


def random_model(name: str, preset: str, device: str) -> Model:
    """A method with a network of random weights, its head included."""
    torch.manual_seed(0)
    where, precision = settle(Execution.model_validate({"device": device}))
    shape = PRESETS[preset]
    model = Model(build(name, VOCABULARY), shape, VOCABULARY, "sdpa", precision)
    torch.nn.init.normal_(model.network.output.weight, std=shape.width**-0.5)
    return model.to(where).eval()


def _word(kept: bool, held: bool = True) -> str:
    return ("kept" if kept else "NOT kept") if held else "not held to it: these sizes are too small"


def _machine(presets: Sequence[str], device: str) -> str:
    """Where it is measured."""
    where, precision = settle(Execution.model_validate({"device": device}))
    name = torch.cuda.get_device_name() if where.type == "cuda" else _cpu()
    threads = f"{torch.get_num_threads()} threads, torch {torch.__version__}, Python {platform.python_version()}"
    return f"{name}, {threads}, {precision}; networks: {', '.join(presets)} with random weights, V = {VOCABULARY}"


def _cpu() -> str:
    """The processor's name where Linux tells it, and how many of its cores are here."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"
