"""What a suite may say: frozen, strict, typed blocks with their real defaults.

All of it but `question` and `execution` is science: it is hashed into the ids of cells. A field at its default does not
count, so that a new field with a neutral default leaves old cells valid.
"""

import math
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from bench.engine.data import DataSpec
from bench.engine.likelihood.bound import Estimator, choose
from bench.engine.model.network import PRESETS, Shape
from bench.engine.quality.settings import QualitySpec
from bench.engine.sample.autoregressive import Truncation
from bench.engine.sample.policies import AnyPolicy
from bench.engine.sample.policies.ancestral import Ancestral
from bench.engine.sample.sampler import How
from bench.engine.settings import Block
from methods.method import Method


class NetworkSpec(Block):
    """The transformer that every arm is given: a preset, or a preset with sizes of one's own."""

    preset: Literal["micro", "tiny", "small", "medium"]
    layers: int | None = Field(None, ge=1)
    width: int | None = Field(None, ge=2)
    heads: int | None = Field(None, ge=1)
    condition: int | None = Field(None, ge=1)
    mlp: Literal["gelu", "swiglu"] | None = None
    gates: Literal["zero", "open"] | None = None
    dropout: float | None = Field(None, ge=0, lt=1)

    @model_validator(mode="after")
    def heads_divide_the_width(self) -> "NetworkSpec":
        shape = self.shape()
        if shape.width % (2 * shape.heads):
            raise ValueError(f"width {shape.width} is not an even multiple of {shape.heads} heads")
        return self

    @property
    def label(self) -> str:
        """The preset's name, with the sizes that are not its own."""
        own = self.model_dump(exclude_none=True, exclude={"preset"})
        return ", ".join([self.preset, *(f"{name} {value}" for name, value in own.items())])

    def shape(self) -> Shape:
        """The preset's sizes, with those that the suite gives in their place."""
        own = self.model_dump(exclude_none=True, exclude={"preset"})
        return Shape(**{**asdict(PRESETS[self.preset]), **own})


class Budget(Block):
    """How much training each arm gets: optimiser steps, or tokens or FLOPs rounded to whole steps.

    FLOPs are those of the steps of training alone, without validations, by the closed form of bench/engine/flops.py.
    """

    steps: int | None = Field(None, ge=1)
    tokens: int | None = Field(None, ge=1)
    flops: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def is_one_of_them(self) -> "Budget":
        if sum(each is not None for each in (self.steps, self.tokens, self.flops)) != 1:
            raise ValueError("give one of steps, tokens and flops")
        return self

    def in_steps(self, tokens_per_step: int, flops_per_step: float = math.nan) -> int:
        """The number of optimiser steps, at least one; a budget in FLOPs asks for the price of a step."""
        if self.steps is not None:
            return self.steps
        if self.tokens is not None:
            return max(1, round(self.tokens / tokens_per_step))
        assert self.flops is not None
        assert flops_per_step > 0, f"a budget of {self.flops:g} FLOPs was not planned in steps: the price is missing"
        return max(1, round(self.flops / flops_per_step))


class Training(Block):
    """AdamW with warm-up, the same for every arm (defaults: MDLM, arXiv:2406.07524v2, appendix C.2)."""

    batch_size: int = Field(64, ge=1)  # sequences a step
    learning_rate: float = Field(3e-4, gt=0)
    warmup_steps: int = Field(0, ge=0)
    decay: Literal["constant", "cosine"] = "constant"  # cosine ends at 0
    weight_decay: float = Field(0.0, ge=0)
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    clip: float | None = Field(1.0, gt=0)  # largest norm of the gradient; null: none
    ema: float = Field(0.9999, ge=0, lt=1)  # decay of the averaged weights, which are the ones evaluated
    validations: int = Field(10, ge=0)  # points on the validation curve
    validation_sequences: int = Field(32, ge=1)  # of the valid split, for each such point
    validation_draws: int = Field(4, ge=2, multiple_of=2)

    def rate_at(self, step: int, steps: int) -> float:
        """The learning rate of step 0, 1, ..., steps - 1."""
        warm = min(1.0, (step + 1) / (self.warmup_steps + 1))
        share = max(0.0, (step - self.warmup_steps) / max(1, steps - self.warmup_steps))
        return self.learning_rate * warm * (0.5 * (1 + math.cos(math.pi * share)) if self.decay == "cosine" else 1.0)


