"""The stage `samples`: draw samples from the EMA weights."""

import time
from collections.abc import Callable

from torch import Tensor

from bench.engine.likelihood.metrics import source_nats
from bench.engine.measurements import Measurement
from bench.engine.model.method_with_network import Model
from bench.engine.records import SamplesResult
from bench.engine.rng import seed_for
from bench.engine.sample.sampler import Samples, sample, sample_long
from bench.engine.sample.settings import SamplesSpec
from bench.engine.stages.context import StageContext


def run(context: StageContext, settings: SamplesSpec) -> SamplesResult:
    """Draw samples with their cost; the seed is that of the cell."""
    data, model = context.data, context.cell.trained_model(Model)
    seed = seed_for(context.job.seed, "samples")

    start = time.monotonic()
    samples = draw_samples(model, settings, data.summary.length, seed, watch=lambda shown: context.check())
    seconds = time.monotonic() - start

    nats = source_nats(data, samples.ids)
    return SamplesResult(
        **settings.describe(model.method.needs.causal),
        texts=[data.decode(row) for row in samples.ids],
        ids=samples.ids.tolist(),
        network_calls=samples.network_calls,
        cut_off_share=samples.cut_off_share,
        seconds_per_sequence=seconds / settings.count,
        tokens_per_second=samples.ids.numel() / seconds,
        sample_nats=None if nats is None else Measurement.of(nats),
    )


def draw_samples(
    model: Model, settings: SamplesSpec, window: int, seed: int, watch: Callable[[Tensor], None] | None = None
) -> Samples:
    """Samples as the settings ask for them; `window` is the sequence length of training.

    `watch` is called at each network call of samples that are no longer than that.
    """
    length, sampler_settings = settings.length or window, settings.sampler_settings()
    if length <= window:
        return sample(model, settings.count, length, settings.calls, seed, settings=sampler_settings, watch=watch)
    return sample_long(
        model, settings.count, window, length, settings.stride or max(1, window // 2), seed, sampler_settings
    )
