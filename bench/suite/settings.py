"""Settings of a suite: frozen, strict, typed blocks with their actual defaults.

All of it except `question` and `execution` is science: it is hashed into the ids of cells. A field at its default is
not hashed, so that a new field with a neutral default keeps existing ids.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from bench.engine.data import DataSpec
from bench.engine.environment import Execution
from bench.engine.likelihood.settings import BoundSpec
from bench.engine.model.settings import NetworkSpec
from bench.engine.quality.settings import QualitySpec
from bench.engine.sample.settings import SamplesSpec
from bench.engine.settings import Settings
from bench.engine.train.settings import Budget, Training
from methods.method import Method


class ArmSpec(Settings):
    """A labelled method with options: one line of the final table."""

    label: str = Field(min_length=1)
    method: str
    options: dict[Any, Any] = Field(default_factory=dict)  # checked by the registry
    base: str | None = None  # the label of the arm that it is compared with
    untuned: str | None = Field(None, min_length=1)  # why it is not tuned although other arms are
    network: NetworkSpec | None = None  # overrides of the suite's blocks; null: none
    budget: Budget | None = None
    training: Training | None = None
    precision: Literal["float32", "bfloat16"] | None = None  # of training and evaluation; null: as `execution` says


def as_tuple(value: Any) -> Any:
    """One block, or a list of them, as a tuple."""
    if value is None or isinstance(value, tuple):
        return value or ()
    if not isinstance(value, dict | list):
        raise ValueError("give one block, or a list of blocks")
    return tuple(value) if isinstance(value, list) else (value,)


SamplesBlocks = Annotated[
    tuple[SamplesSpec, ...], BeforeValidator(as_tuple, json_schema_input_type=SamplesSpec | list[SamplesSpec] | None)
]

Bounds = Annotated[
    tuple[BoundSpec, ...],
    BeforeValidator(as_tuple, json_schema_input_type=BoundSpec | list[BoundSpec]),
    Field(min_length=1),
]


class Evaluation(Settings):
    """What is measured on a trained cell; each part is cached separately."""

    bound: Bounds = (BoundSpec(),)  # one block or a list; the first for an arm is its headline
    samples: SamplesBlocks = ()  # one block or a list
    quality: QualitySpec | None = None  # of all samples; null: not measured
    trajectories: SamplesBlocks = ()  # samples recorded at every network call; one block or a list

    def bounds_of(self, arm: str, method: Method) -> list[BoundSpec]:
        """The estimators of an arm's bound, without those that resolve to an earlier one for its method."""
        distinct: dict[BoundSpec, BoundSpec] = {}
        for spec in self.bound:
            if spec.is_for(arm):
                distinct.setdefault(spec.resolve(method), spec)
        return list(distinct.values())

    def samples_of(self, arm: str) -> list[SamplesSpec]:
        """The sampler settings of an arm's samples."""
        return [spec for spec in self.samples if spec.is_for(arm)]

    def trajectories_of(self, arm: str) -> list[SamplesSpec]:
        """The sampler settings of an arm's trajectories."""
        return [spec for spec in self.trajectories if spec.is_for(arm)]

    @model_validator(mode="after")
    def quality_has_texts(self) -> "Evaluation":
        if self.quality and not self.samples:
            raise ValueError("quality is measured on samples, and there are none; give evaluation.samples")
        return self


class SuiteSpec(Settings):
    """A suite on one data set, with its arms written out."""

    question: str = Field(min_length=1)
    data: DataSpec
    network: NetworkSpec
    budget: Budget
    training: Training = Training()
    arms: list[ArmSpec] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)
    evaluation: Evaluation = Evaluation()
    execution: Execution = Execution()

    @field_validator("seeds")
    @classmethod
    def seeds_differ(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"a seed occurs twice in {seeds}")
        return seeds

    @field_validator("execution")
    @classmethod
    def accumulation_divides_batches(cls, execution: Execution, info: ValidationInfo) -> Execution:
        of_arms = [arm.training for arm in info.data.get("arms", ())]
        for training in filter(None, (info.data.get("training"), *of_arms)):
            if training.batch_size % execution.accumulate:
                raise ValueError(f"accumulate {execution.accumulate} does not divide batch_size {training.batch_size}")
        return execution

    def network_of(self, arm: ArmSpec) -> NetworkSpec:
        """The network of an arm."""
        return arm.network or self.network

    def budget_of(self, arm: ArmSpec) -> Budget:
        """The budget of an arm."""
        return arm.budget or self.budget

    def training_of(self, arm: ArmSpec) -> Training:
        """The training settings of an arm."""
        return arm.training or self.training

    def execution_of(self, arm: ArmSpec) -> Execution:
        """How an arm is run: as the suite says, in the arm's own precision if it names one."""
        return (
            self.execution if arm.precision is None else self.execution.model_copy(update={"precision": arm.precision})
        )

    @property
    def executions(self) -> list[Execution]:
        """The distinct ways in which the suite and its arms are run."""
        return list(dict.fromkeys([self.execution, *map(self.execution_of, self.arms)]))