class ArmSpec(Block):
    """One line of the final table: a registered method with options, under a label."""

    label: str = Field(min_length=1)
    method: str
    options: dict[Any, Any] = Field(default_factory=dict)  # checked by the registry
    base: str | None = None  # the label of the arm against which its deltas are taken
    untuned: str | None = Field(None, min_length=1)  # why it is not tuned, where other arms are
    network: NetworkSpec | None = None  # in these three an arm says what differs from the suite's; null: nothing
    budget: Budget | None = None
    training: Training | None = None


class BoundSpec(Block):
    """The protocol of the likelihood bound."""

    split: Literal["valid", "test"] = "test"
    draws: int = Field(16, ge=2, multiple_of=2)  # noisings of each sequence in one replicate
    replicates: int = Field(2, ge=2)  # independent repetitions, for the Monte Carlo error
    seed: int = Field(0, ge=0)  # of the evaluation noise, the same for every arm and training seed
    sequences: int | None = Field(None, ge=1)  # the first so many; null: the whole split
    estimator: Estimator = "auto"  # counted: exactly k masked; times, in strata, or independent, with both ends
    arms: list[str] | None = None  # the labels of the arms that are measured so; null: all

    def science(self) -> dict[str, Any]:
        return {name: value for name, value in super().science().items() if name != "arms"}

    def is_for(self, arm: str) -> bool:
        """Whether an arm is measured so."""
        return self.arms is None or arm in self.arms

    def meant(self, method: Method) -> "BoundSpec":
        """What it comes to for a method: an exact one makes no draws, and `auto` stands for one of the others."""
        if method.exact:
            return BoundSpec(split=self.split, sequences=self.sequences)
        return self.model_copy(update={"estimator": choose(method, self.estimator), "arms": None})


class SamplesSpec(Block):
    """How texts are drawn; causal methods write left to right under `ancestral`, one call a token."""

    count: int = Field(4, ge=1)
    calls: int = Field(128, ge=1)  # network calls for all texts together; of a causal method one a token
    policy: AnyPolicy = Ancestral()  # how z is moved from noise to text
    greedy_last: bool = False  # the last guess is the likeliest token
    temperature: float = Field(1.0, gt=0)  # of drawn tokens; for vectors of the noise that a guess implies
    top_k: int | None = Field(None, ge=1)
    top_p: float | None = Field(None, gt=0, le=1)
    length: int | None = Field(None, ge=1)  # tokens of a text; null: as in training; more: window by window
    stride: int | None = Field(None, ge=1)  # new tokens a window, where texts are longer; null: half of it
    arms: list[str] | None = None  # the labels of the arms that are sampled so; null: all

    def how(self) -> How:
        """What the sampler is told."""
        return How(self.calls, self.policy, Truncation(self.temperature, self.top_k, self.top_p), self.greedy_last)

    def science(self) -> dict[str, Any]:
        return {name: value for name, value in super().science().items() if name != "arms"}

    def is_for(self, arm: str) -> bool:
        """Whether an arm is sampled so."""
        return self.arms is None or arm in self.arms

    def for_causal(self) -> "SamplesSpec":
        """The same for a method that makes one call a token however many are asked for, so that it is drawn once."""
        return self.model_copy(update={"calls": SamplesSpec.model_fields["calls"].default})

    def family(self, causal: bool = False) -> str:
        """How, in words, but for the number of calls and the temperature, over which curves are drawn."""
        cuts = {"top_k": self.top_k, "top_p": self.top_p, "tokens": self.length, "stride": self.stride}
        said = [f"{name} {value}" for name, value in cuts.items() if value is not None]
        policy = "left to right" if causal else self.policy.label()
        return ", ".join([policy, *said, *(["greedy last guess"] if self.greedy_last else [])])

    def told(self, causal: bool) -> dict[str, Any]:
        """How, for tables and curves."""
        return {"how": self.label(causal), "family": self.family(causal), "temperature": self.temperature}

    def label(self, causal: bool = False) -> str:
        """How, in words: policy, what cuts off the law, calls and temperature."""
        calls = [] if causal else [f"{self.calls} calls"]
        temperature = [f"temperature {self.temperature:g}"] if self.temperature != 1 else []
        return ", ".join([self.family(causal), *calls, *temperature])


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


class Evaluation(Block):
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
                known.setdefault(each.meant(method), each)
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


class Execution(Block):
    """How cells are run: recorded with every result, but not part of what a cell is."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 autocast on a GPU, float32 on a CPU
    attention: Literal["sdpa", "flash"] = "sdpa"
    compile: bool = False
    accumulate: int = Field(1, ge=1)  # parts in which a step's batch goes through the network
    evaluation_batch: int = Field(64, ge=1)  # sequences that are evaluated at once; changes no number
    checkpoint_seconds: float = Field(60.0, ge=0)


class SuiteSpec(Block):
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
