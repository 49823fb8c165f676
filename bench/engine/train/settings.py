"""Settings of training: the budget, the optimizer and the validation curve."""

import math
from typing import Literal

from pydantic import Field, model_validator

from bench.engine.settings import Settings


class Budget(Settings):
    """How long each arm is trained: in optimizer steps, or in tokens or FLOPs that are rounded to whole steps.

    FLOPs are those of training steps, without validation, by the closed form of bench/engine/flops.py.
    """

    steps: int | None = Field(None, ge=1)
    tokens: int | None = Field(None, ge=1)
    flops: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def is_one_of_them(self) -> "Budget":
        if sum(amount is not None for amount in (self.steps, self.tokens, self.flops)) != 1:
            raise ValueError("give one of steps, tokens and flops")
        return self

    def in_steps(self, tokens_per_step: int, flops_per_step: float = math.nan) -> int:
        """Return the number of optimizer steps, at least one; a budget in FLOPs needs `flops_per_step`."""
        if self.steps is not None:
            return self.steps
        if self.tokens is not None:
            return max(1, round(self.tokens / tokens_per_step))
        assert self.flops is not None
        assert flops_per_step > 0, (
            f"a budget of {self.flops:g} FLOPs was not planned in steps: flops_per_step is missing"
        )
        return max(1, round(self.flops / flops_per_step))


class Training(Settings):
    """AdamW with warm-up, the same for every arm (defaults: MDLM, arXiv:2406.07524v2, appendix C.2)."""

    batch_size: int = Field(64, ge=1)  # sequences per step
    learning_rate: float = Field(3e-4, gt=0)
    warmup_steps: int = Field(0, ge=0)
    decay: Literal["constant", "cosine"] = "constant"  # cosine decays to 0
    weight_decay: float = Field(0.0, ge=0)
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    clip: float | None = Field(1.0, gt=0)  # largest gradient norm; null: no clipping
    ema: float = Field(0.9999, ge=0, lt=1)  # decay of the EMA weights, which are the ones evaluated
    validations: int = Field(10, ge=0)  # points on the validation curve
    validation_sequences: int = Field(32, ge=1)  # of the valid split, for each point
    validation_draws: int = Field(4, ge=2, multiple_of=2)

    def rate_at(self, step: int, steps: int) -> float:
        """Return the learning rate of step 0, 1, ..., steps - 1."""
        warmup = min(1.0, (step + 1) / (self.warmup_steps + 1))
        share = max(0.0, (step - self.warmup_steps) / max(1, steps - self.warmup_steps))
        decay = 0.5 * (1 + math.cos(math.pi * share)) if self.decay == "cosine" else 1.0
        return self.learning_rate * warmup * decay
