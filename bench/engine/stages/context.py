"""What a stage has at hand: the job, data and model of its cell, the folder that it writes to, and progress bars."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from pydantic import TypeAdapter

from bench.engine.code_hash import method_roots, stage_code
from bench.engine.data import SOURCES, Dataset, DataSpec, load
from bench.engine.environment import Execution, describe_environment, resolve_device
from bench.engine.flops import FlopCounter
from bench.engine.model import checkpoint
from bench.engine.model.method_with_network import Model
from bench.engine.model.network import Shape
from bench.engine.quality.evaluator import QualityEvaluator
from bench.engine.quality.scorers.open_scorer import open_scorer
from bench.engine.quality.settings import QualityStage
from bench.engine.records import Job
from bench.engine.rng import seed_for
from bench.engine.train.settings import Training
from bench.engine.train.trainer import Interrupted
from methods import build
from methods.method import Method

ModelKind = TypeVar("ModelKind", bound=Model)


class Progress(Protocol):
    """Shows how far a stage is."""

    def reach(self, finished: int, extra: str = "") -> None:
        """Show that `finished` items are done, and a note such as the loss."""


class _Silent:
    def reach(self, finished: int, extra: str = "") -> None:
        pass


def silent(title: str, total: int, tokens_each: int) -> AbstractContextManager[Progress]:
    """Progress that is not shown."""
    return nullcontext(_Silent())


class CellContext:
    """A cell with its job: data and scorers are loaded once, models are built anew on each call."""

    def __init__(self, folder: Path, job: Job, execution: Execution | None = None):
        """`execution` replaces the one in the job. Raises RuntimeError or ImportError if the device or the attention
        backend is not available."""
        self.folder, self.job = folder, job
        self.execution = execution or Execution(**job.execution)
        self.device, self.precision = resolve_device(self.execution)
        self.training = Training(**job.training)
        self._evaluators: list[tuple[Any, QualityEvaluator]] = []

    @cached_property
    def data(self) -> Dataset:
        """The data that the suite was planned with. Raises ValueError if they changed since."""
        spec = TypeAdapter(DataSpec).validate_python(self.job.data)
        data = load(spec, Path(self.job.base), self.folder.parent.parent / "data")
        if data.summary.fingerprint != self.job.fingerprint:
            raise ValueError(f"the data of source {spec.source} changed since the suite was planned; run it again")
        return data.with_reserve_as_train() if self.job.part == "reserve" else data

    def build_method(self) -> Method:
        """A new instance of the method."""
        return build(self.job.method, self.job.vocab_size, **self.job.options)

    def build_model(self, kind: type[ModelKind]) -> ModelKind:
        """A new model with its initial weights, which depend on the training seed alone."""
        torch.manual_seed(seed_for(self.job.seed, "init"))
        model = kind(
            self.build_method(),
            Shape(**self.job.network),
            self.job.vocab_size,
            self.execution.attention,
            self.precision,
        )
        return model.to(self.device)

    def trained_model(self, kind: type[ModelKind]) -> ModelKind:
        """The model with its EMA weights. Raises FileNotFoundError if there is no checkpoint."""
        state = checkpoint.load(self.folder / "train")
        if state is None:
            path = self.folder / "train" / checkpoint.NAME
            raise FileNotFoundError(f"{path} is missing; remove train/ to train again")

        model = self.build_model(kind)
        model.load_state_dict(state["ema"])
        return model

    def price(self, length: int) -> FlopCounter:
        """FLOPs of the method on the cell's network."""
        return FlopCounter(self.build_method(), Shape(**self.job.network), length)

    def quality_evaluator(self, settings: QualityStage, check: Callable[[], None]) -> QualityEvaluator:
        """The evaluator with this scorer and these settings, shared by all ways of sampling. Raises ScorerError."""
        identity = (settings.quality, settings.scorer, settings.steps)
        for cached_identity, evaluator in self._evaluators:
            if cached_identity == identity:
                return evaluator

        scorer = None
        if settings.quality.scorer is not None:
            trained = self.folder.parent / settings.scorer if settings.scorer else None
            base = Path(self.job.base)
            scorer = open_scorer(settings.quality.scorer, base, self.data, self.device, settings.steps, trained)
        evaluator = QualityEvaluator(settings.quality, self.data, scorer, check)
        self._evaluators.append((identity, evaluator))
        return evaluator

    def environment(self, stage: str) -> dict[str, str]:
        """Software, hardware and code of this process, for the result of a stage."""
        source = SOURCES.get(self.job.data["source"])
        code = stage_code(stage, method_roots(self.job.method), source)
        return describe_environment(self.device, self.precision, self.execution, code)


@dataclass(frozen=True)
class StageContext:
    """A stage at work on its cell."""

    cell: CellContext
    folder: Path  # of the stage, for files beside its result
    stopped: Callable[[], bool] = lambda: False  # whether the worker was asked to stop
    progress: Callable[[str, int, int], AbstractContextManager[Progress]] = silent  # title, items, tokens of an item

    @property
    def job(self) -> Job:
        """The job of the cell."""
        return self.cell.job

    @property
    def data(self) -> Dataset:
        """The data of the cell."""
        return self.cell.data

    def check(self) -> None:
        """Raise Interrupted if the worker was asked to stop."""
        if self.stopped():
            raise Interrupted
