"""Settings of sampling in a suite."""

from typing import Any

from pydantic import Field

from bench.engine.sample.autoregressive import Truncation
from bench.engine.sample.policies import AnyPolicy
from bench.engine.sample.policies.ancestral import Ancestral
from bench.engine.sample.sampler import SamplerSettings
from bench.engine.settings import Settings


class SamplesSpec(Settings):
    """One way of sampling. Causal methods write from left to right under `ancestral`, one network call per token."""

    count: int = Field(4, ge=1)
    calls: int = Field(128, ge=1)  # network calls for all texts together; causal methods make one per token
    policy: AnyPolicy = Ancestral()  # moves z from noise to text
    greedy_last: bool = False  # whether the last guess is the likeliest token
    temperature: float = Field(1.0, gt=0)  # of drawn tokens; for vectors, of the noise that a guess implies
    top_k: int | None = Field(None, ge=1)
    top_p: float | None = Field(None, gt=0, le=1)
    length: int | None = Field(None, ge=1)  # tokens per text; null: as in training; longer texts: window by window
    stride: int | None = Field(None, ge=1)  # new tokens per window of longer texts; null: half a window
    arms: list[str] | None = None  # labels of the arms that are sampled with these settings; null: all

    def sampler_settings(self) -> SamplerSettings:
        """Return what the sampler needs to know."""
        truncation = Truncation(self.temperature, self.top_k, self.top_p)
        return SamplerSettings(self.calls, self.policy, truncation, self.greedy_last)

    def science(self) -> dict[str, Any]:
        """Return the fields that are hashed: all but `arms`."""
        return {name: value for name, value in super().science().items() if name != "arms"}

    def is_for(self, arm: str) -> bool:
        """Return True if the arm is sampled with these settings."""
        return self.arms is None or arm in self.arms

    def for_causal(self) -> "SamplesSpec":
        """Reset `calls`, which causal methods ignore, so that settings that differ in it are drawn once."""
        return self.model_copy(update={"calls": SamplesSpec.model_fields["calls"].default})

    def describe(self, causal: bool) -> dict[str, Any]:
        """Return label, family and temperature, for tables and plots."""
        return {"how": self.label(causal), "family": self.family(causal), "temperature": self.temperature}

    def family(self, causal: bool = False) -> str:
        """Describe the settings without calls and temperature, along which a frontier is plotted."""
        limits = {"top_k": self.top_k, "top_p": self.top_p, "tokens": self.length, "stride": self.stride}
        parts = ["left to right" if causal else self.policy.label()]
        parts += [f"{name} {value}" for name, value in limits.items() if value is not None]
        if self.greedy_last:
            parts.append("greedy last guess")
        return ", ".join(parts)

    def label(self, causal: bool = False) -> str:
        """Describe the settings: policy, truncation, calls and temperature."""
        parts = [self.family(causal)]
        if not causal:
            parts.append(f"{self.calls} calls")
        if self.temperature != 1:
            parts.append(f"temperature {self.temperature:g}")
        return ", ".join(parts)
