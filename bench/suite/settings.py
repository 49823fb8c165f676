"""What a suite may say: frozen, strict, typed blocks with their real defaults.

All of it but `question` and `execution` is science: it is hashed into the ids of cells. A field at its default does not
count, so that a new field with a neutral default leaves old cells valid.
"""

from typing import Annotated, Any

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
    """One line of the final table: a registered method with options, under a label."""

    label: str = Field(min_length=1)
    method: str
    options: dict[Any, Any] = Field(default_factory=dict)  # checked by the registry
    base: str | None = None  # the label of the arm against which its deltas are taken
    untuned: str | None = Field(None, min_length=1)  # why it is not tuned, where other arms are
    network: NetworkSpec | None = None  # in these three an arm says what differs from the suite's; null: nothing
    budget: Budget | None = None
    training: Training | None = None


def listed(value: Any) -> Any:
    """One block, or a list of them, as a tuple."""
    if value is None or isinstance(value, tuple):
        return value or ()
    if not isinstance(value, dict | list):
        raise ValueError("give one block, or a list of blocks")
    return tuple(value) if isinstance(value, list) else (value,)


Ways = Annotated[
    tuple[SamplesSpec, ...], BeforeValidator(listed, json_schema_input_type=SamplesSpec | list[SamplesSpec] | None)
]

Bounds = Annotated[
    tuple[BoundSpec, ...],
    BeforeValidator(listed, json_schema_input_type=BoundSpec | list[BoundSpec]),
    Field(min_length=1),
]


class Evaluation(Settings):
    """What is measured on a trained cell; each part is cached by itself."""

    bound: Bounds = (BoundSpec(),)  # one block, or a list: of each arm the first is the one that counts
    samples: Ways = ()  # one block, or a list of them
    quality: QualitySpec | None = None  # of all samples; null: it is not measured
    trajectories: Ways = ()  # whose every call is kept

    def bounds(self, arm: str, method: Method) -> list[BoundSpec]:
        """How the bound of an arm is estimated, without what comes to the same for its method as one before it."""
        known: dict[BoundSpec, BoundSpec] = {}
        for each in self.bound:
            if each.is_for(arm):
                known.setdefault(each.resolve(method), each)
        return list(known.values())

    def samplers(self, arm: str) -> list[SamplesSpec]:
        """The ways in which an arm is sampled."""
        return [each for each in self.samples if each.is_for(arm)]

    def watched(self, arm: str) -> list[SamplesSpec]:
        """The ways of sampling of an arm that are kept call by call."""
        return [each for each in self.trajectories if each.is_for(arm)]

    @model_validator(mode="after")
    def quality_has_texts(self) -> "Evaluation":
        if self.quality and not self.samples:
            raise ValueError("quality is measured of samples, and there are none; give evaluation.samples")
        return self


class SuiteSpec(Settings):
    """A whole suite file."""

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
            raise ValueError(f"a seed stands twice in {seeds}")
        return seeds

    @field_validator("execution")
    @classmethod
    def parts_are_whole(cls, execution: Execution, info: ValidationInfo) -> Execution:
        own = [arm.training for arm in info.data.get("arms", ())]
        for training in filter(None, (info.data.get("training"), *own)):
            if training.batch_size % execution.accumulate:
                raise ValueError(f"accumulate {execution.accumulate} does not divide batch_size {training.batch_size}")
        return execution

    def network_of(self, arm: ArmSpec) -> NetworkSpec:
        """The arm's own, or the suite's; so the two below."""
        return arm.network or self.network

    def budget_of(self, arm: ArmSpec) -> Budget:
        return arm.budget or self.budget

    def training_of(self, arm: ArmSpec) -> Training:
        return arm.training or self.training
