"""The stage `train`: train a model from the last checkpoint, or from the start, to the end of its budget."""

import logging
from collections.abc import Callable
from typing import Any

from bench.engine.environment import merge_environments, peak_memory
from bench.engine.likelihood.bound import bound
from bench.engine.likelihood.metrics import mean_nats
from bench.engine.likelihood.standard_error import clusters_of
from bench.engine.measurements import Measurement
from bench.engine.model import checkpoint
from bench.engine.model.method_with_network import Model
from bench.engine.record_files import set_aside
from bench.engine.records import TrainResult
from bench.engine.settings import Settings
from bench.engine.stages.context import StageContext
from bench.engine.train.learned_parameters import collect
from bench.engine.train.settings import Budget
from bench.engine.train.trainer import Progress, Trainer

log = logging.getLogger(__name__)


class TrainStage(Settings):
    """The job itself holds the settings of training."""


def run(context: StageContext, settings: TrainStage) -> TrainResult:
    """Train; the result counts what the training run used. Raises TrainingFailed, Interrupted."""
    cell, job, data = context.cell, context.job, context.data
    model, ema_model = cell.build_model(Model), cell.build_model(Model)
    trainer = Trainer(model, data, cell.training, Budget(steps=job.steps), job.seed, cell.execution.accumulate)
    trainer.environments.append(cell.environment("train"))
    resume(trainer, context)
    if cell.execution.compile:
        model.compile_network()

    with context.progress(job.title, trainer.steps, cell.training.batch_size * data.summary.length) as bar:

        def report(progress: Progress, loss: float) -> None:
            bar.reach(progress.step, f"loss {loss:.3f} nats")

        validate, seconds = validation(trainer, ema_model, context), cell.execution.checkpoint_seconds
        trainer.run(validate, context.folder, seconds, report, context.stopped)

    ema_model.load_state_dict(trainer.ema.weights)
    return result(trainer, ema_model, context)


def resume(trainer: Trainer, context: StageContext) -> None:
    """Continue from the newest whole checkpoint in the stage's folder, if there is one; a damaged one is moved away.

    Steps that are repeated give the same numbers. Raises ValueError if all checkpoints are damaged.
    """
    state, damage = checkpoint.load_whole(context.folder)
    if state is not None:
        trainer.resume(state)
    if damage:
        warning = f"{damage}; it is moved away, and training goes on from the checkpoint before"
        log.warning("%s, step %d", warning, trainer.progress.step)
        trainer.warnings.append(f"a damaged checkpoint was replaced by the one before, of step {trainer.progress.step}")
        set_aside(context.folder / checkpoint.NAME)


def validation(trainer: Trainer, ema_model: Model, context: StageContext) -> Callable[[], dict[str, Any]]:
    """A function that measures the bound of the EMA weights on the validation split."""
    training, data = context.cell.training, context.data
    x = data.sequences("valid")[: training.validation_sequences]
    batch_size = context.cell.execution.evaluation_batch

    def validate() -> dict[str, Any]:
        ema_model.load_state_dict(trainer.ema.weights)
        ema_model.method.progress = trainer.model.method.progress
        parts = bound(ema_model, x, training.validation_draws, replicates=1, seed=0, batch_size=batch_size)
        estimate = mean_nats(parts, x.shape[1], clusters_of(data.summary.source, len(x)))
        return Measurement.of(estimate).model_dump()

    return validate


def result(trainer: Trainer, ema_model: Model, context: StageContext) -> TrainResult:
    """What training used, and what it learned."""
    cell, data, progress = context.cell, context.data, trainer.progress
    return TrainResult(
        steps=progress.step,
        tokens=progress.tokens,
        flops=cell.price(data.summary.length).training(progress.noise_draws, progress.end_draws),
        epochs=progress.tokens / data.summary.tokens["train"],
        seconds=progress.seconds,
        tokens_per_second=progress.tokens / progress.seconds,
        peak_memory_bytes=peak_memory(cell.device),
        **trainer.model.parameter_counts(),
        curve=vars(trainer.curve),
        learned=collect(ema_model.method, data),
        files={checkpoint.NAME: checkpoint.known_digests(context.folder)[0]},
        warnings=trainer.warnings,
        environment=merge_environments(trainer.environments),
    )
