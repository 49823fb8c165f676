"""The stages `samples` and `trajectories`: texts of a trained model, as a suite asks for them."""

import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

from bench.engine.data import Dataset
from bench.engine.model.model import Model
from bench.engine.sample.sampler import Samples, sample, sample_long
from bench.engine.sample.settings import SamplesSpec
from bench.engine.sample.trajectory import encode, show_tokens
from bench.engine.stages.evaluate_bound import source_nats


def draw(
    model: Model, data: Dataset, spec: SamplesSpec, seed: int, check: Callable[[Tensor], None] | None = None
) -> dict[str, Any]:
    """What is recorded of texts; `check` is called at network calls and raises what stops the drawing."""
    began = time.monotonic()
    drawn = draw_samples(model, spec, data.facts.length, seed, check)
    seconds = time.monotonic() - began
    return {
        **spec.describe(model.method.needs.causal),
        "texts": [data.decode(row) for row in drawn.ids],
        "ids": drawn.ids.tolist(),
        "network_calls": drawn.network_calls,
        "cut_off_share": drawn.cut_off_share,
        "seconds_per_sequence": seconds / spec.count,
        "tokens_per_second": drawn.ids.numel() / seconds,
        "sample_nats": source_nats(data, drawn.ids),
    }


def watch(model: Model, data: Dataset, spec: SamplesSpec, seed: int, check: Callable[[], None]) -> dict[str, Any]:
    """What is recorded of texts with all that every network call was shown."""
    frames: list[Tensor] = []

    def keep(shown: Tensor) -> None:
        check()
        frames.append(shown.cpu())

    length = spec.length or data.facts.length
    drawn = sample(model, spec.count, length, spec.calls, seed, settings=spec.sampler_settings(), watch=keep)
    return {
        **spec.describe(model.method.needs.causal),
        "grid": getattr(spec.policy, "grid", ""),
        "network_calls": drawn.network_calls,
        "symbols": show_tokens(data),
        "texts": encode([*frames, drawn.ids]),
        "finals": [data.decode(row) for row in drawn.ids],
    }


def draw_samples(
    model: Model, spec: SamplesSpec, window: int, seed: int, watch: Callable[[Tensor], None] | None = None
) -> Samples:
    """Texts as the suite asks for them; `window` is the length of training. `watch` is called at each network call of
    texts that are no longer than that."""
    length = spec.length or window
    if length <= window:
        return sample(model, spec.count, length, spec.calls, seed, settings=spec.sampler_settings(), watch=watch)
    return sample_long(
        model, spec.count, window, length, spec.stride or max(1, window // 2), seed, spec.sampler_settings()
    )
