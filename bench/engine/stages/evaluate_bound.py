"""The stages `bound` and `estimate`: the bound of the EMA weights on a split, with the protocol of the numbers."""

import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from bench.engine.likelihood.batch_probe import probe_batches
from bench.engine.likelihood.bound import bound
from bench.engine.likelihood.estimators import estimator_for
from bench.engine.likelihood.metrics import bound_metrics, source_nats
from bench.engine.likelihood.protocol import describe_protocol
from bench.engine.likelihood.settings import BoundSpec
from bench.engine.likelihood.standard_error import clusters_of
from bench.engine.likelihood.time_density import NoiseDraws, RecordingModel, time_density
from bench.engine.measurements import Measurement
from bench.engine.record_files import write_bytes
from bench.engine.records import BoundResult
from bench.engine.stages.context import StageContext

SEQUENCES = "sequences.npz"  # the parts of the bound, sequence by sequence


def run(context: StageContext, settings: BoundSpec) -> BoundResult:
    """Evaluate the bound of the split; its parts, sequence by sequence, go to sequences.npz.

    Raises BatchDependence if the bound of a document depends on the batch, ArithmeticError if it is not finite.
    """
    start = time.monotonic()
    data, model = context.data, context.cell.trained_model(RecordingModel)
    x = data.sequences(settings.split)[: settings.sequences]
    batch_size = context.cell.execution.evaluation_batch
    noise_draws = model.noise_draws = NoiseDraws()

    with context.progress(f"{context.job.title}: bound", len(x), x.shape[1]) as bar:

        def reach(finished: int) -> None:
            bar.reach(finished)
            context.check()

        parts = bound(
            model,
            x,
            settings.draws,
            settings.replicates,
            settings.seed,
            batch_size,
            reach,
            settings.estimator,
            addends=True,
        )
    model.noise_draws = None
    probe = probe_batches(model, x, parts, settings.draws, settings.seed, batch_size, settings.estimator)
    digest = write_arrays(context.folder / SEQUENCES, {name: nats.numpy() for name, nats in parts.items()})

    sizes, length = [data.count_bytes(row) for row in x], x.shape[1]
    clusters = clusters_of(data.summary.source, len(x))
    metrics = bound_metrics(parts, length, sizes, data.summary.level, clusters)
    density = time_density(
        noise_draws, model.method, parts["integral"], length, settings.draws, settings.estimator, clusters
    )
    estimator = estimator_for(model.method, settings.estimator)
    nats = source_nats(data, x)
    return BoundResult(
        split=settings.split,
        kind="exact" if model.method.exact else "bound",
        estimator=estimator.describe(settings.draws),
        network_calls=estimator.network_calls(settings.draws),
        measures={name: Measurement.of(estimate) for name, estimate in metrics.items()},
        profile=density,
        source_nats=None if nats is None else Measurement.of(nats),
        batch_probe=probe,
        seconds=time.monotonic() - start,
        protocol=describe_protocol(model.method, settings, length, model.precision),
        files={SEQUENCES: digest},
    )


def write_arrays(path: Path, arrays: dict[str, Any]) -> str:
    """Write arrays to an npz file and return its SHA-256. Raises StorageFull."""
    content = BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    return write_bytes(path, content.getvalue())
