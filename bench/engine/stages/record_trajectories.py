"""The stage `trajectories`: draw samples and keep what every network call was shown."""

from torch import Tensor

from bench.engine.model.method_with_network import Model
from bench.engine.records import TrajectoriesResult
from bench.engine.rng import seed_for
from bench.engine.sample.sampler import sample
from bench.engine.sample.settings import SamplesSpec
from bench.engine.sample.trajectory import encode, show_tokens
from bench.engine.stages.context import StageContext


def run(context: StageContext, settings: SamplesSpec) -> TrajectoriesResult:
    """Draw samples with a frame for each network call; the seed is that of the cell."""
    data, model = context.data, context.cell.trained_model(Model)
    seed = seed_for(context.job.seed, "trajectories")
    frames: list[Tensor] = []

    def keep(shown: Tensor) -> None:
        context.check()
        frames.append(shown.cpu())

    length = settings.length or data.summary.length
    samples = sample(
        model, settings.count, length, settings.calls, seed, settings=settings.sampler_settings(), watch=keep
    )
    return TrajectoriesResult(
        **settings.describe(model.method.needs.causal),
        grid=getattr(settings.policy, "grid", ""),
        network_calls=samples.network_calls,
        symbols=show_tokens(data),
        texts=encode([*frames, samples.ids]),
        finals=[data.decode(row) for row in samples.ids],
    )
